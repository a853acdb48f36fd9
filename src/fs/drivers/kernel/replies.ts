/**
 * Replies: what the engine answers, as bytes for the kernel. Each has room for the header in front, which the
 * session fills in (`seal`); content of files is sent from where it lies, as a part of its own.
 */
import { constants } from 'node:fs'
import type { Attr, DirEntry, Entry, FileType, OpenResult, StatFs } from '../driver.js'
import * as layouts from './layouts.js'
import { FOPEN, OUT_HEADER_BYTES } from './protocol.js'
import type { Struct } from './struct.js'

/** The first part begins with an unwritten header. */
export type Parts = readonly [Buffer, ...Buffer[]]

const TYPE: Readonly<Record<FileType, number>> = {
  file: constants.S_IFREG, folder: constants.S_IFDIR, symlink: constants.S_IFLNK, fifo: constants.S_IFIFO, socket: constants.S_IFSOCK,
}
/** d_type of readdir(3) is the file type of the mode, shifted. */
const DT_SHIFT = 12
/** st_blksize: what stdio and many tools read and write in one go. */
export const BLOCK_BYTES = 131_072
/** The unit of st_blocks, whatever the file system. */
const SECTOR_BYTES = 512
const NANOSECONDS = 1_000_000_000n

/** Header and structure in one piece. */
export function reply<T extends object>(layout: Struct<T>, value: T): Parts {
  const bytes = Buffer.allocUnsafe(OUT_HEADER_BYTES + layout.size)
  layout.encode(bytes, OUT_HEADER_BYTES, value)
  return [bytes]
}

export function emptyReply(): Parts {
  return [Buffer.allocUnsafe(OUT_HEADER_BYTES)]
}

export function dataReply(data: Buffer): Parts {
  return data.length === 0 ? emptyReply() : [Buffer.allocUnsafe(OUT_HEADER_BYTES), data]
}

/** Writes the header. `error` is a positive errno, 0 for success. */
export function seal(parts: Parts, unique: bigint, error = 0): Parts {
  layouts.OutHeader.encode(parts[0], 0, { length: parts.reduce((sum, part) => sum + part.length, 0), error: error === 0 ? 0 : -error, unique })
  return parts
}

/** Full st_mode. */
export function modeOf({ type, mode }: Attr): number {
  return TYPE[type] | mode
}

/** Seconds and nanoseconds, the latter never negative. */
export function splitTime(time: bigint): { sec: number; nsec: number } {
  const sec = Number(time / NANOSECONDS)
  const nsec = Number(time % NANOSECONDS)
  return nsec < 0 ? { sec: sec - 1, nsec: nsec + 1_000_000_000 } : { sec, nsec }
}

/** The other way round. */
export function joinTime(sec: number, nsec: number): bigint {
  return BigInt(sec) * NANOSECONDS + BigInt(nsec)
}

/** A wait as the kernel counts it. */
export function splitMs(ms: number): { sec: number; nsec: number } {
  const whole = Math.max(0, Math.floor(ms))
  return { sec: Math.floor(whole / 1000), nsec: whole % 1000 * 1_000_000 }
}

export function attrValues(attr: Attr): ReturnType<typeof layouts.AttrLayout.decode> {
  const [atime, mtime, ctime] = [splitTime(attr.atime), splitTime(attr.mtime), splitTime(attr.ctime)]
  return {
    ino: attr.ino, size: attr.size, blocks: Math.ceil(attr.size / SECTOR_BYTES), atime: atime.sec, mtime: mtime.sec, ctime: ctime.sec,
    atimeNsec: atime.nsec, mtimeNsec: mtime.nsec, ctimeNsec: ctime.nsec,
    mode: modeOf(attr), nlink: attr.nlink, uid: attr.uid, gid: attr.gid, rdev: 0, blksize: BLOCK_BYTES, flags: 0,
  }
}

function entryValues({ attr, generation, entryTimeoutMs, attrTimeoutMs }: Entry): ReturnType<typeof layouts.EntryOut.decode> {
  const [entry, attributes] = [splitMs(entryTimeoutMs), splitMs(attrTimeoutMs)]
  return {
    nodeid: attr.ino, generation, entryValid: entry.sec, attrValid: attributes.sec, entryValidNsec: entry.nsec, attrValidNsec: attributes.nsec,
    attr: attrValues(attr),
  }
}

export function entryReply(entry: Entry): Parts {
  return reply(layouts.EntryOut, entryValues(entry))
}

const NO_ATTR: ReturnType<typeof layouts.AttrLayout.decode> = {
  ino: 0, size: 0, blocks: 0, atime: 0, mtime: 0, ctime: 0, atimeNsec: 0, mtimeNsec: 0, ctimeNsec: 0,
  mode: 0, nlink: 0, uid: 0, gid: 0, rdev: 0, blksize: 0, flags: 0,
}

/** "No such name", which the kernel may believe for so long. */
export function absentReply(timeoutMs: number): Parts {
  const { sec, nsec } = splitMs(timeoutMs)
  return reply(layouts.EntryOut, { nodeid: 0, generation: 0, entryValid: sec, attrValid: 0, entryValidNsec: nsec, attrValidNsec: 0, attr: NO_ATTR })
}

export function attrReply(attr: Attr, timeoutMs: number): Parts {
  const { sec, nsec } = splitMs(timeoutMs)
  return reply(layouts.AttrOut, { valid: sec, validNsec: nsec, attr: attrValues(attr) })
}

/** STATX_BASIC_STATS and STATX_BTIME of statx(2). */
const STATX_BASIC = 0x7ff
const STATX_BTIME = 0x800

export function statxReply(attr: Attr, timeoutMs: number): Parts {
  const { sec, nsec } = splitMs(timeoutMs)
  return reply(layouts.StatxOut, {
    valid: sec, validNsec: nsec, flags: 0, mask: STATX_BASIC | (attr.btime === undefined ? 0 : STATX_BTIME),
    blksize: BLOCK_BYTES, attributes: 0, nlink: attr.nlink, uid: attr.uid, gid: attr.gid, mode: modeOf(attr),
    ino: attr.ino, size: attr.size, blocks: Math.ceil(attr.size / SECTOR_BYTES), attributesMask: 0,
    atime: splitTime(attr.atime), btime: splitTime(attr.btime ?? 0n), ctime: splitTime(attr.ctime), mtime: splitTime(attr.mtime),
    rdevMajor: 0, rdevMinor: 0, devMajor: 0, devMinor: 0,
  })
}

/** fuse_open_out of a file. `flags` are FOPEN bits. */
export function openReply(fh: number, flags: number): Parts {
  return reply(layouts.OpenOut, { fh, openFlags: flags })
}

export function openFlags({ keepCache, directIo }: OpenResult): number {
  return (keepCache ? FOPEN.keepCache : 0) | (directIo === true ? FOPEN.directIo : 0)
}

/** Reply to CREATE: an entry and an open file. */
export function createReply(entry: Entry, fh: number, flags: number): Parts {
  const bytes = Buffer.allocUnsafe(OUT_HEADER_BYTES + layouts.EntryOut.size + layouts.OpenOut.size)
  layouts.EntryOut.encode(bytes, OUT_HEADER_BYTES, entryValues(entry))
  layouts.OpenOut.encode(bytes, OUT_HEADER_BYTES + layouts.EntryOut.size, { fh, openFlags: flags })
  return [bytes]
}

export function statfsReply({ blockSize, blocks, blocksFree, files, filesFree, nameMax }: StatFs): Parts {
  return reply(layouts.StatfsOut, { blocks, bfree: blocksFree, bavail: blocksFree, files, ffree: filesFree, bsize: blockSize, namelen: nameMax, frsize: blockSize })
}

const align = (bytes: number): number => (bytes + 7) & ~7

/** A listing being filled up to the size that the kernel asked for. */
export class DirentWriter {
  readonly #bytes: Buffer
  #at = OUT_HEADER_BYTES

  /** `size`: what the kernel has room for. */
  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(OUT_HEADER_BYTES + size)
  }

  /** Appends a name; false when there is no room for it. */
  add(entry: DirEntry): boolean {
    return this.#add(entry, 0, undefined)
  }

  /**
   * Appends a name with its attributes. `hold` is called once the name is known to fit: its Entry counts a lookup. Without
   * one, the kernel gets the name alone and asks later.
   */
  addPlus(entry: DirEntry, hold: () => Entry | undefined): boolean {
    return this.#add(entry, layouts.EntryOut.size, hold)
  }

  #add({ name, attr, next }: DirEntry, head: number, hold: (() => Entry | undefined) | undefined): boolean {
    const namelen = Buffer.byteLength(name)
    const start = this.#at
    const end = start + align(head + layouts.Dirent.size + namelen)
    if (end > this.#bytes.length) return false
    const entry = hold?.()
    if (entry !== undefined) layouts.EntryOut.encode(this.#bytes, start, entryValues(entry))
    else this.#bytes.fill(0, start, start + head)
    layouts.Dirent.encode(this.#bytes, start + head, { ino: attr.ino, off: next, namelen, type: TYPE[attr.type] >> DT_SHIFT })
    const at = start + head + layouts.Dirent.size
    this.#bytes.write(name, at)
    this.#bytes.fill(0, at + namelen, end)
    this.#at = end
    return true
  }

  finish(): Parts {
    return [this.#bytes.subarray(0, this.#at)]
  }
}
