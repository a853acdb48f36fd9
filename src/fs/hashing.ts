/** Reading a local file by position: to send it, and to know its digests first. */
import type { FileHandle } from 'node:fs/promises'
import { type ContentDigest, Digester } from '../cells/digest.js'

const STEP = 1 << 20

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

export async function digestFile(handle: FileHandle, size: number): Promise<ContentDigest> {
  const digester = new Digester()
  for await (const data of readRange(handle, 0, size, STEP)) digester.update(data)
  return digester.finish()
}
