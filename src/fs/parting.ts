/**
 * How an inode parts with its node on the server: a backup hands it to the new file, a rename over a file takes the target's, a conflict copy leaves
 * it to somebody else, a node is gone. Whatever the inode knew of it, and waited for, is forgotten in one step, and told to whoever goes on with the node.
 */
import type { VersionKey } from '../cache/blocks.js'
import type { Confirmer } from './confirm.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import type { Tree } from './tree.js'

/** What an inode knew of the node that it had. */
export interface FormerNode {
  readonly uuid: string
  /** Where the server has it; undefined: it was never sent. */
  readonly place: Place | undefined
  /** The same, where that was not the inode's name here. */
  readonly heldAt: Place | undefined
  /** Where it may be as well, because the answer to a move was lost. */
  readonly movingTo: Place | undefined
  readonly graceUntil: number
  readonly version: VersionKey | undefined
  readonly base: VersionKey | undefined
  /** md5s of ours that the server may show at it. */
  readonly sent: readonly string[]
}

/** The contents that the server may show at the node, by their ETags. */
export function etagsOf({ sent, version, base }: FormerNode): string[] {
  return [...sent, ...[version, base].flatMap((it) => it?.etag ?? [])]
}

export interface PartingDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly journal: Journal
}

/**
 * The inode has no node on the server any more. The name under which the server has it stays hidden here until the caller says
 * what becomes of it.
 */
export function part(inode: Inode, { tree, confirmer, journal }: PartingDeps): FormerNode {
  const { uuid, heldAt, movingTo, graceUntil, version, base } = inode
  const former: FormerNode = { uuid, place: inode.onServer && !inode.localOnly ? inode.serverPlace : undefined, heldAt, movingTo, graceUntil, version, base, sent: [...inode.sent] }
  confirmer.drop(inode)
  tree.places.hold(inode, undefined)
  tree.places.aim(inode, undefined)
  if (movingTo !== undefined) tree.uncoverHidden(movingTo.folder, movingTo.name)
  tree.deps.inodes.setUuid(inode, '')
  // Without a draft the version is what programs that have the file open read on in.
  if (inode.draft !== undefined) inode.version = undefined
  inode.base = undefined
  inode.sent.clear()
  inode.graceUntil = 0
  journal.move(inode)
  return former
}
