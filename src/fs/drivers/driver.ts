/**
 * The seam between the engine and whatever carries its operations to a kernel.
 *
 * The engine speaks inodes and handles and knows no driver; a driver knows no server. A driver calls
 * FileSystem, turns a thrown error into an errno with `toErrno` (../errno.ts) and replies exactly once.
 */

/** Inode number; 1 is the root. Never reused while a kernel may hold it. */
export type Ino = number
export const ROOT_INO: Ino = 1

export type FileType = 'file' | 'folder' | 'symlink' | SpecialType
/** Names whose content the kernel itself carries: nothing is ever opened, read or written through a driver. */
export type SpecialType = 'fifo' | 'socket'

/** Attributes of an inode. Times are nanoseconds since the epoch. */
export interface Attr {
  readonly ino: Ino
  readonly type: FileType
  /** Permission bits only (0o7777); the driver adds S_IFMT from `type`. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly atime: bigint
  readonly mtime: bigint
  readonly ctime: bigint
  /** When the file was made, where that is known. */
  readonly btime?: bigint
}

/** Answer to lookup and to everything that makes a name. Counts as one lookup of `attr.ino` until `forget`. */
export interface Entry {
  readonly attr: Attr
  readonly generation: number
  /** How long the kernel may believe name and attributes without asking, milliseconds. */
  readonly entryTimeoutMs: number
  readonly attrTimeoutMs: number
}

export interface DirEntry {
  readonly name: string
  readonly attr: Attr
  /** Cookie to continue after this entry. */
  readonly next: number
}

/** Who asks. `signal` fires when the caller was interrupted or its deadline has passed. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly signal?: AbortSignal
}

/** Fields to change; absent ones stay. 'now' takes the engine's clock. */
export interface AttrChange {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly atime?: bigint | 'now'
  readonly mtime?: bigint | 'now'
}

export interface OpenResult {
  readonly fh: number
  /** Pages of an earlier open are still those of this version. */
  readonly keepCache: boolean
  /** The kernel keeps no pages for this handle: it is open on another version than other handles of the inode. */
  readonly directIo?: boolean
}

export interface OpenFolderResult {
  readonly fh: number
  /** The kernel may keep the listing (absent: no) ... */
  readonly cacheable?: boolean
  /** ... and the one it has is still right. */
  readonly keepCache?: boolean
}

export interface RenameFlags {
  readonly noReplace?: boolean
  readonly exchange?: boolean
}

export interface StatFs {
  readonly blockSize: number
  readonly blocks: number
  readonly blocksFree: number
  readonly files: number
  readonly filesFree: number
  readonly nameMax: number
}

/** The operations of a filesystem. All may throw FsError or CellsError; anything else is a bug and becomes EIO. */
export interface FileSystem {
  lookup(parent: Ino, name: string, caller: Caller): Promise<Entry>
  /** `count` lookups are no longer held by the kernel. */
  forget(ino: Ino, count: number): void
  getattr(ino: Ino, fh: number | undefined, caller: Caller): Promise<{ attr: Attr; timeoutMs: number }>
  setattr(ino: Ino, change: AttrChange, fh: number | undefined, caller: Caller): Promise<{ attr: Attr; timeoutMs: number }>
  readlink(ino: Ino, caller: Caller): Promise<string>
  symlink(parent: Ino, name: string, target: string, caller: Caller): Promise<Entry>
  mkdir(parent: Ino, name: string, mode: number, caller: Caller): Promise<Entry>
  mknod(parent: Ino, name: string, type: SpecialType, mode: number, caller: Caller): Promise<Entry>
  unlink(parent: Ino, name: string, caller: Caller): Promise<void>
  rmdir(parent: Ino, name: string, caller: Caller): Promise<void>
  rename(parent: Ino, name: string, newParent: Ino, newName: string, flags: RenameFlags, caller: Caller): Promise<void>
  link(ino: Ino, newParent: Ino, newName: string, caller: Caller): Promise<Entry>
  /** `flags` are open(2) flags as Linux numbers them. EEXIST with O_EXCL. */
  create(parent: Ino, name: string, mode: number, flags: number, caller: Caller): Promise<Entry & OpenResult>
  open(ino: Ino, flags: number, caller: Caller): Promise<OpenResult>
  /** Shorter than `size` only at the end of the file. */
  read(ino: Ino, fh: number, offset: number, size: number, caller: Caller): Promise<Buffer>
  /** All of `data` or a throw. With O_APPEND handles `offset` is ignored. `data` may be reused by the caller afterwards. */
  write(ino: Ino, fh: number, offset: number, data: Buffer, caller: Caller): Promise<number>
  /** Each close(2) of a descriptor. When it resolves the content is safe (design, invariant 1). */
  flush(ino: Ino, fh: number, caller: Caller): Promise<void>
  fsync(ino: Ino, fh: number, dataOnly: boolean, caller: Caller): Promise<void>
  /** Last reference of the handle is gone. Never throws. */
  release(ino: Ino, fh: number): Promise<void>
  opendir(ino: Ino, caller: Caller): Promise<OpenFolderResult>
  /** Entries after cookie `offset` (0: from the start, '.' and '..' first), at most `max`; [] at the end. A snapshot per opendir, rewound by offset 0. */
  readdir(ino: Ino, fh: number, offset: number, max: number, caller: Caller): Promise<DirEntry[]>
  releasedir(ino: Ino, fh: number): void
  fsyncdir(ino: Ino, fh: number, caller: Caller): Promise<void>
  /** Answers without the network. */
  statfs(ino: Ino, caller: Caller): Promise<StatFs>
  getxattr(ino: Ino, name: string, caller: Caller): Promise<Buffer>
  listxattr(ino: Ino, caller: Caller): Promise<string[]>
  setxattr(ino: Ino, name: string, value: Buffer, flags: number, caller: Caller): Promise<void>
  removexattr(ino: Ino, name: string, caller: Caller): Promise<void>
  fallocate(ino: Ino, fh: number, mode: number, offset: number, length: number, caller: Caller): Promise<void>

  // -- What only some drivers can use, and an engine may leave out.

  /** `data` came from `read`, its bytes are where they belong, and the driver keeps no view of it: the memory may be used again. */
  readDone?(data: Buffer): void
  /** What `lookup` would say of a name that a listing has just given, at once; counts as one. Undefined: not known any more. */
  hold?(parent: Ino, name: string): Entry | undefined
  /** How long a driver may believe that a name which `lookup` refused with ENOENT is not there, milliseconds. */
  readonly absentTimeoutMs?: number
  /** lseek(2) with SEEK_DATA or SEEK_HOLE. ENXIO beyond the end. */
  lseek?(ino: Ino, fh: number, offset: number, whence: 'data' | 'hole', caller: Caller): Promise<number>
  /** Copies at most `length` bytes and says how many. EOPNOTSUPP: the program copies through read and write. */
  copyFileRange?(from: FileRange, to: FileRange, length: number, caller: Caller): Promise<number>
}

export interface FileRange {
  readonly ino: Ino
  readonly fh: number
  readonly offset: number
}

/**
 * What a driver can tell the kernel on the engine's behalf. Absent methods: the driver cannot. All return at once and never throw; the
 * kernel is told soon, in the background.
 */
export interface KernelNotices {
  /** Content and attributes have changed, or a folder's listing. */
  invalidateInode?(ino: Ino): void
  /** The kernel has not carried out the last `invalidateInode` of this inode yet: it may hold old pages. */
  stillHolds?(ino: Ino): boolean
  /** Attributes only: cached content is still right. */
  invalidateAttributes?(ino: Ino): void
  /** The name leads elsewhere now, or somewhere for the first time. */
  invalidateEntry?(parent: Ino, name: string): void
  /** The name is gone from the server, also under programs that use it. */
  removed?(parent: Ino, ino: Ino, name: string): void
  /** Nothing is certain any more: all names are asked for again. */
  invalidateAll?(): void
}

export interface MountOptions {
  readonly mountpoint: string
  readonly fsname: string
  readonly allowOther: boolean
  readonly readOnly: boolean
  /** No program can be started from it. Default no. */
  readonly noExec?: boolean
  readonly debug: boolean
  /** Kernel driver: the kernel collects writes and owns size and times of files that are being written. Default no. */
  readonly writeback?: boolean
  /** Kernel driver: the mount goes when this process dies, instead of answering ENOTCONN. Default no. */
  readonly autoUnmount?: boolean
}

export interface Mounted {
  readonly notices: KernelNotices
  /** Asks the kernel to unmount; resolves when it is done. @throws FsError EBUSY while in use */
  unmount(options?: { lazy?: boolean }): Promise<void>
  /** Resolves when the mount has ended, for whatever reason (someone ran umount). */
  readonly ended: Promise<void>
}

export interface Driver {
  readonly name: 'fuse-native' | 'kernel'
  /** Resolves when the kernel has the mount and the first request can be answered. @throws MountError, one sentence for a person */
  mount(fs: FileSystem, options: MountOptions): Promise<Mounted>
}
