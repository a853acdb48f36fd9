/**
 * What the server last said about names, on disk: so that a mount is usable from its start, and without the server. Lies in the
 * cache folder and may be lost; a damaged one is dropped and fills again, and on a disk that is nearly full nothing is written. Never believed when the server can be asked: see
 * metadata.ts and fs/shelf.ts. A folder in which the server was being told of changes when its process died is not believed at all: what the server
 * had taken by then, and no record tells of any more, may not have been written here.
 */
import { mkdirSync, rmSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Database, RootDatabase } from 'lmdb'
import type { Logger } from '../log.js'
import { check, isClean, markClean, openRoot } from './database.js'
import { Known, type KnownNode } from './known.js'
import { RecordTable } from './records.js'
import { StoreRoom } from './room.js'

/** A node without its path, which its folder gives it, in little room. */
type Packed = readonly [name: string, uuid: string, folder: 0 | 1, size: number, mtime: number, etag: string, hash: string, readOnly: 0 | 1]

/** Less on the disk, and there is no cache of names: LMDB must never meet a full disk (room.ts). */
const LEAST_FREE = 12 * 2 ** 20
/** A folder with more names is written only if the disk has plenty for it. */
const MANY = 5_000
const BYTES_A_NAME = 500

/** Raised when the shape changes; what another version wrote is dropped. */
const FORMAT = 1
const FILE = 'names.mdb'

interface FolderRecord {
  readonly format: number
  readonly complete: boolean
  readonly self?: Packed
  readonly nodes: readonly Packed[]
}

export interface KnownFolder {
  /** All names of the folder, as of then. */
  readonly complete: boolean
  /** The folder itself; kept only of the mount's root. */
  readonly self?: KnownNode
  readonly nodes: ReadonlyMap<string, KnownNode>
}

export class NamesStore {
  private readonly file: string
  private readonly root: RootDatabase
  private readonly table: RecordTable<FolderRecord>
  private readonly sizes: Database<number, string>
  /** Folders in which the server is told of changes, those of a process that has died too. */
  private readonly changing: Database<1, string>
  private readonly outdated: Set<string>
  /** Names by folder, those not written for longest first. */
  private readonly counts = new Map<string, number>()
  private total = 0
  private readonly maxNames: number
  private readonly room: StoreRoom

  private constructor(file: string, root: RootDatabase, maxNames: number) {
    this.file = file
    this.root = root
    this.maxNames = maxNames
    this.table = new RecordTable<FolderRecord>(root, 'names', undefined, false)
    this.sizes = root.openDB<number, string>({ name: 'sizes' })
    this.changing = root.openDB<1, string>({ name: 'changing' })
    this.outdated = new Set(this.changing.getKeys())
    for (const { key, value } of this.sizes.getRange()) this.count(key, value)
    this.room = new StoreRoom(file, () => {
      const { lastPageNumber, pageSize } = root.getStats() as { lastPageNumber: number; pageSize: number }
      return (lastPageNumber + 1) * pageSize
    })
  }

  /**
   * Undefined on a disk that is full.
   * @param maxNames bound over all folders
   */
  static open(dir: string, maxNames: number, logger: Logger): NamesStore | undefined {
    const file = join(dir, FILE)
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    if (freeBytes(dir) < LEAST_FREE) {
      logger.warn('the disk of the cache is nearly full: names are not kept for the next start', { dir })
      return undefined
    }
    const drop = (): void => { for (const each of [file, `${file}-lock`, `${file}-clean`]) rmSync(each, { force: true }) }
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0 && !isClean(file) && !check(file)) {
      logger.warn('the cache of names is damaged and begins anew', { file })
      drop()
    }
    try {
      rmSync(`${file}-clean`, { force: true })
      return new NamesStore(file, openRoot(file), maxNames)
    } catch (error) {
      logger.warn('the cache of names cannot be opened and begins anew', { file, error })
      drop()
      return new NamesStore(file, openRoot(file), maxNames)
    }
  }

  private count(key: string, names: number | undefined): void {
    this.total += (names ?? 0) - (this.counts.get(key) ?? 0)
    this.counts.delete(key)
    if (names !== undefined) this.counts.set(key, names)
  }

  get names(): number {
    return this.total
  }

  get(key: string): KnownFolder | undefined {
    const record = this.table.get(key)
    if (record === undefined || record.format !== FORMAT) return undefined
    const outdated = this.outdated.has(key)
    return {
      complete: record.complete && !outdated,
      ...(record.self === undefined ? {} : { self: unpack(record.self) }),
      nodes: new Map(outdated ? [] : record.nodes.map((it) => [it[0], unpack(it)])),
    }
  }

  /** Until it is `put` as settled, what is written of a folder is not for another process. */
  change(key: string): void {
    if (!this.closed && !this.room.full) void this.changing.put(key, 1)
  }

  /** Durable some time later. `settled`: the server is not being told of any change in it. */
  put(key: string, { complete, self, nodes }: KnownFolder, settled = true): void {
    if (this.closed || this.room.full || (nodes.size > MANY && freeBytes(this.file) < LEAST_FREE + nodes.size * BYTES_A_NAME)) return
    const all = [...nodes].map(([name, node]) => pack(name, node))
    void this.table.put(key, { format: FORMAT, complete, ...(self === undefined ? {} : { self: pack('', self) }), nodes: all })
    void this.sizes.put(key, all.length + 1)
    void (settled ? this.changing.remove(key) : this.changing.put(key, 1))
    this.outdated.delete(key)
    this.count(key, all.length + 1)
    for (const [oldest] of this.counts) {
      if (this.total <= this.maxNames || oldest === key) break
      this.count(oldest, undefined)
      void this.table.remove(oldest)
      void this.sizes.remove(oldest)
      void this.changing.remove(oldest)
    }
  }

  async flushed(): Promise<void> {
    await this.root.flushed
  }

  private closed = false

  async close(): Promise<void> {
    await this.root.flushed
    this.closed = true
    this.table.end()
    await this.root.close()
    markClean(this.file)
  }
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

function pack(name: string, node: KnownNode): Packed {
  return [name, node.uuid, node.kind === 'folder' ? 1 : 0, node.size, node.mtime, node.etag, node.hash, node.readOnly ? 1 : 0]
}

function unpack([, uuid, folder, size, mtime, etag, hash, readOnly]: Packed): KnownNode {
  return new Known({ uuid, kind: folder === 1 ? 'folder' : 'file', size, mtime, etag, hash, readOnly: readOnly === 1 })
}
