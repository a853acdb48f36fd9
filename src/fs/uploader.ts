/**
 * Brings the server to where this side is: new folders, renames, contents. (Deletes go their own way, in
 * batches: unlinks.ts, removals.ts.) Works through inodes whose state the server does not know, oldest first; what is
 * changed again meanwhile is sent once, as it is then.
 *
 * Here is the queue: what waits, when it is tried, what has failed. Contents are independent of each other and go in parallel; changes of the tree
 * depend on each other and go one at a time (tree-lane.ts). A content waits for the tree, the tree never for a content that has not begun.
 *
 * What fails is tried again with growing pauses; what the server refuses for good is kept, shown by status, and tried again when
 * somebody asks for it.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { Logger } from '../log.js'
import { adviceFor } from './advice.js'
import { GRACE_MS } from './backup.js'
import type { Confirmer } from './confirm.js'
import type { ConflictCopies } from './conflict-copies.js'
import type { Durability } from './durability.js'
import type { Foreground } from './foreground.js'
import type { Inode } from './inodes.js'
import type { Journal } from './journal.js'
import { hasMoved } from './moves.js'
import { saysNothing } from './patience.js'
import type { Removals } from './removals.js'
import type { Sender } from './sender.js'
import type { FailedChange, FileState, PendingChange } from './status.js'
import type { Tree } from './tree.js'
import { TreeLane } from './tree-lane.js'
import type { TreeLock } from './treelock.js'
import type { Unlinks } from './unlinks.js'

/** A change waits this long for what a program does next to the same file: much is renamed or deleted within a moment. */
const QUIET_MS = 150
const FIRST_RETRY_MS = 2_000
const MAX_RETRY_MS = 120_000
/** What the server has refused for good is tried again this often. */
const REFUSED_RETRY_MS = 15 * 60_000
/** Lanes for contents on their way: a small one, which waits for answers more than it sends, takes one, ... */
const LANES = 32
/** ... a larger one four. */
const LANES_LARGE = 4
/**
 * When more changes than these wait while a program asks for one thing after the other, it is making many, and the same thread has to answer it: ...
 */
const FEW = 8
/** ... then nothing is begun until it has been due for this long, milliseconds. */
const PUT_OFF_MS = 2_000
const SMALL_BYTES = 256 * 1024
/** Somebody waits for what failed in passing: it is tried again this often, as long as the server answers to other things. */
const DRAIN_RETRIES = 3
const DRAIN_PAUSE_MS = 500
const ANSWER_MS = 3_000

interface Entry {
  /** performance.now() of the first change that the server does not have. */
  readonly since: number
  due: number
  attempts: number
  failure: string | undefined
  advice: string | undefined
  refused: boolean
  /** The last failure may be over by now. */
  transient: boolean
  running: Promise<void> | undefined
}

export interface UploaderDeps {
  readonly tree: Tree
  readonly durability: Durability
  readonly sender: Sender
  readonly conflictCopies: ConflictCopies
  readonly confirmer: Confirmer
  readonly journal: Journal
  readonly removals: Removals
  readonly unlinks: Unlinks
  readonly foreground: Foreground
  /** Names on the server, held while they are being changed there. */
  readonly locks: TreeLock
  readonly logger: Logger
}

export class Uploader {
  private readonly deps: UploaderDeps
  private readonly entries = new Map<Inode, Entry>()
  private lanes = 0
  private timer: NodeJS.Timeout | undefined
  private closed = false
  private readonly lane: TreeLane
  /** Ends with the uploader. */
  private readonly stop = new AbortController()

  constructor(deps: UploaderDeps) {
    this.deps = deps
    // Each change that waits for something listens to it.
    setMaxListeners(0, this.stop.signal)
    deps.foreground.onRest = () => this.pump()
    this.lane = new TreeLane({
      ...deps,
      stop: this.stop.signal,
      waiting: () => this.ready(),
      again: (inode) => this.add(inode, 0),
    })
  }

  // -- what is to be done

  /** The inode has something that the server does not know. `delayMs`: it may wait that long for more. */
  add(inode: Inode, delayMs = this.deps.tree.pause(QUIET_MS)): void {
    if (this.closed || !inode.pending) return
    const now = performance.now()
    const entry = this.entries.get(inode)
    if (entry === undefined) this.entries.set(inode, { since: now, due: now + delayMs, attempts: 0, failure: undefined, advice: undefined, refused: false, transient: false, running: undefined })
    else if (entry.failure === undefined || entry.due === Infinity) entry.due = now + delayMs
    this.arm(now + delayMs)
  }

  /** Files and folders that wait, and for how long the oldest has waited, milliseconds. */
  get waiting(): { count: number; bytes: number; oldestMs: number } {
    let [count, bytes, since] = [0, 0, performance.now()]
    const now = since
    for (const [inode, entry] of this.entries) {
      if (!inode.pending) continue
      count++
      if (inode.dirty) bytes += inode.size
      since = Math.min(since, entry.since)
    }
    return { count, bytes, oldestMs: now - since }
  }

  failures(concerns: (inode: Inode) => boolean = () => true): FailedChange[] {
    const found: FailedChange[] = []
    for (const [inode, { failure, advice }] of this.entries) {
      if (failure !== undefined && inode.pending && concerns(inode)) found.push({ path: this.deps.tree.places.localPath(inode), reason: failure, ...(advice !== undefined && { advice }) })
    }
    return found
  }

  /** What waits or is under way, in the order in which it came. */
  * changes(concerns: (inode: Inode) => boolean = () => true): Generator<PendingChange> {
    const now = performance.now()
    for (const [inode, entry] of this.entries) {
      if (!inode.pending || !concerns(inode)) continue
      yield {
        path: this.deps.tree.places.localPath(inode),
        change: inode.dirty ? 'content' : inode.type === 'folder' && !inode.onServer ? 'folder' : 'rename',
        state: entry.running !== undefined ? 'sending' : entry.failure !== undefined ? 'failed' : 'waiting',
        bytes: inode.dirty ? inode.size : 0,
        since: new Date(Date.now() - (now - entry.since)).toISOString(),
      }
    }
  }

  * waitingInodes(): Generator<Inode> {
    for (const inode of this.entries.keys()) if (inode.pending) yield inode
  }

  /** How far one inode is, and why it has failed. Undefined: the server has been sent all of it. */
  stateOf(inode: Inode): { readonly state: Exclude<FileState, 'synced' | 'conflict'>; readonly reason?: string } | undefined {
    if (!inode.pending) return undefined
    const entry = this.entries.get(inode)
    if (entry?.running !== undefined) return { state: 'sending' }
    const reason = entry?.failure ?? inode.failure
    return reason === undefined ? { state: 'pending' } : { state: 'failed', reason }
  }

  /** The server is there again: what could not be sent is tried at once. */
  retryNow(): void {
    for (const entry of this.entries.values()) {
      if (entry.failure === undefined || entry.refused) continue
      entry.attempts = 0
      entry.due = 0
    }
    this.pump()
  }

  /** Sends all that `concerns`, at once, refused things too. Resolves when each has been tried. @returns what failed */
  async drain(concerns: (inode: Inode) => boolean): Promise<FailedChange[]> {
    const all = [...this.entries.keys()].filter((inode) => inode.pending && concerns(inode))
    await Promise.allSettled(all.map((inode) => this.settle(inode)))
    for (let again = 1; again <= DRAIN_RETRIES; again++) {
      const left = all.filter((inode) => inode.pending && this.entries.get(inode)?.transient === true)
      if (left.length === 0 || this.closed || !await this.answers()) break
      await pause(this.deps.tree.pause(DRAIN_PAUSE_MS * again), undefined, { signal: this.stop.signal }).catch(() => {})
      await Promise.allSettled(left.map((inode) => this.settle(inode)))
    }
    return this.failures(concerns)
  }

  /** Does the server answer at all? */
  private answers(): Promise<boolean> {
    const { server, remote } = this.deps.tree.deps
    return server.stat(remote, { timeoutMs: ANSWER_MS, signal: this.stop.signal }).then(() => true, () => false)
  }

  /**
   * Sends what the inode has now, and what must be there before it; resolves when the server has answered.
   * @throws why it could not; it is tried again later
   */
  async settle(inode: Inode): Promise<void> {
    const entry = this.entries.get(inode)
    if (entry?.running !== undefined) await entry.running.catch(() => {})
    if (!inode.pending) return
    this.add(inode, 0)
    await this.run(inode)
  }

  private readonly watchers = new Set<() => void>()

  /** Resolves when the server has been sent all that the inode has, or it is gone. */
  async whenSent(inode: Inode, signal: AbortSignal): Promise<void> {
    while (inode.pending) {
      signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.watchers.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.watchers.add(wake)
        signal.addEventListener('abort', wake)
      })
    }
    signal.throwIfAborted()
  }

  /** The inode was deleted or replaced. */
  forget(inode: Inode): void {
    if (this.entries.get(inode)?.running === undefined) this.entries.delete(inode)
    this.wake()
  }

  private wake(): void {
    for (const wake of [...this.watchers]) wake()
  }

  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    this.stop.abort()
    await Promise.allSettled([...this.entries.values()].flatMap((it) => it.running ?? []))
  }

  // -- the pump

  private waits = false

  /** What is brought back from an earlier run is sent when all of it is back: what one file is to replace may be known only by the last record. */
  async afterwards(work: () => Promise<void>): Promise<void> {
    this.waits = true
    try {
      await work()
    } finally {
      this.waits = false
      this.pump()
    }
  }

  /** When the timer fires, performance.now(); Infinity: never. */
  private armedFor = Infinity

  /** Pumps at that moment at the latest. */
  private arm(due: number): void {
    if (this.closed || due >= this.armedFor) return
    clearTimeout(this.timer)
    this.armedFor = due
    this.timer = setTimeout(() => {
      this.armedFor = Infinity
      this.pump()
    }, Math.max(0, due - performance.now()))
    this.timer.unref()
  }

  /** Begins what is due, oldest first; but not at once while a program is at work. While all lanes are busy nothing is looked at: whichever ends pumps again. */
  private pump(): void {
    if (this.closed || this.waits) return
    const now = performance.now()
    let next = Infinity
    for (const [inode, entry] of this.entries) {
      if (this.lanes + lanesFor(inode) > LANES) return
      if (entry.running !== undefined) continue
      if (entry.due > now) {
        next = Math.min(next, entry.due)
        continue
      }
      if (!inode.pending) {
        this.entries.delete(inode)
        continue
      }
      // A file that is open for writing and was never closed or synced is nobody's word yet.
      if (inode.type !== 'folder' && inode.heldAt === undefined && !this.deps.durability.due(inode)) {
        entry.due = Infinity
        continue
      }
      const latest = entry.due + this.deps.tree.pause(PUT_OFF_MS)
      if (this.entries.size > FEW && now < latest && this.deps.foreground.busy) {
        next = Math.min(next, latest)
        break
      }
      void this.run(inode).catch(() => {})
    }
    this.arm(next)
  }

  /** One attempt, one at a time for an inode. */
  private run(inode: Inode): Promise<void> {
    const entry = this.entries.get(inode)
    if (entry === undefined || this.closed) return Promise.reject(new CellsError('aborted', 'The mount has ended'))
    if (entry.running !== undefined) return entry.running
    const lanes = lanesFor(inode)
    this.lanes += lanes
    entry.running = this.attempt(inode, entry).finally(() => {
      entry.running = undefined
      this.lanes -= lanes
      if (!inode.pending) this.entries.delete(inode)
      this.wake()
      this.pump()
    })
    return entry.running
  }

  private async attempt(inode: Inode, entry: Entry): Promise<void> {
    const { logger, tree } = this.deps
    try {
      await this.send(inode)
      entry.failure = undefined
      entry.refused = false
      entry.transient = false
      entry.attempts = 0
      entry.due = performance.now() + this.deps.tree.pause(inode.graceUntil > 0 ? GRACE_MS : QUIET_MS)
    } catch (error) {
      if (this.closed) throw error
      if (isCellsError(error, 'aborted')) {
        // Replaced or deleted here while it was being sent.
        entry.due = performance.now() + QUIET_MS
        throw error
      }
      entry.attempts++
      entry.failure = (error as Error).message
      entry.advice = adviceFor(error)
      entry.refused = isRefusal(error)
      entry.transient = isCellsError(error) && error.transient
      const pause = entry.refused ? REFUSED_RETRY_MS : Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (entry.attempts - 1)) * (0.75 + Math.random() / 2)
      entry.due = performance.now() + pause
      inode.failure = entry.failure
      this.deps.durability.keep(inode)
      if (isCellsError(error, 'invalid')) await this.lookAbove(inode, entry)
      logger[entry.attempts === 1 || entry.refused ? 'warn' : 'debug']('cannot be sent yet', { path: tree.places.localPath(inode), refused: entry.refused, error })
      throw error
    }
  }

  /** Somebody may have put a file in the place of a folder above: if the folder is to be made elsewhere now, what is in it is tried again there. */
  private async lookAbove(inode: Inode, entry: Entry): Promise<void> {
    const { tree, logger } = this.deps
    await tree.askAbove(inode).catch((error: unknown) => logger.debug('asking about the folders above failed', { error }))
    if (inode.parent === undefined || tree.places.there(inode.parent)) return
    entry.refused = false
    entry.transient = true
    entry.due = performance.now()
  }

  private async send(inode: Inode): Promise<void> {
    if (inode.unlinked) return
    if (inode.type === 'folder' && !inode.onServer) await this.lane.makeFolder(inode)
    const heir = inode.graceUntil > 0 && inode.heldAt !== undefined ? inode.heldAt.folder.local.get(inode.heldAt.name) : undefined
    if (heir !== undefined && heir !== null && heir.type === 'file' && !heir.localOnly && !heir.onServer) {
      // The new file takes the node over as soon as it has a content to send.
      if (this.deps.durability.due(heir)) await this.settle(heir)
      if (inode.heldAt !== undefined) return
    }
    if (inode.heldAt !== undefined && (hasMoved(inode) || inode.movingTo !== undefined)) await this.lane.move(inode)
    // (What a program is only just writing is not sent with the move.)
    if (!inode.unlinked && this.deps.durability.due(inode)) await this.deps.sender.commit(inode, this.stop.signal)
    inode.failure = undefined
  }

  /** Resolves when the folder is there and nothing of ours has a place in it, to which the content of `inode` is to be sent. */
  freed(folder: Inode, name: string, inode: Inode): Promise<void> {
    return this.lane.freed(folder, name, inode)
  }

  private * ready(): Generator<Inode> {
    for (const [inode, { failure }] of this.entries) if (failure === undefined) yield inode
  }
}

/** Will the server say the same next time? Where there is no room now there can be some in a minute. */
function isRefusal(error: unknown): boolean {
  return isCellsError(error) && !saysNothing(error) && error.kind !== 'aborted' && error.kind !== 'quota'
}

const lanesFor = (inode: Inode): number => inode.size > SMALL_BYTES ? LANES_LARGE : 1
