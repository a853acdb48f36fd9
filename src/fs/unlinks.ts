/**
 * Deletes on their way to the server's recycle bin. A delete is recorded on disk and the name is gone at once; the server
 * is told a moment later, many names in one call. When a folder goes whose children were just deleted, as `rm -r`
 * does, one delete of the folder takes the place of theirs, so that it lands in the bin in one piece.
 *
 * A delete is of what was there when it was made (deleted.ts). What somebody has changed or added before the server is told
 * stays, and its name comes back. So it does when the server refuses a delete for good; status says why then.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { isCellsError } from '../cells/errors.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import { Pauses } from '../pauses.js'
import { withinTime } from '../signals.js'
import type { Confirmer } from './confirm.js'
import { type Deleted, knownOf, remainder } from './deleted.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import type { FormerNode } from './parting.js'
import { saysNothing } from './patience.js'
import { adviceFor } from './advice.js'
import type { FailedChange, PendingChange } from './status.js'
import { placeKey } from './places.js'
import type { Tree } from './tree.js'
import { folderKey, type TreeLock } from './treelock.js'

/** A burst of deletes is over when nothing came for this long; nothing waits longer than the second. */
const QUIET_MS = 250
const LONGEST_WAIT_MS = 8_000
/** The index of a server lags 1 to 2.5 s; what it does not show after this was never there. */
export const SHOWN_MS = 8_000
/** Names of one call. */
const BATCH = 100
const RETRY_MS = 3_000

interface Unlink {
  /** Of the record. */
  readonly id: string
  /** In the server's tree. */
  folder: Inode
  name: string
  /** What is deleted; undefined if it lives on as something else. */
  readonly inode: Inode | undefined
  /** Of the node; '' while the server has not told it. */
  readonly uuid: string
  /** Paths on the server, in and below it, that it did not show when they were deleted here: a delete that comes too early does nothing. */
  readonly unshown: readonly string[]
  /** ISO 8601. */
  readonly since: string
  /** Why the last attempt came to nothing. */
  failure: string | undefined
  /** What it was, with all that was in it. */
  readonly deleted: readonly Deleted[]
  /** Folders in it that go with it; the innermost first. */
  readonly inside: readonly Inode[]
  readonly settled: Promise<void>
  readonly settle: () => void
}

/** What goes with a folder: its names that the server did not show, and what they were; folders, the innermost first. */
export interface Covered {
  readonly unshown: readonly string[]
  readonly deleted: readonly Deleted[]
  readonly folders?: readonly Inode[]
}

const NOTHING: Covered = { unshown: [], deleted: [] }

export interface UnlinkDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly journal: Journal
  readonly locks: TreeLock
  /** Old nodes of replaced files in and below a folder, which go with it. */
  readonly goingBelow: (folder: Inode) => Covered
  readonly logger: Logger
}

export class Unlinks {
  private readonly deps: UnlinkDeps
  /** Not sent yet, by the record's key. */
  private readonly waiting = new Map<string, Unlink>()
  private readonly sending = new Set<Unlink>()
  private firstAt = 0
  private lastAt = 0
  private hurry = false
  private pump: Promise<void> | undefined
  /** For the end of a burst. */
  private readonly quiet = new Pauses()
  private readonly retries = new Pauses()
  private readonly stop = new AbortController()
  readonly failures: FailedChange[] = []

  constructor(deps: UnlinkDeps) {
    this.deps = deps
    deps.journal.relocating.push((within) => {
      for (const unlink of [...this.waiting.values(), ...this.sending]) if (within(unlink.folder)) this.record(unlink)
    })
  }

  get count(): number {
    return this.waiting.size + this.sending.size
  }

  /** Below the remote folder. */
  private pathOf(unlink: Unlink): string {
    // A folder that is gone as well has no path any more.
    return this.deps.tree.places.hasPath(unlink.folder) ? this.deps.journal.serverPath(unlink) : unlink.name
  }

  * changes(): Generator<PendingChange & { readonly failure?: string }> {
    for (const unlink of [...this.sending, ...this.waiting.values()]) {
      const { since, failure } = unlink
      const path = this.pathOf(unlink)
      const state = failure !== undefined ? 'failed' : this.sending.has(unlink) ? 'sending' : 'waiting'
      yield { path, change: 'delete', state, bytes: 0, since, ...(failure !== undefined && { failure }) }
    }
  }

  /**
   * Records the delete of a node that the server has at `place`; durable with the journal's next `flushed()`. The caller takes
   * the name away. `covered`: of a folder, what `coverBelow` gave.
   */
  add(place: Place, inode?: Inode, covered: Covered = NOTHING, uuid = inode?.uuid ?? ''): void {
    const { tree } = this.deps
    const id = randomUUID()
    let settle = (): void => {}
    const settled = new Promise<void>((resolve) => { settle = resolve })
    const unshown = inode !== undefined && (inode.unconfirmed || (inode.heldAt !== undefined && inode.uuid === '')) ? [tree.places.pathAt(place.folder, place.name), ...covered.unshown] : covered.unshown
    const deleted = [...(inode === undefined ? [] : [knownOf(inode)]), ...covered.deleted]
    const unlink: Unlink = {
      id, folder: place.folder, name: place.name, inode, uuid, unshown, deleted, inside: covered.folders ?? [], since: new Date().toISOString(), failure: undefined, settled, settle,
    }
    tree.echoes.vacate(place.folder, place.name)
    this.record(unlink)
    this.waiting.set(id, unlink)
    const now = performance.now()
    if (this.waiting.size === 1) this.firstAt = now
    this.lastAt = now
    this.pump ??= this.run().finally(() => { this.pump = undefined })
  }

  /** As `add`, of the node that a file had which lives on here without one. Where the answer to a move of it was lost, it can be at two places. */
  addFormer({ uuid, place, movingTo }: FormerNode, meant: Deleted, unshown: boolean): void {
    if (place === undefined) return
    this.add(place, undefined, { unshown: unshown ? [this.deps.tree.places.pathAt(place.folder, place.name)] : [], deleted: [meant] }, uuid)
    if (movingTo !== undefined && uuid !== '') this.add(movingTo, undefined, { unshown: [], deleted: [meant] }, uuid)
  }

  private record(unlink: Unlink): void {
    const { tree, journal } = this.deps
    const own = unlink.inode?.type === 'folder' ? [] : unlink.deleted.flatMap((it) => [...it.etags])
    void tree.deps.store.unlinks.put(unlink.id, {
      path: journal.serverPath(unlink), ...(unlink.uuid === '' ? {} : { uuid: unlink.uuid }), ...(own.length === 0 ? {} : { etags: own }), ...(unlink.unshown.length === 0 ? {} : { unshown: true }),
      ...(unlink.inode?.type === 'folder' ? { below: unlink.deleted.map((it) => [...it.etags, ...(it.expected === undefined ? [] : [it.expected.md5])]) } : {}),
    })
  }

  /** The folder itself is being deleted: what waits in and below it goes with it. Folders have their paths until then: something may still be moved out of them. */
  coverBelow(folder: Inode): Covered {
    const covered = [...this.waiting.values()].filter((it) => goesWith(it, folder))
    for (const unlink of covered) this.end(unlink)
    return {
      unshown: covered.flatMap((it) => it.unshown),
      deleted: [...covered.flatMap((it) => it.deleted), ...this.deps.goingBelow(folder).deleted],
      folders: covered.flatMap((it) => [...it.inside, ...(it.inode?.type === 'folder' ? [it.inode] : [])]),
    }
  }

  pendingAt(folder: Inode, name: string): boolean {
    for (const unlinks of [this.waiting.values(), this.sending]) for (const it of unlinks) if (it.folder === folder && it.name === name) return true
    return false
  }

  /** The folder whose delete is on its way to a place, if it is a folder. */
  folderAt(folder: Inode, name: string): Inode | undefined {
    for (const unlink of [...this.waiting.values(), ...this.sending]) {
      if (unlink.folder === folder && unlink.name === name && unlink.inode?.type === 'folder') return unlink.inode
    }
    return undefined
  }

  /** Resolves when a name's delete is through, sent at once if it waits. */
  async settledAt(folder: Inode, name: string): Promise<void> {
    await this.settledWhere((it) => it.folder === folder && it.name === name)
  }

  /** Of some or all paths below the remote folder. */
  async settled(concerns: (path: string) => boolean = () => true): Promise<void> {
    await this.settledWhere((it) => concerns(this.pathOf(it)))
  }

  private async settledWhere(which: (unlink: Unlink) => boolean): Promise<void> {
    const found = [...this.waiting.values(), ...this.sending].filter(which)
    if (found.length === 0) return
    this.hurry = true
    this.quiet.cutShort()
    this.retryNow()
    await Promise.all(found.map((it) => it.settled))
  }

  async close(): Promise<void> {
    this.stop.abort()
    await this.pump
  }

  /** Sends until nothing waits. Never rejects. */
  private async run(): Promise<void> {
    const { signal } = this.stop
    while (this.waiting.size > 0 && !signal.aborted) {
      await this.burstOver()
      if (signal.aborted) return
      const ready = [...this.waiting].filter(([, it]) => this.emptied(it))
      if (ready.length === 0) {
        await pause(this.deps.tree.pause(QUIET_MS), undefined, { signal }).catch(() => {})
        continue
      }
      const batch = ready.slice(0, BATCH)
      for (const [id, unlink] of batch) {
        this.waiting.delete(id)
        this.sending.add(unlink)
      }
      this.firstAt = performance.now()
      await this.send(batch.map(([, unlink]) => unlink))
    }
    this.hurry = false
  }

  /** A folder goes when what was moved out of it here has been moved out of it there. */
  private emptied({ inode }: Unlink): boolean {
    return inode?.type !== 'folder' || this.deps.tree.places.heldBelow(inode).length === 0
  }

  private async burstOver(): Promise<void> {
    while (!this.hurry && !this.stop.signal.aborted && this.waiting.size > 0 && this.waiting.size < BATCH) {
      const now = performance.now()
      const wait = Math.min(this.lastAt + this.deps.tree.pause(QUIET_MS), this.firstAt + LONGEST_WAIT_MS) - now
      if (wait <= 0) return
      await this.quiet.wait(wait, this.stop.signal)
    }
  }

  /** Never rejects; ends with every name of the batch settled, or with the engine. */
  private async send(batch: Unlink[]): Promise<void> {
    const { tree, logger, locks } = this.deps
    for (;;) {
      await Promise.allSettled(batch.map((it) => this.locate(it)))
      for (const unlink of batch) if (!tree.places.hasPath(unlink.folder)) this.finish(unlink)
      batch = batch.filter((it) => this.sending.has(it))
      const keys = batch.flatMap((it) => [placeKey(it), ...(it.inode?.type === 'folder' ? [folderKey(it.inode)] : [])])
      const above = batch.flatMap((it) => tree.places.folderKeys(it.folder))
      const release = await locks.acquire({ shared: [...new Set(above)].filter((it) => !keys.includes(it)), exclusive: [...new Set(keys)] })
      // While we waited, something of ours may have arrived there that is elsewhere here.
      const early = batch.filter((it) => !this.emptied(it))
      if (early.length > 0) {
        release()
        for (const unlink of early) {
          this.sending.delete(unlink)
          this.waiting.set(unlink.id, unlink)
        }
        batch = batch.filter((it) => !early.includes(it))
        if (batch.length === 0) return
        continue
      }
      const paths = batch.map((it) => tree.places.pathAt(it.folder, it.name))
      try {
        await this.shown(batch)
        const { going, gone, elsewhere, spared } = await this.asDeleted(batch, paths)
        if (going.length > 0) await tree.deps.server.remove(going, { signal: this.stop.signal })
        logger.info('deleted', { paths: going.length === 1 ? going[0] : going.length })
        for (const unlink of gone) this.done(unlink)
        for (const unlink of elsewhere) this.leave(unlink)
        for (const unlink of spared) this.spare(unlink)
        for (const path of going) tree.binned(path)
        return
      } catch (error) {
        release()
        if (this.stop.signal.aborted) return
        if (batch.length > 1) {
          // One bad name fails a whole call (contract, section 5): one by one they say which.
          for (const unlink of batch) await this.send([unlink])
          return
        }
        const [unlink] = batch as [Unlink]
        if (isCellsError(error, 'not-found')) return this.done(unlink)
        if (!saysNothing(error)) return this.undo(unlink, error as Error)
        logger.warn('a delete waits for the server', { path: paths[0], error })
        unlink.failure = (error as Error).message
        await this.retries.wait(tree.pause(RETRY_MS), this.stop.signal)
        if (this.stop.signal.aborted) return
      } finally {
        release()
      }
    }
  }

  /** The answer to a move was lost before it was deleted: where is it? */
  private async locate(unlink: Unlink): Promise<void> {
    const { tree } = this.deps
    const { inode } = unlink
    const place = inode?.movingTo
    if (inode === undefined || place === undefined || unlink.uuid === '') return
    const node = await tree.deps.server.stat(tree.places.pathAt(place.folder, place.name), { signal: this.stop.signal })
    tree.places.aim(inode, undefined)
    tree.uncoverHidden(place.folder, place.name)
    if (node?.uuid !== unlink.uuid) return
    unlink.folder = place.folder
    unlink.name = place.name
    this.record(unlink)
  }

  /** The server is there again. */
  retryNow(): void {
    this.retries.cutShort()
  }

  /** Which paths of the server are to be deleted, which deletes are through then, and which meet what somebody else did in the meantime. */
  private async asDeleted(batch: readonly Unlink[], paths: readonly string[]): Promise<{ going: string[]; gone: Unlink[]; elsewhere: Unlink[]; spared: Unlink[] }> {
    const { tree } = this.deps
    const found = { going: [] as string[], gone: [] as Unlink[], elsewhere: [] as Unlink[], spared: [] as Unlink[] }
    const nodes = await tree.deps.server.statMany(paths, { signal: this.stop.signal })
    for (const [i, unlink] of batch.entries()) {
      const node = nodes.get(paths[i]!)
      // What lives on here without its node: only that node is meant.
      if (node === undefined || (unlink.inode === undefined && unlink.uuid !== '' && node.uuid !== unlink.uuid)) {
        found.elsewhere.push(unlink)
        continue
      }
      // Of an earlier process there may be no inode, only what it had sent.
      const type = unlink.inode?.type ?? (node.kind === 'file' && unlink.deleted.length > 0 ? 'file' : undefined)
      const { paths: ours, left } = await remainder(tree, node, type, [...unlink.deleted, ...this.alongside(unlink).deleted], this.stop.signal)
      found.going.push(...ours)
      found[left ? 'spared' : 'gone'].push(unlink)
    }
    found.going = found.going.filter((path) => !found.going.some((other) => path.startsWith(`${other}/`)))
    return found
  }

  /** What goes with a folder that is deleted now, besides what went with it when it was deleted here. */
  private alongside({ inode }: Unlink): Covered {
    if (inode?.type !== 'folder') return NOTHING
    const others = [...this.waiting.values(), ...this.sending].filter((it) => this.deps.tree.places.isWithinThere(it.folder, inode))
    const going = [...others, this.deps.goingBelow(inode)]
    return { unshown: going.flatMap((it) => it.unshown), deleted: going.flatMap((it) => it.deleted) }
  }

  /** Nothing is there, or not what was deleted: that was deleted by somebody else, too, or a folder above it was renamed, of which we do not know yet. */
  private leave(unlink: Unlink): void {
    this.finish(unlink)
    this.deps.tree.doubt(unlink.folder, unlink.name)
  }

  private spare(unlink: Unlink): void {
    const { logger, journal } = this.deps
    logger.warn('not deleted: somebody has changed it since', { path: journal.serverPath(unlink) })
    this.leave(unlink)
  }

  /** Waits, not for ever, until the server shows what it was sent before the delete, and no longer what has just been removed from a folder: it refuses both. */
  private async shown(batch: readonly Unlink[]): Promise<void> {
    const { tree, confirmer } = this.deps
    const folders = batch.flatMap(({ inode }) => inode?.type === 'folder' ? [inode] : [])
    await withinTime(SHOWN_MS, this.stop.signal, (signal) => Promise.allSettled([
      ...[...new Set(batch.flatMap((it) => [...it.unshown, ...this.alongside(it).unshown]))].map((path) => tree.deps.server.waitFor(path, (node) => node !== undefined && node.etag !== ETAG_TEMPORARY, { signal })),
      ...folders.map((folder) => confirmer.confirmedBelow(folder, signal)),
    ]))
  }

  private done(unlink: Unlink): void {
    const told = this.failures.length === 0 ? -1 : this.failures.findIndex(({ path }) => path === this.deps.journal.serverPath(unlink))
    if (told >= 0) this.failures.splice(told, 1)
    const { tree } = this.deps
    const known = tree.deps.metadata.listing(unlink.folder.ino)?.nodes.get(unlink.name)
    // Somebody has the name by now, and that was told before this was answered.
    if (known !== undefined && unlink.uuid !== '' && known.uuid !== unlink.uuid) return this.leave(unlink)
    this.finish(unlink)
    this.deps.confirmer.settleAbsent(unlink.folder, unlink.name)
  }

  private undo(unlink: Unlink, error: Error): void {
    const { tree, logger, journal } = this.deps
    const { folder, name } = unlink
    const path = journal.serverPath(unlink)
    logger.error('the server refuses a delete, the name is back', { path, error })
    this.failures.push({ path, reason: error.message, advice: adviceFor(error) ?? 'the name is back; delete it again when the reason is gone' })
    this.finish(unlink)
    tree.doubt(folder, name)
  }

  private finish(unlink: Unlink): void {
    const { tree } = this.deps
    // First: what is held at a name keeps it hidden.
    for (const inode of [...unlink.inside, unlink.inode]) {
      if (inode?.heldAt === undefined || !inode.unlinked) continue
      tree.places.hold(inode, undefined)
      tree.deps.inodes.release(inode)
    }
    this.end(unlink)
  }

  /** It is no delete of its own any more. */
  private end(unlink: Unlink): void {
    const { tree } = this.deps
    const { folder, name, id } = unlink
    this.waiting.delete(id)
    this.sending.delete(unlink)
    void tree.deps.store.unlinks.remove(id)
    tree.echoes.vacate(folder, name)
    tree.uncoverHidden(folder, name)
    unlink.settle()
  }
}

/** Is it deleted with a folder around it? Not if a folder in between is elsewhere here: that one, with all that is in it, leaves before. */
function goesWith(unlink: Unlink, folder: Inode): boolean {
  let at: Inode | undefined = unlink.folder
  while (at !== undefined && at !== folder && at.unlinked) at = at.serverPlace?.folder
  return at === folder
}
