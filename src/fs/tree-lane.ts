/**
 * The order of changes of the tree on the server. They depend on each other, so they go one at a time: a target's parent first, then whoever has
 * the target's name, and nothing in or below a moving folder may be on its way (contract, trap 8). Names that wait for each other are untied
 * through a third name. `chain` is, all through, the moves that wait for the one at hand.
 *
 * What a single change is: new-folders.ts, moves.ts.
 */
import { randomUUID } from 'node:crypto'
import { FsError } from './errno.js'
import type { Inode, Place } from './inodes.js'
import { Lane, Later } from './lane.js'
import { hasMoved, Moves, type MovesDeps } from './moves.js'
import { type ClearPlace, NewFolders, type NewFoldersDeps } from './new-folders.js'
import type { Removals } from './removals.js'

export interface TreeLaneDeps extends MovesDeps, NewFoldersDeps {
  readonly removals: Removals
  /** Sends what an inode has now. @throws why it could not */
  readonly settle: (inode: Inode) => Promise<void>
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
    await this.lane.run(() => this.folders.make(folder, this.clearing([])))
  }

  /** Makes the folders above an inode. */
  async makeAbove(inode: Inode): Promise<void> {
    await this.lane.run(() => this.folders.above(inode, this.clearing([])))
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
      if (chain.some((it) => this.deps.removals.keepersAt(to.folder, to.name).includes(it))) {
        // Its new place becomes free when one of those has its own, which this one is asked to leave.
        await this.stepAside(inode)
        return
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

  /** Resolves when nothing of ours is in the way at a place of the server. */
  private async freePlace({ folder, name }: Place, inode: Inode, chain: readonly Inode[]): Promise<void> {
    const { tree, unlinks, removals, confirmer } = this.deps
    const leaving = unlinks.folderAt(folder, name)
    for (const inside of leaving === undefined ? [] : tree.places.heldBelow(leaving)) {
      if (chain.includes(inside)) await this.stepAside(inside, leaving!.heldAt?.folder)
      else await this.sendMove(inside, chain)
    }
    await unlinks.settledAt(folder, name)
    // An old node goes when the content it gave is there under its new name, which takes a turn of this lane and of the contents'.
    const keepers = removals.keepersAt(folder, name)
    if (keepers.length > 0) {
      throw new Later(async () => {
        await Promise.allSettled(keepers.map((it) => this.deps.settle(it)))
        await removals.settledAt(folder, name)
      })
    }
    const holder = tree.places.elsewhereHere(folder, name)
    if (holder !== undefined && holder !== inode && !holder.unlinked) {
      if (chain.includes(holder)) await this.stepAside(holder)
      else await this.sendMove(holder, chain)
    }
    await confirmer.nameFree(folder, name, this.deps.stop)
  }

  /** Resolves when nothing of ours that lives elsewhere here has the place on the server, to which `inode` is to be sent. */
  async leftBy(folder: Inode, name: string, inode: Inode): Promise<void> {
    for (let other = this.deps.tree.places.toLeave(folder, name, inode); other !== undefined; other = this.deps.tree.places.toLeave(folder, name, inode)) {
      const holder = other
      const { heldAt, movingTo } = holder
      await this.lane.run(() => this.sendMove(holder, [inode]))
      if (holder.heldAt === heldAt && holder.movingTo === movingTo) throw new FsError('EIO', `${holder.name} is still in the way on the server`)
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
