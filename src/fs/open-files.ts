/**
 * The operations on open files: handles, and the bytes read and written through them. What a handle shows, contents.ts decides; here is
 * what each operation promises. A close and an fsync are answered when the content is safe on this disk; with `writeThrough`, when the
 * server has it.
 */
import { contentBuffers } from '../cache/buffer-pool.js'
import { type CopyDeps, Copies } from './copies.js'
import type { Handle } from './contents.js'
import type { Caller, FileRange, OpenResult } from './drivers/driver.js'
import type { Durability } from './durability.js'
import { FsError } from './errno.js'
import { HandleTable } from './handles.js'
import type { Inode } from './inodes.js'
import { finished } from './next-version.js'
import { checkUsable } from './pages.js'
import { saysNothing } from './patience.js'
import type { Uploader } from './uploader.js'
import type { WalkAhead } from './walkahead.js'

const O_ACCMODE = 3
const O_TRUNC = 0o1000
const O_APPEND = 0o2000

/** An empty file is sent this long after it was closed, milliseconds. */
const EMPTY_MS = 400

/** The largest object that S3 knows, 5 TiB: a longer file could never be sent. */
const MAX_FILE = 5 * 2 ** 40

export interface OpenFilesDeps extends CopyDeps {
  readonly durability: Durability
  readonly uploader: Uploader
  readonly ahead: WalkAhead
  /** A change is answered when the server has it, not when it is safe on this disk. */
  readonly writeThrough: boolean
  readonly readOnly: boolean
}

export class OpenFiles {
  private readonly deps: OpenFilesDeps
  private readonly handles = new HandleTable<Handle>()
  private readonly copies: Copies

  constructor(deps: OpenFilesDeps) {
    this.deps = deps
    this.copies = new Copies(deps)
  }

  get count(): number {
    return this.handles.size
  }

  find(fh: number | undefined): Handle | undefined {
    return this.handles.find(fh)
  }

  /** From now on no handle is good for anything but being closed. */
  shut(): void {
    this.handles.shut()
  }

  // -- opening and closing

  /** `flags` as in open(2). */
  async open(inode: Inode, flags: number, caller: Caller): Promise<OpenResult> {
    if (inode.type === 'folder') throw new FsError('EISDIR')
    if (inode.special) throw new FsError('ENXIO', 'The kernel opens it')
    const write = (flags & O_ACCMODE) !== 0
    if (write && this.deps.readOnly) throw new FsError('EROFS')
    if (write && inode.readOnly) throw new FsError('EACCES', 'The file is read-only on the server')
    return this.deps.tree.deps.inodes.pinned([inode], () => this.openPresent(inode, write, flags, caller))
  }

  private async openPresent(inode: Inode, write: boolean, flags: number, caller: Caller): Promise<OpenResult> {
    try {
      await this.deps.tree.revalidate(inode, caller)
    } catch (error) {
      if (!saysNothing(error)) throw error
    }
    if ((flags & O_TRUNC) === 0) await finished(this.deps.tree, inode, caller.signal)
    if (!write) this.deps.ahead.opened(inode)
    const { handle, ...pages } = this.deps.contents.open(inode, { write, append: (flags & O_APPEND) !== 0 })
    if ((flags & O_TRUNC) !== 0 && write) {
      try {
        await this.deps.contents.change(inode, handle, (draft) => draft.truncate(0), { needsBase: false })
      } catch (error) {
        this.deps.contents.release(handle)
        throw error
      }
    }
    return { fh: this.handles.add(handle), ...pages }
  }

  /** A file that was made a moment ago, by the program that opens it: there is nothing to ask. */
  openNew(inode: Inode, flags: number): OpenResult {
    const { handle, ...pages } = this.deps.contents.open(inode, { write: true, append: (flags & O_APPEND) !== 0 })
    return { fh: this.handles.add(handle), ...pages }
  }

  release(fh: number): void {
    const handle = this.handles.remove(fh)
    if (handle !== undefined) this.deps.contents.release(handle)
  }

  // -- bytes

  async read(fh: number, offset: number, size: number, caller: Caller): Promise<Buffer> {
    return this.deps.contents.read(this.handles.get(fh), offset, size, caller.signal)
  }

  /** Nobody has a view of what `read` gave any more. */
  readDone(data: Buffer): void {
    contentBuffers.give(data)
  }

  async write(fh: number, offset: number, data: Buffer): Promise<number> {
    const handle = this.handles.get(fh)
    if (!handle.write) throw new FsError('EBADF', 'Not open for writing')
    checkSize(offset + data.length)
    // As in POSIX: nothing happens, and nothing is to be sent.
    if (data.length === 0) return 0
    await this.deps.contents.change(handle.inode, handle, (draft) => draft.write(handle.append ? 'end' : offset, data))
    return data.length
  }

  /** `fh`: the file may be open, or not. */
  async truncate(inode: Inode, size: number, fh: number | undefined): Promise<void> {
    if (inode.type === 'folder') throw new FsError('EISDIR')
    if (inode.special) throw new FsError('EINVAL', 'Has no size')
    if (inode.readOnly) throw new FsError('EACCES', 'The file is read-only on the server')
    checkSize(size)
    const handle = this.handles.find(fh)
    await this.deps.contents.change(inode, handle, (draft) => draft.truncate(size), { needsBase: size > 0 })
    // Nobody will close it.
    if (handle === undefined && inode.writers === 0) await this.save(inode)
  }

  async fallocate(fh: number, mode: number, offset: number, length: number): Promise<void> {
    const handle = this.handles.get(fh)
    checkSize(offset + length)
    if (mode !== 0 && mode !== 1) throw new FsError('EOPNOTSUPP', 'Only plain allocation is supported')
    if (mode === 0 && offset + length > handle.inode.size) {
      await this.deps.contents.change(handle.inode, handle, (draft) => draft.truncate(Math.max(draft.size, offset + length)))
    }
  }

  lseek(fh: number, offset: number, whence: 'data' | 'hole'): Promise<number> {
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

  // -- making safe

  /** Each close(2) of a descriptor. */
  async flush(fh: number): Promise<void> {
    const handle = this.handles.get(fh)
    const { write, inode } = handle
    checkUsable(handle)
    if (write && inode.dirty) await this.save(inode)
  }

  async fsync(fh: number): Promise<void> {
    const handle = this.handles.get(fh)
    const { inode } = handle
    checkUsable(handle)
    if (inode.dirty || inode.localOnly) await this.save(inode, true)
    await this.deps.tree.deps.store.flushed()
  }

  /**
   * What a close or an fsync promises. An empty content waits a little longer: a shell's `> file` (and dd, and tar) closes a copy
   * of the descriptor before anything is written, and a 2.x server takes 1.5 s for an empty body.
   */
  private async save(inode: Inode, lasting = false): Promise<void> {
    const { durability, tree, uploader, writeThrough } = this.deps
    await durability.secure(inode, { ...(inode.size === 0 && { delayMs: tree.pause(EMPTY_MS) }), lasting })
    if (writeThrough && inode.size > 0) await uploader.settle(inode)
  }
}

function checkSize(size: number): void {
  if (size < 0 || Number.isNaN(size)) throw new FsError('EINVAL', 'A size cannot be negative')
  if (size > MAX_FILE) throw new FsError('EFBIG', 'The server cannot hold a file of this size')
}
