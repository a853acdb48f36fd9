/**
 * The attributes of nodes: what the server tells of one, what it cannot hold (mode, owner, times, the target of a link; kept by
 * Uuid as facts), and the mount's own owner where nothing is known.
 */
import { Known, type KnownNode } from '../cache/known.js'
import type { Facts, Store } from '../cache/store.js'
import type { Attr, FileType } from './drivers/driver.js'
import { fromPair, type Inode, inoOfUuid, type InodeTable } from './inodes.js'

/** Who owns what the server gives no owner for. */
export interface Owner {
  readonly uid: number
  readonly gid: number
  readonly umask: number
}

export interface NodeAttributesDeps {
  readonly store: Store
  readonly inodes: InodeTable
  readonly owner: Owner
}

export class NodeAttributes {
  private readonly deps: NodeAttributesDeps

  constructor(deps: NodeAttributesDeps) {
    this.deps = deps
  }

  /** Of what the server gives no mode or owner for. */
  ownership(type: FileType): { mode: number; uid: number; gid: number } {
    const { uid, gid, umask } = this.deps.owner
    return { mode: type === 'symlink' ? 0o777 : (type === 'folder' ? 0o777 : 0o666) & ~umask, uid, gid }
  }

  /** Attributes of a node that has no live inode. */
  of(node: KnownNode): Attr {
    const facts = this.factsOf(node)
    const type = typeOf(node, facts)
    const owner = this.ownership(type)
    const mode = facts.mode ?? owner.mode
    const mtime = facts.mtime === undefined ? this.timeOf(node) : fromPair(facts.mtime)
    return {
      ino: facts.ino ?? inoOfUuid(node.uuid),
      type,
      mode: node.readOnly ? mode & ~0o222 : mode,
      nlink: type === 'folder' ? 2 : 1,
      uid: facts.uid ?? owner.uid,
      gid: facts.gid ?? owner.gid,
      size: type === 'folder' ? 4096 : facts.symlink === undefined ? node.size : Buffer.byteLength(facts.symlink),
      atime: facts.atime === undefined ? mtime : fromPair(facts.atime),
      mtime,
      ctime: mtime,
    }
  }

  /** The server gives no time for workspaces and bins: the mount's own is better than 1970. */
  private timeOf(node: KnownNode): bigint {
    return node.mtime === 0 ? this.deps.inodes.root.mtime : BigInt(node.mtime) * 1_000_000_000n
  }

  /** What we keep of a node; times and link target only while they belong to the version shown. */
  factsOf(node: KnownNode): Facts {
    const facts = this.deps.store.facts.get(node.uuid) ?? {}
    if (node.kind === 'folder' || facts.version === node.etag) return facts
    // (A link's mode says nothing about the file that somebody has written in its place.)
    return { mode: facts.symlink === undefined ? facts.mode : undefined, uid: facts.uid, gid: facts.gid, ino: facts.ino }
  }

  /** The inode is, from now on, what the server shows. */
  apply(inode: Inode, node: KnownNode, facts = this.factsOf(node)): void {
    if (inode.uuid !== node.uuid) this.deps.inodes.setUuid(inode, node.uuid)
    inode.readOnly = node.readOnly
    const type = typeOf(node, facts)
    if (facts.mode !== undefined || inode.type !== type) inode.mode = facts.mode ?? this.ownership(type).mode
    inode.type = type
    inode.uid = facts.uid ?? inode.uid
    inode.gid = facts.gid ?? inode.gid
    inode.symlink = facts.symlink
    if (!inode.touched) {
      inode.mtime = facts.mtime === undefined ? this.timeOf(node) : fromPair(facts.mtime)
      inode.atime = facts.atime === undefined ? inode.mtime : fromPair(facts.atime)
      if (inode.ctime < inode.mtime || facts.mtime === undefined) inode.ctime = inode.mtime
    }
    if (inode.type !== 'folder') {
      inode.version = node instanceof Known ? node : { uuid: node.uuid, etag: node.etag, size: node.size }
      inode.reader = undefined
    }
  }
}

/** `facts`: what `factsOf` gave. */
export function typeOf(node: KnownNode, { symlink }: Facts): 'file' | 'folder' | 'symlink' {
  if (node.kind === 'folder') return 'folder'
  return symlink === undefined ? 'file' : 'symlink'
}
