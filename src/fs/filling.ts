/**
 * Blocks of a file on their way from the server: whoever waits for bytes of one gets them as they come. A connection that breaks is
 * taken up again where it broke.
 */
import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { blockMemory, isShared } from '../cache/block-memory.js'
import { BLOCK_SIZE, copyOf, type VersionKey } from '../cache/blocks.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { ObjectBody } from '../cells/types.js'
import type { Logger } from '../log.js'
import { FsError } from './errno.js'

/** How often a broken connection is taken up again within one request. */
const RECEIVE_ATTEMPTS = 4
/** From this many blocks on a body is worth a thread. */
const ASIDE_BLOCKS = 2

export class Filling {
  readonly data: Buffer
  /** Stops the request that it belongs to. */
  readonly abort: AbortController
  private filled = 0
  private failure: Error | undefined
  private waiting: Array<() => void> = []

  constructor(length: number, abort: AbortController) {
    this.data = blockMemory.take(length)
    this.abort = abort
  }

  /** The bytes `[from, to)` when they are there. @throws what failed; FsError EINTR */
  async bytes(from: number, to: number, signal: AbortSignal | undefined): Promise<Buffer> {
    while (this.filled < to) {
      if (this.failure !== undefined) throw this.failure
      if (signal?.aborted === true) throw new FsError('EINTR', 'The read was interrupted')
      await new Promise<void>((wake) => {
        const done = (): void => {
          signal?.removeEventListener('abort', done)
          wake()
        }
        this.waiting.push(done)
        signal?.addEventListener('abort', done, { once: true })
      })
    }
    return copyOf(this.data, from, to)
  }

  advance(to: number): void {
    this.filled = to
    this.wake()
  }

  fail(error: Error): void {
    this.failure = error
    this.wake()
  }

  private wake(): void {
    if (this.waiting.length === 0) return
    const { waiting } = this
    this.waiting = []
    for (const wake of waiting) wake()
  }
}

export interface Source {
  readonly server: CellsServer
  readonly key: VersionKey
  /** On the server, at the moment of a request. */
  readonly path: () => string
  /** Told of bytes as they come. */
  readonly received?: (bytes: number) => void
  readonly logger: Logger
}

/**
 * Fills neighbouring blocks from byte `start` of the file on. `verify`: they are all of it, and their md5 is compared before a byte is handed out.
 * @throws CellsError, `precondition` when the server has another version
 */
export async function receive(source: Source, blocks: readonly Filling[], start: number, verify: boolean, signal: AbortSignal): Promise<void> {
  const length = blocks.reduce((sum, { data }) => sum + data.length, 0)
  const progress = { received: 0 }
  for (let attempt = 1; ; attempt++) {
    const { received } = progress
    try {
      await receiveOnce(source, blocks, start, length, progress, !verify, signal)
      break
    } catch (error) {
      if (!isCellsError(error) || !error.transient || attempt === RECEIVE_ATTEMPTS) throw error
      // It has had its time, unless it was under way.
      if (isCellsError(error, 'timeout') && progress.received === received) throw error
      source.logger.debug('read interrupted, going on', { path: source.path(), received: progress.received, error })
      await pause(100 * attempt, undefined, { signal })
    }
  }
  if (!verify) return
  const hash = createHash('md5')
  for (const { data } of blocks) hash.update(data)
  if (hash.digest('hex') !== source.key.etag) {
    throw new CellsError('precondition', 'The content does not match its checksum: the file is just being changed on the server')
  }
  for (const block of blocks) block.advance(block.data.length)
}

async function receiveOnce(
  { server, key, path, received }: Source, blocks: readonly Filling[], start: number, length: number,
  progress: { received: number }, deliver: boolean, signal: AbortSignal,
): Promise<void> {
  const range = { start: start + progress.received, end: start + length - 1 }
  const body = await server.get(path(), range, { signal, ifMatch: key.etag, into: memoryFrom(blocks, progress.received) })
  try {
    if (body.totalSize !== key.size || body.length !== length - progress.received) {
      throw new CellsError('precondition', 'The file has another size on the server')
    }
    await eachChunk(body.stream, (chunk) => {
      received?.(chunk.length)
      for (let taken = 0; taken < chunk.length;) {
        // All blocks but the file's last one are full, so position gives the block.
        const block = blocks[Math.floor(progress.received / BLOCK_SIZE)]
        if (block === undefined) throw new CellsError('protocol', 'The server sent more than it announced')
        const at = progress.received % BLOCK_SIZE
        // What came straight into its place is a view of it, and never goes beyond it.
        const n = chunk.buffer === block.data.buffer ? chunk.length : chunk.copy(block.data, at, taken)
        if (n === 0) throw new CellsError('protocol', 'The server sent more than it announced')
        taken += n
        progress.received += n
        if (deliver) block.advance((progress.received - 1) % BLOCK_SIZE + 1)
      }
    })
    if (progress.received !== length) throw new CellsError('protocol', 'The server cut the file short')
  } finally {
    body.stream.destroy()
  }
}

/** Where the bytes from `received` on belong, if it is worth a thread, and a thread can see all of it. */
function memoryFrom(blocks: readonly Filling[], received: number): Buffer[] | undefined {
  const parts = blocks.slice(Math.floor(received / BLOCK_SIZE)).map(({ data }, index) => index === 0 ? data.subarray(received % BLOCK_SIZE) : data)
  return parts.length >= ASIDE_BLOCKS && parts.every(isShared) ? parts : undefined
}

async function eachChunk(stream: ObjectBody['stream'], take: (chunk: Buffer) => void): Promise<void> {
  if (stream.each !== undefined) return stream.each(take)
  for await (const chunk of stream) take(chunk)
}
