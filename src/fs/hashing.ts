/**
 * The two digests of a content, in one pass over a local file: the md5 that a 2.x server shows as ETag, and
 * `x-cells-hash` of later ones: md5 over the raw md5s of blocks of 10 MiB (newer-servers 3.4).
 */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'

const HASH_BLOCK = 10 * 1024 * 1024
const STEP = 1 << 20

export interface Digests {
  readonly md5: string
  readonly hash: string
}

/** Bytes `[start, end)` of a file, a step at a time. */
export async function* readRange(handle: FileHandle, start: number, end: number, step = 1 << 18): AsyncGenerator<Buffer> {
  for (let at = start; at < end;) {
    const buffer = Buffer.allocUnsafe(Math.min(step, end - at))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    // The end of a sparse file: the rest is a hole.
    if (bytesRead === 0) buffer.fill(0)
    const data = bytesRead === 0 ? buffer : buffer.subarray(0, bytesRead)
    at += data.length
    yield data
  }
}

export async function digestFile(handle: FileHandle, size: number): Promise<Digests> {
  const whole = createHash('md5')
  const outer = createHash('md5')
  let at = 0
  do {
    const end = Math.min(size, at + HASH_BLOCK)
    const block = createHash('md5')
    for await (const data of readRange(handle, at, end, STEP)) {
      whole.update(data)
      block.update(data)
    }
    outer.update(block.digest())
    at = end
  } while (at < size)
  return { md5: whole.digest('hex'), hash: outer.digest('hex') }
}
