/**
 * What becomes of a folder, and of what is in it here, when somebody has deleted it, replaced it, or moved it: whatever is unsent in it goes on in the one that
 * has its place, or beside what has, and is never let go of.
 */
import type { KnownNode } from '../cache/known.js'
import { freeConflictName } from './conflict.js'
import { type Inode, isWithin } from './inodes.js'
import type { Tree } from './tree.js'

export class Succession {
  private readonly tree: Tree

  constructor(tree: Tree) {
    this.tree = tree
  }

  /** Somebody has moved a folder, and what was asked since, by paths that led nowhere, says nothing about what is in it. */
  askAgainBelow(folder: Inode): void {
    if (folder.type !== 'folder') return
    const { metadata } = this.tree.deps
    for (const [name, node] of metadata.peek(folder.ino)?.nodes ?? []) if (node === undefined) this.tree.kernel.name(folder, name)
    if (metadata.has(folder.ino)) metadata.doubtFolder(folder.ino)
    if (folder.hasNames) for (const child of folder.children.values()) this.askAgainBelow(child)
  }

  /** A folder that was deleted and made again there, in which there is something of ours: that is in the new one (S44). */
  madeAnew(here: Inode, node: KnownNode): boolean {
    if (here.type !== 'folder' || node.kind !== 'folder' || here.heldAt !== undefined || !this.holdsOurs(here)) return false
    const { inodes } = this.tree.deps
    const moved = inodes.ofUuid(node.uuid)
    if (moved !== undefined) {
      if (moved.heldAt !== undefined || moved.parent === undefined || isWithin(here, moved) || this.holdsOurs(moved)) return false
      this.tree.kernel.name(moved.parent, moved.name)
      inodes.detach(moved)
      this.succeed(moved, here)
    }
    this.becomes(here, node.uuid)
    return true
  }

  /** Told of a folder with something unsent in it that somebody has deleted, and put a file in its place. */
  onUnseated: (folder: Inode, theirs: KnownNode) => void = () => {}

  /** A folder in whose place somebody has put a file, and in which something is unsent: that is beside it from now on (S48). */
  unseated(here: Inode, node: KnownNode): boolean {
    if (node.kind === 'folder' || here.heldAt !== undefined || !holdsUnsent(here)) return false
    this.onUnseated(here, node)
    this.madeAnewHere(here)
    return true
  }

  /** What the kernel was told of the names in a folder is not to be believed. */
  private tellNames(folder: Inode): void {
    for (const name of this.tree.deps.metadata.listing(folder.ino)?.nodes.keys() ?? []) this.tree.kernel.name(folder, name)
  }

  /** A folder that is not on the server any more is to be made anew, with what is unsent in it: nothing else that was in it is there. */
  madeAnewHere(folder: Inode): void {
    const { metadata } = this.tree.deps
    this.tellNames(folder)
    this.askAgainBelow(folder)
    metadata.setAll(folder.ino, new Map(), metadata.now())
  }

  /** A folder is the server's `uuid` from now on, which is another one than it was: what was known of that one's names says nothing. */
  becomes(folder: Inode, uuid: string): void {
    const { inodes, metadata } = this.tree.deps
    this.tellNames(folder)
    metadata.doubtFolder(folder.ino)
    inodes.setUuid(folder, uuid)
    this.tree.kernel.attributes(folder)
  }

  /**
   * The folder is being deleted here, with nothing in it. Who still has a file of it open, which somebody has deleted, has one without a name, and what is
   * written to it has nowhere to go.
   */
  empty(folder: Inode): void {
    // (Its number may be that of the same folder at another place, where nobody has told of what has become of it since.)
    this.tree.deps.metadata.forget(folder.ino)
    folder.local.clear()
    if (!folder.hasNames) return
    for (const child of [...folder.children.values()]) {
      if (child.type === 'folder') this.empty(child)
      this.tree.deps.inodes.detach(child)
    }
  }

  /**
   * A folder is gone by somebody's doing, and its name is another inode's now. What is open in it may still be written to: it is in the new folder from now on,
   * as if only the file itself had been deleted. Where that cannot be, it has no name any more.
   */
  succeed(gone: Inode, heir: Inode): void {
    if (gone.type !== 'folder') return
    for (const child of [...gone.children.values()]) {
      if (heir.type !== 'folder' || child.heldAt !== undefined || heir.local.has(child.name) || heir.children.has(child.name)) continue
      if (isOpen(child)) this.tree.deps.inodes.move(child, heir, child.name)
    }
    this.empty(gone)
  }

  /** Is there something in or below a folder, here or there, of which the server does not know all? */
  private holdsOurs(folder: Inode): boolean {
    return hasOurs(folder) || this.tree.places.heldBelow(folder).length > 0
  }

  /** Told of a folder whose move was taken back. */
  onTakenBack: (folder: Inode) => void = () => {}

  /** Undoes the moves of ours, not sent yet, that bring `folder` below `ancestor`. False if there is none that can be undone. */
  takeBack(folder: Inode, ancestor: Inode): boolean {
    for (let at = folder; at !== ancestor; at = at.parent!) {
      const { heldAt, parent, name } = at
      // (A move whose answer was lost has not happened: the server could not show the one in the other.)
      if (heldAt === undefined || parent === undefined || this.tree.transit.isMoving(at) || isWithin(heldAt.folder, ancestor)) continue
      this.tree.deps.logger.warn('a rename is taken back: somebody has moved its target into what was renamed', { path: this.tree.places.localPath(at) })
      if (parent.local.get(name) === at) parent.local.delete(name)
      const { folder: home, name: old } = heldAt
      const isTaken = (it: string): boolean => home.local.get(it) != null || home.children.has(it)
      const back = isTaken(old) ? freeConflictName(old, isTaken) : old
      this.tree.places.hold(at, back === old ? undefined : heldAt)
      at.movingTo = undefined
      home.local.delete(back)
      this.tree.deps.inodes.move(at, home, back)
      this.tree.overlay(at)
      this.tree.kernel.name(parent, name)
      this.tree.kernel.name(home, back)
      this.onTakenBack(at)
      return true
    }
    return false
  }
}

/** Is something in or below a folder that the server does not have? */
export function holdsUnsent(folder: Inode): boolean {
  if (folder.type !== 'folder' || folder.unlinked || !folder.hasNames) return false
  for (const inode of folder.local.values()) if (inode !== null && inode.pending) return true
  for (const inode of folder.children.values()) if (holdsUnsent(inode)) return true
  return false
}

/** Is there something in or below a folder, here, that the server does not show? */
export function hasOurs(folder: Inode): boolean {
  return folder.hasNames && ([...folder.local.values()].some((ours) => ours !== null) || [...folder.children.values()].some(hasOurs))
}

/** Has a program a file open, at or below the inode? */
function isOpen(inode: Inode): boolean {
  if (inode.type !== 'folder') return inode.opens > 0
  return inode.hasNames && [...inode.children.values()].some(isOpen)
}
