/**
 * Old nodes of files whose content goes over another file (rename over). The old node is to go, for good and
 * past the bin, but not at once: a 2.x server keeps a ghost of a file that is deleted before it was indexed, and takes
 * "one file deleted, another one with the same content" within a second for a move, which would give the
 * target the Uuid of the source (both seen on a real server). So the removal is recorded, the name is gone here at
 * once, and the server is told when it shows the content under the new name. And as the same happens with *any* file that
 * somebody writes with this content in that second, the old node is given a content that no other file has before it goes.
 *
 * Until then its name is not free for another node on the server. Whoever is to be moved there does not wait for the content (tree-lane.ts says
 * why): the old node is set aside.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { RemovalRecord } from '../cache/store.js'
import { isCellsError } from '../cells/errors.js'
import type { Logger } from '../log.js'
import { Pauses } from '../pauses.js'
import { abortable } from '../signals.js'
import { ETAG_TEMPORARY, type CellsNode } from '../cells/types.js'
import type { Confirmer } from './confirm.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import { placeKey } from './places.js'
import type { Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import { type Covered, SHOWN_MS } from './unlinks.js'

const RETRY_MS = 10_000

interface Removal {
  /** Of the record. */
  readonly key: string
  /** In the server's tree. */
  readonly place: Place
  readonly keeper: Inode
  readonly uuid: string
  /** ETags that are ours: what the node had, what was written over it, what was on its way to it. */
  readonly etags: Set<string>
  /** The one of them that was sent last, as long as the server has not shown it. */
  readonly unshown: string | undefined
  readonly stop: AbortController
  /** The content without a double is being sent. */
  marking: Promise<void> | undefined
  /** The delete has been sent: too late to cancel. */
  told: boolean
  /** It was sent once, and the node stayed. */
  readonly again: boolean
}

export interface RemovalDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly journal: Journal
  readonly locks: TreeLock
  /** Resolves when the server has been sent all that the inode has, or it is gone. */
  readonly sent: (inode: Inode, signal: AbortSignal) => Promise<void>
  readonly logger: Logger
}

export class Removals {
  private readonly deps: RemovalDeps
  private readonly pending = new Map<Removal, Promise<void>>()
  private readonly retries = new Pauses()
  private closed = false

  constructor(deps: RemovalDeps) {
    this.deps = deps
    deps.journal.relocating.push((within) => {
      for (const removal of this.pending.keys()) if (within(removal.place.folder) || within(removal.keeper)) this.record(removal)
    })
  }

  get count(): number {
    return this.pending.size
  }

  /**
   * The node at a place of the server is to go once `keeper`, which has its content, is confirmed. Durable with the journal's next
   * `flushed()`. `unshown`: the content of the node that was sent last, if the server does not show it yet (md5).
   */
  add(place: Place, uuid: string, etags: Iterable<string>, keeper: Inode, unshown?: string): void {
    this.begin(this.planned(place, uuid, etags, keeper, unshown))
  }

  /** Recorded, and not begun. */
  private planned(place: Place, uuid: string, etags: Iterable<string>, keeper: Inode, unshown?: string, again = false): Removal {
    const { tree } = this.deps
    const removal: Removal = { key: randomUUID(), place, keeper, uuid, etags: new Set(etags), unshown, stop: new AbortController(), marking: undefined, told: false, again }
    tree.echoes.vacate(place.folder, place.name)
    if (!place.folder.local.has(place.name)) place.folder.local.set(place.name, null)
    for (const etag of removal.etags) tree.echoes.remember(uuid, etag)
    this.record(removal)
    return removal
  }

  private begin(removal: Removal): void {
    this.pending.set(removal, this.run(removal))
  }

  private record(removal: Removal): void {
    const { tree, journal } = this.deps
    // It goes with its folder: what there is of it on the disk says enough (and whoever changes something else now is not to fail for it).
    if (!tree.places.hasPath(removal.place.folder)) return
    const record: RemovalRecord = { path: journal.serverPath(removal.place), keeper: tree.places.localPath(removal.keeper), uuid: removal.uuid, etags: [...removal.etags] }
    void tree.deps.store.removals.put(removal.key, record)
  }

  /** A file has another name here now. */
  renamed(keeper: Inode): void {
    for (const removal of this.pending.keys()) if (removal.keeper === keeper) this.record(removal)
  }

  /** Old nodes of an earlier process, by their records, about which the server could not be asked yet. */
  private readonly awaited = new Map<string, { readonly place: Place; readonly over: Promise<void>; readonly end: () => void }>()

  /** There is an old node at a place, as a record of an earlier process says: nothing is sent there until it is known what becomes of it. */
  expect(record: string, place: Place): void {
    if (this.awaited.has(record)) return
    let end = (): void => {}
    const over = new Promise<void>((resolve) => { end = resolve })
    this.awaited.set(record, { place, over, end })
  }

  /** All records are brought back, in one way or another, but those for which `waits` says that they are not. */
  brought(waits: (record: string) => boolean): void {
    for (const [record, { end }] of this.awaited) {
      if (waits(record)) continue
      this.awaited.delete(record)
      end()
    }
  }

  private awaitedAt(folder: Inode, name: string): Promise<void> | undefined {
    for (const { place, over } of this.awaited.values()) if (place.folder === folder && place.name === name) return over
    return undefined
  }

  isAwaited(folder: Inode, name: string): boolean {
    return this.awaitedAt(folder, name) !== undefined
  }

  /** Resolves when no old node at a place is still to be brought back. */
  async allBrought(folder: Inode, name: string): Promise<void> {
    for (let over = this.awaitedAt(folder, name); over !== undefined; over = this.awaitedAt(folder, name)) await over
  }

  pendingAt(folder: Inode, name: string): boolean {
    for (const { place } of this.pending.keys()) if (place.folder === folder && place.name === name) return true
    return false
  }

  /**
   * The place is wanted for another node: the one that is to go from there, when a content is on the server, goes under a third name meanwhile. Waits
   * for the server only. @throws CellsError
   */
  async setAside(folder: Inode, name: string, signal: AbortSignal): Promise<void> {
    for (const [removal, work] of [...this.pending]) {
      if (removal.place.folder !== folder || removal.place.name !== name) continue
      // It waits for no content, and the bin gets it under its own name.
      if (removal.keeper.unlinked) await abortable(work, signal)
      else await this.moveAside(removal, signal)
    }
  }

  private async moveAside(removal: Removal, signal: AbortSignal): Promise<void> {
    const { tree, locks, journal, logger } = this.deps
    const { place, etags, keeper } = removal
    const aside: Place = { folder: place.folder, name: `${randomUUID()}.renaming` }
    const release = await locks.acquire({ shared: tree.places.folderKeys(place.folder), exclusive: [placeKey(place), placeKey(aside)] }, signal)
    try {
      const path = tree.places.pathAt(place.folder, place.name)
      const node = await this.shown(removal, path, signal)
      // Removed, or to be written over, meanwhile.
      if (!this.pending.has(removal)) return
      if (node === undefined || !isOurs(removal, node)) {
        this.giveUp(removal)
        return
      }
      const moved = this.planned(aside, node.uuid, etags, keeper)
      await journal.flushed()
      // After a crash, or where the answer is lost, it is at one of the two places: both are looked at.
      this.begin(moved)
      if (!this.pending.has(removal)) return
      await tree.deps.server.move(path, tree.places.pathAt(aside.folder, aside.name), { signal })
      logger.info('an old node is set aside', { path })
      tree.deps.metadata.ours(place.folder.ino, place.name, undefined, tree.deps.metadata.now())
      removal.stop.abort()
      this.finish(removal)
    } finally {
      release()
    }
  }

  /** The old node when the server shows it, or has had time to: what its index does not have yet may be lost in a move (contract, trap 8). */
  private async shown({ uuid, unshown }: Removal, path: string, signal: AbortSignal): Promise<CellsNode | undefined> {
    const { server } = this.deps.tree.deps
    const isThere = (it: CellsNode | undefined): boolean => it === undefined ? uuid !== '' && unshown === undefined : it.etag !== ETAG_TEMPORARY && (unshown === undefined || it.etag === unshown || isMarked(it))
    try {
      return await server.waitFor(path, isThere, { signal, timeoutMs: SHOWN_MS })
    } catch (error) {
      if (!isCellsError(error, 'timeout')) throw error
      return server.stat(path, { signal })
    }
  }

  /** What is at the place, if anything, is not the old node. */
  private giveUp(removal: Removal): void {
    const { folder, name } = removal.place
    removal.stop.abort()
    this.finish(removal)
    this.deps.tree.doubt(folder, name)
  }

  /** Old nodes in and below a folder of the server's tree: its deletion is meant for them, too. */
  below(folder: Inode): Covered {
    const { places } = this.deps.tree
    const found = [...this.pending.keys()].filter(({ place }) => places.isWithinThere(place.folder, folder))
    return {
      unshown: found.filter(({ uuid }) => uuid === '').map(({ place }) => places.pathAt(place.folder, place.name)),
      deleted: found.map(({ etags }) => ({ etags, expected: undefined })),
    }
  }

  /** Nothing is to be removed there (any more). */
  private finish(removal: Removal): void {
    const { tree } = this.deps
    if (!this.pending.delete(removal)) return
    void tree.deps.store.removals.remove(removal.key)
    tree.echoes.vacate(removal.place.folder, removal.place.name)
    tree.uncoverHidden(removal.place.folder, removal.place.name)
  }

  /**
   * The place gets new content: overwriting the old node in place is better than deleting it. If it is too late, resolves when the delete was sent.
   * `stays`, asked last: is that content still for this place? Else the old node goes, for nothing will be written over it. `onLeft` is told what of
   * ours the server may show there until then (md5s), before anything else is recorded.
   */
  async cancel(folder: Inode, name: string, stays: () => boolean, onLeft: (etags: Iterable<string>) => void): Promise<void> {
    for (const [removal, work] of [...this.pending]) {
      if (removal.place.folder !== folder || removal.place.name !== name) continue
      // It must not arrive after what is to be written there now.
      await removal.marking?.catch(() => {})
      if (removal.told) {
        await work
      } else if (stays() && this.pending.has(removal)) {
        removal.stop.abort()
        this.finish(removal)
        onLeft(removal.etags)
      }
    }
  }

  /** Resolves when the node at a name is gone, if it was to go. */
  async settledAt(folder: Inode, name: string): Promise<void> {
    for (const [removal, work] of [...this.pending]) if (removal.place.folder === folder && removal.place.name === name) await work
  }

  /** Of what is replaced by some or all inodes. */
  async settled(concerns: (inode: Inode) => boolean = () => true): Promise<void> {
    this.retryNow()
    await Promise.all([...this.pending].filter(([{ keeper, place }]) => concerns(keeper) || concerns(place.folder)).map(([, work]) => work))
  }

  /** Folders in which something is removed once more. */
  again(concerns: (inode: Inode) => boolean): Inode[] {
    return [...this.pending.keys()].filter(({ again, keeper, place }) => again && (concerns(keeper) || concerns(place.folder))).map(({ place }) => place.folder)
  }

  close(): void {
    this.closed = true
    for (const removal of this.pending.keys()) removal.stop.abort()
  }

  /** Never rejects; tries until it is done or stopped. */
  private async run(removal: Removal): Promise<void> {
    const { tree, confirmer, logger } = this.deps
    const { signal } = removal.stop
    for (;;) {
      try {
        // Not again: a content may be about to wait for what the server has been told.
        if (!removal.told) {
          await this.deps.sent(removal.keeper, signal)
          await confirmer.confirmed(removal.keeper, signal)
        }
        await this.removeNow(removal)
        this.finish(removal)
        return
      } catch (error) {
        if (signal.aborted || this.closed) return
        // It has gone with its folder, or nobody can say where it is.
        if (!tree.places.hasPath(removal.place.folder)) return this.finish(removal)
        logger.warn('the old name of a renamed file cannot be removed yet', { path: tree.places.pathAt(removal.place.folder, removal.place.name), error })
        await this.retries.wait(RETRY_MS, signal)
        if (signal.aborted) return
      }
    }
  }

  /** The server is there again. */
  retryNow(): void {
    this.retries.cutShort()
  }

  private async removeNow(removal: Removal): Promise<void> {
    const { tree, confirmer, locks } = this.deps
    const { place, keeper } = removal
    const { signal } = removal.stop
    const release = await locks.acquire({ shared: tree.places.folderKeys(place.folder), exclusive: [placeKey(place)] })
    try {
      signal.throwIfAborted()
      const path = tree.places.pathAt(place.folder, place.name)
      // Just indexed: what it will be, it shows in a second.
      let node = await tree.deps.server.waitFor(path, (it) => it?.etag !== ETAG_TEMPORARY, { signal, timeoutMs: 30_000 })
      signal.throwIfAborted()
      // Somebody may have written to the old name meanwhile, or put another file there: theirs stays.
      if (node === undefined || !isOurs(removal, node)) {
        tree.doubt(place.folder, place.name)
        return
      }
      // Deleted after all: then this is the only copy, and the bin is the place for it.
      if (keeper.unlinked && !removal.again) {
        removal.told = true
        await tree.deps.server.remove([path], { signal })
      } else {
        if (removal.again || (!isMarked(node) && node.etag !== '')) node = await this.mark(removal, path, node)
        if (node === undefined || !isOurs(removal, node)) {
          tree.doubt(place.folder, place.name)
          return
        }
        removal.told = true
        await tree.deps.server.removeObject(path)
      }
      tree.deps.metadata.ours(place.folder.ino, place.name, undefined, tree.deps.metadata.now())
      const { uuid } = node
      // Somebody wrote there in the same second: the server has taken no notice of either, and only what is written once more and shown can be removed.
      confirmer.awaitAbsent(place.folder, place.name, uuid, () => this.begin(this.planned(place, uuid, removal.etags, keeper, undefined, true)))
    } finally {
      release()
    }
  }

  /** Gives the old node a content without a double. Resolves to the node when the server shows it, or what somebody else wrote. */
  private async mark(removal: Removal, path: string, node: CellsNode): Promise<CellsNode | undefined> {
    const { server } = this.deps.tree.deps
    const content = removal.again ? Buffer.concat([marked(node), Buffer.from(randomUUID())]) : marked(node)
    const md5 = createHash('md5').update(content).digest('hex')
    removal.etags.add(md5)
    // After a crash this content is known for ours, too.
    this.record(removal)
    await this.deps.journal.flushed()
    removal.stop.signal.throwIfAborted()
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    removal.marking = server.put(path, async function* () { yield content }, content.length, { md5 })
    await removal.marking
    const { signal } = removal.stop
    signal.throwIfAborted()
    const shown = await server.waitFor(path, (it) => it?.etag !== node.etag, { signal, timeoutMs: 30_000 })
    signal.throwIfAborted()
    return shown
  }
}

/** Is this the node that is to go, with a content that is ours to remove? */
function isOurs({ uuid, etags, keeper }: Removal, node: CellsNode): boolean {
  if (node.kind !== 'file' || (uuid !== '' && node.uuid !== uuid)) return false
  if (etags.has(node.etag) || node.etag === '' || isMarked(node)) return true
  // Renamed before the server knew its content: that is under the new name now.
  return etags.has(ETAG_TEMPORARY) && !keeper.unlinked && keeper.version?.etag === node.etag && keeper.version.size === node.size
}

/** What a file that is to go holds at last: nothing else has it. */
function marked(node: CellsNode): Buffer {
  return Buffer.from(`removed ${node.uuid}\n`)
}

function isMarked(node: CellsNode): boolean {
  return node.etag === createHash('md5').update(marked(node)).digest('hex')
}
