/**
 * Carries a run out: each operation on the mount engine (or, as the second client, on the server), its answer compared
 * with the model, and at each quiescence the whole of the mount with the whole of the server and of the model.
 */
import { rm } from 'node:fs/promises'
import type { CellsServer } from '../../cells/server.js'
import { errnoCode } from '../errno.js'
import { O_APPEND, O_CREAT, O_RDWR, O_WRONLY, type OpenFile, PathFs } from '../posix.testing.js'
import type { Engine } from '../status.js'
import { Mismatch, Model, type Outcome, shorten } from './model.testing.js'
import { besideConflict, mountAgainstModel, mountAgainstServer, mountTree, type Shown, sameNode, showOf, takeSetAside } from './observe.testing.js'
import type { Operation, Run } from './operations.testing.js'
import { INDEX_DELAY_MS, md5, modelLogger, type Site } from './site.testing.js'
import { SecondClient } from './second.testing.js'
import { Trace } from './trace.testing.js'
import { Trouble } from './trouble.testing.js'
import { Errno, World } from './world.testing.js'
import { Wire } from './wire.testing.js'

const QUIESCENCE_MS = 30_000

/** What a program may be told when a request failed and nobody knows whether it had its effect. */
const FAILED = new Set(['EIO', 'EHOSTUNREACH', 'ETIMEDOUT', 'EBUSY', 'ESTALE', 'EINTR'])
/** What a program may be told about a name that somebody else is just changing. */
const CHANGING = new Set(['ESTALE', 'EBUSY', 'EIO'])

interface Handle {
  readonly file: OpenFile
  readonly flags: 'r' | 'w' | 'c' | 'a'
  readonly node: number
  /** The last name its file had. */
  path: string
  /** Somebody else changed the file: what it shows is one of its versions. */
  loose: boolean
  /** Its names when somebody else changed or moved it: what is written then may be there (S33, S39). */
  readonly before: Set<string>
}

let contents = 0

/** A content like no other, also in its parts. */
export function newContent(size: number): Buffer {
  return Buffer.alloc(size, `k${(++contents).toString(36)}.`)
}

export class Runner {
  readonly model = new Model()
  readonly trace = new Trace()
  operations = 0
  private readonly run: Run
  private readonly site: Site
  private readonly trouble: Trouble
  private readonly wire = new Wire()
  private readonly handles = new Map<number, Handle>()
  private second!: SecondClient
  private engine!: Engine
  private server: CellsServer | undefined
  private fs!: PathFs
  private state = ''
  private remote = ''

  private readonly quiescenceMs: number

  constructor(site: Site, run: Run, quiescenceMs = QUIESCENCE_MS) {
    this.quiescenceMs = quiescenceMs
    this.site = site
    this.run = run
    this.trouble = new Trouble(site.demo, run.setting)
  }

  /** @throws Mismatch, with the number of the operation */
  async start(): Promise<void> {
    const { remote, state } = await this.site.place()
    this.remote = remote
    this.state = state
    this.second = new SecondClient({
      site: this.site, model: this.model, wire: this.wire, remote, onNode: (id) => this.shared(id),
    })
    this.trouble.calm()
    await this.open()
    this.trouble.resume()
    try {
      for (const [index, operation] of this.run.operations.entries()) await this.step(index, operation)
      await this.step(this.run.operations.length, ['sync'])
    } finally {
      this.trouble.calm()
      await this.second.arrived().catch(() => {})
      await this.shut().catch(() => {})
      this.trouble.stop()
      // Megabytes each, and a long run has ten thousands of them.
      await rm(this.state, { recursive: true, force: true })
    }
  }

  private async step(index: number, operation: Operation): Promise<void> {
    this.operations++
    this.trace.add(`operation ${index} ${JSON.stringify(operation)}`)
    try {
      await this.perform(operation)
    } catch (error) {
      if (!(error instanceof Mismatch)) throw new Mismatch(`operation ${index} ${JSON.stringify(operation)}: ${(error as Error).stack}`, { cause: error })
      throw new Mismatch(`operation ${index} ${JSON.stringify(operation)}: ${error.message}`)
    }
  }

  private async open(): Promise<void> {
    this.engine = await this.site.engine(this.remote, this.state, (server) => {
      this.server = server
      return this.wire.watch(this.trace.watch(server), this.remote)
    }, { logger: this.trace.logger(modelLogger) })
    this.fs = new PathFs(this.engine.fs)
  }

  private async shut(): Promise<void> {
    for (const { file } of this.handles.values()) await this.fs.close(file).catch(() => {})
    this.handles.clear()
    await this.engine.close()
    await this.server?.close()
  }

  private async perform(operation: Operation): Promise<unknown> {
    switch (operation[0]) {
      case 'write': return this.write(operation[1], operation[2])
      case 'edit': return this.edit(operation[1], operation[2])
      case 'patch': return this.change(operation[1], 'w', (fs, file) => fs.write(file, operation[2], this.data(operation[3])), (world, id) => world.writeAt(id, operation[2], this.last))
      case 'append': return this.change(operation[1], 'a', (fs, file) => fs.write(file, 0, this.data(operation[2])), (world, id) => world.writeAt(id, world.nodes.get(id)!.content.length, this.last))
      case 'truncate': return this.truncate(operation[1], operation[2])
      case 'read': case 'stat': return this.look(operation[1])
      case 'list': return this.list(operation[1])
      case 'mkdir': return this.mkdir(operation[1])
      case 'rmdir': return this.names('rmdir', [operation[1]], (fs) => fs.rmdir(operation[1]), (world) => world.rmdir(operation[1]))
      case 'unlink': return this.names('unlink', [operation[1]], (fs) => fs.unlink(operation[1]), (world) => world.unlink(operation[1]))
      case 'rename': return this.rename(operation[1], operation[2])
      case 'symlink': return this.symlink(operation[1], operation[2])
      case 'chmod': return this.attributes(operation[1], { mode: operation[2] }, (fs) => fs.chmod(operation[1], operation[2]))
      case 'mtime': return this.attributes(operation[1], { mtime: BigInt(operation[2]) * 1_000_000_000n + 5n }, (fs) => fs.utimes(operation[1], BigInt(operation[2]) * 1_000_000_000n + 5n))
      case 'open': return this.openHandle(operation[1], operation[2], operation[3])
      case 'hwrite': return this.handleWrite(operation[1], operation[2], operation[3])
      case 'hread': return this.handleRead(operation[1])
      case 'htruncate': return this.handleTruncate(operation[1], operation[2])
      case 'fsync': return this.handleSync(operation[1])
      case 'close': return this.handleClose(operation[1])
      case 'their put': return this.second.put(operation[1], newContent(operation[2]))
      case 'their delete': return this.second.remove(operation[1])
      case 'their move': return this.second.move(operation[1], operation[2])
      case 'their mkdir': return this.second.mkdir(operation[1])
      case 'wait': return this.second.settled()
      case 'pause': return new Promise((resolve) => setTimeout(resolve, operation[1]))
      case 'forget':
        if (this.handles.size === 0) this.fs.forgetAll()
        return
      case 'cut': return this.site.demo.events.drop()
      case 'sync': return this.quiesce()
      case 'restart':
        await this.quiesce()
        await this.shut()
        if (operation[1] === 'cold') await this.second.dropBlocks(this.state)
        await this.open()
        return this.quiesce()
    }
  }

  private last: Buffer = Buffer.alloc(0)

  private data(size: number): Buffer {
    this.last = newContent(size)
    return this.last
  }

  private async outcome<T>(work: () => Promise<T>): Promise<Outcome<T>> {
    try {
      return { value: await work() }
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) throw error
      return { code: errnoCode(error) === 'EIO' && (error as { code?: string }).code === 'ESTALE' ? 'ESTALE' : errnoCode(error) }
    }
  }

  private uncertain(outcome: Outcome<unknown>): boolean {
    return 'code' in outcome && this.trouble.failing && FAILED.has(outcome.code)
  }

  // -- looking

  private async look(path: string): Promise<void> {
    const outcome = await this.outcome(() => showOf(this.fs, path))
    if (this.uncertain(outcome)) return
    if ('code' in outcome && CHANGING.has(outcome.code) && this.model.isContended(path)) return
    this.model.observed<Shown>(path, path, outcome, (world) => world.lookup(path), sameNode)
    if ('value' in outcome && this.model.isLoose(path) && outcome.value.type === 'file') this.wholeVersion(path, outcome.value.content)
  }

  /** Bytes of two versions are never mixed. */
  private wholeVersion(path: string, content: Buffer): void {
    if (!this.model.everKnown.has(content.toString('latin1')) && !this.model.partial.has(path)) throw new Mismatch(`${path}: ${shorten(content)} is no content that anybody ever wrote`)
  }

  private async list(path: string): Promise<void> {
    const outcome = await this.outcome(() => this.fs.readdir(path))
    if (this.uncertain(outcome) || this.model.isLoose(path)) return
    if ('code' in outcome) return this.model.observed<unknown>(path, path, outcome, (world) => world.list(path), () => true)
    if (new Set(outcome.value).size < outcome.value.length) throw new Mismatch(`a name is listed twice: ${outcome.value.join(' ')}`)
    const expected = this.model.worlds.map((world) => {
      try {
        return new Set(world.list(path))
      } catch {
        return new Set<string>()
      }
    })
    for (const name of new Set([...outcome.value, ...expected.flatMap((it) => [...it])])) {
      const child = path === '' ? name : `${path}/${name}`
      const listed = outcome.value.includes(name)
      if (this.model.isLoose(child) || expected.some((it) => it.has(name) === listed) || (listed && besideConflict(this.model, child, undefined))) continue
      throw new Mismatch(`${child} is ${listed ? '' : 'not '}listed`)
    }
  }

  // -- changing

  /** An operation on names. */
  private async names(what: string, paths: readonly string[], act: (fs: PathFs) => Promise<unknown>, work: (world: World) => void): Promise<boolean> {
    const outcome = await this.outcome<unknown>(() => act(this.fs))
    const uncertain = this.uncertain(outcome)
    if ('value' in outcome || uncertain) for (const path of paths.slice(-1)) this.model.releasedAt(path)
    const certain = this.model.did<unknown>(what, paths, outcome, uncertain, work)
    for (const path of paths) await this.look(path)
    return 'value' in outcome && certain
  }

  private async mkdir(path: string): Promise<void> {
    const id = this.model.ids.next()
    await this.names('mkdir', [path], (fs) => fs.mkdir(path), (world) => world.create(path, { id, type: 'folder', content: Buffer.alloc(0), mode: 0o755, mtime: undefined }))
  }

  private async symlink(target: string, path: string): Promise<void> {
    const id = this.model.ids.next()
    await this.names('symlink', [path], (fs) => fs.symlink(target, path), (world) => world.create(path, { id, type: 'symlink', content: Buffer.from(target), mode: undefined, mtime: undefined }))
  }

  private async rename(from: string, to: string): Promise<void> {
    if (from === to) return
    const outcome = await this.outcome(() => this.fs.rename(from, to))
    const uncertain = this.uncertain(outcome)
    if ('value' in outcome || uncertain) {
      this.model.renamed(from, to)
      this.model.releasedAt(to)
      this.model.workMoved('we', from, to)
    }
    this.model.did<void>('rename', [from, to], outcome, uncertain, (world) => world.rename(from, to))
    await this.look(from)
    await this.look(to)
  }

  private isLink(path: string): boolean {
    return this.model.worlds.some((world) => world.at(path)?.type === 'symlink')
  }

  /** The whole content of a path, made if it is not there. */
  private async write(path: string, size: number): Promise<void> {
    if (this.isLink(path)) return
    const data = this.data(size)
    const id = this.model.ids.next()
    await this.replaceContent('write', path, data, () => this.fs.writeFile(path, data), (world) => this.put(world, path, id, data))
  }

  private put(world: World, path: string, id: number, data: Buffer): void {
    let node
    try {
      node = world.lookup(path)
    } catch (error) {
      if ((error as Errno).code !== 'ENOENT') throw error
      return world.create(path, { id, type: 'file', content: data, mode: 0o644, mtime: undefined })
    }
    if (node.type === 'folder') throw new Errno('EISDIR')
    world.setContent(node.id, data)
  }

  private async replaceContent(what: string, path: string, data: Buffer, act: () => Promise<unknown>, work: (world: World) => void): Promise<void> {
    this.model.everKnown.add(data.toString('latin1'))
    const outcome = await this.outcome<unknown>(act)
    const uncertain = this.uncertain(outcome)
    if ('value' in outcome || uncertain) this.model.releasedAt(path)
    if ('value' in outcome) this.model.acknowledged('we', path, data)
    this.model.did<unknown>(what, [path], outcome, uncertain, work)
    await this.look(path)
  }

  /** Replaces exactly the content that was read: what somebody else wrote meanwhile must survive. */
  private async edit(path: string, size: number): Promise<void> {
    if (this.isLink(path)) return
    const data = this.data(size)
    this.model.everKnown.add(data.toString('latin1'))
    let read: Buffer | undefined
    const outcome = await this.outcome(async () => {
      const file = await this.fs.open(path, O_RDWR)
      try {
        read = Buffer.from(await this.fs.read(file, 0, 1 << 20))
        await this.fs.fs.setattr(file.ino, { size: 0 }, file.fh, { uid: 0, gid: 0, pid: 0 })
        await this.fs.write(file, 0, data)
      } finally {
        await this.fs.close(file)
      }
    })
    const uncertain = this.uncertain(outcome)
    if ('value' in outcome || uncertain) this.model.released(read)
    if ('value' in outcome) this.model.acknowledged('we', path, data)
    this.model.did<unknown>('edit', [path], outcome, uncertain, (world) => {
      const node = world.lookup(path)
      if (node.type === 'folder') throw new Errno('EISDIR')
      world.setContent(node.id, data)
    })
    await this.look(path)
  }

  /** Changes a part of an existing file. */
  private async change(path: string, flags: 'w' | 'a', act: (fs: PathFs, file: OpenFile) => Promise<unknown>, work: (world: World, id: number) => void): Promise<void> {
    if (this.isLink(path)) return
    const outcome = await this.outcome(async () => {
      const file = await this.fs.open(path, flags === 'a' ? O_WRONLY | O_APPEND : O_RDWR)
      try {
        await act(this.fs, file)
      } finally {
        await this.fs.close(file)
      }
    })
    await this.partly('change', path, outcome, work)
  }

  private async truncate(path: string, size: number): Promise<void> {
    if (this.isLink(path)) return
    const outcome = await this.outcome(() => this.fs.truncate(path, size))
    await this.partly('truncate', path, outcome, (world, id) => world.truncate(id, size))
  }

  private async partly(what: string, path: string, outcome: Outcome<unknown>, work: (world: World, id: number) => void): Promise<void> {
    const uncertain = this.uncertain(outcome)
    if ('value' in outcome || uncertain) this.model.releasedAt(path)
    const certain = this.model.did<unknown>(what, [path], outcome, uncertain, (world) => {
      const node = world.lookup(path)
      if (node.type === 'folder') throw new Errno('EISDIR')
      work(world, node.id)
    })
    if ('value' in outcome) {
      if (certain) this.acknowledgedAt(path)
      else this.model.partial.add(path)
    }
    await this.look(path)
  }

  private acknowledgedAt(path: string): void {
    const node = this.model.newest.at(path)
    if (node?.type === 'file') this.model.acknowledged('we', path, node.content)
  }

  private async attributes(path: string, change: { mode?: number; mtime?: bigint }, act: (fs: PathFs) => Promise<void>): Promise<void> {
    if (this.isLink(path)) return
    const outcome = await this.outcome(() => act(this.fs))
    const folder = this.model.newest.at(path)?.type === 'folder'
    this.model.did<void>('setattr', [path], outcome, this.uncertain(outcome), (world) => world.setAttributes(path, folder ? { mode: change.mode } : change))
    await this.look(path)
  }

  // -- handles

  private async openHandle(slot: number, path: string, flags: Handle['flags']): Promise<void> {
    if (this.handles.has(slot) || this.isLink(path)) return
    const id = this.model.ids.next()
    // It is made where we do not know yet of somebody's.
    const makes = flags === 'c' && this.model.worlds.some((world) => world.at(path) === undefined)
    const wanted = flags === 'r' ? 0 : flags === 'a' ? O_WRONLY | O_APPEND : O_RDWR | (flags === 'c' ? O_CREAT : 0)
    const contended = this.model.isContended(path)
    const outcome = await this.outcome(() => this.fs.open(path, wanted))
    const work = (world: World): void => {
      if (flags === 'c' && world.at(path) === undefined) world.create(path, { id, type: 'file', content: Buffer.alloc(0), mode: 0o644, mtime: undefined })
      else if (world.lookup(path).type === 'folder') throw new Errno('EISDIR')
    }
    const uncertain = this.uncertain(outcome)
    if (makes) this.model.did<unknown>('open', [path], outcome, uncertain, work)
    else if (!uncertain && !('code' in outcome && CHANGING.has(outcome.code) && contended)) this.model.observed<unknown>('open', path, outcome, work, () => true)
    if ('value' in outcome) this.handles.set(slot, { file: outcome.value, flags, node: this.model.newest.names.get(path) ?? id, path, loose: contended, before: new Set() })
  }

  /** Where a handle's file is now, if it has a name. */
  private nameOf(handle: Handle): string | undefined {
    for (const [path, id] of this.model.newest.names) if (id === handle.node) return handle.path = path
    return undefined
  }

  /** The second client changed a file. */
  private shared(id: number): void {
    for (const handle of this.handles.values()) {
      if (handle.node !== id) continue
      const name = this.nameOf(handle)
      if (name !== undefined) handle.before.add(name)
      handle.loose = true
    }
  }

  private async throughHandle(what: string, handle: Handle, outcome: Outcome<unknown>, work: (world: World) => void): Promise<void> {
    const path = this.nameOf(handle)
    const uncertain = this.uncertain(outcome)
    if (handle.loose) {
      const names = new Set([...handle.before, path ?? handle.path])
      // It may be under another name than in the newest world.
      for (const world of this.model.worlds) {
        for (const [name, id] of world.names) if (id === handle.node) names.add(name)
        if ('value' in outcome || uncertain) work(world)
        this.model.everKnown.add(world.nodes.get(handle.node)?.content.toString('latin1') ?? '')
      }
      // Deleted there and changed here: it may come back under its name.
      for (const name of [...names].flatMap((it) => [it, ...this.model.namesThere(it)])) {
        this.model.loosenWithFolders(name)
        this.model.partial.add(name)
        this.model.releasedAt(name)
      }
      return
    }
    if ('value' in outcome || uncertain) this.model.releasedNode(handle.node)
    const certain = this.model.did<unknown>(what, path === undefined ? [] : [path], outcome, uncertain, work)
    for (const world of this.model.worlds) this.model.everKnown.add(world.nodes.get(handle.node)?.content.toString('latin1') ?? '')
    if (!certain) {
      handle.loose = true
      if (path !== undefined) this.model.partial.add(path)
    }
    if (path !== undefined) await this.look(path)
  }

  private async handleWrite(slot: number, offset: number, size: number): Promise<void> {
    const handle = this.handles.get(slot)
    if (handle === undefined) return
    const data = this.data(size)
    const outcome = await this.outcome(() => this.fs.write(handle.file, offset, data))
    if (handle.flags === 'r') {
      if (!('code' in outcome) || outcome.code !== 'EBADF') throw new Mismatch('a file open for reading took a write')
      return
    }
    await this.throughHandle('write', handle, outcome, (world) => {
      const node = world.nodes.get(handle.node)
      if (node !== undefined) world.writeAt(node.id, handle.flags === 'a' ? node.content.length : offset, data)
    })
  }

  private async handleTruncate(slot: number, size: number): Promise<void> {
    const handle = this.handles.get(slot)
    if (handle === undefined || handle.flags === 'r') return
    const outcome = await this.outcome(() => this.fs.fs.setattr(handle.file.ino, { size }, handle.file.fh, { uid: 0, gid: 0, pid: 0 }))
    await this.throughHandle('ftruncate', handle, outcome, (world) => {
      if (world.nodes.has(handle.node)) world.truncate(handle.node, size)
    })
  }

  private async handleRead(slot: number): Promise<void> {
    const handle = this.handles.get(slot)
    if (handle === undefined || handle.flags === 'a') return
    const outcome = await this.outcome(() => this.fs.read(handle.file, 0, 1 << 20))
    if (this.uncertain(outcome)) return
    if (handle.loose) {
      if ('code' in outcome && !FAILED.has(outcome.code)) throw new Mismatch(`read: ${outcome.code}`)
      return
    }
    const expected = this.model.worlds.flatMap((world) => world.nodes.get(handle.node)?.content ?? [])
    if ('code' in outcome || !expected.some((it) => it.equals(outcome.value))) {
      throw new Mismatch(`read through a handle: ${'code' in outcome ? outcome.code : shorten(outcome.value)}, expected ${expected.map(shorten).join(' or ')}`)
    }
  }

  private async handleSync(slot: number): Promise<void> {
    const handle = this.handles.get(slot)
    if (handle !== undefined) this.secured(handle, await this.outcome(() => this.fs.fsync(handle.file)), 'fsync')
  }

  private async handleClose(slot: number): Promise<void> {
    const handle = this.handles.get(slot)
    if (handle === undefined) return
    this.handles.delete(slot)
    this.secured(handle, await this.outcome(() => this.fs.close(handle.file)), 'close')
  }

  /** fsync or close answered. */
  private secured(handle: Handle, outcome: Outcome<unknown>, what: string): void {
    const path = this.nameOf(handle)
    if ('code' in outcome) {
      if (!this.uncertain(outcome) && !handle.loose) throw new Mismatch(`${what}: ${outcome.code}`)
      if (path !== undefined) this.model.loosen(path)
    } else if (path !== undefined && handle.flags !== 'r' && !handle.loose && !this.model.isLoose(path)) {
      this.acknowledgedAt(path)
    }
  }

  // -- quiescence

  private async quiesce(): Promise<void> {
    this.trouble.calm()
    for (const [slot, handle] of [...this.handles]) {
      // Where a name is not certain, neither is whether it is still this file's.
      if (handle.loose || this.model.isLoose(this.nameOf(handle) ?? handle.path)) await this.handleClose(slot)
      else if (handle.flags !== 'r') await this.handleSync(slot)
    }
    await this.second.arrived()
    await this.trouble.arrived()
    const deadline = performance.now() + this.quiescenceMs
    for (let pause = 10; ; pause = Math.min(500, pause * 2)) {
      const wrong = await this.disagreement()
      if (typeof wrong !== 'string') {
        await this.agreed(wrong)
        break
      }
      if (performance.now() > deadline) throw new Mismatch(`no quiescence: ${wrong}`)
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
    this.trouble.resume()
  }

  private async disagreement(): Promise<string | Map<string, Shown>> {
    const report = await this.engine.sync('', AbortSignal.timeout(Math.round(this.quiescenceMs / 3)))
    const failed = await takeSetAside(report.failed, this.state, this.model)
    if (failed.length > 0) return `sync reports ${JSON.stringify(failed)}`
    try {
      const [mount, server] = [await mountTree(this.fs), await this.site.tree(this.remote)]
      const apart = mountAgainstServer(mount, server)
      if (apart.length > 0) return `the mount and the server differ:\n  ${apart.join('\n  ')}`
      const wrong = mountAgainstModel(mount, this.model)
      return wrong.length > 0 ? `the mount and the server agree, and the model differs:\n  ${wrong.join('\n  ')}` : mount
    } catch (error) {
      return String((error as Error).stack)
    }
  }

  /** Contents that are there twice, rightly, from then on. */
  private readonly twofold = new Set<string>()

  private async agreed(mount: ReadonlyMap<string, Shown>): Promise<void> {
    const present = new Map<string, string>()
    for (const [path, { type, content }] of mount) {
      if (type !== 'file' || content.length < 8 || content.every((byte) => byte === 0)) continue
      const key = content.toString('latin1')
      const twice = present.get(key)
      if (twice !== undefined && this.model.mayBeTwice(twice, path)) this.twofold.add(key)
      if (twice !== undefined && !this.twofold.has(key)) throw new Mismatch(`the same content is found twice, under ${twice} and ${path}: ${shorten(content)}`)
      present.set(key, path)
    }
    const missing = [...this.model.work].filter(([key]) => !present.has(key) && !/^\0*$/.test(key))
    const lost = missing.length === 0 ? [] : await this.notInBin(missing.filter(([, it]) => it.who !== 'they' || !this.wire.couldNotKnow(it, INDEX_DELAY_MS)))
    if (lost.length > 0) {
      throw new Mismatch(`lost work:\n  ${lost.map(([key, it]) => `${it.who} wrote ${shorten(Buffer.from(key, 'latin1'))} to ${it.path}`).join('\n  ')}\n  found: ${[...mount].map(([path, it]) => `${path} ${shorten(it.content)}`).join(', ')}`)
    }
    this.adopt(mount)
  }

  private async notInBin<T extends readonly [string, unknown]>(missing: readonly T[]): Promise<readonly T[]> {
    if (missing.length === 0) return []
    const bin = await this.site.tree('personal-files/recycle_bin').catch(() => new Map<string, never>())
    const etags = new Set([...bin.values()].map((it: { etag: string }) => it.etag))
    return missing.filter(([key]) => !etags.has(md5(Buffer.from(key, 'latin1'))))
  }

  /** What is there is the one world from now on. */
  private adopt(mount: ReadonlyMap<string, Shown>): void {
    const { model } = this
    const world = World.empty()
    for (const [path, shown] of mount) {
      const known = model.isLoose(path) ? undefined : model.newest.at(path)
      // A folder that somebody has deleted and that was made again, unheard of, has lost its mode (S24): when the mount hears of it, which can be much later.
      const mode = shown.type === 'folder' && (model.isLoose(path) || model.newest.at(path)?.mode === undefined) ? undefined : shown.mode
      world.create(path, { ...shown, mode, type: shown.type as 'file', id: known?.id ?? model.ids.next() })
    }
    for (const { node } of this.handles.values()) {
      const kept = model.newest.nodes.get(node)
      if (kept !== undefined && !world.nodes.has(node)) world.nodes.set(node, kept)
    }
    model.settle(world)
    this.wire.forget()
    for (const [path, { type, content }] of mount) if (type === 'file') model.acknowledged('both', path, content)
  }
}
