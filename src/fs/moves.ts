/**
 * One move of a node on the server, to a place that is free as far as is known here (tree-lane.ts sees to that). The server neither replaces nor
 * refuses (contract, trap 4), so it is asked right before, with both places held; and where the answer is lost, it is asked where the node is.
 */
import type { CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import { withinTime } from '../signals.js'
import type { Confirmer } from './confirm.js'
import type { ConflictCopies } from './conflict-copies.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import { Later } from './lane.js'
import { part } from './parting.js'
import { placeKey } from './places.js'
import { hasOurs } from './succession.js'
import type { Tree } from './tree.js'
import { folderKey, type TreeLock } from './treelock.js'

/** How long a rename waits until the server shows what it renames. */
const SHOWN_MS = 45_000

export interface MovesDeps {
  readonly tree: Tree
  readonly conflictCopies: ConflictCopies
  readonly confirmer: Confirmer
  readonly journal: Journal
  /** Names on the server, held while they are being changed there. */
  readonly locks: TreeLock
  /** The inode has something new to send, at once. */
  readonly again: (inode: Inode) => void
  readonly stop: AbortSignal
  readonly logger: Logger
}

/** Is the inode's name here another than its place on the server? */
export function hasMoved({ heldAt, parent, name }: Inode): boolean {
  return heldAt !== undefined && (heldAt.folder !== parent || heldAt.name !== name)
}

export class Moves {
  private readonly deps: MovesDeps

  constructor(deps: MovesDeps) {
    this.deps = deps
  }

  /** What the index does not show yet may be lost in a move (trap 8). */
  async shown(inode: Inode): Promise<void> {
    const { confirmer } = this.deps
    // Deleted by somebody else in the meantime, perhaps: then it is never shown.
    try {
      await withinTime(SHOWN_MS, this.deps.stop, async (signal) => {
        await confirmer.confirmed(inode, signal)
        if (inode.type === 'folder') await confirmer.confirmedBelow(inode, signal)
      })
    } catch (error) {
      if (this.deps.stop.aborted) throw error
    }
  }

  /** The answer to a move was lost: asks where the node is. */
  async whereIs(inode: Inode): Promise<void> {
    const { tree, journal } = this.deps
    const { heldAt, movingTo } = inode
    if (heldAt === undefined || movingTo === undefined || inode.unlinked) return
    const node = tree.places.hasPath(movingTo.folder) ? await tree.deps.server.stat(tree.places.pathAt(movingTo.folder, movingTo.name), { signal: this.deps.stop }) : undefined
    if (inode.heldAt !== heldAt || inode.movingTo !== movingTo) return
    if (node !== undefined && node.uuid === inode.uuid) {
      this.nowAt(inode, heldAt, movingTo, node)
      // What was asked meanwhile, by its old path, says nothing.
      tree.succession.askAgainBelow(inode)
      return
    }
    tree.places.aim(inode, undefined)
    tree.uncoverHidden(movingTo.folder, movingTo.name)
    if (!hasMoved(inode)) tree.places.hold(inode, undefined)
    journal.move(inode)
    tree.overlay(inode)
  }

  /** The locks are held and the target is ours to take, as far as is known here. Nothing is done if the inode is renamed again, replaced or deleted meanwhile. */
  async moveNow(inode: Inode, from: Place, to: Place): Promise<void> {
    const { tree, conflictCopies, journal, logger } = this.deps
    const wanted = { parent: inode.parent, name: inode.name }
    const stays = (): boolean => inode.heldAt === from && !inode.unlinked && inode.parent === wanted.parent && inode.name === wanted.name
    const staysThawed = (): boolean => {
      if (tree.transit.isFrozen(inode)) throw new Later(() => tree.transit.thawed(inode))
      return stays()
    }
    if (!stays()) return
    const { server } = tree.deps
    const [source, target] = [tree.places.pathAt(from.folder, from.name), tree.places.pathAt(to.folder, to.name)]
    const signal = this.deps.stop
    // Onto a taken name the server would make another one of it, and say nothing (trap 4): ask it, whatever is known here.
    const above = tree.places.pathOf(to.folder)
    const found = await server.statMany([source, target, ...(above === '' ? [] : [above])], { signal })
    if (!staysThawed()) return
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
    if (!staysThawed()) return
    if (taken) {
      place = await conflictCopies.asideOf(to)
      if (!staysThawed()) return
      conflictCopies.aside(inode, place, to, theirs, 'same node')
    }
    const path = tree.places.pathAt(place.folder, place.name)
    inode.graceUntil = 0
    await tree.transit.move(inode, async () => {
      tree.places.aim(inode, place)
      journal.move(inode)
      await journal.flushed()
      // Deleted or renamed by somebody else: made again for what is put there.
      if (gone !== undefined) await server.mkdir([gone], { signal })
      const shown = arrived ? undefined : await server.move(source, path, { signal })
      this.nowAt(inode, from, place, shown)
      // Somebody took the name in that moment, and ours has got another one from the server: asked before anything is believed of it.
      if (shown !== undefined && inode.uuid !== '' && shown.uuid !== inode.uuid) tree.doubt(place.folder, place.name)
      logger.info('renamed', { to: path })
    })
  }

  /** Is there a name that differs only in case, which the server takes for the same (trap 4)? It would make `name-1` of ours. */
  private async hasTwin({ folder, name }: Place, source: string, target: string): Promise<boolean> {
    const { tree } = this.deps
    const lower = name.toLowerCase()
    if (lower === name.toUpperCase() || source.toLowerCase() === target.toLowerCase()) return false
    const { metadata } = tree.deps
    if (!metadata.coveredWhole(folder.ino)) await tree.questions.load(folder)
    for (const [other, node] of metadata.listing(folder.ino)?.nodes ?? []) {
      if (node !== undefined && other !== name && other.toLowerCase() === lower) return true
    }
    return false
  }

  /** The server has the node at `place` now. `shown`: as it was seen there. */
  private nowAt(inode: Inode, from: Place, place: Place, shown?: CellsNode): void {
    const { tree, journal } = this.deps
    const { metadata } = tree.deps
    const at = metadata.now()
    const listing = metadata.listing(from.folder.ino)
    const known = listing?.nodes.get(from.name)
    // Somebody may have written to it on the way.
    const same = known !== undefined && known.uuid === inode.uuid && (inode.type === 'folder' || (listing?.doubted.has(from.name) !== true && (shown === undefined || shown.etag === known.etag)))
    inode.graceUntil = 0
    // Moved again meanwhile: then this is only where the next step begins.
    const home = !inode.unlinked && inode.parent === place.folder && inode.name === place.name
    tree.places.hold(inode, home ? undefined : place)
    tree.places.aim(inode, undefined)
    // Somebody can have the name by now, and the server have told of that before it answered.
    const taken = known !== undefined && inode.uuid !== '' && known.uuid !== inode.uuid
    if (!taken) metadata.ours(from.folder.ino, from.name, undefined, at)
    if (same) metadata.ours(place.folder.ino, place.name, known, at)
    tree.echoes.vacate(from.folder, from.name)
    if (inode.type === 'folder') tree.places.movedFrom(from, inode)
    tree.uncoverHidden(from.folder, from.name)
    if (taken) tree.doubt(from.folder, from.name)
    journal.move(inode)
    if (inode.type === 'folder') journal.relocated(inode)
    tree.overlay(inode)
    if (!home) tree.uncoverHidden(place.folder, place.name)
    if (!same && inode.type === 'folder') metadata.doubt(place.folder.ino, place.name)
    else if (!same) this.lookAgain(inode, place)
    tree.deps.inodes.release(inode)
  }

  /** What is known of the node may be old. */
  private lookAgain(inode: Inode, place: Place): void {
    const { tree, logger } = this.deps
    tree.doubt(place.folder, place.name)
    tree.kernel.attributes(inode)
    // Whoever has it open does not ask.
    if (inode.opens > 0) tree.revalidate(inode).catch((error: unknown) => logger.debug('asking about what was renamed failed, will be asked when it is used', { error }))
  }

  /** The node is not where it was: somebody deleted or moved it. A change of ours survives under our name; a mere rename has nothing to rename. */
  async lost(inode: Inode): Promise<void> {
    const { tree, journal, logger } = this.deps
    logger.warn('what was renamed here is gone from the server', { path: tree.places.localPath(inode) })
    const { folder, name: old } = inode.heldAt!
    part(inode, this.deps)
    tree.uncoverHidden(folder, old)
    // What is known of its old name may be the node itself: nobody has told that it has gone.
    tree.doubt(folder, old)
    if (inode.draft !== undefined) {
      const { draft } = inode
      const safe = draft.secured === draft.generation
      draft.generation++
      if (safe) draft.secured = draft.generation
      this.deps.again(inode)
      return
    }
    const { parent, name } = inode
    if (inode.type === 'folder' && hasOurs(inode)) {
      // Unsent things are in it, or deep in it: it is made anew for them, and for nothing else.
      tree.succession.madeAnewHere(inode)
      journal.folder(inode)
      tree.overlay(inode)
      this.deps.again(inode)
      return
    }
    if (parent?.local.get(name) === inode) parent.local.delete(name)
    tree.deps.inodes.detach(inode)
    if (inode.type === 'folder') tree.succession.empty(inode)
    if (parent !== undefined) {
      tree.doubt(parent, name)
    }
    await journal.flushed()
  }

  /** Runs a move with both places held and, around a folder, with nothing below it on its way (contract, trap 8). */
  async holdingPlaces(inode: Inode, from: Place, to: Place, work: () => Promise<void>): Promise<void> {
    const { places } = this.deps.tree
    const exclusive = [placeKey(from), placeKey(to), ...(inode.type === 'folder' ? [folderKey(inode)] : [])]
    const shared = [...places.folderKeys(from.folder), ...places.folderKeys(to.folder)].filter((key) => !exclusive.includes(key))
    const release = await this.deps.locks.acquire({ shared: [...new Set(shared)], exclusive: [...new Set(exclusive)] })
    try {
      await work()
    } finally {
      release()
    }
  }
}
