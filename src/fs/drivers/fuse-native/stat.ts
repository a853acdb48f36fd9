/** Attributes in the number arrays that fuse-native.c reads (populate_stat, populate_statvfs). */
import { constants } from 'node:fs'
import type { Attr, FileType, StatFs } from '../driver.js'

const UINT32 = 4294967296
/** Fields of populate_stat. */
export const STAT_LENGTH = 18

const FORMAT: Readonly<Record<FileType, number>> = {
  file: constants.S_IFREG,
  folder: constants.S_IFDIR,
  symlink: constants.S_IFLNK,
  fifo: constants.S_IFIFO,
  socket: constants.S_IFSOCK,
}

/** All zero: what an error reply carries. */
export const NO_STAT = new Uint32Array(STAT_LENGTH)
export const NO_STATFS = new Uint32Array(11)

function putUint64(out: Uint32Array, index: number, value: number): void {
  const low = value % UINT32
  out[index] = low
  out[index + 1] = (value - low) / UINT32
}

/** Milliseconds, as the binding takes them. Its arithmetic is unsigned: times before 1970 become 0. */
function milliseconds(nanoseconds: bigint): number {
  return Math.max(0, Number(nanoseconds / 1_000_000n))
}

export function encodeStat(attr: Attr, out: Uint32Array = new Uint32Array(STAT_LENGTH)): Uint32Array {
  out[0] = FORMAT[attr.type] | attr.mode
  out[1] = attr.uid
  out[2] = attr.gid
  putUint64(out, 3, attr.size)
  out[6] = attr.nlink
  // 32 bits are all there is: larger numbers are folded. 0 would make readdir hide the entry.
  out[7] = attr.ino % UINT32 || 1
  out[9] = 4096
  putUint64(out, 10, Math.ceil(attr.size / 512))
  putUint64(out, 12, milliseconds(attr.atime))
  putUint64(out, 14, milliseconds(attr.mtime))
  putUint64(out, 16, milliseconds(attr.ctime))
  return out
}

/** Block counts are 32-bit here: a larger filesystem is told in larger blocks. */
export function encodeStatFs(stat: StatFs): Uint32Array {
  const cap = (value: number): number => Math.min(Math.max(0, Math.floor(value)), UINT32 - 1)
  let scale = 1
  while (stat.blocks / scale >= UINT32) scale *= 2
  const size = stat.blockSize * scale
  return Uint32Array.from([
    size, size, cap(stat.blocks / scale), cap(stat.blocksFree / scale), cap(stat.blocksFree / scale),
    cap(stat.files), cap(stat.filesFree), cap(stat.filesFree), 0, 0, cap(stat.nameMax),
  ])
}

export const fromHalves = (low: number, high: number): number => low + high * UINT32
