/**
 * Reading a local file by position: to send it, and to know its digests first.
 *
 * Digests of a large file are taken in threads: md5 takes 2 ms for each MiB, twice, and whoever works on the mount meanwhile would wait
 * for all of it on the main thread.
 */
import { type ContentDigest, Digester, HASH_BLOCK, hashOfBlocks } from '../cells/digest.js'
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

export interface FileDigest extends ContentDigest {
  /** Of a large one: md5s of its blocks (HASH_BLOCK). */
  readonly blocks?: readonly string[]
}

/** Digests of `[0, size)`; the file must stay open, and must not change, until it resolves. */
export async function digestFile(handle: Readable, size: number): Promise<FileDigest> {
  if (size > AT_ONCE) {
    const [[md5], blocks] = await Promise.all([wholes.ask({ fd: handle.fd, size, piece: size }), size <= HASH_BLOCK ? undefined : pieces.ask({ fd: handle.fd, size, piece: HASH_BLOCK })])
    return { size, md5: md5!, cellsHash: hashOfBlocks(blocks ?? [md5!]), ...(blocks === undefined ? {} : { blocks }) }
  }
  const digester = new Digester()
  for await (const data of readRange(handle, 0, size, STEP)) digester.update(data)
  return digester.finish()
}

export interface DigestTask {
  readonly fd: number
  readonly size: number
  /** Each piece of so many bytes has a digest. */
  readonly piece: number
}

const PROGRAM = new URL('./digest-thread.js', import.meta.url)
/** For the digest of a whole and for those of its blocks: they are as much work each. */
const wholes = new TaskThread<DigestTask, string[]>(PROGRAM)
const pieces = new TaskThread<DigestTask, string[]>(PROGRAM)
