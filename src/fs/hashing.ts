/**
 * Reading a local file by position: to send it, and to know its digests first.
 *
 * Digests of a large file are taken in a thread of its own: md5 takes 2 ms for each MiB, twice, and whoever works on the mount
 * meanwhile would wait for all of it on the main thread.
 */
import { type ContentDigest, Digester } from '../cells/digest.js'
import { TaskThread } from '../thread.js'
import type { Readable } from './draft-file.js'

const STEP = 1 << 20
/** Up to this size it is not worth the way to a thread, bytes. */
const AT_ONCE = 1 << 18

/** Bytes `[start, end)` of a file, a step at a time. */
export async function* readRange(handle: Readable, start: number, end: number, step = 1 << 18): AsyncGenerator<Buffer> {
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

/** Digests of `[0, size)`; the file must stay open, and must not change, until it resolves. */
export async function digestFile(handle: Readable, size: number): Promise<ContentDigest> {
  if (size > AT_ONCE) return thread.ask({ fd: handle.fd, size })
  const digester = new Digester()
  for await (const data of readRange(handle, 0, size, STEP)) digester.update(data)
  return digester.finish()
}

export interface DigestTask {
  readonly fd: number
  readonly size: number
}

const thread = new TaskThread<DigestTask, ContentDigest>(new URL('./digest-thread.js', import.meta.url))
