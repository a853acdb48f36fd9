/**
 * The operations of a filesystem (drivers/driver.ts), one method each. A driver speaks of inode numbers, whoever does the work of inodes: here one
 * becomes the other, each inode that an answer names is counted as known to the kernel, and after the end of the mount nothing is accepted. The
 * work is done by kind: names (name-operations.ts), open files (open-files.ts), open folders (open-folders.ts), attributes
 * (attributes.ts).
 *
 * Knows neither driver nor kernel. An operation either succeeds in whole or throws what errno.ts can name.
 */
import { Attributes, type AttributesDeps, type TimedAttr } from './attributes.js'
import type { AttrChange, Caller, DirEntry, Entry, FileRange, FileSystem, Ino, OpenFolderResult, OpenResult, RenameFlags, SpecialType, StatFs } from './drivers/driver.js'
import { FsError } from './errno.js'
import { FolderTimes } from './folder-times.js'
import type { Foreground } from './foreground.js'
import type { Inode } from './inodes.js'
import { NameOperations, type NameOperationsDeps } from './name-operations.js'
import { cleanName, NameRules, type NameRulesDeps } from './name-rules.js'
import { OpenFiles, type OpenFilesDeps } from './open-files.js'
import { OpenFolders, type OpenFoldersDeps } from './open-folders.js'
import { absent } from './tree.js'

const O_EXCL = 0o200

export type FilesystemDeps = AttributesDeps & NameRulesDeps & OpenFilesDeps & OpenFoldersDeps & Omit<NameOperationsDeps, 'rules' | 'times'> & {
  readonly foreground: Foreground
}

export class Filesystem implements FileSystem {
  private readonly deps: FilesystemDeps
  private readonly times: FolderTimes
  private readonly names: NameOperations
  private readonly files: OpenFiles
  private readonly folders: OpenFolders
  private readonly attributes: Attributes
  private over = false

  constructor(deps: FilesystemDeps) {
    this.deps = deps
    this.times = new FolderTimes(deps.tree)
    this.names = new NameOperations({ ...deps, rules: new NameRules(deps), times: this.times })
    this.files = new OpenFiles(deps)
    this.folders = new OpenFolders(deps)
    this.attributes = new Attributes(deps)
  }

  /**
   * Nothing is accepted any more: what would be acknowledged now could no longer be kept. (Not EINTR, which many programs take
   * for success when it comes from close.)
   */
  shut(): void {
    this.over = true
    this.times.keep()
    this.deps.ahead.close()
    this.files.shut()
    this.folders.shut()
  }

  get openHandles(): number {
    return this.files.count
  }

  // -- inodes by their names

  async lookup(parent: Ino, name: string, caller: Caller): Promise<Entry> {
    const folder = this.folder(parent)
    const clean = cleanName(name)
    const inode = await this.deps.tree.child(folder, clean, caller)
    if (inode !== undefined) return this.entry(inode, name)
    this.deps.tree.kernel.saidAbsent(folder, clean, name)
    throw absent(name)
  }

  get absentTimeoutMs(): number {
    return this.deps.tree.kernel.absentMs
  }

  hold(parent: Ino, name: string): Entry | undefined {
    const inode = this.deps.tree.listedChild(this.folder(parent), name)
    return inode === undefined ? undefined : this.entry(inode)
  }

  forget(ino: Ino, count: number): void {
    const inode = this.deps.tree.deps.inodes.get(ino)
    if (inode === undefined) return
    inode.lookups = Math.max(0, inode.lookups - count)
    this.deps.tree.deps.inodes.release(inode)
  }

  // -- names

  async mkdir(parent: Ino, name: string, mode: number, caller: Caller): Promise<Entry> {
    return this.entry(await this.names.mkdir(this.folder(parent), name, mode, caller), name)
  }

  async mknod(parent: Ino, name: string, type: SpecialType, mode: number, caller: Caller): Promise<Entry> {
    return this.entry(await this.names.mknod(this.folder(parent), name, type, mode, caller), name)
  }

  async symlink(parent: Ino, name: string, target: string, caller: Caller): Promise<Entry> {
    return this.entry(await this.names.symlink(this.folder(parent), name, target, caller), name)
  }

  readlink(ino: Ino): Promise<string> {
    const { symlink } = this.inode(ino)
    return symlink === undefined ? Promise.reject(new FsError('EINVAL', 'Not a symbolic link')) : Promise.resolve(symlink)
  }

  link(): Promise<Entry> {
    return Promise.reject(new FsError('EPERM', 'The server has no hard links'))
  }

  async unlink(parent: Ino, name: string, caller: Caller): Promise<void> {
    await this.names.unlink(this.folder(parent), name, caller)
  }

  async rmdir(parent: Ino, name: string, caller: Caller): Promise<void> {
    await this.names.rmdir(this.folder(parent), name, caller)
  }

  async rename(parent: Ino, name: string, newParent: Ino, newName: string, flags: RenameFlags, caller: Caller): Promise<void> {
    await this.names.rename(this.folder(parent), name, this.folder(newParent), newName, flags, caller)
  }

  // -- open files

  async create(parent: Ino, name: string, mode: number, flags: number, caller: Caller): Promise<Entry & OpenResult> {
    const { inode, made } = await this.names.create(this.folder(parent), name, mode, (flags & O_EXCL) !== 0, caller)
    const opened = made ? this.files.openNew(inode, flags) : await this.open(inode.ino, flags, caller)
    return { ...this.entry(inode, name), ...opened }
  }

  async open(ino: Ino, flags: number, caller: Caller): Promise<OpenResult> {
    return this.files.open(this.inode(ino), flags, caller)
  }

  read(_ino: Ino, fh: number, offset: number, size: number, caller: Caller): Promise<Buffer> {
    return this.files.read(fh, offset, size, caller)
  }

  readDone(data: Buffer): void {
    this.files.readDone(data)
  }

  write(_ino: Ino, fh: number, offset: number, data: Buffer): Promise<number> {
    this.deps.foreground.asked()
    return this.files.write(fh, offset, data)
  }

  flush(_ino: Ino, fh: number): Promise<void> {
    this.deps.foreground.asked()
    return this.files.flush(fh)
  }

  fsync(_ino: Ino, fh: number): Promise<void> {
    return this.files.fsync(fh)
  }

  release(_ino: Ino, fh: number): Promise<void> {
    this.files.release(fh)
    return Promise.resolve()
  }

  fallocate(_ino: Ino, fh: number, mode: number, offset: number, length: number): Promise<void> {
    return this.files.fallocate(fh, mode, offset, length)
  }

  lseek(_ino: Ino, fh: number, offset: number, whence: 'data' | 'hole'): Promise<number> {
    return this.files.lseek(fh, offset, whence)
  }

  copyFileRange(from: FileRange, to: FileRange, length: number, caller: Caller): Promise<number> {
    return this.files.copyFileRange(from, to, length, caller)
  }

  // -- open folders

  opendir(ino: Ino): Promise<OpenFolderResult> {
    return Promise.resolve(this.folders.open(this.folder(ino)))
  }

  readdir(_ino: Ino, fh: number, offset: number, max: number, caller: Caller): Promise<DirEntry[]> {
    return this.folders.read(fh, offset, max, caller)
  }

  releasedir(_ino: Ino, fh: number): void {
    this.folders.release(fh)
  }

  async fsyncdir(): Promise<void> {
    await this.deps.tree.deps.store.flushed()
  }

  // -- attributes

  async getattr(ino: Ino, fh: number | undefined, caller: Caller): Promise<TimedAttr> {
    return this.attributes.get(this.inode(ino), this.files.find(fh), caller)
  }

  async setattr(ino: Ino, change: AttrChange, fh: number | undefined): Promise<TimedAttr> {
    const inode = this.inode(ino)
    if (this.deps.readOnly) throw new FsError('EROFS')
    if (change.size !== undefined) await this.files.truncate(inode, change.size, fh)
    return this.attributes.set(inode, change)
  }

  async getxattr(ino: Ino, name: string, caller: Caller): Promise<Buffer> {
    return this.attributes.xattr(this.inode(ino), name, caller)
  }

  listxattr(ino: Ino): Promise<string[]> {
    return Promise.resolve(this.attributes.xattrs(this.inode(ino)))
  }

  setxattr(): Promise<void> {
    return Promise.reject(new FsError('EOPNOTSUPP', 'The server has no extended attributes'))
  }

  removexattr(): Promise<void> {
    return Promise.reject(new FsError('EOPNOTSUPP', 'The server has no extended attributes'))
  }

  statfs(ino: Ino): Promise<StatFs> {
    return Promise.resolve(this.attributes.statfs(this.inode(ino)))
  }

  // -- helpers

  private inode(ino: Ino): Inode {
    if (this.over) throw new FsError('ENOTCONN', 'The mount has ended')
    this.deps.foreground.asked()
    const inode = this.deps.tree.deps.inodes.get(ino)
    if (inode === undefined) throw new FsError('ESTALE', `Inode ${ino} is not known`)
    return inode
  }

  private folder(ino: Ino): Inode {
    const inode = this.inode(ino)
    if (inode.type !== 'folder') throw new FsError('ENOTDIR')
    return inode
  }

  /**
   * `name`: as the program spelled it. Another spelling of the name is not to be believed: what happens to the name happens to both.
   * Generation 0: an inode number never stands for a second node (inodes.ts).
   */
  private entry(inode: Inode, name = ''): Entry {
    inode.lookups++
    const ms = this.deps.tree.kernel.beliefMs(inode)
    return { attr: inode.attr(), generation: 0, entryTimeoutMs: name === name.normalize('NFC') ? ms : 0, attrTimeoutMs: ms }
  }
}
