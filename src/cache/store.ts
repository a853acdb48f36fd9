/**
 * The one embedded database (LMDB: transactional, crash-safe) under metadata, drafts and local facts of a
 * mount. One process per folder. What must not be lost lives here and in `drafts/` beside it; blocks, which may be lost, live
 * in the cache folder.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { open, type Database, type RootDatabase } from 'lmdb'
import { crashPoint } from '../crashpoints.js'
import { takeLock } from './lock.js'
import { StoreRoom } from './room.js'

const FILE = 'store.mdb'
/** Raised with every change of a record's shape; migrate() brings older stores up. */
const SCHEMA = 1

export type StoreErrorKind = 'in-use' | 'newer' | 'unusable'

export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly kind: StoreErrorKind

  constructor(kind: StoreErrorKind, message: string, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
  }
}

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
  readonly uuid?: string
}

export class Store {
  readonly dir: string
  readonly facts: Database<Facts, string>
  readonly drafts: Database<DraftRecord, string>
  readonly moves: Database<MoveRecord, string>
  readonly removals: Database<RemovalRecord, string>
  readonly unlinks: Database<UnlinkRecord, string>
  readonly folders: Database<FolderRecord, string>
  readonly specials: Database<SpecialRecord, string>
  private readonly root: RootDatabase
  private readonly unlock: () => void
  private readonly room: StoreRoom
  private closing = false

  private constructor(dir: string, root: RootDatabase, unlock: () => void) {
    this.dir = dir
    this.root = root
    this.unlock = unlock
    // With a cache a read sees the last put at once; without one, only when it is committed: updateFacts() would lose changes.
    this.facts = root.openDB<Facts, string>({ name: 'facts', cache: true })
    this.drafts = root.openDB<DraftRecord, string>({ name: 'drafts', cache: true })
    this.moves = root.openDB<MoveRecord, string>({ name: 'moves' })
    this.unlinks = root.openDB<UnlinkRecord, string>({ name: 'unlinks' })
    this.folders = root.openDB<FolderRecord, string>({ name: 'folders' })
    this.removals = root.openDB<RemovalRecord, string>({ name: 'removals' })
    this.specials = root.openDB<SpecialRecord, string>({ name: 'specials' })
    this.room = new StoreRoom(join(dir, FILE), () => {
      const { lastPageNumber, pageSize } = root.getStats() as { lastPageNumber: number; pageSize: number }
      return (lastPageNumber + 1) * pageSize
    })
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
      const root = open({ path: join(dir, FILE), noSubdir: true, maxDbs: 16, mapSize: 1 << 30 })
      const meta = root.openDB<number, string>({ name: 'meta' })
      const schema = meta.get('schema') ?? SCHEMA
      if (schema > SCHEMA) {
        unlock()
        throw new StoreError('newer', `The folder ${dir} was written by a newer version of cellsfs (schema ${schema}); use that one`)
      }
      // Not written again: it must open on a full disk too.
      if (meta.get('schema') !== schema) meta.putSync('schema', schema)
      return new Store(dir, root, unlock)
    } catch (error) {
      if (error instanceof StoreError) throw error
      unlock()
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
    if (!this.closing) void this.drafts.put(record.id, record)
  }

  /** Keeps the record of a special file; durable with the next `flushed()`. */
  saveSpecial(id: string, record: SpecialRecord): void {
    if (!this.closing) void this.specials.put(id, record)
  }

  /** Is the disk full? Then nothing new is to be begun; what goes on has room for its records. */
  get full(): boolean {
    return this.room.full
  }

  /** Resolves when everything put so far is on disk. */
  async flushed(): Promise<void> {
    this.room.look()
    crashPoint('before the store is flushed')
    await this.root.flushed
    crashPoint('after the store is flushed')
  }

  async close(): Promise<void> {
    this.closing = true
    await this.root.flushed
    await this.root.close()
    this.unlock()
  }
}
