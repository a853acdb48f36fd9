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
  const [head] = parts
  let { length } = head
  for (let i = 1; i < parts.length; i++) length += parts[i]!.length
  // layouts.OutHeader by hand: it is written for each reply.
  head.writeUInt32LE(length, 0)
  head.writeInt32LE(-error, 4)
  head.writeBigUInt64LE(unique, 8)
  return parts
}

/** Full st_mode. */
export function modeOf({ type, mode }: Attr): number {
  return TYPE[type] | mode
}

let lastTime = 0n
let lastSplit = { sec: 0, nsec: 0 }

/** Seconds and nanoseconds, the latter never negative. A file's times are often all the same, and counting with bigints is dear. */
export function splitTime(time: bigint): { readonly sec: number; readonly nsec: number } {
  if (time === lastTime) return lastSplit
  const sec = Number(time / NANOSECONDS)
  const nsec = Number(time % NANOSECONDS)
  lastTime = time
  lastSplit = nsec < 0 ? { sec: sec - 1, nsec: nsec + 1_000_000_000 } : { sec, nsec }
  return lastSplit
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

const HIGH = 2 ** 32

/** 64 bits. @throws RangeError */
function setInteger(view: DataView, at: number, value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a 64-bit integer that can be sent`)
  const high = Math.floor(value / HIGH)
  view.setUint32(at, value - high * HIGH, true)
  view.setInt32(at + 4, high, true)
}

/**
 * layouts.EntryOut, written out by hand: a large listing has thousands of them, and this takes a fifth of the time. That both write
 * the same is tested.
 */
export function writeEntry(view: DataView, at: number, { attr, generation, entryTimeoutMs, attrTimeoutMs }: Entry): void {
  const [entry, attributes] = [splitMs(entryTimeoutMs), splitMs(attrTimeoutMs)]
  setInteger(view, at, attr.ino)
  setInteger(view, at + 8, generation)
  setInteger(view, at + 16, entry.sec)
  setInteger(view, at + 24, attributes.sec)
  view.setUint32(at + 32, entry.nsec, true)
  view.setUint32(at + 36, attributes.nsec, true)
  setInteger(view, at + 40, attr.ino)
  setInteger(view, at + 48, attr.size)
  setInteger(view, at + 56, Math.ceil(attr.size / SECTOR_BYTES))
  const { atime, mtime, ctime } = attr
  setTime(view, at + 64, at + 88, atime)
  setTime(view, at + 72, at + 92, mtime)
  setTime(view, at + 80, at + 96, ctime)
  view.setUint32(at + 100, modeOf(attr), true)
  view.setUint32(at + 104, attr.nlink, true)
  view.setUint32(at + 108, attr.uid, true)
  view.setUint32(at + 112, attr.gid, true)
  view.setUint32(at + 116, 0, true)
  view.setUint32(at + 120, BLOCK_BYTES, true)
  view.setUint32(at + 124, 0, true)
}

function setTime(view: DataView, at: number, nsecAt: number, time: bigint): void {
  const { sec, nsec } = splitTime(time)
  setInteger(view, at, sec)
  view.setUint32(nsecAt, nsec, true)
}

const align = (bytes: number): number => (bytes + 7) & ~7

/** A listing being filled up to the size that the kernel asked for. */
export class DirentWriter {
  readonly #bytes: Buffer
  readonly #view: DataView
  #at = OUT_HEADER_BYTES

  /** `size`: what the kernel has room for. */
  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(OUT_HEADER_BYTES + size)
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length)
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
    if (entry !== undefined) writeEntry(this.#view, start, entry)
    else this.#bytes.fill(0, start, start + head)
    const dirent = start + head
    setInteger(this.#view, dirent, attr.ino)
    setInteger(this.#view, dirent + 8, next)
    this.#view.setUint32(dirent + 16, namelen, true)
    this.#view.setUint32(dirent + 20, TYPE[attr.type] >> DT_SHIFT, true)
    const at = dirent + layouts.Dirent.size
    this.#bytes.write(name, at)
    this.#bytes.fill(0, at + namelen, end)
    this.#at = end
    return true
  }

  finish(): Parts {
    return [this.#bytes.subarray(0, this.#at)]
  }
}
