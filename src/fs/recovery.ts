/**
 * What an earlier process had promised and not told the server: brought back from the store before the mount answers. Old nodes that are to
 * go first, then names (recovered-names.ts), contents last (recovered-contents.ts). Without the server, what it said last has to do, and new
 * folders and contents are put where their records say; renames and deletes that cannot be decided by that wait and are tried again. A record whose node is gone or has become another one is dropped with a word in the
 * log; content is never dropped.
 */
import type { DraftRecord, FolderRecord, MoveRecord, RemovalRecord, UnlinkRecord } from '../cache/store.js'
import type { Logger } from '../log.js'
import type { Contents } from './contents.js'
import type { Durability } from './durability.js'
import type { Journal } from './journal.js'
import { RecordedPaths } from './recorded-paths.js'
import { RecoveredContents } from './recovered-contents.js'
import { type Kept, RecoveredNames } from './recovered-names.js'
import type { Removals } from './removals.js'
import type { Specials } from './specials.js'
import type { FailedChange } from './status.js'
import type { Tree } from './tree.js'
import type { Unlinks } from './unlinks.js'
import type { Uploader } from './uploader.js'

export interface RecoveryDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly durability: Durability
  readonly journal: Journal
  readonly unlinks: Unlinks
  readonly removals: Removals
  readonly specials: Specials
  readonly uploader: Uploader
  readonly logger: Logger
}

const FIRST_RETRY_MS = 2_000
const MAX_RETRY_MS = 60_000

export class Recovery {
  private readonly deps: RecoveryDeps
  private readonly paths: RecordedPaths
  private readonly names: RecoveredNames
  private readonly contents: RecoveredContents
  private drafts: readonly Kept<DraftRecord>[] = []
  private moves: readonly Kept<MoveRecord>[] = []
  private unlinks: readonly Kept<UnlinkRecord>[] = []
  private folders: readonly Kept<FolderRecord>[] = []
  private removals: readonly Kept<RemovalRecord>[] = []
  private specials = true
  /** Keys of records that could not be brought back, with path and reason. */
  private readonly left = new Map<string, FailedChange>()
  /** Their paths, here and on the server. */
  private readonly waitingAt = new Set<string>()
  private files = new Set<string>()
  private running: Promise<void> | undefined
  private timer: NodeJS.Timeout | undefined
  private attempts = 0
  private closed = false

  constructor(deps: RecoveryDeps) {
    this.deps = deps
    const paths = this.paths = new RecordedPaths(deps.tree, deps.journal, deps.uploader)
    const { tree, contents, durability, journal, unlinks, removals, uploader, logger } = deps
    const waits = (path: string): boolean => this.waitsAt(path)
    this.names = new RecoveredNames({ tree, paths, journal, unlinks, removals, uploader, logger, waits, attempt: (...one) => this.attempt(...one) })
    this.contents = new RecoveredContents({ tree, paths, contents, durability, uploader, logger, waits })
  }

  /** What waits for the server to be asked. */
  waiting: readonly FailedChange[] = []

  /** Never rejects: what cannot be brought back now stays on disk, for `again` and for the next time. */
  async run(): Promise<void> {
    const { store } = this.deps.tree.deps
    this.drafts = store.drafts.getRange()
    this.moves = store.moves.getRange()
    this.unlinks = store.unlinks.getRange()
    this.folders = store.folders.getRange()
    this.removals = store.removals.getRange()
    this.files = await this.contents.sweep(new Set(this.drafts.map(({ key }) => key)))
    await this.turn()
  }

  /** What waited is tried again. Never rejects. */
  async again(): Promise<void> {
    // What is being tried now may have been refused before the server was back.
    await this.running
    if (this.running !== undefined || this.left.size > 0) await this.turn()
  }

  private turn(): Promise<void> {
    clearTimeout(this.timer)
    return this.running ??= this.deps.uploader.afterwards(() => this.work()).finally(() => {
      this.running = undefined
      if (this.left.size === 0 || this.closed) return
      // A server that is only slow now and then tells nobody that it is back.
      this.timer = setTimeout(() => void this.turn(), Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempts++))
      this.timer.unref()
    })
  }

  /** Nothing is begun any more; resolves when what is being done is done. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await this.running
  }

  private async work(): Promise<void> {
    const { patience } = this.deps.tree
    // Each turn asks at least once: that nobody was answered a moment ago says nothing of now.
    if (!patience.starting) patience.reset()
    this.left.clear()
    this.waitingAt.clear()
    // Places on the server are looked up before anything gets the name that it has here.
    const { moves, unlinks, folders } = this
    const oldNodes = await this.names.oldNodes(this.removals)
    const left = [...oldNodes, ...await this.names.bringBack({ moves, unlinks, folders }, new Set(this.drafts.map(({ value }) => value.path)))]
    for (const { key, value } of this.drafts) {
      await this.attempt(key, value.path, () => this.contents.bringBack(value, this.files))
    }
    for (const it of left) {
      await this.attempt(it.key, it.record.path, () => this.names.remove(it))
      it.place.folder.pins--
      this.deps.tree.deps.inodes.release(it.place.folder)
    }
    this.deps.removals.brought((key) => this.left.has(key))
    if (this.specials) await this.deps.specials.recover((path) => this.paths.place(path))
    this.specials = false
    const kept = <T>(all: readonly Kept<T>[]): Kept<T>[] => all.filter(({ key }) => this.left.has(key))
    this.drafts = kept(this.drafts)
    this.moves = kept(this.moves)
    this.unlinks = kept(this.unlinks)
    this.folders = kept(this.folders)
    this.removals = kept(this.removals)
    this.waiting = [...this.left.values()]
    await this.deps.journal.flushed()
  }

  /** Could something at this path, or at a folder above it, not be brought back yet? */
  private waitsAt(path: string): boolean {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) if (this.waitingAt.has(path.slice(0, end))) return true
    return false
  }

  /** `here`: the name on this side, where the record is told of by another. */
  private async attempt(key: string, path: string, work: () => Promise<void>, here = path): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.left.set(key, { path, reason: `a change of an earlier run waits: ${(error as Error).message}` })
      this.waitingAt.add(path).add(here)
      this.deps.logger.warn('a change of an earlier run waits', { path, error })
    }
  }
}
