/**
 * When somebody else has changed a file that was changed here, no version is lost: theirs keeps the name on the server, and ours goes beside it. Here is
 * how the two are told apart (`judge`), what the copy is called, and how an inode with its open handles becomes it. (The copies there are:
 * conflicts.ts.)
 */
import { hostname } from 'node:os'
import type { VersionKey } from '../cache/blocks.js'
import type { KnownNode } from '../cache/known.js'
import type { ContentDigest } from '../cells/digest.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Confirmer } from './confirm.js'
import { conflictName, freeConflictName } from './conflict.js'
import type { Conflicts } from './conflicts.js'
import type { Durability } from './durability.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import { part } from './parting.js'
import type { Tree } from './tree.js'

/** The index of a 2.x server follows a change by 1 to 2.5 s. */
export const INDEX_MS = 4_000

export interface ConflictCopiesDeps {
  readonly tree: Tree
  readonly durability: Durability
  readonly confirmer: Confirmer
  readonly journal: Journal
  readonly conflicts: Conflicts
  readonly logger: Logger
}

export class ConflictCopies {
  private readonly deps: ConflictCopiesDeps

  constructor(deps: ConflictCopiesDeps) {
    this.deps = deps
  }

  /** A free name beside `place` for our version. */
  async asideOf(place: Place): Promise<Place> {
    const { tree } = this.deps
    for (let n = 1; ; n++) {
      const name = conflictName(place.name, hostname(), new Date(), n)
      // Another mount on this computer may just have taken it: the server is asked, whatever is known here.
      if (await tree.child(place.folder, name) === undefined && await tree.deps.server.stat(tree.places.pathAt(place.folder, name)) === undefined) return { folder: place.folder, name }
    }
  }

  /**
   * Theirs keeps the place on the server; ours, with its open handles, goes beside it, here too if the place is its own here: as a
   * node of its own, or as the node that it is and that was to be moved there.
   */
  aside(inode: Inode, aside: Place, place: Place, theirs: KnownNode | undefined, as: 'new node' | 'same node'): void {
    const { tree, journal, logger } = this.deps
    const { folder, name } = place
    const ours = tree.places.pathAt(aside.folder, aside.name)
    this.deps.conflicts.add(ours)
    logger.warn('conflict: the server has another version, ours is kept beside it', { theirs: tree.places.pathAt(folder, name), ours })
    const atHome = inode.parent === folder && inode.name === name
    if (as === 'new node') {
      part(inode, this.deps)
      if (!atHome) tree.places.hold(inode, aside)
    }
    if (atHome) {
      if (folder.local.get(name) === inode) folder.local.delete(name)
      tree.deps.inodes.move(inode, aside.folder, aside.name)
      tree.overlay(inode)
      tree.kernel.name(aside.folder, aside.name)
      journal.relocated(inode)
    }
    // Theirs is at the place from now on, also where ours has left it here before.
    if (theirs !== undefined) tree.questions.learn(folder, name, theirs, tree.deps.metadata.now())
    tree.uncoverHidden(folder, name)
    tree.kernel.name(folder, name)
    journal.move(inode)
  }

  /** Somebody has deleted a folder in which something is unsent here, and put a file in its place: it is made beside that one, with what is unsent in it (S48). */
  folderAside(folder: Inode, theirs: KnownNode): void {
    const { tree, journal } = this.deps
    const { parent, name } = folder
    if (parent === undefined) return
    const { metadata } = tree.deps
    // (The server is asked before it is made: new-folders.ts.)
    const free = freeConflictName(name, (it) => parent.local.get(it) != null || parent.children.has(it) || metadata.listing(parent.ino)?.nodes.get(it) !== undefined)
    this.aside(folder, { folder: parent, name: free }, { folder: parent, name }, theirs, 'new node')
    journal.folder(folder)
  }

  private readonly overwritten = new WeakSet<Inode>()
  /** Theirs as it was first shown in the place of ours (`expected`), and when. */
  private readonly shown = new WeakMap<Inode, { readonly expected: ContentDigest | undefined; readonly etag: string; readonly at: number }>()

  /** Theirs can have come there right before ours, unknown to us when we asked, and ours is shown next: it would be there twice. */
  private mayBeOlder(inode: Inode, { etag }: KnownNode): boolean {
    const { tree } = this.deps
    const { expected } = inode
    const now = tree.deps.metadata.now()
    const shown = this.shown.get(inode)
    if (shown !== undefined && shown.expected === expected && shown.etag === etag) return now < shown.at + tree.pause(INDEX_MS)
    this.shown.set(inode, { expected, etag, at: now })
    return true
  }

  /**
   * The server has taken ours and then, from somebody who did not know of it, theirs: ours goes beside it, when theirs is still shown after the index has had
   * its time (the confirmer asks again until then). False if there is nothing left of ours.
   */
  keepOverwritten(inode: Inode, theirs: KnownNode): boolean {
    const { draft, serverPlace } = inode
    if (draft === undefined || !draft.complete || serverPlace === undefined || inode.symlink !== undefined) return false
    if (this.overwritten.has(inode) || this.mayBeOlder(inode, theirs)) return true
    this.overwritten.add(inode)
    const work = async (): Promise<void> => {
      const aside = await this.asideOf(serverPlace)
      if (inode.draft !== draft || inode.unlinked || !inode.unconfirmed || this.deps.tree.transit.isFrozen(inode) || inode.serverPlace?.folder !== serverPlace.folder || inode.serverPlace.name !== serverPlace.name) return
      this.aside(inode, aside, serverPlace, theirs, 'new node')
      draft.generation++
      await this.deps.durability.secure(inode, { delayMs: 0 })
    }
    work()
      .catch((error: unknown) => this.deps.logger.warn('a content that was overwritten on the server could not be kept beside it yet', { error }))
      .finally(() => this.overwritten.delete(inode))
    return true
  }
}

/**
 * May our content take the place of what the server has now (`theirs`)? `sent`: md5s of ours that the server may show; `base`: the version that ours was
 * made from.
 */
export function judge(sent: ReadonlySet<string>, base: VersionKey | undefined, theirs: KnownNode | undefined, digest: ContentDigest, size: number): 'send' | 'same' | 'conflict' {
  // New here, or deleted there and edited here: the edit survives under its name.
  if (theirs === undefined) return 'send'
  if (theirs.kind !== 'file') return 'conflict'
  // While another content of ours is on its way, the server's word is an old one, and ours would lose against it.
  if (theirs.etag === digest.md5 && theirs.size === size) return onlySent(sent, digest.md5) ? 'same' : 'send'
  if (sent.has(theirs.etag)) return 'send'
  if (sent.size > 0 && theirs.etag === ETAG_TEMPORARY) return 'send'
  if (base === undefined) return 'conflict'
  if (theirs.uuid !== base.uuid && base.uuid !== '') return 'conflict'
  return theirs.etag === base.etag ? 'send' : 'conflict'
}

/** Has the server been sent no other content of the file than this one? */
export function onlySent(sent: ReadonlySet<string>, md5: string): boolean {
  return sent.size === 0 || (sent.size === 1 && sent.has(md5))
}
