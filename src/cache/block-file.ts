/** A block as a file: a header that says what it is, then its content. */
import { closeSync, mkdirSync, openSync, renameSync, unlinkSync, writevSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'

export const BLOCK_SIZE = 1 << 20
export const HEADER_SIZE = 40
/** Length of the hex digest of the version that begins a block's id. */
export const DIGEST = 40
const MAGIC = 0x43465342 // 'CFSB'

/** magic, format, block number, length, checksum, digest of the version. */
export function header(id: string, index: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(HEADER_SIZE)
  head.writeUInt32BE(MAGIC, 0)
  head.writeUInt32BE(1, 4)
  head.writeUInt32BE(index, 8)
  head.writeUInt32BE(data.length, 12)
  head.writeUInt32BE(crc32(data), 16)
  head.write(id.slice(0, DIGEST), 20, 'hex')
  return head
}

export interface BlockToWrite {
  readonly id: string
  readonly index: number
  readonly data: Uint8Array
  /** Where it grows, and where it stands when it is whole; in one filesystem. */
  readonly temporary: string
  readonly file: string
}

/** Checksums and writes a block; waits for the disk. @throws errors of the disk, and leaves nothing behind then */
export function writeBlock({ id, index, data, temporary, file }: BlockToWrite): void {
  const fd = openSync(temporary, 'wx', 0o600)
  try {
    try {
      const head = header(id, index, data)
      if (writevSync(fd, [head, data]) !== head.length + data.length) throw Object.assign(new Error('The disk took a part of a block only'), { code: 'ENOSPC' })
    } finally {
      closeSync(fd)
    }
    try {
      renameSync(temporary, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      mkdirSync(dirname(file), { mode: 0o700, recursive: true })
      renameSync(temporary, file)
    }
  } catch (error) {
    try {
      unlinkSync(temporary)
    } catch {
      // The first error says it.
    }
    throw error
  }
}
