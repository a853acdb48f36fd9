/** The structures of linux/fuse.h, fields in their order. Sizes are checked by layouts.test.ts. */
import { readU64, struct } from './struct.js'

export const InHeader = struct('in_header', {
  length: 'u32', opcode: 'u32', unique: 'id', nodeid: 'u64', uid: 'u32', gid: 'u32', pid: 'u32',
  /** Extensions behind the body, in units of 8 bytes (7.38). */
  extensions: 'u16', _: 2,
}, (source, at) => ({
  length: source.readUInt32LE(at), opcode: source.readUInt32LE(at + 4), unique: source.readBigUInt64LE(at + 8), nodeid: readU64(source, at + 16),
  uid: source.readUInt32LE(at + 24), gid: source.readUInt32LE(at + 28), pid: source.readUInt32LE(at + 32), extensions: source.readUInt16LE(at + 36),
}))
export const OutHeader = struct('out_header', { length: 'u32', error: 'i32', unique: 'id' })

// -- bodies of requests

/** Up to 7.35 a kernel sends the first four fields only. */
export const InitIn = struct('init_in', { major: 'u32', minor: 'u32', maxReadahead: 'u32', flags: 'u32' })
export const InitInExtension = struct('init_in', { flags2: 'u32', _: 44 })
export const ForgetIn = struct('forget_in', { nlookup: 'u64' })
export const BatchForgetIn = struct('batch_forget_in', { count: 'u32', _: 4 })
export const ForgetOne = struct('forget_one', { nodeid: 'u64', nlookup: 'u64' })
export const GetattrIn = struct('getattr_in', { flags: 'u32', _: 4, fh: 'u64' })
export const SetattrIn = struct('setattr_in', {
  valid: 'u32', _: 4, fh: 'u64', size: 'u64', lockOwner: 'id', atime: 'i64', mtime: 'i64', ctime: 'i64',
  atimeNsec: 'u32', mtimeNsec: 'u32', ctimeNsec: 'u32', mode: 'u32', _1: 4, uid: 'u32', gid: 'u32', _2: 4,
})
export const MknodIn = struct('mknod_in', { mode: 'u32', rdev: 'u32', umask: 'u32', _: 4 })
export const MkdirIn = struct('mkdir_in', { mode: 'u32', umask: 'u32' })
export const RenameIn = struct('rename_in', { newdir: 'u64' })
export const Rename2In = struct('rename2_in', { newdir: 'u64', flags: 'u32', _: 4 })
export const LinkIn = struct('link_in', { oldnodeid: 'u64' })
export const OpenIn = struct('open_in', { flags: 'u32', openFlags: 'u32' })
export const CreateIn = struct('create_in', { flags: 'u32', mode: 'u32', umask: 'u32', openFlags: 'u32' })
export const ReadIn = struct('read_in', { fh: 'u64', offset: 'u64', size: 'u32', readFlags: 'u32', lockOwner: 'id', flags: 'u32', _: 4 }, (source, at) => ({
  fh: readU64(source, at), offset: readU64(source, at + 8), size: source.readUInt32LE(at + 16), readFlags: source.readUInt32LE(at + 20),
  lockOwner: source.readBigUInt64LE(at + 24), flags: source.readUInt32LE(at + 32),
}))
export const WriteIn = struct('write_in', { fh: 'u64', offset: 'u64', size: 'u32', writeFlags: 'u32', lockOwner: 'id', flags: 'u32', _: 4 }, (source, at) => ({
  fh: readU64(source, at), offset: readU64(source, at + 8), size: source.readUInt32LE(at + 16), writeFlags: source.readUInt32LE(at + 20),
  lockOwner: source.readBigUInt64LE(at + 24), flags: source.readUInt32LE(at + 32),
}))
export const ReleaseIn = struct('release_in', { fh: 'u64', flags: 'u32', releaseFlags: 'u32', lockOwner: 'id' })
export const FlushIn = struct('flush_in', { fh: 'u64', _: 8, lockOwner: 'id' })
export const FsyncIn = struct('fsync_in', { fh: 'u64', flags: 'u32', _: 4 })
/** The short form, without FUSE_SETXATTR_EXT. */
export const SetxattrIn = struct('setxattr_in', { size: 'u32', flags: 'u32' })
export const GetxattrIn = struct('getxattr_in', { size: 'u32', _: 4 })
export const AccessIn = struct('access_in', { mask: 'u32', _: 4 })
export const InterruptIn = struct('interrupt_in', { unique: 'id' })
export const FallocateIn = struct('fallocate_in', { fh: 'u64', offset: 'u64', length: 'u64', mode: 'u32', _: 4 })
export const LseekIn = struct('lseek_in', { fh: 'u64', offset: 'u64', whence: 'u32', _: 4 })
export const CopyFileRangeIn = struct('copy_file_range_in', {
  fhIn: 'u64', offsetIn: 'u64', nodeidOut: 'u64', fhOut: 'u64', offsetOut: 'u64', length: 'u64', flags: 'u64',
})
export const StatxIn = struct('statx_in', { flags: 'u32', _: 4, fh: 'u64', sxFlags: 'u32', sxMask: 'u32' })

// -- bodies of replies

export const InitOut = struct('init_out', {
  major: 'u32', minor: 'u32', maxReadahead: 'u32', flags: 'u32', maxBackground: 'u16', congestionThreshold: 'u16',
  maxWrite: 'u32', timeGran: 'u32', maxPages: 'u16', mapAlignment: 'u16', flags2: 'u32', _: 28,
})
export const AttrLayout = struct('attr', {
  ino: 'u64', size: 'u64', blocks: 'u64', atime: 'i64', mtime: 'i64', ctime: 'i64',
  atimeNsec: 'u32', mtimeNsec: 'u32', ctimeNsec: 'u32', mode: 'u32', nlink: 'u32', uid: 'u32', gid: 'u32', rdev: 'u32', blksize: 'u32', flags: 'u32',
})
export const EntryOut = struct('entry_out', {
  nodeid: 'u64', generation: 'u64', entryValid: 'u64', attrValid: 'u64', entryValidNsec: 'u32', attrValidNsec: 'u32', attr: AttrLayout,
})
export const AttrOut = struct('attr_out', { valid: 'u64', validNsec: 'u32', _: 4, attr: AttrLayout })
export const OpenOut = struct('open_out', { fh: 'u64', openFlags: 'u32', _: 4 })
export const WriteOut = struct('write_out', { size: 'u32', _: 4 })
export const StatfsOut = struct('statfs_out', {
  blocks: 'u64', bfree: 'u64', bavail: 'u64', files: 'u64', ffree: 'u64', bsize: 'u32', namelen: 'u32', frsize: 'u32', _: 28,
})
export const GetxattrOut = struct('getxattr_out', { size: 'u32', _: 4 })
export const LseekOut = struct('lseek_out', { offset: 'u64' })
export const CopyFileRangeOut = struct('copy_file_range_out', { bytesCopied: 'u64' })
export const Dirent = struct('dirent', { ino: 'u64', off: 'u64', namelen: 'u32', type: 'u32' })
export const SxTime = struct('sx_time', { sec: 'i64', nsec: 'u32', _: 4 })
export const StatxOut = struct('statx_out', {
  valid: 'u64', validNsec: 'u32', flags: 'u32', _: 16,
  mask: 'u32', blksize: 'u32', attributes: 'u64', nlink: 'u32', uid: 'u32', gid: 'u32', mode: 'u16', _1: 2,
  ino: 'u64', size: 'u64', blocks: 'u64', attributesMask: 'u64', atime: SxTime, btime: SxTime, ctime: SxTime, mtime: SxTime,
  rdevMajor: 'u32', rdevMinor: 'u32', devMajor: 'u32', devMinor: 'u32', _2: 112,
})

// -- bodies of notices

/** A negative offset: attributes only. Length 0: to the end. */
export const InvalInodeOut = struct('notify_inval_inode_out', { ino: 'u64', offset: 'i64', length: 'i64' })
export const InvalEntryOut = struct('notify_inval_entry_out', { parent: 'u64', namelen: 'u32', flags: 'u32' })
export const DeleteOut = struct('notify_delete_out', { parent: 'u64', child: 'u64', namelen: 'u32', _: 4 })
