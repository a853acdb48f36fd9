/**
 * The order of changes of the tree on the server. They depend on each other, so they go one at a time: a target's parent first, then whoever has
 * the target's name, and nothing in or below a moving folder may be on its way (contract, trap 8). Names that wait for each other are untied
 * through a third name. `chain` is, all through, the moves that wait for the one at hand.
 *
 * Why nothing waits in a ring. The server, locks and operations of programs end by themselves (whoever has a lock or is an operation waits
 * for the server only). Of the rest,
 *
 *     a content   waits for changes of the tree and for deletes, both at its place and above it;
 *     a change    waits for changes, and for deletes;
 *     a delete    of a folder waits for the changes that bring out of it what is elsewhere here;
 *     an old node that is to go (removals.ts) waits for a content.
 *
 * No change waits for a content: an old node that is in the way is set aside. So a ring could only be of changes and deletes. A change
 * waits for another one only inside one turn of the lane, where the one that meets itself in `chain` steps aside. Before it waits for
 * a delete, it has brought out all that is in the folder in the same turn; then it gives the turn up (`Later`), and the delete needs the server only.
 * What comes into such a folder after that is brought out by those who wait for the delete (`deleted`), in turns of the lane, which
 * need none of the places of the contents that go in parallel: those may all be taken by contents that wait for this very delete.
 *
 * What a single change is: new-folders.ts, moves.ts.
 */
import { randomUUID } from 'node:crypto'
import { abortable, orLate } from '../signals.js'
import { FsError } from './errno.js'
import type { Inode, Place } from './inodes.js'
import { Lane, Later } from './lane.js'
import { hasMoved, Moves, type MovesDeps } from './moves.js'
import { type ClearPlace, NewFolders, type NewFoldersDeps } from './new-folders.js'
import type { Removals } from './removals.js'

/** Whoever waits for the delete of a folder looks this often whether something has come into it. */
const LOOK_MS = 1_000

export interface TreeLaneDeps extends MovesDeps, NewFoldersDeps {
  readonly removals: Removals
}

export class TreeLane {
  private readonly deps: TreeLaneDeps
  private readonly lane: Lane
  private readonly folders: NewFolders
  private readonly moves: Moves

  constructor(deps: TreeLaneDeps) {
    this.deps = deps
    this.lane = new Lane(deps.stop)
    this.folders = new NewFolders(deps)
    this.moves = new Moves(deps)
  }

  /** Makes a folder on the server, and those above it. */
  async makeFolder(folder: Inode): Promise<void> {
    await this.lane.run(async () => {
      for (const above of this.deps.tree.places.serverFolders(folder)) await this.moves.whereIs(above)
      await this.folders.make(folder, this.clearing([]))
    })
  }

  /** Brings the node to the name that it has here. */
  async move(inode: Inode): Promise<void> {
    await this.moves.shown(inode)
    await this.lane.run(() => this.sendMove(inode, []))
  }

  private clearing(chain: readonly Inode[]): ClearPlace {
    return (place, inode) => this.freePlace(place, inode, chain)
  }

  /** `chain`: moves that wait for this one. */
  private async sendMove(inode: Inode, chain: readonly Inode[]): Promise<void> {
    const { tree } = this.deps
    await this.moves.whereIs(inode)
    for (;;) {
      if (inode.unlinked || inode.parent === undefined || inode.heldAt === undefined || !hasMoved(inode)) return
      await this.moves.shown(inode)
      // With the folder that it was in.
      if (!tree.places.hasPath(inode.heldAt.folder)) return await this.moves.lost(inode)
      const from = inode.heldAt
      const to: Place = { folder: inode.parent, name: inode.name }
      await this.folders.above(inode, this.clearing([...chain, inode]))
      // On the server the target may still be below this very folder.
      const between = tree.places.serverFolders(to.folder)
      if (inode.type === 'folder' && between.includes(inode)) {
        const next = between.slice(0, between.indexOf(inode)).find((it) => hasMoved(it) && !chain.includes(it))
        if (next === undefined) throw new FsError('EIO', 'A folder and one below it wait for each other')
        await this.sendMove(next, [...chain, inode])
        continue
      }
      await this.freePlace(to, inode, [...chain, inode])
      if (inode.parent !== to.folder || inode.name !== to.name || inode.heldAt !== from) continue
      // The server takes a change of case for a collision: two steps (trap 4).
      if (tree.places.pathAt(from.folder, from.name).toLowerCase() === tree.places.pathAt(to.folder, to.name).toLowerCase()) {
        if (await tree.deps.server.stat(tree.places.pathAt(from.folder, from.name), { signal: this.deps.stop }) === undefined) return await this.moves.lost(inode)
        await this.stepAside(inode)
        continue
      }
      await this.moves.holdingPlaces(inode, from, to, async () => {
        if (inode.parent === to.folder && inode.name === to.name) await this.moves.moveNow(inode, from, to)
      })
    }
  }

  /** Resolves when nothing of ours is in the way at a place of the server. @throws Later */
  private async freePlace({ folder, name }: Place, inode: Inode, chain: readonly Inode[]): Promise<void> {
    const { tree, unlinks, removals, confirmer } = this.deps
    const leaving = unlinks.folderAt(folder, name)
    if (leaving !== undefined) await this.empty(leaving, chain)
    const holder = tree.places.elsewhereHere(folder, name)
    if (holder !== undefined && holder !== inode && !holder.unlinked) {
      if (chain.includes(holder)) await this.stepAside(holder)
      else await this.sendMove(holder, chain)
    }
    // Deleted, or another one's content, meanwhile.
    if (unlinks.pendingAt(folder, name)) throw new Later(() => this.deleted(folder, name))
    if (removals.isAwaited(folder, name)) throw new Later(() => abortable(removals.allBrought(folder, name), this.deps.stop))
    if (removals.pendingAt(folder, name)) throw new Later(() => removals.setAside(folder, name, this.deps.stop))
    await confirmer.nameFree(folder, name, this.deps.stop)
  }

  /** Brings out of a folder that is deleted here whatever is elsewhere here. */
  private async empty(leaving: Inode, chain: readonly Inode[]): Promise<void> {
    for (const inside of this.deps.tree.places.heldBelow(leaving)) {
      if (chain.includes(inside)) await this.stepAside(inside, leaving.heldAt?.folder)
      else await this.sendMove(inside, chain)
    }
  }

  /** Resolves when what was deleted here is deleted at a place of the server. Not for the lane itself. */
  private async deleted(folder: Inode, name: string): Promise<void> {
    const { unlinks, stop } = this.deps
    while (unlinks.pendingAt(folder, name)) {
      const leaving = unlinks.folderAt(folder, name)
      if (leaving !== undefined) await this.lane.run(() => this.empty(leaving, []))
      const settled = unlinks.settledAt(folder, name)
      await abortable(leaving === undefined ? settled : orLate(LOOK_MS, settled, () => {}), stop)
    }
  }

  /**
   * Resolves when the folder is there, and nothing of ours has a place in it, to which the content of `inode` is to be sent: neither what is
   * deleted here nor what lives elsewhere.
   */
  async freed(folder: Inode, name: string, inode: Inode): Promise<void> {
    const { places } = this.deps.tree
    await this.whereAbove(folder)
    if (!places.there(folder)) await this.makeFolder(folder)
    for (let holder = places.toLeave(folder, name, inode); holder !== undefined; holder = places.toLeave(folder, name, inode)) {
      const leaving = holder
      const { heldAt, movingTo } = leaving
      await this.lane.run(() => this.sendMove(leaving, []))
      if (leaving.heldAt === heldAt && leaving.movingTo === movingTo) throw new FsError('EIO', `${leaving.name} is still in the way on the server`)
    }
    // Last: what was to leave can have been deleted meanwhile.
    await this.deleted(folder, name)
  }

  /** What is sent by the old path of a folder whose move was not answered would be in another folder. */
  private async whereAbove(folder: Inode): Promise<void> {
    const { places, transit } = this.deps.tree
    for (const above of places.serverFolders(folder)) {
      await transit.moveEnded(above)
      if (above.movingTo !== undefined) await this.lane.run(() => this.moves.whereIs(above))
    }
  }

  /** Of names that wait for each other: one goes through a third name. */
  private async stepAside(inode: Inode, into?: Inode): Promise<void> {
    const held = inode.heldAt
    // The answer may have been lost the last time.
    await this.moves.whereIs(inode)
    if (inode.heldAt !== held) return
    await this.moves.shown(inode)
    const from = inode.heldAt!
    const between: Place = { folder: into ?? from.folder, name: `${randomUUID()}.renaming` }
    await this.moves.holdingPlaces(inode, from, between, async () => {
      await this.moves.moveNow(inode, from, between)
    })
    await this.deps.journal.flushed()
  }
}
