/**
 * How the index of a 2.x server learns what happened in the storage of one data source: the sync service collects what it
 * hears until nothing has been heard for a second, and then looks at all of it together (observed on a real server). From
 * that follow:
 * - while somebody writes without a pause, nothing of that data source is indexed;
 * - a file deleted and another one written with the same content in one batch, in whatever order, is a *move*: the written
 *   path gets the Uuid of the deleted one, also if it had one of its own;
 * - a file written and deleted in one batch is dropped from the batch: its node stays, with what the index last knew, and
 *   nothing but another write at its path (or an aborted multipart upload, if it was never indexed) gets rid of it;
 * - a file deleted and written again in one batch keeps its old entry (trap 6);
 * - a folder that a mkdir made on the way to another one is lost in a batch of more than ten events, and that one with it.
 */
import type { Logger } from '../log.js'
import type { Blob, BlobStore } from './blobs.js'
import type { EventBus } from './event-bus.js'
import type { Strays } from './strays.js'
import type { NodeRecord, Tree } from './tree.js'

export interface SyncServiceDeps {
  readonly tree: Tree
  readonly blobs: BlobStore
  readonly bus: EventBus
  readonly strays: Strays
  readonly logger: Logger
  /** The quiet time that ends a batch, milliseconds. */
  readonly quietMs: () => number
}

interface Put {
  readonly uuid: string
  /** Where the object lies if it is not the node's own. */
  readonly stray: string | undefined
}

interface Batch {
  /** By the object's key: the node's Uuid or the stray's place. */
  readonly puts: Map<string, Put>
  readonly deletes: Map<string, string>
  /** Whether each was only made on the way to another one. */
  readonly folders: Map<string, boolean>
  /** One for a file, two for a folder with its marker. */
  events: number
  readonly done: (() => void)[]
  timer: NodeJS.Timeout
}

/** Above this many events the index is told in a way that does not make missing parents. */
const MANY = 10

const ASTRAL = /[\u{10000}-\u{10ffff}]/u
/** Names that the sync service never looks at. */
const isIgnored = (name: string): boolean => name === '.DS_Store' || name === '.minio.sys'

export class SyncService {
  readonly #d: SyncServiceDeps
  readonly #batches = new Map<string, Batch>()

  constructor(deps: SyncServiceDeps) {
    this.#d = deps
  }

  /** New content of a node, at its own place or (`stray`) where the index took the path for the node's. */
  wrote(node: NodeRecord, stray?: string): void {
    if (isIgnored(node.name)) return
    const batch = this.#batch(node)
    batch.puts.set(stray ?? node.uuid, { uuid: node.uuid, stray })
    batch.events++
  }

  /** An object or a folder has gone. Resolves when the index knows. */
  deleted(node: NodeRecord, stray?: string): Promise<void> {
    const batch = this.#batch(node)
    batch.deletes.set(stray ?? node.uuid, node.uuid)
    batch.events++
    return new Promise(resolve => batch.done.push(resolve))
  }

  /** A hidden folder was made in the storage; `onTheWay` to another one. */
  madeFolder(node: NodeRecord, onTheWay: boolean): void {
    const batch = this.#batch(node)
    batch.folders.set(node.uuid, onTheWay)
    if (!onTheWay) batch.events += 2
  }

  /** A folder was made that the index shows already. */
  madeParent(node: NodeRecord): void {
    this.#batch(node).events += 2
  }

  close(): void {
    for (const { timer } of this.#batches.values()) clearTimeout(timer)
    this.#batches.clear()
  }

  /** The index takes over an object's size and tag. */
  async settle(uuid: string, stray: string | undefined, announce: boolean): Promise<void> {
    const { tree, bus } = this.#d
    const blob = await this.#hashed({ uuid, stray })
    const node = tree.get(uuid)
    if (!node || !blob || node.deleting) return
    if (node.indexed && node.etag === blob.md5 && node.size === blob.size && node.mtime === blob.mtime) return
    const type = node.indexed ? 'UPDATE_CONTENT' : 'CREATE'
    const after = tree.update(uuid, { size: blob.size, etag: blob.md5, mtime: blob.mtime, indexed: true })
    if (announce) bus.changed(type, after)
  }

  #batch(node: NodeRecord): Batch {
    const source = this.#d.tree.place(node).chain[0] ?? ''
    let batch = this.#batches.get(source)
    if (batch) clearTimeout(batch.timer)
    const timer = setTimeout(() => {
      const ended = this.#batches.get(source)
      this.#batches.delete(source)
      if (ended) this.#process(ended).catch((error: unknown) => this.#d.logger.error('demo: indexing failed', { error }))
    }, this.#d.quietMs())
    if (batch) batch.timer = timer
    else this.#batches.set(source, (batch = { puts: new Map(), deletes: new Map(), folders: new Map(), events: 0, done: [], timer }))
    return batch
  }

  async #process(batch: Batch): Promise<void> {
    this.#showFolders(batch)
    this.#dropUndecided(batch)
    const contents = new Map<string, Blob>()
    for (const [key, put] of batch.puts) {
      const blob = await this.#hashed(put)
      if (blob) contents.set(key, blob)
    }
    this.#move(batch, contents)
    for (const { uuid, stray } of batch.puts.values()) await this.settle(uuid, stray, true)
    this.#forget(batch)
    for (const done of batch.done) done()
  }

  /** Trap 9: one name that the database cannot hold takes the whole batch with it. */
  #showFolders({ folders, events }: Batch): void {
    const { tree, bus } = this.#d
    const nodes = [...folders.keys()].map(uuid => tree.get(uuid)).filter(node => node !== undefined)
    const poisoned = nodes.some(node => ASTRAL.test(node.name))
    for (const { uuid } of nodes) {
      const node = tree.get(uuid)
      if (!node) continue
      const unseen = events > MANY && node.hidden === true && folders.get(uuid) === true
      if (poisoned || unseen || isIgnored(node.name)) tree.remove(uuid)
      else bus.changed('CREATE', node.hidden ? tree.update(uuid, { hidden: undefined }) : node)
    }
  }

  /** What was both written and deleted: the order is not known, so the index is left as it is. */
  #dropUndecided({ puts, deletes }: Batch): void {
    const { tree } = this.#d
    for (const [key, put] of puts) {
      const node = tree.get(put.uuid)
      const exists = node !== undefined && this.#object(put) !== undefined
      if (exists && !deletes.has(key)) continue
      puts.delete(key)
      if (deletes.delete(key) && node) tree.update(node.uuid, { deleting: undefined, ...(exists ? { stale: true } : {}) })
    }
  }

  /** Deletes and writes of the same content are moves: the closest path first. */
  #move({ puts, deletes }: Batch, contents: ReadonlyMap<string, Blob>): void {
    const { tree, bus } = this.#d
    const pairs: { from: NodeRecord; key: string; closeness: number }[] = []
    for (const [key, uuid] of deletes) {
      const from = tree.get(uuid)
      if (!from || from.folder || key !== uuid) continue
      for (const [target, put] of puts) {
        const to = tree.get(put.uuid)
        if (to && to.uuid !== uuid && put.stray === undefined && contents.get(target)?.md5 === from.etag) {
          pairs.push({ from, key: target, closeness: closeness(tree.place(from).names, tree.place(to).names) })
        }
      }
    }
    for (const { from, key } of pairs.sort((a, b) => b.closeness - a.closeness)) {
      const to = tree.get(key)
      const blob = contents.get(key)
      if (!to || !puts.has(key) || !deletes.has(from.uuid)) continue
      puts.delete(key)
      deletes.delete(from.uuid)
      const before = bus.snapshot(from)
      tree.remove(to.uuid)
      bus.moved(before, tree.move(from.uuid, to.parent, to.name, { deleting: undefined, stale: undefined, blob }))
    }
  }

  #forget({ deletes }: Batch): void {
    const { tree, bus, blobs } = this.#d
    // Folders first: what is below a deleted folder goes with it.
    const nodes = [...new Set(deletes.values())].map(uuid => tree.get(uuid)).filter(node => node !== undefined)
    for (const { uuid } of nodes.sort((a, b) => Number(b.folder) - Number(a.folder))) {
      if (!tree.get(uuid)) continue
      bus.deleted([...tree.walk(uuid)])
      for (const each of tree.remove(uuid)) if (each.blob) void blobs.remove(each.blob.segments)
    }
  }

  #object({ uuid, stray }: Put): Blob | undefined {
    return stray === undefined ? this.#d.tree.get(uuid)?.blob : this.#d.strays.get(stray)
  }

  /** The object with its md5; undefined if it is gone, or was written anew while it was read (that write brought its own batch). */
  async #hashed(put: Put): Promise<Blob | undefined> {
    const blob = this.#object(put)
    if (!blob || blob.md5 !== '') return blob
    const hashed = { ...blob, md5: await this.#d.blobs.md5(blob) }
    if (this.#object(put) !== blob) return undefined
    if (put.stray === undefined) this.#d.tree.update(put.uuid, { blob: hashed })
    else this.#d.strays.set(put.stray, hashed)
    return hashed
  }
}

/** How alike two paths are to the sync service: equal names counted from the end, weighed by the folders they share. */
function closeness(a: readonly string[], b: readonly string[]): number {
  let shared = 0
  while (shared < Math.min(a.length, b.length) && a[shared] === b[shared]) shared++
  let equal = 0
  for (let i = 1; i <= Math.min(a.length, b.length); i++) if (a[a.length - i] === b[b.length - i]) equal++
  return (1 + 5 * equal) * (1 + shared)
}
