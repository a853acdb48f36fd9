/**
 * The one embedded database (LMDB: transactional, crash-safe) under drafts, records and local facts of a
 * mount, and the log in front of it (write-behind.ts). One process per folder. What must not be lost lives here and in `drafts/` beside it; names and blocks, which may be lost,
 * live in the cache folder.
 *
 * A damaged disk must not cost the journal. Records carry checksums (records.ts). A database that was not closed by us, or that
 * somebody touched since, is read through by another process first, because LMDB itself does not survive damaged pages. Damaged
 * records are left out; a database that cannot be read is set aside, and what can be recognised in its bytes is taken over
 * (salvage.ts). Either way `damage` says it, and then no draft's file is removed for want of a record.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { crashPoint } from '../crashpoints.js'
import { markClean, openDatabase, type Opened, type TableName } from './database.js'
import { takeLock } from './lock.js'
import type { RecordTable } from './records.js'
import { StoreRoom } from './room.js'
import { StoreError } from './store-error.js'
import { Table } from './table.js'
import { LOG_BYTES } from './write-ahead-log.js'
import { WriteBehind } from './write-behind.js'

const FILE = 'store.mdb'
const LOG = 'store.log'

export { StoreError } from './store-error.js'
export type { StoreErrorKind } from './store-error.js'

/** What Cells does not hold of a node, by Uuid. Times are [seconds, nanoseconds]. */
export interface Facts {
  /** The version `mtime` and `symlink` belong to: a file's ETag, a folder's server MTime. */
  readonly version?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: readonly [number, number]
  readonly atime?: readonly [number, number]
  readonly symlink?: string
  /** Only where it is not the hash of the Uuid: the node was made here before it had one. */
  readonly ino?: number
}

/** A large content of which the server has taken some parts (see fs/upload.ts). */
export interface PartialUpload {
  readonly id: string
  /** On the server. */
  readonly path: string
  /** Of the whole content. */
  readonly md5: string
  readonly size: number
  /** Bytes of a part, but for the last one. */
  readonly step: number
  readonly parts: ReadonlyArray<{ readonly number: number; readonly etag: string; readonly size: number }>
}

/** A locally modified file. Its bytes are in `drafts/<id>`. */
export interface DraftRecord {
  readonly id: string
  /** Path below the mount's remote folder, '/'-separated, of its local name. */
  readonly path: string
  /** Absent for a file that the server has never had. */
  readonly base?: { readonly uuid: string; readonly etag: string; readonly size: number }
  readonly size: number
  /** `open`: written, not yet closed. `closed`: the program was told or is about to be told. `sent`: the server answered 200, the index lags. `local`: never to be sent. */
  readonly state: 'open' | 'closed' | 'sent' | 'local'
  /** The file in `drafts/` holds every byte (nothing is to be fetched from the base). */
  readonly complete: boolean
  /** If not: which bytes it holds, [start, end), and up to where the others are the base's. */
  readonly written?: ReadonlyArray<readonly [number, number]>
  readonly baseLimit?: number
  /** When it was closed first with changes the server does not have, milliseconds since the epoch. */
  readonly at?: number
  /** md5s sent since the server last agreed. */
  readonly sent?: readonly string[]
  readonly md5?: string
  readonly upload?: PartialUpload
  /** All of a small content, base64: then its file need not be on disk for good (see fs/durability.ts). */
  readonly content?: string
  readonly facts: Facts
  /** Why it could not be sent, for people. */
  readonly failure?: string
}

/** A rename that the server has not been told yet (see fs/journal.ts). */
export interface MoveRecord {
  /** '' while the server has not told it. */
  readonly uuid: string
  readonly folder?: boolean
  /** On the server, below the remote folder. */
  readonly from: string
  /** Or there, if a move that was under way came through. */
  readonly also?: string
  /** Here, below the mount. */
  readonly to: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** An editor's backup (see fs/backup.ts). */
  readonly backup?: boolean
  /** md5s that the server was sent and may show. */
  readonly sent?: readonly string[]
}

/** A folder that the server does not have yet (see fs/journal.ts). */
export interface FolderRecord {
  /** Below the mount. */
  readonly path: string
  readonly at: number
  readonly facts: Facts
}

/** The old node of a file whose content goes over another one (see fs/removals.ts). */
export interface RemovalRecord {
  /** On the server, below the remote folder. */
  readonly path: string
  /** Where the content is now: below the mount. */
  readonly keeper: string
  readonly uuid?: string
  /** ETags that the server may show there and that are ours to remove. */
  readonly etags: readonly string[]
}

/** A FIFO or a Unix socket, which only the mount has (see fs/specials.ts). */
export interface SpecialRecord {
  /** Below the mount. */
  readonly path: string
  readonly type: 'fifo' | 'socket'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly ino: number
  readonly mtime: readonly [number, number]
  readonly atime: readonly [number, number]
}

/** A delete that the server has not been told yet (see fs/unlinks.ts). */
export interface UnlinkRecord {
  /** On the server, below the remote folder. */
  readonly path: string
  /** Absent while the server has not told it. */
  readonly uuid?: string
  /** Of a file: the versions that are meant. */
  readonly etags?: readonly string[]
  /** The server did not show it when it was deleted here. */
  readonly unshown?: boolean
  /** Of a folder: the versions of each file that was deleted in it before. */
  readonly below?: ReadonlyArray<readonly string[]>
}

export class Store {
  readonly dir: string
  readonly facts: Table<Facts>
  readonly drafts: Table<DraftRecord>
  readonly moves: Table<MoveRecord>
  readonly removals: Table<RemovalRecord>
  readonly unlinks: Table<UnlinkRecord>
  readonly folders: Table<FolderRecord>
  readonly specials: Table<SpecialRecord>
  /** What was found damaged at the opening, sentences for people. Not empty: files in `drafts/` without a record may be somebody's work. */
  readonly damage: readonly string[]
  private readonly root: RootDatabase
  private readonly behind: WriteBehind
  private readonly all: readonly Table<unknown>[]
  private readonly unlock: () => void
  private readonly room: StoreRoom
  private closing = false

  private constructor(dir: string, { root, tables, damage, log, applied }: Opened, unlock: () => void) {
    this.dir = dir
    this.root = root
    this.damage = damage
    this.unlock = unlock
    const all: Table<unknown>[] = []
    this.behind = new WriteBehind(root, log, applied, () => all)
    const table = <T>(name: TableName): Table<T> => {
      const made = new Table<T>(tables[name] as RecordTable<T>, this.behind)
      all.push(made)
      return made
    }
    this.all = all
    this.facts = table<Facts>('facts')
    this.drafts = table<DraftRecord>('drafts')
    this.moves = table<MoveRecord>('moves')
    this.unlinks = table<UnlinkRecord>('unlinks')
    this.folders = table<FolderRecord>('folders')
    this.removals = table<RemovalRecord>('removals')
    this.specials = table<SpecialRecord>('specials')
    this.room = new StoreRoom(join(dir, FILE), () => {
      const { lastPageNumber, pageSize } = root.getStats() as { lastPageNumber: number; pageSize: number }
      return (lastPageNumber + 1) * pageSize
    // What the log holds comes in one go; in pages it may be twice as much.
    }, 2 * LOG_BYTES)
  }

  /**
   * Opens or creates the store in `dir`.
   * @throws StoreError
   */
  static open(dir: string): Store {
    let unlock: (() => void) | number
    try {
      mkdirSync(join(dir, 'drafts'), { recursive: true, mode: 0o700 })
      unlock = takeLock(join(dir, 'lock'))
    } catch (error) {
      throw new StoreError('unusable', `The folder ${dir} cannot be used: ${(error as Error).message}`, error)
    }
    if (typeof unlock === 'number') {
      throw new StoreError('in-use', `The cache folder ${dir} is in use by another mount (process ${unlock})`)
    }
    try {
      return new Store(dir, openDatabase(dir, join(dir, FILE), join(dir, LOG)), unlock)
    } catch (error) {
      unlock()
      if (error instanceof StoreError) throw error
      throw new StoreError('unusable', `The store in ${dir} cannot be opened: ${(error as Error).message}`, error)
    }
  }

  draftFile(id: string): string {
    return join(this.dir, 'drafts', id)
  }

  /** Changes an entry of `facts` in memory order; durable soon after, and at the latest at `flushed()`. */
  updateFacts(uuid: string, change: Facts): void {
    if (uuid === '' || this.closing) return
    void this.facts.put(uuid, { ...this.facts.get(uuid), ...change })
  }

  /** Keeps a draft's record; durable with the next `flushed()`. */
  saveDraft(record: DraftRecord): void {
    if (this.closing) return
    if (record.content !== undefined) this.room.spend(record.content.length)
    void this.drafts.put(record.id, record)
  }

  /** Keeps the record of a special file; durable with the next `flushed()`. */
  saveSpecial(id: string, record: SpecialRecord): void {
    if (!this.closing) void this.specials.put(id, record)
  }

  /** Is the disk full? Then nothing new is to be begun; what goes on has room for its records. */
  get full(): boolean {
    return this.room.full
  }

  /** Resolves when everything put so far is on disk. @throws StoreError when the store is closed */
  async flushed(): Promise<void> {
    this.checkOpen()
    this.room.look()
    crashPoint('before the store is flushed')
    await this.behind.safe()
    crashPoint('after the store is flushed')
  }

  /** Resolves when everything put so far survives the end of this process, though not a power cut. @throws StoreError when the store is closed */
  async committed(): Promise<void> {
    this.checkOpen()
    this.room.look()
    await this.behind.written()
    crashPoint('after records are committed')
  }

  /** What is put from here on is not kept: nobody may be told that it is safe. */
  private checkOpen(): void {
    if (this.closing) throw new StoreError('unusable', 'The store is closed')
  }

  private over: Promise<void> | undefined

  /** As often as one likes. */
  close(): Promise<void> {
    return this.over ??= this.end()
  }

  private async end(): Promise<void> {
    this.closing = true
    await this.behind.close(() => { for (const table of this.all) table.end() })
    await this.root.close()
    this.behind.closed()
    markClean(join(this.dir, FILE))
    this.unlock()
  }
}
