/**
 * Decoder of `Content-Encoding: aws-chunked` bodies: `size[;chunk-signature=hex]\r\n data \r\n ... 0 ... \r\n` and, for the
 * trailer variants, header lines after the last chunk. Bytes go out as they come; a chunk's signature is checked when
 * the chunk has ended, and a wrong one throws before the body is complete, so nothing of it is ever stored.
 */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'

export class ChunkError extends Error {
  override readonly name = 'ChunkError'
  /** `signature`: a chunk does not match; `malformed`: not aws-chunked at all; `short`: the body ended early. */
  readonly reason: 'signature' | 'malformed' | 'short'

  constructor(reason: 'signature' | 'malformed' | 'short', message: string) {
    super(message)
    this.reason = reason
  }
}

export interface ChunkedOptions {
  /** Given the hex sha256 of a chunk's data and the signature that came with it: is it right? Absent: unsigned chunks. */
  readonly verify?: (chunkSha256: string, signature: string) => boolean
  /** Told about trailing header lines. */
  readonly onTrailer?: (name: string, value: string) => void
}

/** A chunk header is short; more than this without a line end is not one. */
const MAX_LINE = 8 * 1024

export async function* decodeAwsChunked(source: AsyncIterable<Buffer>, options: ChunkedOptions = {}): AsyncGenerator<Buffer> {
  let buffer: Buffer = Buffer.alloc(0)
  let state: 'header' | 'data' | 'after-data' | 'trailer' | 'done' = 'header'
  let left = 0
  let signature = ''
  let hash: Hash | undefined

  const line = (): string | undefined => {
    const end = buffer.indexOf('\r\n')
    if (end < 0) {
      if (buffer.length > MAX_LINE) throw new ChunkError('malformed', 'chunk header is too long')
      return undefined
    }
    const text = buffer.subarray(0, end).toString('latin1')
    buffer = buffer.subarray(end + 2)
    return text
  }
  const check = (): void => {
    if (options.verify && hash && !options.verify(hash.digest('hex'), signature)) throw new ChunkError('signature', 'chunk signature does not match')
    hash = undefined
  }

  for await (const piece of source) {
    buffer = buffer.length === 0 ? piece : Buffer.concat([buffer, piece])
    for (let more = true; more; ) {
      more = false
      if (state === 'header') {
        const text = line()
        if (text === undefined) break
        const match = /^([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(text)
        if (!match || (options.verify && match[2] === undefined)) throw new ChunkError('malformed', 'bad chunk header')
        left = parseInt(match[1] ?? '', 16)
        signature = match[2] ?? ''
        if (options.verify) hash = createHash('sha256')
        if (left === 0) {
          check()
          state = 'trailer'
        } else state = 'data'
        more = true
      } else if (state === 'data') {
        if (buffer.length === 0) break
        const data = buffer.subarray(0, left)
        buffer = buffer.subarray(data.length)
        left -= data.length
        hash?.update(data)
        if (left === 0) state = 'after-data'
        more = true
        yield data
      } else if (state === 'after-data') {
        if (buffer.length < 2) break
        if (buffer[0] !== 13 || buffer[1] !== 10) throw new ChunkError('malformed', 'chunk is longer than it says')
        buffer = buffer.subarray(2)
        check()
        state = 'header'
        more = true
      } else if (state === 'trailer') {
        const text = line()
        if (text === undefined) break
        const colon = text.indexOf(':')
        if (text === '') state = 'done'
        else if (colon > 0) options.onTrailer?.(text.slice(0, colon).toLowerCase().trim(), text.slice(colon + 1).trim())
        more = true
      }
    }
  }
  // The last empty line may be missing: several clients leave it out after a bare final chunk.
  if (state !== 'done' && state !== 'trailer') throw new ChunkError('short', 'body ended inside a chunk')
}
