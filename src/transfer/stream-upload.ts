/**
 * A stream of unknown length to a file on the server. Up to one part it is a single PUT; what is longer goes in parts as it
 * comes, a few at a time, each held in memory until the server has it. Nothing shows under the name before all is there.
 */
import { createHash } from 'node:crypto'
import { compareWithNode, Digester, etagOfParts } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import { isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode, MultipartPart } from '../cells/types.js'
import { Confirmer } from './confirm.js'
import { callFor, limited } from './limiter.js'
import type { RateLimiter } from './limiter.js'
import { MIB } from './parts.js'
import { Semaphore } from './pool.js'
import { TransferError } from './types.js'

/** Parts grow, so that a server's limit of 10,000 holds 400 GB; whole hash blocks (parts.ts). */
const partSizeOf = (number: number): number => (number <= 500 ? 10 * MIB : 40 * MIB)
const PARALLEL = 3
const CONFIRM_MS = 60_000
const CONFIRM_BYTES_PER_MS = 10_000
const JOINED_MS = 20_000

export interface StreamUploadOptions {
  readonly signal: AbortSignal
  readonly limiter?: RateLimiter
  readonly onProgress?: (bytes: number) => void
}

/**
 * Resolves when the server reports the content.
 * @throws CellsError; TransferError `mismatch`; what the input throws, and then nothing is on the server
 */
export async function uploadStream(server: CellsServer, input: AsyncIterable<Uint8Array>, target: string, options: StreamUploadOptions): Promise<CellsNode | undefined> {
  const digest = await new StreamUpload(server, target, options).send(blocks(input))
  return new Confirmer(server, options.signal).confirm(target, node => node !== undefined && compareWithNode(digest, node) !== 'other', CONFIRM_MS + digest.size / CONFIRM_BYTES_PER_MS)
}

/** The input in blocks of the sizes of parts; the last one may be shorter, and an empty input is one empty block. */
async function * blocks(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  let block: Uint8Array[] = []
  let room = partSizeOf(1)
  let number = 1
  for await (let chunk of input) {
    while (chunk.length >= room) {
      block.push(chunk.subarray(0, room))
      chunk = chunk.subarray(room)
      yield block
      block = []
      room = partSizeOf(++number)
    }
    if (chunk.length === 0) continue
    block.push(chunk)
    room -= chunk.length
  }
  if (block.length > 0 || number === 1) yield block
}

const sizeOf = (block: readonly Uint8Array[]): number => block.reduce((sum, chunk) => sum + chunk.length, 0)

class StreamUpload {
  readonly #server: CellsServer
  readonly #target: string
  readonly #options: StreamUploadOptions
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #digester = new Digester()
  readonly #parts: MultipartPart[] = []
  readonly #md5s: string[] = []
  readonly #sending = new Set<Promise<void>>()
  readonly #slots = new Semaphore(PARALLEL)
  #failure: Error | undefined
  #sent = 0

  constructor(server: CellsServer, target: string, options: StreamUploadOptions) {
    this.#server = server
    this.#target = target
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
  }

  async send(input: AsyncIterable<Uint8Array[]>): Promise<ContentDigest> {
    let first: Uint8Array[] | undefined
    let uploadId = ''
    try {
      let number = 0
      for await (const block of input) {
        this.#options.signal.throwIfAborted()
        for (const chunk of block) this.#digester.update(chunk)
        if (++number === 1) {
          first = block
          continue
        }
        if (first !== undefined) {
          uploadId = await this.#server.multipartStart(this.#target, { signal: this.#signal })
          await this.#startPart(uploadId, 1, first)
          first = undefined
        }
        await this.#startPart(uploadId, number, block)
      }
      const digest = this.#digester.finish()
      if (first !== undefined) return await this.#sendWhole(first, digest)
      await Promise.all(this.#sending)
      this.#check()
      const whole = { ...digest, partsEtag: etagOfParts(this.#md5s) }
      await this.#join(uploadId, whole)
      return whole
    } catch (error) {
      this.#stop.abort()
      await Promise.all(this.#sending)
      if (uploadId !== '') await this.#server.multipartAbort(this.#target, uploadId, { timeoutMs: 10_000 }).catch(() => {})
      throw this.#failure ?? error
    }
  }

  #check(): void {
    this.#options.signal.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
  }

  async #sendWhole(block: readonly Uint8Array[], digest: ContentDigest): Promise<ContentDigest> {
    await this.#server.put(this.#target, () => limited(replay(block), this.#how), digest.size, { ...callFor(digest.size, this.#how), md5: digest.md5, onProgress: this.#options.onProgress })
    return digest
  }

  get #how(): { signal: AbortSignal; limiter?: RateLimiter } {
    return { signal: this.#signal, limiter: this.#options.limiter }
  }

  /** Waits for a free slot; not for the end of the part. */
  async #startPart(uploadId: string, number: number, block: readonly Uint8Array[]): Promise<void> {
    await this.#slots.acquire()
    this.#check()
    const sending = this.#sendPart(uploadId, number, block).catch((error: unknown) => {
      this.#failure ??= error instanceof Error ? error : new Error(String(error))
      this.#stop.abort()
    }).finally(() => {
      this.#slots.release()
      this.#sending.delete(sending)
    })
    this.#sending.add(sending)
  }

  async #sendPart(uploadId: string, number: number, block: readonly Uint8Array[]): Promise<void> {
    const hash = createHash('md5')
    for (const chunk of block) hash.update(chunk)
    const md5 = hash.digest('hex')
    const size = sizeOf(block)
    const part = await this.#server.multipartPart(this.#target, uploadId, number, () => limited(replay(block), this.#how), size, callFor(size, this.#how))
    if (/^[0-9a-f]{32}$/.test(part.etag) && part.etag !== md5) throw new TransferError('mismatch', `part ${number} arrived with other content than was sent`)
    this.#parts.push(part)
    this.#md5s[number - 1] = md5
    this.#sent += size
    this.#options.onProgress?.(this.#sent)
  }

  /** When the answer is lost, the index tells whether it was done. */
  async #join(uploadId: string, whole: ContentDigest): Promise<void> {
    const { signal } = this.#options
    try {
      await this.#server.multipartComplete(this.#target, uploadId, this.#parts.sort((a, b) => a.number - b.number), { signal })
    } catch (error) {
      if (signal.aborted || !isCellsError(error) || !error.transient) throw error
      await this.#server.waitFor(this.#target, node => node !== undefined && compareWithNode(whole, node) === 'same', { signal, timeoutMs: JOINED_MS }).catch(() => {
        throw error
      })
    }
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence, also when it is at hand
async function * replay(block: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield * block
}
