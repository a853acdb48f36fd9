/**
 * What is kept on this machine: files, and folders with all that is below them, readable without the server. A pin is a path in a
 * file of the state folder; its contents are ordinary blocks that are never evicted (cache/blocks.ts).
 *
 * A walk of the pinned tree finds what is missing and what has a new version. It is repeated soon after an event about the tree,
 * when the event stream comes back, and now and then, since events can be lost and a 2.x server tells none about dot-names. As long as listings
 * are known to be right a walk asks the server nothing. A pinned folder that is renamed, here or by others, stays pinned.
 */
import { join } from 'node:path'
import type { BlockCache, VersionKey } from '../cache/blocks.js'
import { isWithin } from '../cells/names.js'
import { type CellsEvent, ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Contents } from './contents.js'
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import type { Journal } from './journal.js'
import { ListFile } from './listfile.js'
import { WHOLE_FETCH } from './reader.js'
import type { PinStatus } from './status.js'
import type { Tree } from './tree.js'

/** A walk after an event waits for the end of the burst. */
const QUIET_MS = 500
/** A walk without a reason. */
const ROUTINE_MS = 5 * 60_000
/** After a walk or a fetch that failed. */
const RETRY_MS = 15_000
/** Contents on their way at once. */
const PARALLEL = 4

interface Wanted {
  readonly key: VersionKey
  /** On the server. */
  readonly path: string
}

interface Pin {
  /** In the mount. */
  path: string
  /** Held from the first walk on. */
  inode: Inode | undefined
  /** Of the last walk that came to its end. */
  wanted: readonly Wanted[] | undefined
  /** Files and bytes that are only here so far, and so are here. */
  own: { files: number; bytes: number }
  reason: string | undefined
  walk: Promise<void> | undefined
  again: boolean
  timer: NodeJS.Timeout | undefined
  fetching: boolean
}

export interface PinDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly journal: Journal
  readonly blocks: BlockCache
  /** Folder of `pins.json`. */
  readonly stateDir: string
  readonly logger: Logger
}

export class Pins {
  private readonly deps: PinDeps
  private readonly pins = new Map<string, Pin>()
  private readonly stop = new AbortController()
  private readonly file: ListFile

  constructor(deps: PinDeps) {
    this.deps = deps
    this.file = new ListFile(join(deps.stateDir, 'pins.json'))
    // A new name is written down soon.
    deps.journal.relocating.push((within) => {
      for (const pin of this.pins.values()) if (pin.inode !== undefined && within(pin.inode)) this.soon(pin, QUIET_MS)
    })
  }

  /** Takes up what an earlier process had. Never rejects. */
  async start(): Promise<void> {
    let paths: readonly string[] = []
    try {
      paths = await this.file.read()
    } catch (error) {
      this.deps.logger.error('the list of pinned folders cannot be read', { error })
      return
    }
    for (const path of paths) this.soon(this.newPin(path), 0)
    if (paths.length === 0) await this.deps.blocks.keepOnly([])
  }

  private newPin(path: string): Pin {
    const pin: Pin = { path, inode: undefined, wanted: undefined, own: { files: 0, bytes: 0 }, reason: undefined, walk: undefined, again: false, timer: undefined, fetching: false }
    this.pins.set(path, pin)
    return pin
  }

  /** Resolves when it is written down; the fetching has begun. @throws FsError ENOENT; CellsError */
  async pin(path: string): Promise<void> {
    if (this.named(path) !== undefined) return
    const inode = await this.find(path)
    if (inode === undefined) throw new FsError('ENOENT', `There is no ${path || 'such folder'} to pin`)
    if (inode.localOnly || inode.special) throw new FsError('EINVAL', `${path} is on this machine only`)
    const pin = this.newPin(path)
    this.hold(pin, inode)
    await this.save()
    this.soon(pin, 0)
  }

  /** @throws FsError ENOENT */
  async unpin(path: string): Promise<void> {
    const pin = this.named(path)
    if (pin === undefined) throw new FsError('ENOENT', `${path || 'The whole mount'} is not pinned`)
    this.pins.delete(pin.path)
    clearTimeout(pin.timer)
    this.hold(pin, undefined)
    await this.save()
    await this.tidy()
  }

  private named(path: string): Pin | undefined {
    for (const pin of [...this.pins.values()]) this.follow(pin)
    return this.pins.get(path)
  }

  private async save(): Promise<void> {
    for (const pin of [...this.pins.values()]) this.follow(pin)
    await this.file.write(() => this.pins.keys())
  }

  /** So that it can be found after a rename, and is not forgotten. */
  private hold(pin: Pin, inode: Inode | undefined): void {
    if (pin.inode !== undefined) {
      pin.inode.pins--
      this.deps.tree.deps.inodes.release(pin.inode)
    }
    if (inode !== undefined) inode.pins++
    pin.inode = inode
  }

  /** The pinned folder may have another name by now. */
  private follow(pin: Pin): void {
    if (pin.inode === undefined || pin.inode.unlinked) return
    const path = this.deps.tree.places.localPath(pin.inode)
    if (path === pin.path || this.pins.has(path)) return
    this.pins.delete(pin.path)
    pin.path = path
    this.pins.set(path, pin)
  }

  private async find(path: string): Promise<Inode | undefined> {
    const { tree } = this.deps
    let at: Inode | undefined = tree.deps.inodes.root
    for (const name of path.split('/').filter((it) => it !== '')) at = at?.type === 'folder' ? await tree.child(at, name, this.stop) : undefined
    return at
  }

  status(): PinStatus[] {
    return [...this.pins.values()].map((pin) => {
      this.follow(pin)
      const { blocks } = this.deps
      const status = { path: pin.path, files: pin.own.files, bytes: pin.own.bytes, missingFiles: 0, missingBytes: 0 }
      for (const { key } of pin.wanted ?? []) {
        status.files++
        status.bytes += key.size
        const missing = blocks.missing(key)
        if (missing > 0) status.missingFiles++
        status.missingBytes += missing
      }
      const busy = pin.fetching || (pin.walk !== undefined && pin.wanted === undefined)
      const complete = pin.wanted !== undefined && status.missingFiles === 0 && pin.reason === undefined
      return { ...status, state: complete ? 'complete' as const : busy || pin.reason === undefined ? 'fetching' as const : 'waiting' as const, ...(pin.reason !== undefined && { reason: pin.reason }) }
    })
  }

  // -- when

  onEvent(event: CellsEvent): void {
    if (this.pins.size === 0) return
    const paths = event.type === 'path' ? [event.source.path, event.target.path] : event.type === 'delete' ? [event.source.path] : 'node' in event ? [event.node.path] : []
    for (const pin of this.pins.values()) {
      if (pin.inode === undefined || pin.inode.unlinked) continue
      const own = this.deps.tree.places.pathOf(pin.inode)
      if (paths.some((path) => own === '' || path === own || isWithin(path, own))) this.soon(pin, QUIET_MS)
    }
  }

  /** The server is there again, or events may have been missed. */
  look(): void {
    for (const pin of this.pins.values()) this.soon(pin, QUIET_MS)
  }

  private soon(pin: Pin, delayMs: number): void {
    clearTimeout(pin.timer)
    if (this.stop.signal.aborted || this.pins.get(pin.path) !== pin) return
    pin.timer = setTimeout(() => {
      if (pin.walk !== undefined) {
        pin.again = true
        return
      }
      pin.walk = this.turn(pin).finally(() => {
        pin.walk = undefined
        if (pin.again) this.soon(pin, QUIET_MS)
        else this.soon(pin, pin.reason === undefined ? ROUTINE_MS : RETRY_MS)
        pin.again = false
      })
    }, delayMs)
    pin.timer.unref()
  }

  // -- what

  /** Never rejects. */
  private async turn(pin: Pin): Promise<void> {
    const { tree, blocks, logger } = this.deps
    try {
      if (pin.inode === undefined || pin.inode.unlinked) this.hold(pin, await this.find(pin.path))
      if (pin.inode === undefined) {
        // What was fetched stays until a person unpins it: it may be back in a moment.
        pin.reason = 'it is not there any more'
        return
      }
      await this.save()
      const wanted: Wanted[] = []
      const own = { files: 0, bytes: 0 }
      await this.visit(pin.inode, wanted, own)
      pin.wanted = wanted
      pin.own = own
      // Kept before they are fetched, so that what is fetched stays.
      for (const { key } of wanted) await blocks.keep(key)
      await this.tidy()
      pin.fetching = wanted.some(({ key }) => blocks.missing(key) > 0)
      pin.reason = await this.fetch(pin, wanted)
    } catch (error) {
      if (this.stop.signal.aborted) return
      pin.reason = (error as Error).message
      logger.debug('a pinned folder could not be looked through', { path: tree.deps.remote, error })
    } finally {
      pin.fetching = false
    }
  }

  private async visit(inode: Inode, wanted: Wanted[], own: { files: number; bytes: number }): Promise<void> {
    const { tree } = this.deps
    this.stop.signal.throwIfAborted()
    if (inode.type !== 'folder') {
      if (inode.draft === undefined && inode.version !== undefined) wanted.push({ key: inode.version, path: tree.places.pathOf(inode) })
      else {
        own.files++
        own.bytes += inode.size
      }
      return
    }
    await tree.deps.inodes.pinned([inode], async () => {
      for (const { name, attr } of await tree.list(inode, this.stop)) {
        const local = inode.local.get(name)
        const node = local === undefined ? tree.deps.metadata.listing(inode.ino)?.nodes.get(name) : undefined
        if (attr.type === 'folder') {
          const folder = tree.listedChild(inode, name)
          if (folder !== undefined) await this.visit(folder, wanted, own)
        } else if (node !== undefined) {
          if (node.etag !== '' && node.etag !== ETAG_TEMPORARY) wanted.push({ key: { uuid: node.uuid, etag: node.etag, size: node.size }, path: tree.places.pathAt(inode, name) })
        } else if (local !== undefined && local !== null && !local.special) {
          await this.visit(local, wanted, own)
        }
      }
    })
  }

  /** What no pin wants any more may be evicted. What every pin wants is known when each was looked through once. */
  private async tidy(): Promise<void> {
    const all = [...this.pins.values()]
    if (all.some((pin) => pin.wanted === undefined)) return
    await this.deps.blocks.keepOnly(all.flatMap((pin) => pin.wanted!.map(({ key }) => key)))
  }

  /** @returns why something is missing still */
  private async fetch(pin: Pin, wanted: readonly Wanted[]): Promise<string | undefined> {
    const { contents, blocks } = this.deps
    const { signal } = this.stop
    let problem: string | undefined
    const missing = wanted.filter(({ key }) => blocks.missing(key) > 0)
    let next = 0
    const worker = async (): Promise<void> => {
      // A newer walk knows better; a pin that is gone wants nothing.
      while (next < missing.length && !signal.aborted && this.pins.get(pin.path) === pin && !(pin.again && problem !== undefined)) {
        const { key, path } = missing[next++]!
        try {
          await contents.newReader(key, () => path).fetchAll(signal)
          if (blocks.missing(key) > 0) problem ??= key.size > WHOLE_FETCH ? 'a file has changed while it was fetched, or the disk is full' : 'the disk is full'
        } catch (error) {
          // A new version, or moved: the next walk finds it.
          if (error instanceof FsError && error.code === 'ESTALE') pin.again = true
          problem ??= (error as Error).message
        }
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, worker))
    return problem
  }

  async close(): Promise<void> {
    this.stop.abort()
    for (const pin of this.pins.values()) clearTimeout(pin.timer)
    await Promise.all([...this.pins.values()].flatMap((pin) => pin.walk ?? []))
    await this.save().catch((error: unknown) => this.deps.logger.error('the list of pinned folders cannot be written', { error }))
  }
}
