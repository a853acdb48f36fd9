/**
 * A CellsServer in memory, for unit tests: a tree of nodes, immediate by default, with the
 * traps that matter to callers on request (index lag, lost connections, hostile names). Not a model of the
 * wire: src/demo is.
 */
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CellsError } from '../cells/errors.js'
import { baseOf, checkPath, isWithin, parentOf, RECYCLE_BIN, workspaceOf } from '../cells/names.js'
import type { BodySource, CallOptions, CellsServer, Job, PutOptions } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { CellsEvent, CellsNode, MultipartPart, ObjectBody, StreamState, Workspace } from '../cells/types.js'

interface Entry {
  node: CellsNode
  content: Buffer
  /** What readers are told while the index lags behind; undefined: not there yet. */
  shown: CellsNode | undefined
}

export interface FakeOptions {
  readonly workspaces?: readonly string[]
  /** Milliseconds until a PUT or mkdir shows in stat. */
  readonly indexLagMs?: number
  /** Called before each operation; throw to make it fail. */
  readonly before?: (operation: string, path: string) => void | Promise<void>
  readonly pageSize?: number
}

export class FakeServer implements CellsServer {
  readonly url = 'http://fake'
  readonly calls: string[] = []
  readonly openUploads = new Map<string, { path: string; parts: Map<number, Buffer> }>()
  readonly #entries = new Map<string, Entry>()
  readonly #options: FakeOptions
  readonly #workspaces: readonly string[]

  constructor(options: FakeOptions = {}) {
    this.#options = options
    this.#workspaces = options.workspaces ?? ['ws', 'ws2']
    for (const slug of this.#workspaces) this.#place(slug, 'folder', Buffer.alloc(0), 0)
  }

  // -- for tests

  /** Puts a file (or, with a trailing slash, a folder) there at once, parents too; no name is checked. */
  seed(path: string, content: string | Buffer = ''): CellsNode {
    const isFolder = path.endsWith('/')
    const clean = isFolder ? path.slice(0, -1) : path
    this.#parents(clean, 0)
    return this.#place(clean, isFolder ? 'folder' : 'file', Buffer.from(content), 0)
  }

  /** Changes what the server reports about a node. */
  alter(path: string, change: Partial<CellsNode>): void {
    const entry = this.#entries.get(path)
    if (entry === undefined) throw new Error(`no ${path} in the fake server`)
    entry.node = { ...entry.node, ...change }
    entry.shown = entry.node
  }

  content(path: string): string | undefined {
    const entry = this.#entries.get(path)
    return entry?.node.kind === 'file' ? entry.content.toString() : undefined
  }

  raw(path: string): Buffer | undefined {
    const entry = this.#entries.get(path)
    return entry?.node.kind === 'file' ? entry.content : undefined
  }

  /** All paths, folders with a trailing slash, without the bin. */
  paths(): string[] {
    return [...this.#entries.values()].map(({ node }) => node.path + (node.kind === 'folder' ? '/' : '')).filter(path => !path.includes(RECYCLE_BIN)).sort()
  }

  // -- CellsServer

  async whoami(): Promise<string> {
    return Promise.resolve('alice')
  }

  async workspaces(): Promise<Workspace[]> {
    await this.#enter('workspaces', '')
    return this.#workspaces.map(slug => ({
      slug, label: `Label of ${slug}`, description: '', scope: 'ADMIN', permissions: 'read,write', readOnly: false,
      uuid: this.#entries.get(slug)?.node.uuid ?? '', wsUuid: `ws-${slug}`, node: this.#must(slug),
    }))
  }

  async stat(path: string): Promise<CellsNode | undefined> {
    await this.#enter('stat', path)
    return path === '' ? this.#node('', 'folder', Buffer.alloc(0)) : this.#entries.get(path)?.shown
  }

  async statMany(paths: readonly string[]): Promise<Map<string, CellsNode>> {
    await this.#enter('statMany', paths.join(' '))
    return new Map(paths.flatMap(path => {
      const node = this.#entries.get(path)?.shown
      return node === undefined ? [] : [[path, node] as const]
    }))
  }

  async * list(path: string): AsyncGenerator<CellsNode[]> {
    await this.#enter('list', path)
    if (path !== '' && this.#entries.get(path)?.shown === undefined) throw new CellsError('not-found', `${path} does not exist`)
    const size = this.#options.pageSize ?? 100
    const prefix = path === '' ? '' : `${path}/`
    // Everything below the prefix with no known folder in between: also names that contain a slash.
    const children = [...this.#entries.values()].flatMap(({ shown }) => {
      if (shown === undefined || !shown.path.startsWith(prefix) || shown.path === path) return []
      return this.#entries.has(parentOf(shown.path)) && parentOf(shown.path) !== path ? [] : [shown]
    })
    for (let start = 0; start < children.length; start += size) yield children.slice(start, start + size)
  }

  async mkdir(paths: readonly string[]): Promise<CellsNode[]> {
    for (const path of paths) {
      checkPath(path)
      await this.#enter('mkdir', path)
    }
    return paths.map(path => {
      this.#parents(path, this.#lag)
      const there = this.#entries.get(path)
      if (there?.node.kind === 'file') throw new CellsError('timeout', 'no answer')
      return there?.node ?? this.#place(path, 'folder', Buffer.alloc(0), this.#lag)
    })
  }

  async remove(paths: readonly string[], options: CallOptions & { permanently?: boolean } = {}): Promise<void> {
    for (const path of paths) {
      await this.#enter(options.permanently === true ? 'remove!' : 'remove', path)
      this.#must(path)
    }
    for (const path of paths) {
      const bin = `${workspaceOf(path)}/${RECYCLE_BIN}`
      if (options.permanently === true || isWithin(path, bin)) this.#drop(path)
      else {
        this.#parents(`${bin}/x`, 0)
        this.#rename(path, this.#freeName(`${bin}/${baseOf(path)}`))
      }
    }
  }

  async restore(paths: readonly string[]): Promise<void> {
    for (const path of paths) await this.#enter('restore', path)
    throw new CellsError('invalid', 'the fake server does not restore')
  }

  async move(source: string, target: string): Promise<CellsNode | undefined> {
    await this.waitForJob(await this.startJob('move', [source], target, false))
    return this.stat(target)
  }

  async copy(source: string, target: string): Promise<void> {
    await this.waitForJob(await this.startJob('copy', [source], target, false))
  }

  async startJob(name: 'copy' | 'move', sources: readonly string[], target: string, targetIsParent: boolean): Promise<Job> {
    await this.#enter(name, `${sources.join(' ')} -> ${target}${targetIsParent ? '/' : ''}`)
    for (const source of sources) {
      this.#must(source)
      const path = this.#freeName(targetIsParent ? `${target}/${baseOf(source)}` : target)
      this.#parents(path, 0)
      if (name === 'move') this.#rename(source, path)
      else this.#copyTree(source, path)
    }
    return { id: randomUUID() }
  }

  async waitForJob(job: Job): Promise<void> {
    await this.#enter('waitForJob', job.id)
  }

  async waitFor(path: string, wanted: (node: CellsNode | undefined) => boolean, options: CallOptions = {}): Promise<CellsNode | undefined> {
    const deadline = performance.now() + (options.timeoutMs ?? 5000)
    for (;;) {
      const node = await this.stat(path)
      if (wanted(node)) return node
      if (performance.now() >= deadline) throw new CellsError('timeout', `${path} is not as wanted`)
      await sleep(5, undefined, { signal: options.signal })
    }
  }

  async get(path: string, range?: { start: number; end: number }, options: CallOptions & { ifMatch?: string } = {}): Promise<ObjectBody> {
    await this.#enter(range === undefined ? 'get' : `get ${range.start}-${range.end}`, path)
    const { node, content } = this.#entry(path)
    options.signal?.throwIfAborted()
    if (options.ifMatch !== undefined && options.ifMatch !== node.etag) throw new CellsError('precondition', 'another version')
    const bytes = content.subarray(range?.start ?? 0, range === undefined ? node.size : range.end + 1)
    const length = (range === undefined ? node.size : Math.min(range.end + 1, node.size)) - (range?.start ?? 0)
    return { totalSize: node.size, length, etag: node.etag, stream: Object.assign(bodyOf(bytes, length), { destroy: () => {} }) }
  }

  async put(path: string, body: BodySource | Uint8Array, size: number, options: PutOptions = {}): Promise<void> {
    checkPath(path)
    await this.#enter('put', path)
    const content = await collect(body, size, options)
    this.#store(path, content)
  }

  async multipartStart(path: string): Promise<string> {
    await this.#enter('multipartStart', path)
    const id = randomUUID()
    this.openUploads.set(id, { path, parts: new Map() })
    return id
  }

  async multipartPart(path: string, uploadId: string, number: number, body: BodySource, size: number, options: PutOptions = {}): Promise<MultipartPart> {
    await this.#enter(`part ${number}`, path)
    const content = await collect(body, size, options)
    this.#upload(uploadId).parts.set(number, content)
    return { number, etag: md5(content), size }
  }

  async multipartComplete(path: string, uploadId: string, parts: readonly MultipartPart[]): Promise<void> {
    await this.#enter('multipartComplete', path)
    const stored = this.#upload(uploadId).parts
    this.#store(path, Buffer.concat(parts.map(part => stored.get(part.number) ?? Buffer.alloc(0))))
    this.openUploads.delete(uploadId)
  }

  async multipartExists(path: string, uploadId: string): Promise<boolean> {
    await this.#enter('multipartExists', path)
    return this.openUploads.has(uploadId)
  }

  async multipartAbort(path: string, uploadId: string): Promise<void> {
    await this.#enter('multipartAbort', path)
    this.openUploads.delete(uploadId)
  }

  async removeObject(path: string): Promise<void> {
    await this.#enter('removeObject', path)
    this.#drop(path)
  }

  events(listener: { onEvent(event: CellsEvent): void; onState(state: StreamState): void }): { close(): void } {
    listener.onState({ state: 'disconnected', reason: 'the fake server has no events' })
    return { close: () => {} }
  }

  async close(): Promise<void> {
    return Promise.resolve()
  }

  // -- inside

  get #lag(): number {
    return this.#options.indexLagMs ?? 0
  }

  async #enter(operation: string, path: string): Promise<void> {
    this.calls.push(`${operation} ${path}`)
    await this.#options.before?.(operation, path)
  }

  #entry(path: string): Entry {
    const entry = this.#entries.get(path)
    if (entry === undefined) throw new CellsError('not-found', `${path} does not exist`, { status: 404 })
    return entry
  }

  #must(path: string): CellsNode {
    return this.#entry(path).node
  }

  #upload(id: string): { path: string; parts: Map<number, Buffer> } {
    const upload = this.openUploads.get(id)
    if (upload === undefined) throw new CellsError('invalid', 'no such upload')
    return upload
  }

  #node(path: string, kind: 'file' | 'folder', content: Buffer): CellsNode {
    return {
      uuid: randomUUID(), path, kind, size: content.length, mtime: 1_700_000_000,
      etag: kind === 'file' ? md5(content) : '-1', hash: '', readOnly: false, meta: {},
    }
  }

  #place(path: string, kind: 'file' | 'folder', content: Buffer, lagMs: number): CellsNode {
    const old = this.#entries.get(path)
    const node = { ...this.#node(path, kind, content), ...(old === undefined ? {} : { uuid: old.node.uuid }) }
    const early = kind === 'file' ? old?.shown ?? { ...node, etag: ETAG_TEMPORARY } : undefined
    const entry: Entry = { node, content, shown: lagMs === 0 ? node : early }
    this.#entries.set(path, entry)
    if (lagMs > 0) setTimeout(() => { entry.shown = entry.node }, lagMs).unref()
    return node
  }

  #parents(path: string, lagMs: number): void {
    const parent = parentOf(path)
    if (parent === '' || this.#entries.has(parent)) return
    this.#parents(parent, lagMs)
    this.#place(parent, 'folder', Buffer.alloc(0), lagMs)
  }

  #store(path: string, content: Buffer): void {
    if (this.#entries.get(path)?.node.kind === 'folder') throw new CellsError('unavailable', 'a folder is there', { status: 503 })
    this.#parents(path, this.#lag)
    this.#place(path, 'file', content, this.#lag)
  }

  #within(path: string): string[] {
    return [...this.#entries.keys()].filter(key => isWithin(key, path))
  }

  #drop(path: string): void {
    for (const key of this.#within(path)) this.#entries.delete(key)
  }

  #rename(source: string, target: string): void {
    for (const key of this.#within(source)) {
      const entry = this.#entry(key)
      this.#entries.delete(key)
      const path = target + key.slice(source.length)
      entry.node = { ...entry.node, path }
      entry.shown = entry.node
      this.#entries.set(path, entry)
    }
  }

  #copyTree(source: string, target: string): void {
    for (const key of this.#within(source)) {
      const { node, content } = this.#entry(key)
      this.#place(target + key.slice(source.length), node.kind, content, 0)
    }
  }

  /** A taken name is never replaced: the newcomer gets `-1` (contract, trap 4). */
  #freeName(path: string): string {
    const folder = parentOf(path)
    const taken = new Set([...this.#entries.keys()].filter(key => parentOf(key) === folder).map(key => baseOf(key).toLowerCase()))
    const name = baseOf(path)
    if (!taken.has(name.toLowerCase())) return path
    const dot = name.lastIndexOf('.')
    const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, '']
    let number = 1
    while (taken.has(`${stem}-${number}${extension}`.toLowerCase())) number++
    return `${folder}/${stem}-${number}${extension}`
  }
}

export const md5 = (content: string | Buffer): string => createHash('md5').update(content).digest('hex')

async function collect(body: BodySource | Uint8Array, size: number, options: PutOptions): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let sent = 0
  for await (const chunk of body instanceof Uint8Array ? [body] : body()) {
    options.signal?.throwIfAborted()
    chunks.push(chunk)
    sent += chunk.length
    options.onProgress?.(sent)
  }
  const content = Buffer.concat(chunks)
  if (content.length !== size) throw new CellsError('protocol', `the body has ${content.length} bytes, not ${size}`)
  if (options.md5 !== undefined && options.md5 !== md5(content)) throw new CellsError('unavailable', 'wrong md5')
  return content
}

// eslint-disable-next-line @typescript-eslint/require-await -- a stream is an async sequence
async function * bodyOf(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += 65_536) yield bytes.subarray(start, start + 65_536)
  if (bytes.length < length) throw new CellsError('protocol', 'the connection ended early')
}
