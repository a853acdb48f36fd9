/**
 * Brings the server to where this side is: new folders, renames, contents. (Deletes go their own way, in
 * batches: unlinks.ts, removals.ts.) Works through inodes whose state the server does not know, oldest first; what is
 * changed again meanwhile is sent once, as it is then.
 *
 * Two lanes. Contents are independent of each other and go in parallel. Changes of the tree depend on each other, so one at a time:
 * a target's parent first, then whoever has the target's name, and nothing in or below a moving folder may be on its
 * way (contract, trap 8). A content waits for the tree, the tree never for a content that has not begun.
 *
 * What fails is tried again with growing pauses; what the server refuses for good is kept, shown by status, and tried again when
 * somebody asks for it.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import { timeLimit } from '../signals.js'
import { GRACE_MS } from './backup.js'
import type { Confirmer } from './confirm.js'
import { type Contents } from './contents.js'
import { FsError } from './errno.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import { part } from './parting.js'
import { saysNothing } from './patience.js'
import type { Removals } from './removals.js'
import { adviceFor } from './advice.js'
import type { FailedChange, FileState, PendingChange } from './status.js'
import { placeKey, type Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import type { Unlinks } from './unlinks.js'

/** A change waits this long for what a program does next to the same file: much is renamed or deleted within a moment. */
const QUIET_MS = 150
const FIRST_RETRY_MS = 2_000
const MAX_RETRY_MS = 120_000
/** What the server has refused for good is tried again this often. */
const REFUSED_RETRY_MS = 15 * 60_000
/** Contents on their way at once. */
const PARALLEL = 6
/** How long a rename waits until the server shows what it renames. */
const SHOWN_MS = 45_000
/** Somebody waits for what failed in passing: it is tried again this often, as long as the server answers to other things. */
const DRAIN_RETRIES = 3
const DRAIN_PAUSE_MS = 500
const ANSWER_MS = 3_000
/** New folders of one call. */
const FOLDERS_AT_ONCE = 100

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
  readonly contents: Contents
  readonly confirmer: Confirmer
  readonly journal: Journal
  readonly removals: Removals
  readonly unlinks: Unlinks
  /** Names on the server, held while they are being changed there. */
  readonly locks: TreeLock
  readonly logger: Logger
}

export class Uploader {
  private readonly deps: UploaderDeps
  private readonly entries = new Map<Inode, Entry>()
  private active = 0
  private timer: NodeJS.Timeout | undefined
  private closed = false
  /** Tail of the tree lane. */
  private lane: Promise<unknown> = Promise.resolve()
  /** Ends with the uploader. */
  private readonly stop = new AbortController()

  constructor(deps: UploaderDeps) {
    this.deps = deps
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
      if (failure !== undefined && inode.pending && concerns(inode)) found.push({ path: this.deps.tree.localPath(inode), reason: failure, ...(advice !== undefined && { advice }) })
    }
    return found
  }

  /** What waits or is under way, in the order in which it came. */
  * changes(concerns: (inode: Inode) => boolean = () => true): Generator<PendingChange> {
    const now = performance.now()
    for (const [inode, entry] of this.entries) {
      if (!inode.pending || !concerns(inode)) continue
      yield {
        path: this.deps.tree.localPath(inode),
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

  /** Begins what is due, oldest first. While all lanes are busy nothing is looked at: whichever ends pumps again. */
  private pump(): void {
    if (this.closed || this.waits) return
    const now = performance.now()
    let next = Infinity
    for (const [inode, entry] of this.entries) {
      if (this.active >= PARALLEL) return
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
      if (inode.type !== 'folder' && inode.heldAt === undefined && !this.deps.contents.due(inode)) {
        entry.due = Infinity
        continue
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
    this.active++
    entry.running = this.attempt(inode, entry).finally(() => {
      entry.running = undefined
      this.active--
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
      this.deps.contents.keep(inode)
      logger[entry.attempts === 1 || entry.refused ? 'warn' : 'debug']('cannot be sent yet', { path: tree.localPath(inode), refused: entry.refused, error })
      throw error
    }
  }

  private async send(inode: Inode): Promise<void> {
    if (inode.unlinked) return
    if (inode.type === 'folder' && !inode.onServer) await this.inLane(() => this.sendFolder(inode))
    const heir = inode.graceUntil > 0 && inode.heldAt !== undefined ? inode.heldAt.folder.local.get(inode.heldAt.name) : undefined
    if (heir !== undefined && heir !== null && heir.type === 'file' && !heir.localOnly && !heir.onServer) {
      // The new file takes the node over as soon as it has a content to send.
      if (this.deps.contents.due(heir)) await this.settle(heir)
      if (inode.heldAt !== undefined) return
    }
    if (inode.heldAt !== undefined && (this.moved(inode) || inode.movingTo !== undefined)) {
      await this.shown(inode)
      await this.inLane(() => this.sendMove(inode, []))
    }
    // (What a program is only just writing is not sent with the move.)
    if (!inode.unlinked && this.deps.contents.due(inode)) {
      if (inode.parent !== undefined && !this.deps.tree.there(inode.parent)) await this.inLane(() => this.foldersAbove(inode))
      await this.deps.contents.commit(inode, this.stop.signal)
    }
    inode.failure = undefined
  }

  /** `work` is begun again when what it found to wait for is over: the lane goes on meanwhile, because what it waits for may need it. */
  private async inLane(work: () => Promise<void>): Promise<void> {
    for (;;) {
      const turn = this.lane.then(() => {
        if (this.closed) throw new CellsError('aborted', 'The mount has ended')
        return work()
      })
      this.lane = turn.catch(() => {})
      try {
        return await turn
      } catch (error) {
        if (!(error instanceof Later)) throw error
        await error.until()
      }
    }
  }

  // -- new folders

  private async foldersAbove(inode: Inode, chain: readonly Inode[] = []): Promise<void> {
    if (inode.parent !== undefined && !this.deps.tree.there(inode.parent)) await this.sendFolder(inode.parent, chain)
  }

  /** Makes a folder on the server, those above it, and others that wait, in one call. `chain`: moves that wait for this one. */
  private async sendFolder(folder: Inode, chain: readonly Inode[] = []): Promise<void> {
    const { tree, locks, confirmer, journal, logger } = this.deps
    if (folder.unlinked || folder.parent === undefined || this.deps.tree.there(folder)) return
    const all: Inode[] = []
    const wanted = new Set<Inode>()
    const want = (it: Inode): void => {
      if (wanted.has(it) || this.deps.tree.there(it) || it.unlinked || it.parent === undefined) return
      wanted.add(it)
      want(it.parent)
      all.push(it)
    }
    want(folder)
    for (const other of this.entries.keys()) {
      if (all.length >= FOLDERS_AT_ONCE) break
      if (other.type === 'folder' && this.entries.get(other)?.failure === undefined && this.isReady(other)) want(other)
    }
    const freed = new Map<Inode, Place>()
    for (const it of all) {
      if (it.parent === undefined) continue
      const place: Place = { folder: it.parent, name: it.name }
      await this.freePlace(place, it, chain)
      freed.set(it, place)
    }
    await this.besideFiles(all)
    const frozen = all.find((it) => tree.isFrozen(it))
    if (frozen !== undefined) throw new Later(() => tree.thawed(frozen))
    // Renamed meanwhile, it may be where a folder is still to be deleted: the server would take that one for it, and then delete it.
    const wanting = [...freed].filter(([it, place]) => !it.unlinked && it.parent === place.folder && it.name === place.name && !it.onServer).map(([inode, place]) => ({ inode, place }))
    const exclusive = [...new Set(wanting.map(({ place }) => placeKey(place)))]
    const release = await locks.acquire({ shared: [...new Set(wanting.flatMap(({ place }) => this.chain(place.folder)))].filter((key) => !exclusive.includes(key)), exclusive })
    // Deleted or renamed here while we waited.
    const still = wanting.filter(({ inode: it, place }) => !it.unlinked && !tree.isFrozen(it) && it.parent === place.folder && it.name === place.name)
    const going = still.filter(({ place }) => tree.there(place.folder) || still.some((it) => it.inode === place.folder)).map((it) => it.inode)
    const places = going.map((it) => ({ folder: it.parent!, name: it.name }))
    try {
      if (!going.includes(folder)) throw new Later(() => tree.thawed(folder))
      const paths = places.map((it) => tree.pathAt(it.folder, it.name))
      for (const [i, it] of going.entries()) tree.hold(it, places[i])
      let nodes: CellsNode[]
      try {
        nodes = await tree.deps.server.mkdir(paths, { signal: this.stop.signal })
      } catch (error) {
        for (const it of going) tree.hold(it, undefined)
        throw error
      }
      const byPath = new Map(nodes.map((it) => [it.path, it]))
      for (const [i, it] of going.entries()) {
        const node = byPath.get(paths[i]!) ?? nodes[i]
        if (it.unlinked) {
          // Deleted meanwhile: what is to be moved out of it finds its path until it is deleted there.
          if (this.deps.unlinks.folderAt(places[i]!.folder, places[i]!.name) !== it) tree.hold(it, undefined)
          continue
        }
        tree.deps.inodes.setUuid(it, node?.uuid ?? '')
        if (!this.moved(it)) tree.hold(it, undefined)
        if (it.uuid === '') logger.warn('the server made a folder and named no Uuid', { path: paths[i] })
        confirmer.awaitPresent(it)
        journal.folder(it)
        journal.move(it)
        tree.deps.store.updateFacts(it.uuid, it.facts())
        tree.overlay(it)
      }
      logger.info('folders made', { paths: paths.length === 1 ? paths[0] : paths.length })
    } finally {
      release()
    }
  }

  /** A folder whose name somebody has given to a file meanwhile goes beside it. (A server asked to make it may never answer: trap 10.) */
  private async besideFiles(folders: readonly Inode[]): Promise<void> {
    const { tree, contents } = this.deps
    const places = new Map(folders.filter((it) => !it.unlinked && it.parent !== undefined).map((it) => [tree.pathAt(it.parent!, it.name), it]))
    const nodes = await tree.deps.server.statMany([...places.keys()], { signal: this.stop.signal })
    for (const [path, node] of nodes) {
      const folder = places.get(path)
      if (folder?.parent === undefined || node.kind === 'folder') continue
      const place: Place = { folder: folder.parent, name: folder.name }
      contents.aside(folder, await contents.asideOf(place), place, node, 'new node')
    }
  }

  /** Nothing has to be done before the folder, and those above it, can be made. */
  private isReady(folder: Inode): boolean {
    const { tree } = this.deps
    for (let at: Inode | undefined = folder; at?.parent !== undefined && !tree.there(at); at = at.parent) {
      if (tree.isFrozen(at) || tree.isGoing(at.parent, at.name)) return false
    }
    return true
  }

  // -- renames

  private moved(inode: Inode): boolean {
    const { heldAt, parent, name } = inode
    return heldAt !== undefined && (heldAt.folder !== parent || heldAt.name !== name)
  }

  /** What the index does not show yet may be lost in a move (trap 8). */
  private async shown(inode: Inode): Promise<void> {
    const { confirmer } = this.deps
    // Deleted by somebody else in the meantime, perhaps: then it is never shown.
    const signal = timeLimit(SHOWN_MS, this.stop.signal)
    try {
      await confirmer.confirmed(inode, signal)
      if (inode.type === 'folder') await confirmer.confirmedBelow(inode, signal)
    } catch (error) {
      if (this.stop.signal.aborted) throw error
    }
  }

  /** `chain`: moves that wait for this one. */
  private async sendMove(inode: Inode, chain: readonly Inode[]): Promise<void> {
    const { tree } = this.deps
    await this.whereIs(inode)
    for (;;) {
      if (inode.unlinked || inode.parent === undefined || inode.heldAt === undefined || !this.moved(inode)) return
      await this.shown(inode)
      const from = inode.heldAt
      const to: Place = { folder: inode.parent, name: inode.name }
      await this.foldersAbove(inode, [...chain, inode])
      // On the server the target may still be below this very folder.
      const between = tree.serverFolders(to.folder)
      if (inode.type === 'folder' && between.includes(inode)) {
        const next = between.slice(0, between.indexOf(inode)).find((it) => this.moved(it) && !chain.includes(it))
        if (next === undefined) throw new FsError('EIO', 'A folder and one below it wait for each other')
        await this.sendMove(next, [...chain, inode])
        continue
      }
      if (chain.some((it) => this.deps.removals.keepersAt(to.folder, to.name).includes(it))) {
        // Its new place becomes free when one of those has its own, which this one is asked to leave.
        await this.stepAside(inode)
        return
      }
      await this.freePlace(to, inode, [...chain, inode])
      if (inode.parent !== to.folder || inode.name !== to.name || inode.heldAt !== from) continue
      // The server takes a change of case for a collision: two steps (trap 4).
      if (tree.pathAt(from.folder, from.name).toLowerCase() === tree.pathAt(to.folder, to.name).toLowerCase()) {
        if (await tree.deps.server.stat(tree.pathAt(from.folder, from.name), { signal: this.stop.signal }) === undefined) return await this.lost(inode)
        await this.stepAside(inode)
        continue
      }
      await this.holdingPlaces(inode, from, to, async () => {
        if (inode.parent === to.folder && inode.name === to.name) await this.moveNow(inode, from, to)
      })
    }
  }

  /** The answer to a move was lost: asks where the node is. */
  private async whereIs(inode: Inode): Promise<void> {
    const { tree, journal } = this.deps
    const { heldAt, movingTo } = inode
    if (heldAt === undefined || movingTo === undefined || inode.unlinked) return
    const target = tree.pathAt(movingTo.folder, movingTo.name)
    const node = await tree.deps.server.stat(target, { signal: this.stop.signal })
    if (inode.heldAt !== heldAt || inode.movingTo !== movingTo) return
    if (node !== undefined && node.uuid === inode.uuid) {
      this.nowAt(inode, heldAt, movingTo)
      return
    }
    tree.aim(inode, undefined)
    tree.uncoverHidden(movingTo.folder, movingTo.name)
    if (!this.moved(inode)) tree.hold(inode, undefined)
    journal.move(inode)
    tree.overlay(inode)
  }

  /** The locks are held and the target is ours to take, as far as is known here. Nothing is done if the inode is renamed again, replaced or deleted meanwhile. */
  private async moveNow(inode: Inode, from: Place, to: Place): Promise<void> {
    const { tree, contents, journal, logger } = this.deps
    const wanted = { parent: inode.parent, name: inode.name }
    const stays = (): boolean => inode.heldAt === from && !inode.unlinked && inode.parent === wanted.parent && inode.name === wanted.name
    if (!stays()) return
    const { server } = tree.deps
    const [source, target] = [tree.pathAt(from.folder, from.name), tree.pathAt(to.folder, to.name)]
    const signal = this.stop.signal
    // Onto a taken name the server would make another one of it, and say nothing (trap 4): ask it, whatever is known here.
    const above = tree.pathOf(to.folder)
    const found = await server.statMany([source, target, ...(above === '' ? [] : [above])], { signal })
    if (tree.isFrozen(inode)) throw new Later(() => tree.thawed(inode))
    if (!stays()) return
    const [at, theirs] = [found.get(source), found.get(target)]
    const gone = above === '' || found.has(above) ? undefined : above
    // A rename is of the node: what somebody has put in the place of a file stays. (A folder may have been made anew for what we sent into it.)
    const here = at !== undefined && (inode.type === 'folder' ? at.kind !== 'folder' : inode.uuid !== '' && at.uuid !== inode.uuid) ? undefined : at
    const arrived = theirs !== undefined && inode.uuid !== '' && theirs.uuid === inode.uuid
    if (here === undefined && !arrived) {
      // Deleted or moved away by somebody else, or it never came there.
      await this.lost(inode)
      return
    }
    let place = to
    const taken = theirs === undefined ? gone === undefined && await this.hasTwin(to, source, target) : !arrived
    if (tree.isFrozen(inode)) throw new Later(() => tree.thawed(inode))
    if (!stays()) return
    if (taken) {
      place = await contents.asideOf(to)
      if (tree.isFrozen(inode)) throw new Later(() => tree.thawed(inode))
      if (!stays()) return
      contents.aside(inode, place, to, theirs, 'same node')
    }
    const path = tree.pathAt(place.folder, place.name)
    inode.graceUntil = 0
    await tree.move(inode, async () => {
      tree.aim(inode, place)
      journal.move(inode)
      await journal.flushed()
      // Deleted or renamed by somebody else: made again for what is put there.
      if (gone !== undefined) await server.mkdir([gone], { signal })
      if (!arrived) await server.move(source, path, { signal })
      this.nowAt(inode, from, place)
      logger.info('renamed', { to: path })
    })
  }

  /** Is there a name that differs only in case, which the server takes for the same (trap 4)? It would make `name-1` of ours. */
  private async hasTwin({ folder, name }: Place, source: string, target: string): Promise<boolean> {
    const { tree } = this.deps
    const lower = name.toLowerCase()
    if (lower === name.toUpperCase() || source.toLowerCase() === target.toLowerCase()) return false
    const { metadata } = tree.deps
    if (!metadata.coveredWhole(folder.ino)) await tree.load(folder)
    for (const [other, { node }] of metadata.listing(folder.ino)?.answers ?? []) {
      if (node !== undefined && other !== name && other.toLowerCase() === lower) return true
    }
    return false
  }

  /** The server has the node at `place` now. */
  private nowAt(inode: Inode, from: Place, place: Place): void {
    const { tree, journal } = this.deps
    const { metadata } = tree.deps
    const at = metadata.now()
    const known = metadata.listing(from.folder.ino)?.answers.get(from.name)?.node
    const path = tree.pathAt(place.folder, place.name)
    inode.graceUntil = 0
    // Moved again meanwhile: then this is only where the next step begins.
    const home = !inode.unlinked && inode.parent === place.folder && inode.name === place.name
    tree.hold(inode, home ? undefined : place)
    tree.aim(inode, undefined)
    metadata.ours(from.folder.ino, from.name, undefined, at)
    if (known !== undefined && known.uuid === inode.uuid) metadata.ours(place.folder.ino, place.name, { ...known, path }, at)
    else metadata.doubt(place.folder.ino, place.name)
    tree.echoes.vacate(from.folder, from.name)
    tree.uncoverHidden(from.folder, from.name)
    journal.move(inode)
    if (inode.type === 'folder') journal.relocated(inode)
    tree.overlay(inode)
    if (!home) tree.uncoverHidden(place.folder, place.name)
    tree.deps.inodes.release(inode)
  }

  /** The node is not where it was: somebody deleted or moved it. A change of ours survives under our name; a mere rename has nothing to rename. */
  private async lost(inode: Inode): Promise<void> {
    const { tree, journal, logger } = this.deps
    logger.warn('what was renamed here is gone from the server', { path: tree.localPath(inode) })
    const { folder, name: old } = inode.heldAt!
    part(inode, this.deps)
    tree.uncoverHidden(folder, old)
    if (inode.draft !== undefined) {
      const { draft } = inode
      const safe = draft.secured === draft.generation
      draft.generation++
      if (safe) draft.secured = draft.generation
      this.add(inode, 0)
      return
    }
    const { parent, name } = inode
    if (inode.type === 'folder' && [...inode.local.values()].some((it) => it !== null)) {
      // Unsent things are in it: it is made anew for them.
      journal.folder(inode)
      tree.overlay(inode)
      this.add(inode, 0)
      return
    }
    if (parent?.local.get(name) === inode) parent.local.delete(name)
    tree.deps.inodes.detach(inode)
    if (parent !== undefined) {
      tree.doubt(parent, name)
    }
    await journal.flushed()
  }

  // -- what stands in the way

  /** Resolves when nothing of ours is in the way at a place of the server. */
  private async freePlace({ folder, name }: Place, inode: Inode, chain: readonly Inode[]): Promise<void> {
    const { tree, unlinks, removals, confirmer } = this.deps
    const leaving = unlinks.folderAt(folder, name)
    for (const inside of leaving === undefined ? [] : tree.heldBelow(leaving)) {
      if (chain.includes(inside)) await this.stepAside(inside, leaving!.heldAt?.folder)
      else await this.sendMove(inside, chain)
    }
    await unlinks.settledAt(folder, name)
    // An old node goes when the content it gave is there under its new name, which takes a turn of this lane and of the contents'.
    const keepers = removals.keepersAt(folder, name)
    if (keepers.length > 0) {
      throw new Later(async () => {
        await Promise.allSettled(keepers.map((it) => this.settle(it)))
        await removals.settledAt(folder, name)
      })
    }
    const holder = tree.elsewhereHere(folder, name)
    if (holder !== undefined && holder !== inode && !holder.unlinked) {
      if (chain.includes(holder)) await this.stepAside(holder)
      else await this.sendMove(holder, chain)
    }
    await confirmer.nameFree(folder, name, this.stop.signal)
  }

  /** Resolves when nothing of ours that lives elsewhere here has the place on the server, to which `inode` is to be sent. */
  async leftBy(folder: Inode, name: string, inode: Inode): Promise<void> {
    for (let other = this.deps.tree.toLeave(folder, name, inode); other !== undefined; other = this.deps.tree.toLeave(folder, name, inode)) {
      const holder = other
      const { heldAt, movingTo } = holder
      await this.inLane(() => this.sendMove(holder, [inode]))
      if (holder.heldAt === heldAt && holder.movingTo === movingTo) throw new FsError('EIO', `${holder.name} is still in the way on the server`)
    }
  }

  /** Of names that wait for each other: one goes through a third name. */
  private async stepAside(inode: Inode, into?: Inode): Promise<void> {
    const held = inode.heldAt
    // The answer may have been lost the last time.
    await this.whereIs(inode)
    if (inode.heldAt !== held) return
    await this.shown(inode)
    const from = inode.heldAt!
    const between: Place = { folder: into ?? from.folder, name: `${randomUUID()}.renaming` }
    await this.holdingPlaces(inode, from, between, async () => {
      await this.moveNow(inode, from, between)
    })
    await this.deps.journal.flushed()
  }

  /** Runs a move with both places held and, around a folder, with nothing below it on its way (contract, trap 8). */
  private async holdingPlaces(inode: Inode, from: Place, to: Place, work: () => Promise<void>): Promise<void> {
    const exclusive = [placeKey(from), placeKey(to), ...(inode.type === 'folder' ? [`d${inode.ino}`] : [])]
    const shared = [...this.chain(from.folder), ...this.chain(to.folder)].filter((key) => !exclusive.includes(key))
    const release = await this.deps.locks.acquire({ shared: [...new Set(shared)], exclusive: [...new Set(exclusive)] })
    try {
      await work()
    } finally {
      release()
    }
  }

  private chain(folder: Inode): string[] {
    return this.deps.tree.serverFolders(folder).map((it) => `d${it.ino}`)
  }
}

/** What is to be done first cannot be done in the lane. */
class Later extends Error {
  override readonly name = 'Later'
  readonly until: () => Promise<void>

  constructor(until: () => Promise<void>) {
    super('Waits for another change')
    this.until = until
  }
}

/** Will the server say the same next time? Where there is no room now there can be some in a minute. */
function isRefusal(error: unknown): boolean {
  return isCellsError(error) && !saysNothing(error) && error.kind !== 'aborted' && error.kind !== 'quota'
}
