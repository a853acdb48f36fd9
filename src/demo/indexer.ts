/**
 * When the index learns what the storage already knows. On a structured data source (version 2) a sync service
 * (sync-service.ts) finds out about a second later: traps 1, 2, 6, 7, 7b, 9 and 12 of the contract all come from that, and
 * are made here in the same way, by keeping two views of each node (tree.ts). On a flat data source (versions 4 and
 * 5) the index is written before the call answers (newer-servers.md, section 1).
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Logger } from '../log.js'
import type { Blob, BlobStore } from './blobs.js'
import type { EventBus } from './event-bus.js'
import type { Store, Table } from './store.js'
import type { Strays } from './strays.js'
import { SyncService } from './sync-service.js'
import { nowSeconds } from './tree.js'
import type { NodeRecord, Tree } from './tree.js'

const md5 = (text: string): string => createHash('md5').update(text).digest('hex')

export interface IndexerOptions {
  readonly store: Store
  readonly tree: Tree
  readonly blobs: BlobStore
  readonly bus: EventBus
  readonly strays: Strays
  readonly flat: boolean
  /** Milliseconds between a change of the storage and the index showing it. */
  readonly delayMs: number
  readonly logger: Logger
}

export class Indexer {
  readonly flat: boolean
  /** May be changed while running; what is under way keeps its delay. */
  delayMs: number
  /** Uuids of nodes that a job is moving: a PUT below one is lost (trap 8). */
  readonly moving = new Set<string>()
  /** Uuids of nodes that a job has left locked when it failed: a write at or below one is refused. */
  readonly locked = new Set<string>()
  /** `<parent uuid>/<name>` -> the end of the job that brings a folder there: a PUT below it waits. */
  readonly arriving = new Map<string, Promise<void>>()
  readonly #o: IndexerOptions
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #sync: SyncService
  /** `<parent uuid>/<name>` -> uuid of a folder that S3 DELETE took out of the index only (trap 7b). */
  readonly #ghosts: Table<string>

  constructor(options: IndexerOptions) {
    this.#o = options
    this.flat = options.flat
    this.delayMs = options.delayMs
    this.#ghosts = options.store.table<string>('ghosts')
    this.#sync = new SyncService({ ...options, quietMs: () => 1.02 * this.delayMs })
  }

  /** After a start: what was on its way when the last process ended arrives now. */
  async settleAll(): Promise<void> {
    for (const node of [...this.#o.tree.all()]) {
      if (node.hidden) this.#o.tree.update(node.uuid, { hidden: undefined, etag: md5(node.uuid) })
      else if (node.deleting) this.#o.tree.remove(node.uuid)
      else if (!node.folder && !node.stale && node.blob && !this.flat) await this.#sync.settle(node.uuid, undefined, false)
    }
  }

  /** Stops all timers; settleAll() of the next start does what they would have done. */
  close(): void {
    this.#sync.close()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  /** Runs `work` after `ms`, unless the server is closed first. */
  later(ms: number, work: () => void | Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      Promise.resolve().then(work).catch((error: unknown) => this.#o.logger.error('demo: background work failed', { error }))
    }, ms)
    this.#timers.add(timer)
  }

  /** A pause that close() ends early by never resuming. */
  pause(ms: number): Promise<void> {
    return new Promise(resolve => this.later(ms, resolve))
  }

  /** After a job that failed on a structured source: 30 s recorded for a folder, 1-4 s for a file. */
  keepLocked(node: NodeRecord): void {
    this.locked.add(node.uuid)
    this.later((node.folder ? 30 : 1.5) * this.delayMs, () => {
      this.locked.delete(node.uuid)
    })
  }

  /** Whether a node or a folder above it was left locked. */
  isLocked(uuid: string): boolean {
    if (this.locked.size === 0) return false
    for (let at = this.#o.tree.get(uuid); at; at = this.#o.tree.get(at.parent)) if (this.locked.has(at.uuid)) return true
    return false
  }

  /** The folder below `parent`, made (and shown at once) if missing, as a PUT makes its parents. */
  folderForPut(parent: NodeRecord, name: string): NodeRecord {
    const { tree, bus } = this.#o
    const existing = tree.found(parent.uuid, name)
    if (existing?.folder) return existing.hidden ? tree.update(existing.uuid, { hidden: undefined, etag: '-1' }) : existing
    const key = `${parent.uuid}/${name}`
    const ghost = this.#ghosts.get(key)
    this.#ghosts.delete(key)
    const folder = tree.insert({ uuid: ghost ?? randomUUID(), parent: parent.uuid, name, folder: true, etag: '-1', ...(ghost === undefined ? {} : { unmarked: true }) })
    if (!this.flat) this.#sync.madeParent(folder)
    bus.changed('CREATE', folder)
    return folder
  }

  /** The folder below `parent`, made if missing as the target of a job, or of an upload in parts: it has no marker file. */
  folderForJob(parent: NodeRecord, name: string): NodeRecord {
    const { tree, bus } = this.#o
    if (this.flat || tree.found(parent.uuid, name)) return this.folderForPut(parent, name)
    const uuid = randomUUID()
    const folder = tree.insert({ uuid, parent: parent.uuid, name, folder: true, etag: md5(uuid), indexed: true, unmarked: true, bare: true })
    bus.changed('CREATE', folder)
    return folder
  }

  /** A file that the index learns of in its final state (server-side copies). The name must be free or a file's. */
  putIndexed(parent: NodeRecord, name: string, blob: Blob): void {
    const { tree, bus } = this.#o
    const existing = tree.child(parent.uuid, name)
    if (existing?.blob) this.#discard(existing.blob)
    const view = { size: blob.size, etag: this.flat ? blob.storageEtag : blob.md5, mtime: blob.mtime, indexed: true, blob }
    if (existing) bus.changed('UPDATE_CONTENT', tree.update(existing.uuid, view))
    else bus.changed('CREATE', tree.insert({ parent: parent.uuid, name, folder: false, ...view }))
  }

  /**
   * New content at a name whose parent is a folder; what the name finds must not be a folder. `stray`: where the object lies if
   * the index takes its path for another one.
   */
  put(parent: NodeRecord, name: string, blob: Blob, stray?: string): NodeRecord {
    const { tree, bus, strays } = this.#o
    const existing = tree.found(parent.uuid, name)
    const old = stray === undefined ? existing?.blob : strays.get(stray)
    if (old) this.#discard(old)
    if (this.flat) {
      const view = { size: blob.size, etag: blob.storageEtag, mtime: blob.mtime, indexed: true, blob }
      const node = existing ? tree.update(existing.uuid, view) : tree.insert({ parent: parent.uuid, name, folder: false, ...view })
      bus.changed(existing?.indexed ? 'UPDATE_CONTENT' : 'CREATE', node)
      return node
    }
    if (stray !== undefined) strays.set(stray, blob)
    const own = stray === undefined ? { blob, deleting: undefined, stale: undefined } : {}
    let node: NodeRecord
    if (existing) node = tree.update(existing.uuid, own)
    else {
      node = tree.insert({ parent: parent.uuid, name, folder: false, size: blob.size, etag: 'temporary', mtime: blob.mtime, ...own })
      bus.changed('CREATE', node)
    }
    this.#sync.wrote(node, stray)
    return node
  }

  /**
   * Makes the last of `names` below `root`, and what is missing above it. The names must be free or folders.
   * On a structured source the folders exist but stay hidden for a while.
   */
  mkdir(root: NodeRecord, names: readonly string[]): NodeRecord {
    const { tree } = this.#o
    let at = root
    names.forEach((name, i) => {
      const existing = tree.found(at.uuid, name)
      // A mkdir writes the marker that was missing.
      if (existing) at = existing.bare ? tree.update(existing.uuid, { bare: undefined, unmarked: undefined }) : existing
      else at = this.#newFolder(at, name, i === names.length - 1)
    })
    return at
  }

  #newFolder(parent: NodeRecord, name: string, last: boolean): NodeRecord {
    const { tree, bus } = this.#o
    if (this.flat) {
      const folder = tree.insert({ parent: parent.uuid, name, folder: true, etag: '-1' })
      bus.changed('CREATE', folder)
      return folder
    }
    const ghost = this.#ghosts.get(`${parent.uuid}/${name}`)
    // Trap 7b: the storage still has the folder, so nothing happens there and the index never hears of it.
    if (ghost) return { uuid: ghost, parent: parent.uuid, name, folder: true, size: 0, mtime: nowSeconds(), etag: '', indexed: false, hidden: true }
    const uuid = randomUUID()
    const folder = tree.insert({ uuid, parent: parent.uuid, name, folder: true, hidden: true, etag: md5(uuid), indexed: !last })
    this.#sync.madeFolder(folder, !last)
    return folder
  }

  /** S3 DELETE of a file. `stray`: of an object that the index takes for the node's. */
  deleteFile(node: NodeRecord, stray?: string): void {
    const { tree, bus, strays } = this.#o
    const blob = stray === undefined ? node.blob : strays.get(stray)
    // A real server deletes what is in the storage, and is not told of anything else.
    if (!blob) return
    this.#discard(blob)
    if (this.flat) {
      bus.deleted([node])
      tree.remove(node.uuid)
      return
    }
    if (stray === undefined) tree.update(node.uuid, { deleting: true, blob: undefined })
    else strays.delete(stray)
    void this.#sync.deleted(node, stray)
  }

  /** S3 DELETE of a folder: the index forgets it, the storage keeps it (trap 7b). */
  forgetFolder(node: NodeRecord): void {
    const { tree, bus } = this.#o
    const forget = (): void => {
      const below = [...tree.walk(node.uuid)]
      if (!this.flat) for (const each of below) if (each.folder) this.#ghosts.set(`${each.parent}/${each.name}`, each.uuid)
      bus.deleted(below)
      for (const each of tree.remove(node.uuid)) if (each.blob) this.#discard(each.blob)
    }
    if (this.flat) forget()
    else this.later(1.03 * this.delayMs, forget)
  }

  /** Removes a subtree for good, content and all. */
  erase(uuid: string): void {
    const { tree, bus } = this.#o
    bus.deleted([...tree.walk(uuid)])
    for (const each of tree.remove(uuid)) if (each.blob) this.#discard(each.blob)
  }

  /** The same by way of the storage; resolves when the index knows. */
  async eraseObjects(uuid: string): Promise<void> {
    const { tree } = this.#o
    const told: Promise<void>[] = []
    for (const each of [...tree.walk(uuid)]) {
      if (each.blob) this.#discard(each.blob)
      // Without a marker there is nothing whose end could be told.
      if (!each.bare) told.push(this.#sync.deleted(tree.update(each.uuid, { deleting: true, blob: undefined })))
    }
    await Promise.all(told)
  }

  #discard(blob: Blob): void {
    void this.#o.blobs.remove(blob.segments)
  }
}
