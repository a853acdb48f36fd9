import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChunkError, decodeAwsChunked } from './aws-chunked.js'
import type { ChunkedOptions } from './aws-chunked.js'

const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

/** Encodes with a "signature" that is just the chunk's hash. */
function encode(chunks: readonly Buffer[], signed: boolean, trailer: string): Buffer {
  const head = (data: Buffer): string => `${data.length.toString(16)}${signed ? `;chunk-signature=${sha(data)}` : ''}\r\n`
  const parts = chunks.filter(chunk => chunk.length > 0).flatMap(chunk => [Buffer.from(head(chunk)), chunk, Buffer.from('\r\n')])
  return Buffer.concat([...parts, Buffer.from(head(Buffer.alloc(0))), Buffer.from(trailer), Buffer.from('\r\n')])
}

async function* pieces(body: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    const to = Math.min(cut, body.length)
    if (to > from) yield body.subarray(from, to)
    from = Math.max(from, to)
  }
  await Promise.resolve()
  if (from < body.length) yield body.subarray(from)
}

async function decode(body: Buffer, cuts: readonly number[], options: ChunkedOptions = {}): Promise<Buffer> {
  const out: Buffer[] = []
  for await (const data of decodeAwsChunked(pieces(body, cuts), options)) out.push(data)
  return Buffer.concat(out)
}

const data = fc.array(fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)), { maxLength: 6 })
const cuts = fc.array(fc.nat({ max: 2500 }), { maxLength: 12 })
const verify: ChunkedOptions = { verify: (hash, signature) => hash === signature }

test('any chunks in any pieces come out whole', async () => {
  await fc.assert(fc.asyncProperty(data, cuts, fc.boolean(), async (chunks, at, signed) => {
    const trailers: string[] = []
    const body = encode(chunks, signed, signed ? '' : 'x-amz-checksum-crc32:NhCmhg==\r\n')
    const out = await decode(body, at, { ...(signed ? verify : {}), onTrailer: (name, value) => trailers.push(`${name}=${value}`) })
    assert.deepEqual(out, Buffer.concat(chunks))
    assert.deepEqual(trailers, signed ? [] : ['x-amz-checksum-crc32=NhCmhg=='])
  }))
})

test('a changed byte of a signed body never passes as data', async () => {
  await fc.assert(fc.asyncProperty(data, fc.nat(), fc.integer({ min: 1, max: 255 }), async (chunks, where, flip) => {
    const good = encode(chunks, true, '')
    const bad = Buffer.from(good)
    const at = where % bad.length
    bad[at] = (bad[at] ?? 0) ^ flip
    const out = await decode(bad, [], verify).catch((error: unknown) => error)
    // A change behind the last signature (or of the case of a hex digit) may be overlooked, one of the data may not.
    if (!(out instanceof ChunkError)) assert.deepEqual(out, Buffer.concat(chunks))
  }), { numRuns: 300 })
})

test('a body that ends early, garbage and an endless header are errors', async () => {
  const good = encode([Buffer.from('hello')], false, '')
  await assert.rejects(decode(good.subarray(0, 5), []), { reason: 'short' })
  await assert.rejects(decode(Buffer.from('hello world\r\n'), []), { reason: 'malformed' })
  await assert.rejects(decode(Buffer.alloc(10_000, 'a'), []), { reason: 'malformed' })
  await assert.rejects(decode(Buffer.from('5\r\nhello!!'), []), { reason: 'malformed' })
  await assert.rejects(decode(Buffer.from('5\r\nhello\r\n0\r\n\r\n'), [], verify), { reason: 'malformed' })
})
