/**
 * Numbers of the FUSE kernel protocol, 7.31 to 7.45 (linux/fuse.h): operation codes, flags, sizes.
 * What the kernel offers in FUSE_INIT stands in features.ts.
 */

export const MAJOR = 7
/** Linux 5.4. Older kernels are refused: their structures are shorter. */
export const MIN_MINOR = 31
/** The newest minor whose structures are known here. */
export const MAX_MINOR = 45

export const IN_HEADER_BYTES = 40
export const OUT_HEADER_BYTES = 16
/** The largest WRITE and READ: 256 pages, the most an ordinary kernel takes. */
export const MAX_TRANSFER_BYTES = 1_048_576
/** What a read of the device must have room for: the largest WRITE with its header, or the longest names. */
export const READ_BUFFER_BYTES = MAX_TRANSFER_BYTES + 4_096

/** NAME_MAX of Linux. The kernel itself lets longer names of FUSE file systems through. */
export const NAME_MAX_BYTES = 255

export const OPCODES = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  statx: 52,
  copyFileRange64: 53,
} as const
export type OpName = keyof typeof OPCODES

/** Codes of what the server tells the kernel unasked, in the error field of a header whose unique is 0. */
export const NOTICES = { invalInode: 2, invalEntry: 3, delete: 6, incEpoch: 8 } as const

/** fuse_setattr_in.valid */
export const FATTR = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  fh: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killSuidgid: 1 << 11,
} as const

/** fuse_open_out.open_flags */
export const FOPEN = { directIo: 1 << 0, keepCache: 1 << 1, cacheDir: 1 << 3, noflush: 1 << 5 } as const

/** fuse_getattr_in.getattr_flags */
export const GETATTR_FH = 1
/** fuse_open_in.open_flags, fuse_create_in.open_flags */
export const OPEN_KILL_SUIDGID = 1
/** fuse_write_in.write_flags: from the page cache (the handle is any that may write), and: the caller's write ends setuid. */
export const WRITE = { cache: 1 << 0, killSuidgid: 1 << 2 } as const
/** fuse_fsync_in.fsync_flags */
export const FSYNC_DATA_ONLY = 1
/** fuse_notify_inval_entry_out.flags (7.38): the entry is asked for again, mounts and users below it stay. */
export const EXPIRE_ONLY = 1

/** renameat2(2) */
export const RENAME = { noReplace: 1, exchange: 2 } as const
