/**
 * Inode numbers and what they stand for. An inode lives while the kernel holds it (lookup count), a handle
 * is open, content waits to be sent, or a child of it lives. Its number is a hash of the node's Uuid, so it is the same after a
 * remount without being stored; a node made here gets a number before it has a Uuid, and that number is kept in
 * the facts of its Uuid.
 */
import { createHash } from 'node:crypto'
import type { VersionKey } from '../cache/blocks.js'
import type { Facts } from '../cache/store.js'
import { type Attr, type FileType, type Ino, ROOT_INO } from './drivers/driver.js'
import { InodeState, type Place } from './inode-state.js'

export type { Place } from './inode-state.js'

export class Inode extends InodeState {
  readonly ino: Ino
  /** Changes only from link to file, and back: both are small files on the server (NodeAttributes.apply). */
  type: FileType
  parent: Inode | undefined
  name: string
  /** '' until the server has told it. */
  uuid = ''
  /** The server's content; undefined for a folder and for what was never sent. */
  version: VersionKey | undefined
  readOnly = false
  mode: number
  uid: number
  gid: number
  atime = 0n
  mtime = 0n
  ctime = 0n
  lookups = 0
  /** Operations under way that rely on it: the kernel may forget it, and an event may make it do so, at any time. */
  pins = 0
  /** Open handles. */
  opens = 0
  /** No name leads here any more; lives on for its open handles. */
  unlinked = false

  constructor(ino: Ino, type: FileType, parent: Inode | undefined, name: string, owner: { mode: number; uid: number; gid: number }) {
    super()
    this.ino = ino
    this.type = type
    this.parent = parent
    this.name = name
    this.mode = owner.mode
    this.uid = owner.uid
    this.gid = owner.gid
  }

  get size(): number {
    if (this.symlink !== undefined) return Buffer.byteLength(this.symlink)
    return this.draft?.size ?? this.version?.size ?? 0
  }

  /** The server has, or is being sent, a node for it. */
  get onServer(): boolean {
    return this.uuid !== '' || this.hasSent || this.heldAt !== undefined
  }

  /** Where the server has it, or will have it. Undefined for the root and for what has no name any more. */
  get serverPlace(): Place | undefined {
    if (this.heldAt !== undefined) return this.heldAt
    return this.parent === undefined || this.unlinked ? undefined : { folder: this.parent, name: this.name }
  }

  /** The server has to be told of a new folder, a new place or a new content. */
  get pending(): boolean {
    if (this.unlinked || this.localOnly) return false
    return (this.type === 'folder' && !this.onServer && this.parent !== undefined) || this.heldAt !== undefined || this.dirty
  }

  /** Its content is the kernel's affair (specials.ts). */
  get special(): boolean {
    return this.type === 'fifo' || this.type === 'socket'
  }

  /** The program's changes exist only here. */
  get dirty(): boolean {
    return this.draft !== undefined && this.draft.dirty
  }

  attr(): Attr {
    return {
      ino: this.ino,
      type: this.type,
      mode: this.readOnly ? this.mode & ~0o222 : this.mode,
      nlink: this.unlinked ? 0 : this.type === 'folder' ? 2 : 1,
      uid: this.uid,
      gid: this.gid,
      size: this.type === 'folder' ? 4096 : this.size,
      atime: this.atime,
      mtime: this.mtime,
      ctime: this.ctime,
    }
  }

  /** The facts to keep by Uuid: all of them, so that none is left of a node that had the Uuid before. */
  facts(): Facts {
    return {
      mode: this.mode,
      uid: this.uid,
      gid: this.gid,
      mtime: toPair(this.mtime),
      atime: toPair(this.atime),
      symlink: this.symlink,
      ino: this.uuid !== '' && this.ino !== inoOfUuid(this.uuid) ? this.ino : undefined,
    }
  }
}

export function toPair(time: bigint): readonly [number, number] {
  const seconds = time / 1_000_000_000n
  return [Number(seconds), Number(time - seconds * 1_000_000_000n)]
}

export function fromPair(pair: readonly [number, number]): bigint {
  return BigInt(pair[0]) * 1_000_000_000n + BigInt(pair[1])
}

const RANDOM_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4/

/** 48 bits of the Uuid or, where its digits are not random, of a hash; above the numbers of the root and of small fixed inodes. */
export function inoOfUuid(uuid: string): Ino {
  // A hash costs ten times as much, and a listing asks twice for each name.
  if (RANDOM_UUID.test(uuid)) return parseInt(uuid.slice(0, 8), 16) * 0x10000 + parseInt(uuid.slice(9, 13), 16) + 16
  return createHash('md5').update(uuid).digest().readUIntBE(0, 6) + 16
}

/** Numbers of nodes made here lie above every hash. */
const FIRST_LOCAL = 2 ** 49

export class InodeTable {
  private readonly byIno = new Map<Ino, Inode>()
  /** Those whose number does not follow from their Uuid. */
  private readonly byUuid = new Map<string, Inode>()
  readonly root: Inode
  /** To be dropped unless somebody takes hold of them. */
  private readonly idle = new Set<Inode>()
  private sweeping: NodeJS.Immediate | undefined
  private nextLocal: Ino
  /** Is this folder's listing cached? Then its inode stays. */
  private readonly hasListing: (ino: Ino) => boolean

  constructor(root: { mode: number; uid: number; gid: number }, hasListing: (ino: Ino) => boolean) {
    this.root = new Inode(ROOT_INO, 'folder', undefined, '', root)
    this.byIno.set(ROOT_INO, this.root)
    this.hasListing = hasListing
    // Random start, so that numbers of an earlier process are not met again.
    this.nextLocal = FIRST_LOCAL + Math.floor(Math.random() * 2 ** 48)
  }

  get(ino: Ino): Inode | undefined {
    return this.byIno.get(ino)
  }

  ofUuid(uuid: string): Inode | undefined {
    if (uuid === '') return undefined
    const named = this.byUuid.get(uuid)
    if (named !== undefined) return named
    const numbered = this.byIno.get(inoOfUuid(uuid))
    return numbered?.uuid === uuid ? numbered : undefined
  }

  get count(): number {
    return this.byIno.size
  }

  all(): IterableIterator<Inode> {
    return this.byIno.values()
  }

  /** A new inode below `parent`. `wanted` is its stored number, if it has one. */
  create(type: FileType, parent: Inode, name: string, uuid: string, wanted: Ino | undefined, owner: { mode: number; uid: number; gid: number }): Inode {
    let ino = wanted ?? (uuid === '' ? this.nextLocal++ : inoOfUuid(uuid))
    while (this.byIno.has(ino)) ino = this.nextLocal++
    const inode = new Inode(ino, type, parent, name, owner)
    this.byIno.set(ino, inode)
    this.setUuid(inode, uuid)
    parent.children.set(name, inode)
    return inode
  }

  setUuid(inode: Inode, uuid: string): void {
    if (inode.uuid !== '' && this.byUuid.get(inode.uuid) === inode) this.byUuid.delete(inode.uuid)
    inode.uuid = uuid
    if (uuid === '') return
    if (inode.ino === inoOfUuid(uuid)) this.byUuid.delete(uuid)
    else this.byUuid.set(uuid, inode)
  }

  /** Gives the inode another name; whoever had that name is detached first by the caller. */
  move(inode: Inode, parent: Inode, name: string): void {
    const old = inode.parent
    if (old?.children.get(inode.name) === inode) old.children.delete(inode.name)
    inode.parent = parent
    inode.name = name
    parent.children.set(name, inode)
    if (old !== undefined && old !== parent) this.release(old)
  }

  /** Takes the inode's name away. */
  detach(inode: Inode): void {
    if (inode.parent?.children.get(inode.name) === inode) inode.parent.children.delete(inode.name)
    inode.unlinked = true
    this.setUuid(inode, '')
    this.release(inode)
  }

  /** Runs `work` with inodes that stay until it is over. */
  async pinned<T>(inodes: readonly (Inode | undefined)[], work: () => Promise<T>): Promise<T> {
    for (const inode of inodes) if (inode !== undefined) inode.pins++
    try {
      return await work()
    } finally {
      for (const inode of inodes) {
        if (inode === undefined) continue
        inode.pins--
        this.release(inode)
      }
    }
  }

  /**
   * Drops the inode, and then its parents, if nothing holds them any more. Not before the microtasks that are due: an operation
   * that has just been given this very inode by an awaited lookup takes hold of it in one of them.
   */
  release(inode: Inode): void {
    if (inode.unlinked) {
      this.drop(inode)
      return
    }
    this.idle.add(inode)
    this.sweeping ??= setImmediate(() => {
      this.sweeping = undefined
      const idle = [...this.idle]
      this.idle.clear()
      for (const each of idle) this.drop(each)
    })
  }

  private drop(inode: Inode): void {
    for (let at: Inode | undefined = inode; at !== undefined && at !== this.root; at = at.parent) {
      if (this.byIno.get(at.ino) !== at) return
      if (at.lookups > 0 || at.pins > 0 || at.opens > 0 || at.writing > 0 || at.draft !== undefined || at.unconfirmed || at.hasNames) return
      if (at.heldAt !== undefined || (at.parent?.local.get(at.name) === at && !at.unlinked)) return
      if (!at.unlinked && this.hasListing(at.ino)) return
      this.byIno.delete(at.ino)
      if (this.byUuid.get(at.uuid) === at) this.byUuid.delete(at.uuid)
      if (at.parent?.children.get(at.name) === at) at.parent.children.delete(at.name)
      at.reader?.close()
    }
  }
}

/** Is the inode a folder, or somewhere below it, as names are here? (On the server: Tree.isWithinThere.) */
export function isWithin(inode: Inode | undefined, folder: Inode): boolean {
  for (let at = inode; at !== undefined; at = at.parent) if (at === folder) return true
  return false
}
