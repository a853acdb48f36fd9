/**
 * A small FileSystem in memory for tests of drivers: POSIX semantics in full (rename over, unlink
 * while open, append, xattrs, lookup counts), and nothing of Cells. It also counts what a driver must balance:
 * `leaks()` names every lookup and handle that was not given back.
 */
import { constants } from 'node:fs'
import { FsError } from '../errno.js'
import { ROOT_INO, type Attr, type AttrChange, type Caller, type DirEntry, type Entry, type FileSystem, type FileRange, type FileType, type Ino, type OpenFolderResult, type RenameFlags, type SpecialType } from './driver.js'

const { O_ACCMODE = 3, O_APPEND, O_EXCL, O_RDONLY, O_TRUNC } = constants as typeof constants & { O_ACCMODE?: number }

interface Node {
  readonly ino: Ino
  readonly type: FileType
  mode: number
  uid: number
  gid: number
  nlink: number
  atime: bigint
  mtime: bigint
  ctime: bigint
  readonly btime: bigint
  target: string
  size: number
  /** Content in pieces of PIECE bytes; a missing one is a hole. */
  readonly pieces: Map<number, Buffer>
  readonly children: Map<string, Node>
  readonly xattrs: Map<string, Buffer>
  lookups: number
}

interface Handle {
  readonly node: Node
  readonly flags: number
}

export interface MemoryFsOptions {
  /** Awaited before each operation: to delay, to fail, to record. */
  readonly before?: (op: string, caller: Caller | undefined, name?: string) => Promise<void> | void
  readonly entryTimeoutMs?: number
  /** The kernel may keep content and listings until it is told. */
  readonly cacheable?: boolean
}

const PIECE = 65_536

const now = (): bigint => BigInt(Date.now()) * 1_000_000n

export class MemoryFs implements FileSystem {
  readonly #nodes = new Map<Ino, Node>()
  readonly #files = new Map<number, Handle>()
  readonly #folders = new Map<number, [string, Node][]>()
  readonly #options: MemoryFsOptions
  #lastIno = 0
  #lastFh = 0

  constructor(options: MemoryFsOptions = {}) {
    this.#options = options
    const root = this.#node('folder', 0o755)
    root.nlink++
    this.#nodes.set(ROOT_INO, root)
  }

  /** Lookups and handles that the driver still holds, as text; empty when all is balanced. */
  leaks(): string[] {
    return [
      ...[...this.#nodes.values()].filter(({ lookups }) => lookups !== 0).map(({ ino, lookups }) => `inode ${ino}: ${lookups} lookups`),
      ...[...this.#files.keys()].map((fh) => `file handle ${fh}`),
      ...[...this.#folders.keys()].map((fh) => `folder handle ${fh}`),
    ]
  }

  /** Paths of all files and folders, sorted. */
  paths(node = this.#get(ROOT_INO), prefix = ''): string[] {
    return [...node.children].flatMap(([name, child]) => [`${prefix}/${name}`, ...this.paths(child, `${prefix}/${name}`)]).sort()
  }

  #node(type: FileType, mode: number, owner: Pick<Caller, 'uid' | 'gid'> = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }): Node {
    const time = now()
    return {
      ino: ++this.#lastIno, type, mode, uid: owner.uid, gid: owner.gid, nlink: type === 'folder' ? 1 : 0,
      atime: time, mtime: time, ctime: time, btime: time, target: '', size: 0, pieces: new Map(), children: new Map(), xattrs: new Map(), lookups: 0,
    }
  }

  #get(ino: Ino): Node {
    const node = this.#nodes.get(ino)
    if (node === undefined) throw new FsError('ESTALE', `inode ${ino} is not known`)
    return node
  }

  #folder(ino: Ino): Node {
    const node = this.#get(ino)
    if (node.type !== 'folder') throw new FsError('ENOTDIR')
    return node
  }

  #child(parent: Ino, name: string): Node {
    const child = this.#folder(parent).children.get(name)
    if (child === undefined) throw new FsError('ENOENT')
    return child
  }

  #handle(fh: number): Handle {
    const handle = this.#files.get(fh)
    if (handle === undefined) throw new FsError('EBADF')
    return handle
  }

  #attr(node: Node): Attr {
    const { ino, type, mode, nlink, uid, gid, size, atime, mtime, ctime, btime } = node
    return { ino, type, mode, nlink, uid, gid, size, atime, mtime, ctime, btime }
  }

  #entry(node: Node): Entry {
    node.lookups++
    const timeout = this.#options.entryTimeoutMs ?? 1000
    return { attr: this.#attr(node), generation: 0, entryTimeoutMs: timeout, attrTimeoutMs: timeout }
  }

  #touch(folder: Node): void {
    folder.mtime = folder.ctime = now()
  }

  #add(parent: Ino, name: string, node: Node): Entry {
    if (Buffer.byteLength(name) > 255) throw new FsError('ENAMETOOLONG')
    const folder = this.#folder(parent)
    if (folder.children.has(name)) throw new FsError('EEXIST')
    folder.children.set(name, node)
    node.ctime = now()
    node.nlink++
    if (node.type === 'folder') folder.nlink++
    this.#nodes.set(node.ino, node)
    this.#touch(folder)
    return this.#entry(node)
  }

  #remove(parent: Ino, name: string): void {
    const folder = this.#folder(parent)
    const node = this.#child(parent, name)
    folder.children.delete(name)
    node.ctime = now()
    node.nlink -= node.type === 'folder' ? 2 : 1
    if (node.type === 'folder') folder.nlink--
    this.#touch(folder)
    this.#drop(node)
  }

  /** A node goes when it has no name, no lookup and no handle. */
  #drop(node: Node): void {
    if (node.nlink > 0 || node.lookups > 0 || node.ino === ROOT_INO) return
    if ([...this.#files.values()].some((handle) => handle.node === node)) return
    this.#nodes.delete(node.ino)
  }

  #resize(node: Node, size: number): void {
    for (const [index, piece] of node.pieces) {
      if (index * PIECE >= size) node.pieces.delete(index)
      else if ((index + 1) * PIECE > size) piece.fill(0, size - index * PIECE)
    }
    node.size = size
    node.mtime = node.ctime = now()
  }

  /** Calls `use` for each piece that the range touches. */
  #pieces(offset: number, length: number, use: (index: number, from: number, to: number, at: number) => void): void {
    for (let at = 0; at < length;) {
      const index = Math.floor((offset + at) / PIECE)
      const from = offset + at - index * PIECE
      const to = Math.min(PIECE, from + length - at)
      use(index, from, to, at)
      at += to - from
    }
  }

  #open(node: Node, flags: number): { fh: number; keepCache: boolean } {
    if ((flags & O_TRUNC) !== 0) this.#resize(node, 0)
    this.#files.set(++this.#lastFh, { node, flags })
    return { fh: this.#lastFh, keepCache: this.#options.cacheable === true }
  }

  async #begin(op: string, caller?: Caller, name?: string): Promise<void> {
    await this.#options.before?.(op, caller, name)
  }

  async lookup(parent: Ino, name: string, caller: Caller): Promise<Entry> {
    await this.#begin('lookup', caller, name)
    return this.#entry(this.#child(parent, name))
  }

  forget(ino: Ino, count: number): void {
    const node = this.#get(ino)
    node.lookups -= count
    if (node.lookups < 0) throw new Error(`inode ${ino} was forgotten too often`)
    this.#drop(node)
  }

  hold(parent: Ino, name: string): Entry | undefined {
    const node = this.#folder(parent).children.get(name)
    return node === undefined ? undefined : this.#entry(node)
  }

  async getattr(ino: Ino, fh: number | undefined, caller: Caller): Promise<{ attr: Attr; timeoutMs: number }> {
    await this.#begin('getattr', caller)
    return { attr: this.#attr(fh === undefined ? this.#get(ino) : this.#handle(fh).node), timeoutMs: this.#options.entryTimeoutMs ?? 1000 }
  }

  async setattr(ino: Ino, change: AttrChange, fh: number | undefined, caller: Caller): Promise<{ attr: Attr; timeoutMs: number }> {
    await this.#begin('setattr', caller)
    const node = fh === undefined ? this.#get(ino) : this.#handle(fh).node
    const { mode, uid, gid, size, atime, mtime } = change
    if (size !== undefined) {
      if (node.type === 'folder') throw new FsError('EISDIR')
      this.#resize(node, size)
    }
    Object.assign(node, { ctime: now(), ...(mode !== undefined && { mode }), ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) })
    if (atime !== undefined) node.atime = atime === 'now' ? now() : atime
    if (mtime !== undefined) node.mtime = mtime === 'now' ? now() : mtime
    return { attr: this.#attr(node), timeoutMs: this.#options.entryTimeoutMs ?? 1000 }
  }

  async readlink(ino: Ino, caller: Caller): Promise<string> {
    await this.#begin('readlink', caller)
    return this.#get(ino).target
  }

  async symlink(parent: Ino, name: string, target: string, caller: Caller): Promise<Entry> {
    await this.#begin('symlink', caller, name)
    const node = this.#node('symlink', 0o777, caller)
    node.target = target
    node.size = Buffer.byteLength(target)
    return this.#add(parent, name, node)
  }

  async mkdir(parent: Ino, name: string, mode: number, caller: Caller): Promise<Entry> {
    await this.#begin('mkdir', caller, name)
    return this.#add(parent, name, this.#node('folder', mode, caller))
  }

  async mknod(parent: Ino, name: string, type: SpecialType, mode: number, caller: Caller): Promise<Entry> {
    await this.#begin('mknod', caller, name)
    return this.#add(parent, name, this.#node(type, mode, caller))
  }

  async unlink(parent: Ino, name: string, caller: Caller): Promise<void> {
    await this.#begin('unlink', caller, name)
    if (this.#child(parent, name).type === 'folder') throw new FsError('EISDIR')
    this.#remove(parent, name)
  }

  async rmdir(parent: Ino, name: string, caller: Caller): Promise<void> {
    await this.#begin('rmdir', caller, name)
    const node = this.#child(parent, name)
    if (node.type !== 'folder') throw new FsError('ENOTDIR')
    if (node.children.size > 0) throw new FsError('ENOTEMPTY')
    this.#remove(parent, name)
  }

  async rename(parent: Ino, name: string, newParent: Ino, newName: string, flags: RenameFlags, caller: Caller): Promise<void> {
    await this.#begin('rename', caller, name)
    const source = this.#child(parent, name)
    const target = this.#folder(newParent).children.get(newName)
    if (flags.noReplace === true && target !== undefined) throw new FsError('EEXIST')
    if (flags.exchange === true) return this.#exchange(this.#folder(parent), name, this.#folder(newParent), newName)
    if (target === source) return
    if (target !== undefined) {
      if (target.type === 'folder' && source.type !== 'folder') throw new FsError('EISDIR')
      if (target.type !== 'folder' && source.type === 'folder') throw new FsError('ENOTDIR')
      if (target.children.size > 0) throw new FsError('ENOTEMPTY')
      this.#remove(newParent, newName)
    }
    const from = this.#folder(parent)
    const to = this.#folder(newParent)
    from.children.delete(name)
    to.children.set(newName, source)
    if (source.type === 'folder') {
      from.nlink--
      to.nlink++
    }
    this.#touch(from)
    this.#touch(to)
  }

  #exchange(from: Node, name: string, to: Node, newName: string): void {
    const [one, other] = [from.children.get(name), to.children.get(newName)]
    if (one === undefined || other === undefined) throw new FsError('ENOENT')
    from.children.set(name, other)
    to.children.set(newName, one)
    const folders = (one.type === 'folder' ? 1 : 0) - (other.type === 'folder' ? 1 : 0)
    from.nlink -= folders
    to.nlink += folders
    this.#touch(from)
    this.#touch(to)
  }

  async link(ino: Ino, newParent: Ino, newName: string, caller: Caller): Promise<Entry> {
    await this.#begin('link', caller, newName)
    return this.#add(newParent, newName, this.#get(ino))
  }

  async create(parent: Ino, name: string, mode: number, flags: number, caller: Caller): Promise<Entry & { fh: number; keepCache: boolean }> {
    await this.#begin('create', caller, name)
    const existing = this.#folder(parent).children.get(name)
    if (existing !== undefined && (flags & O_EXCL) !== 0) throw new FsError('EEXIST')
    const entry = existing === undefined ? this.#add(parent, name, this.#node('file', mode, caller)) : this.#entry(existing)
    return { ...entry, ...this.#open(this.#child(parent, name), flags) }
  }

  async open(ino: Ino, flags: number, caller: Caller): Promise<{ fh: number; keepCache: boolean }> {
    await this.#begin('open', caller)
    const node = this.#get(ino)
    if (node.type === 'folder') throw new FsError('EISDIR')
    return this.#open(node, flags)
  }

  async read(_ino: Ino, fh: number, offset: number, size: number, caller: Caller): Promise<Buffer> {
    await this.#begin('read', caller)
    const { node } = this.#handle(fh)
    const data = Buffer.alloc(Math.max(0, Math.min(size, node.size - offset)))
    this.#pieces(offset, data.length, (index, from, to, at) => { node.pieces.get(index)?.copy(data, at, from, to) })
    return data
  }

  async write(_ino: Ino, fh: number, offset: number, data: Buffer, caller: Caller): Promise<number> {
    await this.#begin('write', caller)
    const { node, flags } = this.#handle(fh)
    if ((flags & O_ACCMODE) === O_RDONLY) throw new FsError('EBADF')
    return this.#put(node, (flags & O_APPEND) !== 0 ? node.size : offset, data)
  }

  #put(node: Node, start: number, data: Buffer): number {
    this.#pieces(start, data.length, (index, from, to, at) => {
      let piece = node.pieces.get(index)
      if (piece === undefined) node.pieces.set(index, piece = Buffer.alloc(PIECE))
      data.copy(piece, from, at, at + to - from)
    })
    node.size = Math.max(node.size, start + data.length)
    node.mtime = node.ctime = now()
    return data.length
  }

  async flush(_ino: Ino, fh: number, caller: Caller): Promise<void> {
    await this.#begin('flush', caller)
    this.#handle(fh)
  }

  async fsync(_ino: Ino, fh: number, _dataOnly: boolean, caller: Caller): Promise<void> {
    await this.#begin('fsync', caller)
    this.#handle(fh)
  }

  async release(_ino: Ino, fh: number): Promise<void> {
    await this.#begin('release')
    const { node } = this.#handle(fh)
    this.#files.delete(fh)
    this.#drop(node)
  }

  async opendir(ino: Ino, caller: Caller): Promise<OpenFolderResult> {
    await this.#begin('opendir', caller)
    const folder = this.#folder(ino)
    this.#folders.set(++this.#lastFh, [['.', folder], ['..', folder], ...folder.children])
    return { fh: this.#lastFh, cacheable: this.#options.cacheable === true, keepCache: this.#options.cacheable === true }
  }

  async readdir(_ino: Ino, fh: number, offset: number, max: number, caller: Caller): Promise<DirEntry[]> {
    await this.#begin('readdir', caller)
    const entries = this.#folders.get(fh)
    if (entries === undefined) throw new FsError('EBADF')
    return entries.slice(offset, offset + max).map(([name, node], index) => ({ name, attr: this.#attr(node), next: offset + index + 1 }))
  }

  releasedir(_ino: Ino, fh: number): void {
    this.#folders.delete(fh)
  }

  async fsyncdir(_ino: Ino, _fh: number, caller: Caller): Promise<void> {
    await this.#begin('fsyncdir', caller)
  }

  async statfs(): Promise<{ blockSize: number; blocks: number; blocksFree: number; files: number; filesFree: number; nameMax: number }> {
    await this.#begin('statfs')
    return { blockSize: 4096, blocks: 2 ** 34, blocksFree: 2 ** 33, files: 1_000_000, filesFree: 999_000, nameMax: 255 }
  }

  async getxattr(ino: Ino, name: string, caller: Caller): Promise<Buffer> {
    await this.#begin('getxattr', caller, name)
    const value = this.#get(ino).xattrs.get(name)
    if (value === undefined) throw new FsError('ENODATA')
    return value
  }

  async listxattr(ino: Ino, caller: Caller): Promise<string[]> {
    await this.#begin('listxattr', caller)
    return [...this.#get(ino).xattrs.keys()]
  }

  async setxattr(ino: Ino, name: string, value: Buffer, _flags: number, caller: Caller): Promise<void> {
    await this.#begin('setxattr', caller, name)
    this.#get(ino).xattrs.set(name, value)
  }

  async removexattr(ino: Ino, name: string, caller: Caller): Promise<void> {
    await this.#begin('removexattr', caller, name)
    if (!this.#get(ino).xattrs.delete(name)) throw new FsError('ENODATA')
  }

  async fallocate(_ino: Ino, fh: number, mode: number, offset: number, length: number, caller: Caller): Promise<void> {
    await this.#begin('fallocate', caller)
    const { node } = this.#handle(fh)
    if (mode !== 0) throw new FsError('EOPNOTSUPP')
    if (offset + length > node.size) this.#resize(node, offset + length)
  }

  async lseek(_ino: Ino, fh: number, offset: number, whence: 'data' | 'hole', caller: Caller): Promise<number> {
    await this.#begin('lseek', caller)
    const { node } = this.#handle(fh)
    if (offset >= node.size) throw new FsError('ENXIO')
    for (let at = offset; at < node.size; at = (Math.floor(at / PIECE) + 1) * PIECE) {
      if (node.pieces.has(Math.floor(at / PIECE)) === (whence === 'data')) return at
    }
    if (whence === 'data') throw new FsError('ENXIO')
    return node.size
  }

  async copyFileRange(from: FileRange, to: FileRange, length: number, caller: Caller): Promise<number> {
    await this.#begin('copyFileRange', caller)
    const source = this.#handle(from.fh).node
    const bytes = Math.max(0, Math.min(length, source.size - from.offset, 16 * PIECE))
    const data = Buffer.alloc(bytes)
    this.#pieces(from.offset, bytes, (index, start, end, at) => { source.pieces.get(index)?.copy(data, at, start, end) })
    return this.#put(this.#handle(to.fh).node, to.offset, data)
  }
}
