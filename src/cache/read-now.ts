/**
 * Reads of local files that do not wait: preadv2(2) with RWF_NOWAIT gives what the kernel has in memory, and says EAGAIN instead
 * of going to the disk. A read through libuv's threads costs five times as much as the copying of 4 KiB itself, and a
 * synchronous read could hold the whole process up on a slow disk.
 *
 * Called through koffi, an optional package. Without it, on another system, or where the file system cannot do it, nothing can be
 * read at once, and the caller goes the long way.
 */
import { createRequire } from 'node:module'

/** Bytes read into `target` from `position`, 0 when it would have to wait or cannot. */
export type ReadNow = (fd: number, target: Buffer, position: number) => number

const RWF_NOWAIT = 8

let loaded: ReadNow | undefined

export function loadReadNow(): ReadNow {
  return loaded ??= load()
}

interface Koffi {
  load(path: null): { func(prototype: string): (...args: unknown[]) => unknown }
  address(value: Buffer): bigint
}

function load(): ReadNow {
  if (process.platform !== 'linux') return () => 0
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    const preadv2 = koffi.load(null).func('intptr_t preadv2(int fd, const void* vector, int count, int64_t offset, int flags)')
    // One struct iovec; the call ends before anybody else can use it.
    const vector = Buffer.alloc(16)
    return (fd, target, position) => {
      vector.writeBigUInt64LE(koffi.address(target), 0)
      vector.writeBigUInt64LE(BigInt(target.length), 8)
      return Math.max(0, preadv2(fd, vector, 1, position, RWF_NOWAIT) as number)
    }
  } catch {
    return () => 0
  }
}
