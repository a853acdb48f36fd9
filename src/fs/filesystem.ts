/**
 * The operations of a filesystem over the tree and the contents. Knows neither driver nor kernel; every
 * method is one operation of drivers/driver.ts, and either succeeds in whole or throws what errno.ts can name.
 *
 * A change takes effect here and is recorded on disk before it is answered; the server is told afterwards (uploader.ts). With
 * `writeThrough` the answer waits for the server.
 */
import { contentBuffers } from '../cache/buffer-pool.js'
import { hasFourByte, nameProblem } from '../cells/names.js'
import type { Logger } from '../log.js'
import type { Backups } from './backup.js'
import type { Confirmer } from './confirm.js'
import { Copies } from './copies.js'
import { type Contents, foldersOf, type Handle, nameKey } from './contents.js'
import type { Attr, AttrChange, Caller, DirEntry, Entry, FileRange, FileSystem, Ino, OpenFolderResult, OpenResult, RenameFlags, SpecialType, StatFs } from './drivers/driver.js'
import { FsError } from './errno.js'
import { HandleTable } from './handles.js'
import type { Inode } from './inodes.js'
import { isLocalOnly } from './localnames.js'
import type { Journal } from './journal.js'
import { saysNothing } from './patience.js'
import type { Removals } from './removals.js'
import { Renamer } from './rename.js'
import type { Specials } from './specials.js'
import { hasState } from './state.js'
import { absent, type Listed, type Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import type { Unlinks } from './unlinks.js'
import type { Uploader } from './uploader.js'
import type { WalkAhead } from './walkahead.js'
import { getXattr, listXattrs } from './xattrs.js'

const O_ACCMODE = 3
const O_EXCL = 0o200
const O_TRUNC = 0o1000
const O_APPEND = 0o2000

/** An empty file is sent this long after it was closed. */
const EMPTY_MS = 400

/** A folder's new time is recorded this much later. */
const TOUCH_MS = 250

/** The largest object that S3 knows, 5 TiB: a longer file could never be sent. */
const MAX_FILE = 5 * 2 ** 40

function checkSize(size: number): void {
  if (size < 0 || Number.isNaN(size)) throw new FsError('EINVAL', 'A size cannot be negative')
  if (size > MAX_FILE) throw new FsError('EFBIG', 'The server cannot hold a file of this size')
}

/** The name as the server has it (trap 11). */
function cleanName(name: string): string {
  const clean = name.normalize('NFC')
  if (Buffer.byteLength(clean) > 255) throw new FsError('ENAMETOOLONG', 'A name has at most 255 bytes')
  return clean
}

interface DirHandle {
  readonly inode: Inode
  snapshot: Listed[] | undefined
}

export interface FilesystemDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly confirmer: Confirmer
  readonly backups: Backups
  readonly journal: Journal
  readonly uploader: Uploader
  readonly removals: Removals
  readonly unlinks: Unlinks
  readonly specials: Specials
  readonly ahead: WalkAhead
  /** Names here, held while an operation changes them. */
  readonly names: TreeLock
  /** Names on the server, held while they are being changed there. */
  readonly locks: TreeLock
  /** A change is answered when the server has it, not when it is safe on this disk. */
  readonly writeThrough: boolean
  readonly readOnly: boolean
  /** The server keeps 4-byte UTF-8 in names. */
  readonly fourByteNames: () => boolean
  /** For `user.cells.state`. */
  readonly stateOf: (inode: Inode) => string | undefined
  readonly quota: (inode: Inode) => { total: number; used: number } | undefined
  readonly logger: Logger
}

export class Filesystem implements FileSystem {
  private readonly deps: FilesystemDeps
  private readonly handles = new HandleTable<Handle>()
  private readonly dirHandles = new HandleTable<DirHandle>()
  private readonly renamer: Renamer
  private readonly copies: Copies
  private over = false
  /** Folders whose time has changed and is not in the store yet. */
  private readonly touched = new Set<Inode>()
  private touchTimer: NodeJS.Timeout | undefined

  constructor(deps: FilesystemDeps) {
    this.deps = deps
    this.renamer = new Renamer(deps)
    this.copies = new Copies(deps)
  }

  /**
   * Nothing is accepted any more: what would be acknowledged now could no longer be kept. (Not EINTR, which many programs take
   * for success when it comes from close.)
   */
  shut(): void {
    this.over = true
    this.keepTouched()
    this.deps.ahead.close()
    this.handles.shut()
    this.dirHandles.shut()
  }

  get openHandles(): number {
    return this.handles.size
  }

  // -- names

  async lookup(parent: Ino, name: string, caller: Caller): Promise<Entry> {
    const folder = this.folder(parent)
    const clean = cleanName(name)
    const inode = await this.deps.tree.child(folder, clean, caller.signal)
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

  async mkdir(parent: Ino, name: string, mode: number, caller: Caller): Promise<Entry> {
    const { tree, journal, uploader } = this.deps
    const folder = this.folder(parent)
    const clean = this.checkNew(folder, name)
    const inode = await this.withNewName(folder, clean, caller, async () => {
      const made = tree.deps.inodes.create('folder', folder, clean, '', undefined, tree.ownership('folder'))
      made.mode = mode & 0o7777
      this.own(made, caller)
      this.stamp(made)
      folder.local.set(clean, made)
      // Made by us just now: empty, and known to be.
      tree.deps.metadata.setAll(made.ino, new Map(), tree.deps.metadata.now())
      journal.folder(made)
      await journal.flushed()
      uploader.add(made)
      return made
    })
    await this.through(inode)
    return this.entry(inode, name)
  }

  async mknod(parent: Ino, name: string, type: SpecialType, mode: number, caller: Caller): Promise<Entry> {
    const folder = this.folder(parent)
    const clean = this.checkNew(folder, name)
    return this.withNewName(folder, clean, caller, async () => {
      const inode = this.deps.specials.create(type, folder, clean, mode & 0o7777)
      this.own(inode, caller)
      this.stamp(inode)
      this.deps.specials.save(inode)
      await this.deps.tree.deps.store.flushed()
      return this.entry(inode, name)
    })
  }

  async unlink(parent: Ino, name: string, caller: Caller): Promise<void> {
    const folder = this.folder(parent)
    this.checkWritable(folder)
    const clean = cleanName(name)
    await this.changing([[folder, clean]], () => this.unlinkAt(folder, clean, name, caller))
    if (this.deps.writeThrough) await this.deps.unlinks.settled()
  }

  private async unlinkAt(folder: Inode, clean: string, name: string, caller: Caller): Promise<void> {
    const { tree, contents, backups, unlinks, specials, names, journal } = this.deps
    const release = await names.acquire({ shared: foldersOf(folder), exclusive: [nameKey(folder, clean)] }, caller.signal)
    try {
      const inode = await tree.child(folder, clean, caller.signal)
      if (inode === undefined) throw absent(name)
      if (inode.type === 'folder') throw new FsError('EISDIR', `${name} is a folder`)
      if (inode.readOnly) throw new FsError('EACCES', `${name} is read-only on the server`)
      const thaw = tree.freeze(inode)
      try {
        await contents.stopSending(inode)
        if (inode.onServer && !inode.localOnly && !await backups.deleted(inode)) {
          await contents.keepForReaders(inode, caller.signal)
          unlinks.add(inode.serverPlace!, inode)
        }
        specials.forget(inode)
        this.gone(folder, clean, inode)
      } finally {
        thaw()
      }
      if (inode.opens === 0) await contents.dropDraft(inode)
      await journal.flushed()
      this.touchFolder(folder)
    } finally {
      release()
    }
  }

  async rmdir(parent: Ino, name: string, caller: Caller): Promise<void> {
    const folder = this.folder(parent)
    this.checkWritable(folder)
    const clean = cleanName(name)
    await this.changing([[folder, clean]], () => this.rmdirAt(folder, clean, name, caller))
    if (this.deps.writeThrough) await this.deps.unlinks.settled()
  }

  private async rmdirAt(folder: Inode, clean: string, name: string, caller: Caller): Promise<void> {
    const { tree, contents, unlinks, names, journal } = this.deps
    const inode = await tree.child(folder, clean, caller.signal)
    if (inode === undefined) throw absent(name)
    if (inode.type !== 'folder') throw new FsError('ENOTDIR', `${name} is not a folder`)
    const release = await names.acquire({ shared: foldersOf(folder), exclusive: [nameKey(folder, clean), `d${inode.ino}`] }, caller.signal)
    const thaw = tree.freeze(inode)
    try {
      if (inode.parent !== folder || inode.unlinked) throw absent(name)
      if (inode.readOnly) throw new FsError('EACCES', `${name} is read-only on the server`)
      await this.provenEmpty(inode, caller.signal)
      await contents.stopSending(inode)
      const place = inode.onServer ? inode.serverPlace : undefined
      if (place !== undefined) {
        unlinks.add(place, inode, unlinks.coverBelow(inode))
        // What is still to be moved out of it finds its path.
        tree.hold(inode, place)
      }
      tree.deps.metadata.forget(inode.ino)
      inode.local.clear()
      this.gone(folder, clean, inode)
      await journal.flushed()
      this.touchFolder(folder)
    } finally {
      thaw()
      release()
    }
  }

  private async provenEmpty(inode: Inode, signal: AbortSignal | undefined): Promise<void> {
    const { tree } = this.deps
    if ([...inode.local.values()].some((it) => it !== null)) throw new FsError('ENOTEMPTY', `${inode.name} is not empty`)
    // The server deletes a folder with all that is in it: what somebody adds meanwhile is looked for again before it is told (deleted.ts).
    if ((await tree.listKnown(inode, signal)).length > 0) throw new FsError('ENOTEMPTY', `${inode.name} is not empty`)
  }

  /** After a delete: the name leads nowhere. */
  private gone(folder: Inode, name: string, inode: Inode): void {
    const { tree, confirmer, journal } = this.deps
    confirmer.drop(inode)
    if (inode.type !== 'folder') tree.hold(inode, undefined)
    folder.local.delete(name)
    tree.deps.inodes.detach(inode)
    tree.leave(folder, name)
    journal.move(inode)
    journal.folder(inode)
    this.deps.uploader.forget(inode)
    inode.ctime = BigInt(Date.now()) * 1_000_000n
  }

  async rename(parent: Ino, name: string, newParent: Ino, newName: string, flags: RenameFlags, caller: Caller): Promise<void> {
    const [from, to] = [this.folder(parent), this.folder(newParent)]
    this.checkWritable(from)
    const clean = cleanName(name)
    const target = this.checkNew(to, newName)
    // Three moves through a third name could do it, but not at once: others would see either file missing for seconds, and a crash in between
    // would leave a document under a name that nobody chose. Programs that exchange know what to do without.
    if (flags.exchange === true) throw new FsError('EINVAL', 'The server cannot exchange two names')
    const renamed = await this.changing([[from, clean], [to, target]], () => this.renamer.rename(from, clean, to, target, flags.noReplace === true, caller))
    this.deps.tree.kernel.otherSpellings(to, target)
    this.touchFolder(from)
    if (to !== from) this.touchFolder(to)
    // A backup's rename stays ours for a while in any case.
    if (renamed !== undefined && renamed.graceUntil === 0) await this.through(renamed)
  }

  /** With `writeThrough`, waits until the server has what the inode has. */
  private async through(inode: Inode): Promise<void> {
    if (this.deps.writeThrough) await this.deps.uploader.settle(inode)
  }

  link(): Promise<Entry> {
    return Promise.reject(new FsError('EPERM', 'The server has no hard links'))
  }

  async symlink(parent: Ino, name: string, target: string, caller: Caller): Promise<Entry> {
    const { contents } = this.deps
    const folder = this.folder(parent)
    const clean = this.checkNew(folder, name)
    const inode = await this.withNewName(folder, clean, caller, async () => {
      const made = await this.newFile('symlink', folder, clean, 0o777, caller)
      // On the server a link is a small file that holds its target; that it is a link is a local fact.
      await contents.change(made, undefined, (draft) => draft.write(0, Buffer.from(target)))
      made.symlink = target
      return made
    })
    await contents.secure(inode)
    await this.through(inode)
    return this.entry(inode, name)
  }

  readlink(ino: Ino): Promise<string> {
    const { symlink } = this.inode(ino)
    return symlink === undefined ? Promise.reject(new FsError('EINVAL', 'Not a symbolic link')) : Promise.resolve(symlink)
  }

  // -- attributes

  async getattr(ino: Ino, fh: number | undefined, caller: Caller): Promise<{ attr: Attr; timeoutMs: number }> {
    const inode = this.inode(ino)
    const { kernel } = this.deps.tree
    const handle = this.handles.find(fh)
    // The file as this handle shows it; the next one to ask may see another.
    const size = handle && this.deps.contents.sizeBehind(handle)
    if (size !== undefined) return { attr: { ...inode.attr(), size }, timeoutMs: 0 }
    if ((handle === undefined || kernel.live) && inode !== this.deps.tree.deps.inodes.root) {
      try {
        await this.deps.tree.revalidate(inode, caller.signal)
      } catch (error) {
        // What was known a moment ago is a better answer than an error about the network (design, invariant 8).
        if (!saysNothing(error)) throw error
      }
    }
    return { attr: inode.attr(), timeoutMs: kernel.beliefMs(inode) }
  }

  async setattr(ino: Ino, change: AttrChange, fh: number | undefined): Promise<{ attr: Attr; timeoutMs: number }> {
    const inode = this.inode(ino)
    if (this.deps.readOnly) throw new FsError('EROFS')
    if (change.size !== undefined) await this.truncate(inode, change.size, fh)
    const now = BigInt(Date.now()) * 1_000_000n
    if (change.mode !== undefined) inode.mode = change.mode & 0o7777
    if (change.uid !== undefined) inode.uid = change.uid
    if (change.gid !== undefined) inode.gid = change.gid
    if (change.atime !== undefined) inode.atime = change.atime === 'now' ? now : change.atime
    if (change.mtime !== undefined) inode.mtime = change.mtime === 'now' ? now : change.mtime
    inode.ctime = now
    this.keepFacts(inode)
    await this.deps.tree.deps.store.committed()
    return { attr: inode.attr(), timeoutMs: this.deps.tree.kernel.beliefMs(inode) }
  }

  private async truncate(inode: Inode, size: number, fh: number | undefined): Promise<void> {
    if (inode.type === 'folder') throw new FsError('EISDIR')
    if (inode.special) throw new FsError('EINVAL', 'Has no size')
    if (inode.readOnly) throw new FsError('EACCES', 'The file is read-only on the server')
    checkSize(size)
    const handle = this.handles.find(fh)
    await this.deps.contents.change(inode, handle, (draft) => draft.truncate(size))
    // Nobody will close it.
    if (handle === undefined && inode.writers === 0) await this.save(inode)
  }

  private keepFacts(inode: Inode): void {
    const { store } = this.deps.tree.deps
    if (inode.special) this.deps.specials.save(inode)
    const version = inode.type === 'folder' ? undefined : inode.draft === undefined ? inode.version?.etag : inode.expected?.md5
    if (inode.uuid === '') this.deps.journal.folder(inode)
    else store.updateFacts(inode.uuid, { ...inode.facts(), ...(version === undefined ? {} : { version }) })
    if (inode.draft !== undefined && inode.recordId !== undefined) {
      const record = store.drafts.get(inode.recordId)
      if (record !== undefined) store.saveDraft({ ...record, facts: inode.facts() })
    }
  }

  // -- files

  async create(parent: Ino, name: string, mode: number, flags: number, caller: Caller): Promise<Entry & OpenResult> {
    const { contents } = this.deps
    const folder = this.folder(parent)
    const clean = this.checkNew(folder, name)
    const existing = await this.deps.tree.child(folder, clean, caller.signal)
    if (existing !== undefined && (flags & O_EXCL) === 0) {
      const opened = await this.open(existing.ino, flags, caller)
      return { ...this.entry(existing, name), ...opened }
    }
    const inode = await this.withNewName(folder, clean, caller, () => this.newFile('file', folder, clean, mode & 0o7777, caller))
    const { handle, ...pages } = contents.open(inode, { write: true, append: (flags & O_APPEND) !== 0 })
    return { ...this.entry(inode, name), fh: this.handles.add(handle), ...pages }
  }

  /** Runs a change of names. When it fails the kernel goes on believing what it did, and that may be why it failed. */
  private async changing<T>(places: ReadonlyArray<readonly [Inode, string]>, change: () => Promise<T>): Promise<T> {
    try {
      return await change()
    } catch (error) {
      for (const [folder, name] of places) this.deps.tree.kernel.name(folder, name)
      throw error
    }
  }

  /** Runs `make` with the name held and proven free. @throws FsError EEXIST */
  private async withNewName<T>(folder: Inode, name: string, caller: Caller, make: () => Promise<T>): Promise<T> {
    const made = await this.changing([[folder, name]], () => this.withHeldName(folder, name, caller, make))
    this.deps.tree.kernel.otherSpellings(folder, name)
    return made
  }

  private async withHeldName<T>(folder: Inode, name: string, caller: Caller, make: () => Promise<T>): Promise<T> {
    const { tree, names } = this.deps
    const release = await names.acquire({ shared: foldersOf(folder), exclusive: [nameKey(folder, name)] }, caller.signal)
    try {
      if (await tree.child(folder, name, caller.signal) !== undefined) throw new FsError('EEXIST', `${name} exists`)
      const stale = folder.children.get(name)
      if (stale !== undefined) tree.deps.inodes.detach(stale)
      const made = await make()
      this.touchFolder(folder)
      return made
    } finally {
      release()
    }
  }

  private async newFile(type: 'file' | 'symlink', folder: Inode, name: string, mode: number, caller: Caller): Promise<Inode> {
    const { tree, contents } = this.deps
    const inode = tree.deps.inodes.create(type, folder, name, '', undefined, tree.ownership(type))
    inode.mode = mode
    inode.localOnly = isLocalOnly(name, tree.foldersAbove(folder))
    this.own(inode, caller)
    this.stamp(inode)
    folder.local.set(name, inode)
    try {
      await contents.beginNew(inode)
      return inode
    } catch (error) {
      tree.leave(folder, name)
      tree.deps.inodes.detach(inode)
      throw error
    }
  }

  async open(ino: Ino, flags: number, caller: Caller): Promise<OpenResult> {
    const inode = this.inode(ino)
    if (inode.type === 'folder') throw new FsError('EISDIR')
    if (inode.special) throw new FsError('ENXIO', 'The kernel opens it')
    const write = (flags & O_ACCMODE) !== 0
    if (write && this.deps.readOnly) throw new FsError('EROFS')
    if (write && inode.readOnly) throw new FsError('EACCES', 'The file is read-only on the server')
    return this.deps.tree.deps.inodes.pinned([inode], () => this.openPresent(inode, write, flags, caller))
  }

  private async openPresent(inode: Inode, write: boolean, flags: number, caller: Caller): Promise<OpenResult> {
    try {
      await this.deps.tree.revalidate(inode, caller.signal)
    } catch (error) {
      if (!saysNothing(error)) throw error
    }
    if ((flags & O_TRUNC) === 0) await this.deps.contents.finished(inode, caller.signal)
    if (!write) this.deps.ahead.opened(inode)
    const { handle, ...pages } = this.deps.contents.open(inode, { write, append: (flags & O_APPEND) !== 0 })
    if ((flags & O_TRUNC) !== 0 && write) {
      try {
        await this.deps.contents.change(inode, handle, (draft) => draft.truncate(0))
      } catch (error) {
        this.deps.contents.release(handle)
        throw error
      }
    }
    return { fh: this.handles.add(handle), ...pages }
  }

  async read(_ino: Ino, fh: number, offset: number, size: number, caller: Caller): Promise<Buffer> {
    return this.deps.contents.read(this.handles.get(fh), offset, size, caller.signal)
  }

  readDone(data: Buffer): void {
    contentBuffers.give(data)
  }

  async write(_ino: Ino, fh: number, offset: number, data: Buffer, _caller: Caller): Promise<number> {
    const handle = this.handles.get(fh)
    if (!handle.write) throw new FsError('EBADF', 'Not open for writing')
    checkSize(offset + data.length)
    await this.deps.contents.change(handle.inode, handle, (draft) => draft.write(handle.append ? 'end' : offset, data))
    return data.length
  }

  async flush(_ino: Ino, fh: number): Promise<void> {
    const { write, inode } = this.handles.get(fh)
    if (write && inode.dirty) await this.save(inode)
  }

  async fsync(_ino: Ino, fh: number): Promise<void> {
    const { inode } = this.handles.get(fh)
    if (inode.dirty || inode.localOnly) await this.save(inode, true)
    await this.deps.tree.deps.store.flushed()
  }

  /**
   * What a close or an fsync promises. An empty content waits a little longer: a shell's `> file` (and dd, and tar) closes a copy
   * of the descriptor before anything is written, and a 2.x server takes 1.5 s for an empty body.
   */
  private async save(inode: Inode, lasting = false): Promise<void> {
    await this.deps.contents.secure(inode, { ...(inode.size === 0 && { delayMs: this.deps.tree.pause(EMPTY_MS) }), lasting })
    if (inode.size > 0) await this.through(inode)
  }

  release(_ino: Ino, fh: number): Promise<void> {
    const handle = this.handles.remove(fh)
    if (handle !== undefined) this.deps.contents.release(handle)
    return Promise.resolve()
  }

  async fallocate(_ino: Ino, fh: number, mode: number, offset: number, length: number): Promise<void> {
    const handle = this.handles.get(fh)
    checkSize(offset + length)
    if (mode !== 0 && mode !== 1) throw new FsError('EOPNOTSUPP', 'Only plain allocation is supported')
    if (mode === 0 && offset + length > handle.inode.size) {
      await this.deps.contents.change(handle.inode, handle, (draft) => draft.truncate(Math.max(draft.size, offset + length)))
    }
  }

  lseek(_ino: Ino, fh: number, offset: number, whence: 'data' | 'hole'): Promise<number> {
    const handle = this.handles.get(fh)
    const size = this.deps.contents.sizeBehind(handle) ?? handle.inode.size
    const { draft } = handle.inode
    // The server's files have no holes but the one behind their end.
    const found = offset >= size ? undefined : draft !== undefined && size === draft.size ? draft.seek(offset, whence) : whence === 'data' ? offset : size
    return found === undefined ? Promise.reject(new FsError('ENXIO', 'Beyond the last data')) : Promise.resolve(found)
  }

  async copyFileRange(from: FileRange, to: FileRange, length: number, caller: Caller): Promise<number> {
    const target = this.handles.get(to.fh)
    if (!target.write) throw new FsError('EBADF', 'Not open for writing')
    if (from.offset !== 0 || to.offset !== 0) throw new FsError('EOPNOTSUPP', 'The server copies whole files')
    return this.copies.copy(this.handles.get(from.fh), target, length, caller.signal)
  }

  // -- folders

  opendir(ino: Ino): Promise<OpenFolderResult> {
    const inode = this.folder(ino)
    const { kernel } = this.deps.tree
    const fh = this.dirHandles.add({ inode, snapshot: undefined })
    if (!kernel.live) return Promise.resolve({ fh })
    const keepCache = kernel.mayKeepListing(inode) && inode.listingKept === inode.listingChanges
    inode.listingKept = inode.listingChanges
    return Promise.resolve({ fh, cacheable: true, keepCache })
  }

  async readdir(_ino: Ino, fh: number, offset: number, max: number, caller: Caller): Promise<DirEntry[]> {
    const handle = this.dirHandles.get(fh)
    if (offset === 0 || handle.snapshot === undefined) {
      const { inode } = handle
      const above = inode.parent ?? inode
      const entries = await this.deps.tree.list(inode, caller.signal)
      this.deps.ahead.listed(inode)
      handle.snapshot = [{ name: '.', attr: inode.attr() }, { name: '..', attr: above.attr() }, ...entries]
    }
    return handle.snapshot.slice(offset, offset + max).map(({ name, attr }, index) => ({ name, attr, next: offset + index + 1 }))
  }

  releasedir(_ino: Ino, fh: number): void {
    const handle = this.dirHandles.remove(fh)
    if (handle !== undefined) this.deps.tree.deps.inodes.release(handle.inode)
  }

  async fsyncdir(): Promise<void> {
    await this.deps.tree.deps.store.flushed()
  }

  // -- the rest

  statfs(ino: Ino): Promise<StatFs> {
    const blockSize = 4096
    // A server without a quota has no number to give: large, so that no program refuses to write.
    const quota = this.deps.quota(this.inode(ino)) ?? { total: 2 ** 50, used: 0 }
    const blocks = Math.floor(quota.total / blockSize)
    const blocksFree = Math.max(0, Math.floor((quota.total - quota.used) / blockSize))
    return Promise.resolve({ blockSize, blocks, blocksFree, files: 2 ** 32, filesFree: 2 ** 31, nameMax: 255 })
  }

  async getxattr(ino: Ino, name: string, caller: Caller): Promise<Buffer> {
    const inode = this.inode(ino)
    // Sent a moment ago: the server knows its Uuid, we do not yet.
    if (name === 'user.cells.uuid' && inode.uuid === '' && inode.onServer && inode.parent !== undefined) {
      const at = this.deps.tree.deps.metadata.now()
      const node = await this.deps.tree.deps.server.stat(this.deps.tree.pathOf(inode), { signal: caller.signal })
      if (node !== undefined && inode.uuid === '') this.deps.tree.deps.inodes.setUuid(inode, node.uuid)
      if (node !== undefined && !inode.unlinked) this.deps.tree.learn(inode.parent, inode.name, node, at)
    }
    return getXattr(inode, inode.unlinked ? '' : this.deps.tree.pathOf(inode), name, this.deps.stateOf)
  }

  listxattr(ino: Ino): Promise<string[]> {
    const inode = this.inode(ino)
    return Promise.resolve(listXattrs(inode, inode.unlinked ? '' : this.deps.tree.pathOf(inode), hasState(inode)))
  }

  setxattr(): Promise<void> {
    return Promise.reject(new FsError('EOPNOTSUPP', 'The server has no extended attributes'))
  }

  removexattr(): Promise<void> {
    return Promise.reject(new FsError('EOPNOTSUPP', 'The server has no extended attributes'))
  }

  // -- helpers

  private inode(ino: Ino): Inode {
    if (this.over) throw new FsError('ENOTCONN', 'The mount has ended')
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

  private checkWritable(folder: Inode): void {
    const { root } = this.deps.tree.deps.inodes
    if (this.deps.readOnly) throw new FsError('EROFS')
    if (folder === root && this.deps.tree.deps.remote === '') throw new FsError('EPERM', 'Workspaces are made and removed by an administrator of the server')
    if (folder.readOnly) throw new FsError('EACCES', 'The folder is read-only on the server')
    if (folder.unlinked) throw new FsError('ENOENT', 'The folder has been deleted')
  }

  /** The name as the server will hold it. @throws FsError for what it cannot hold, before anything is sent */
  private checkNew(folder: Inode, name: string): string {
    this.checkWritable(folder)
    const clean = cleanName(name)
    if (isLocalOnly(clean, this.deps.tree.foldersAbove(folder))) return clean
    // What a driver could not decode arrives as U+FFFD.
    if (clean.includes('\ufffd')) throw this.refuse('EILSEQ', name, 'the name is not valid UTF-8')
    const problem = nameProblem(clean, { fourByte: this.deps.fourByteNames() })
    if (problem !== undefined) throw this.refuse(hasFourByte(clean) ? 'EILSEQ' : 'EINVAL', name, problem)
    return clean
  }

  private refuse(code: 'EINVAL' | 'EILSEQ', name: string, problem: string): FsError {
    this.deps.logger.warn('name refused', { name, problem })
    return new FsError(code, `${JSON.stringify(name)}: ${problem}`)
  }

  private own(inode: Inode, caller: Caller): void {
    inode.uid = caller.uid
    inode.gid = caller.gid
  }

  private stamp(inode: Inode): void {
    const now = BigInt(Date.now()) * 1_000_000n
    inode.atime = now
    inode.mtime = now
    inode.ctime = now
  }

  private touchFolder(folder: Inode): void {
    const now = BigInt(Date.now()) * 1_000_000n
    folder.mtime = now
    folder.ctime = now
    if (folder.uuid === '' || this.touched.has(folder)) return
    folder.pins++
    this.touched.add(folder)
    this.touchTimer ??= setTimeout(() => this.keepTouched(), TOUCH_MS).unref()
  }

  /** Their times go to the store together: a record for each file that is made in a folder would double the work of its close. */
  private keepTouched(): void {
    const { store, inodes } = this.deps.tree.deps
    clearTimeout(this.touchTimer)
    this.touchTimer = undefined
    for (const folder of this.touched) {
      store.updateFacts(folder.uuid, folder.facts())
      folder.pins--
      inodes.release(folder)
    }
    this.touched.clear()
  }
}

