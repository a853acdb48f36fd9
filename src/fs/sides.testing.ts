/**
 * Tests' own meeting of two sides: a mount's engine, whose way to the server can be cut, and a colleague, who works on the server
 * itself. What is on the server afterwards is looked at with the colleague's eyes, the recycle bin included.
 */
import { rm } from 'node:fs/promises'
import { CellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsEvent, StreamState } from '../cells/types.js'
import type { EngineOptions } from './engine.js'
import { md5, type Site } from './model/site.testing.js'
import { PathFs } from './posix.testing.js'
import type { Engine } from './status.js'

const CHANGES: ReadonlySet<string> = new Set(['put', 'multipartStart', 'multipartPart', 'multipartComplete', 'mkdir', 'move', 'copy', 'remove', 'removeObject', 'restore'])
const ENDLESS: ReadonlySet<string> = new Set(['events', 'close', 'list', 'nameRules'])

/** `changes`: what the colleague does is seen here, nothing of ours gets there. `stream`: no events. `everything`: no network. */
export type Cut = 'nothing' | 'changes' | 'stream' | 'everything'

/** A way to the server that can be cut. */
export class Link {
  #cut: Cut = 'nothing'
  private readonly streams = new Set<{ stop(): void; start(): void }>()

  get cut(): Cut {
    return this.#cut
  }

  set cut(cut: Cut) {
    const before = this.#cut
    this.#cut = cut
    for (const stream of this.streams) {
      if (silent(cut)) stream.stop()
      else if (silent(before)) stream.start()
    }
  }

  /** Runs right before a content is sent, when what is to be asked before has been asked. */
  beforePut: (() => Promise<void>) | undefined

  private refuses(name: string): boolean {
    return this.#cut === 'everything' || (this.#cut === 'changes' && CHANGES.has(name))
  }

  over(server: CellsServer): CellsServer {
    const refused = (): CellsError => new CellsError('network', 'The server cannot be reached')
    return new Proxy(server, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== 'function' || typeof name !== 'string') return member
        if (name === 'events') return (listener: Parameters<CellsServer['events']>[0]) => this.events(target, listener)
        if (name === 'list' && this.refuses(name)) return () => { throw refused() }
        const call = (...all: unknown[]): unknown => (member as (...all: unknown[]) => unknown).apply(target, all)
        if (ENDLESS.has(name)) return call
        return async (...all: unknown[]) => {
          if (this.refuses(name)) throw refused()
          if (name === 'put') await this.beforePut?.()
          return call(...all)
        }
      },
    })
  }

  private events(server: CellsServer, listener: { onEvent(event: CellsEvent): void; onState(state: StreamState): void }): { close(): void } {
    let inner: { close(): void } | undefined
    const stream = {
      start: (): void => { inner ??= server.events(listener) },
      stop: (): void => {
        if (inner === undefined) return
        inner.close()
        inner = undefined
        listener.onState({ state: 'disconnected', reason: 'cut' })
      },
    }
    this.streams.add(stream)
    if (!silent(this.#cut)) stream.start()
    return { close: () => { stream.stop(); this.streams.delete(stream) } }
  }
}

const silent = (cut: Cut): boolean => cut === 'everything' || cut === 'stream'

/** Paths and contents; a folder is `null`. */
export type Shape = Record<string, string | null>

/** A folder of the server, an engine over it, and a colleague. */
export class Sides {
  readonly site: Site
  readonly remote: string
  readonly link = new Link()
  engine!: Engine
  fs!: PathFs
  private readonly state: string
  private readonly more: Partial<EngineOptions>

  private constructor(site: Site, remote: string, state: string, more: Partial<EngineOptions>) {
    this.site = site
    this.remote = remote
    this.state = state
    this.more = more
  }

  static async open(site: Site, more: Partial<EngineOptions> = {}): Promise<Sides> {
    const { remote, state } = await site.place()
    const sides = new Sides(site, remote, state, more)
    await sides.start()
    return sides
  }

  /** Different for each. */
  get tag(): string {
    return this.remote.slice(this.remote.lastIndexOf('/') + 1)
  }

  async start(): Promise<void> {
    this.engine = await this.site.engine(this.remote, this.state, (server) => this.link.over(server), this.more)
    this.fs = new PathFs(this.engine.fs)
  }

  async close(): Promise<void> {
    await this.engine.close().catch(() => {})
    await rm(this.state, { recursive: true, force: true })
  }

  /** A second mount of the same folder on another computer. */
  async beside(): Promise<{ engine: Engine; fs: PathFs; link: Link }> {
    const link = new Link()
    const engine = await this.site.engine(this.remote, `${this.state}-beside`, (server) => link.over(server), this.more)
    return { engine, fs: new PathFs(engine.fs), link }
  }

  /** Resolves when the mount has been told of all that the colleague did: events come in order. */
  async announced(): Promise<void> {
    const mark = `${MARK}${++marks}`
    await this.mkdir(mark)
    await until('the mount to see what was done', () => this.fs.exists(mark))
  }

  // -- the colleague

  async put(path: string, content: string): Promise<void> {
    await this.site.other.put(`${this.remote}/${path}`, Buffer.from(content), content.length)
    await this.site.other.waitFor(`${this.remote}/${path}`, (it) => it?.etag === md5(content))
  }

  async mkdir(path: string): Promise<void> {
    await this.site.other.mkdir([`${this.remote}/${path}`])
    await this.site.other.waitFor(`${this.remote}/${path}`, (it) => it !== undefined)
  }

  async move(from: string, to: string): Promise<void> {
    await this.site.other.move(`${this.remote}/${from}`, `${this.remote}/${to}`)
  }

  async remove(path: string): Promise<void> {
    await this.site.other.remove([`${this.remote}/${path}`])
    await this.site.other.waitFor(`${this.remote}/${path}`, (it) => it === undefined)
  }

  async make(shape: Shape): Promise<void> {
    for (const [path, content] of Object.entries(shape)) {
      if (content === null) await this.mkdir(path)
      else await this.put(path, content)
    }
  }

  async uuid(path: string): Promise<string | undefined> {
    return (await this.site.other.stat(`${this.remote}/${path}`))?.uuid
  }

  // -- what is

  /** On the server now. */
  async there(): Promise<Shape> {
    return this.below(this.remote)
  }

  private async below(folder: string): Promise<Shape> {
    const shape: Shape = {}
    for (const [path, node] of [...await this.site.tree(folder)].sort(([a], [b]) => a < b ? -1 : 1)) {
      if (path.startsWith(MARK)) continue
      shape[path] = node.kind === 'folder' ? null : (await this.site.content(node.path)).toString()
    }
    return shape
  }

  /** In the mount now. */
  async here(fs = this.fs): Promise<Shape> {
    const shape: Shape = {}
    const walk = async (folder: string): Promise<void> => {
      for (const name of await fs.readdir(folder)) {
        if (name.startsWith(MARK)) continue
        const path = folder === '' ? name : `${folder}/${name}`
        if ((await fs.stat(path)).type === 'folder') {
          shape[path] = null
          await walk(path)
        } else shape[path] = (await fs.readFile(path)).toString()
      }
    }
    await walk('')
    return Object.fromEntries(Object.entries(shape).sort(([a], [b]) => a < b ? -1 : 1))
  }

  /** How many files of this content the recycle bin of the workspace has (of all tests that use this server). */
  async inBin(content: string): Promise<number> {
    const bin = `${this.remote.split('/')[0]}/recycle_bin`
    if (await this.site.other.stat(bin) === undefined) return 0
    return [...(await this.site.tree(bin)).values()].filter((it) => it.kind === 'file' && it.etag === md5(content)).length
  }
}

const MARK = 'mark-'
let marks = 0

/** Awaits a condition that will hold; a listing may fail while folders come and go. @throws when it does not hold after 15 s */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  let last: unknown
  for (const started = performance.now(); performance.now() - started < 15_000;) {
    try {
      if (await condition()) return
    } catch (error) {
      last = error
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`waited in vain for ${what}`, { cause: last })
}
