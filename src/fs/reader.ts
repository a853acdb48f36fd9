/**
 * Reads one version of a file: from the block cache, else by range requests whose bytes are handed
 * out as they arrive. Sequential readers get a growing window of requests ahead of them; random readers get
 * just their block, and after several of them the rest in the background (restofit.ts); a small file comes whole in one request and is compared with its md5 before a byte of it is
 * believed, because a 2.x server can serve the new bytes under the old ETag for a second (contract, trap 1).
 *
 * Everything here belongs to one version for ever: a request carries If-Match, and an answer of another
 * version fails the read (design, invariant 3).
 */
import { contentBuffers } from '../cache/buffer-pool.js'
import { blockMemory } from '../cache/block-memory.js'
import { BLOCK_SIZE, type BlockCache, blockLength, type VersionKey } from '../cache/blocks.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { Logger } from '../log.js'
import type { Budget } from './budget.js'
import { FsError } from './errno.js'
import { Filling, receive } from './filling.js'
import { RestOfIt } from './restofit.js'

/** A file up to this size is fetched whole and verified, bytes. */
export const WHOLE_FETCH = 4 * BLOCK_SIZE
/** Blocks of one range request of a sequential reader. */
const REQUEST_BLOCKS = 4
/** Blocks that a steady sequential reader has ahead of it. */
const MAX_WINDOW_BLOCKS = 32
/** A jump this far from the expected offset still counts as sequential: the kernel's own read-ahead arrives out of order. */
const SEQUENTIAL_SLACK = 512 * 1024

/** Part of the budget that what nobody waits for leaves to what somebody does. */
const BUDGET_LEFT = 0.5
/** After the server has let a read wait until its deadline, further ones fail at once for this long: the kernel asks several times for one read(2). */
const PAUSE_MS = 5_000

const PLAIN_MD5 = /^[0-9a-f]{32}$/

/** Where a handle reads, to tell sequential from random. One per open handle. */
export interface ReadPattern {
  expected: number
  windowBlocks: number
  /** Reads here and there may bring more than was asked for: somebody closes the reader when they are over. */
  readonly mayBringMore: boolean
}

export function newReadPattern({ mayBringMore = false } = {}): ReadPattern {
  return { expected: 0, windowBlocks: 1, mayBringMore }
}

export interface ReaderDeps {
  readonly server: CellsServer
  readonly blocks: BlockCache
  /** Bytes of blocks in flight, over all readers. */
  readonly budget: Budget
  /** Told of bytes as they come. */
  readonly received?: (bytes: number) => void
  readonly logger: Logger
}

export class VersionReader {
  readonly key: VersionKey
  private readonly deps: ReaderDeps
  /** The file's path on the server at the moment of a request: it may be renamed while it is read. */
  private readonly path: () => string
  private readonly running = new Set<Promise<boolean>>()
  private readonly filling = new Map<number, Filling>()
  private readonly rest: RestOfIt
  private outage: { readonly until: number; readonly failure: Error } | undefined

  constructor(deps: ReaderDeps, key: VersionKey, path: () => string) {
    this.deps = deps
    this.key = key
    this.path = path
    this.rest = new RestOfIt({
      count: Math.ceil(key.size / BLOCK_SIZE),
      cacheBytes: deps.blocks.usage.limit,
      lacks: (index) => !this.filling.has(index) && !deps.blocks.has(key, index),
      fetch: (index, count) => deps.budget.tryTake(count * BLOCK_SIZE, BUDGET_LEFT) ? this.begin(index, count) : undefined,
    })
  }

  /**
   * Bytes from `offset`, shorter than `length` only at the end of the version.
   * @throws CellsError; FsError ESTALE when the server no longer has this version
   */
  async read(offset: number, length: number, pattern: ReadPattern, signal?: AbortSignal): Promise<Buffer> {
    const end = Math.min(offset + length, this.key.size)
    if (offset >= end) return Buffer.alloc(0)
    this.readAhead(offset, end, pattern)
    const parts: Buffer[] = []
    for (let at = offset; at < end;) {
      const index = Math.floor(at / BLOCK_SIZE)
      const to = Math.min(end, (index + 1) * BLOCK_SIZE)
      parts.push(await this.readBlock(index, at - index * BLOCK_SIZE, to - index * BLOCK_SIZE, signal))
      at = to
    }
    if (parts.length === 1) return parts[0]!
    const whole = contentBuffers.take(end - offset)
    let at = 0
    for (const part of parts) {
      at += part.copy(whole, at)
      contentBuffers.give(part)
    }
    return whole
  }

  /** True if every byte of `[from, to)` is here already. */
  cached(from: number, to: number): boolean {
    for (let i = Math.floor(from / BLOCK_SIZE); i * BLOCK_SIZE < to; i++) if (!this.deps.blocks.has(this.key, i)) return false
    return true
  }

  /** Fetches a small file ahead of need, if the budget allows. Never rejects. */
  async prefetch(): Promise<void> {
    if (this.key.size > WHOLE_FETCH || this.filling.has(0) || this.cached(0, this.key.size)) return
    const count = Math.ceil(this.key.size / BLOCK_SIZE)
    if (this.deps.budget.tryTake(count * BLOCK_SIZE)) await this.fetch(0, count)
  }

  /** Brings all of the version into the cache. @throws as read */
  async fetchAll(signal: AbortSignal): Promise<void> {
    const pattern = newReadPattern()
    for (let index = 0; index * BLOCK_SIZE < this.key.size; index++) {
      signal.throwIfAborted()
      if (!this.deps.blocks.has(this.key, index)) await this.read(index * BLOCK_SIZE, BLOCK_SIZE, pattern, signal)
    }
    await Promise.all(this.running)
  }

  /** Stops what is under way. */
  close(): void {
    this.rest.stop()
    for (const block of this.filling.values()) block.abort.abort()
  }

  private async readBlock(index: number, from: number, to: number, signal: AbortSignal | undefined): Promise<Buffer> {
    // A few rounds: a block can be evicted between its arrival and our turn.
    for (let round = 0; round < 4; round++) {
      const block = this.filling.get(index)
      if (block !== undefined) return block.bytes(from, to, signal)
      const here = await this.deps.blocks.read(this.key, index, from, to)
      if (here !== undefined) return here
      const { outage } = this
      if (outage !== undefined && performance.now() < outage.until) throw outage.failure
      if (!this.filling.has(index)) await this.start(index)
    }
    throw new CellsError('protocol', 'A block of the file could not be kept in the cache')
  }

  private readAhead(offset: number, end: number, pattern: ReadPattern): void {
    const sequential = Math.abs(offset - pattern.expected) <= SEQUENTIAL_SLACK
    if (!sequential) pattern.windowBlocks = 1
    const crossed = Math.floor(end / BLOCK_SIZE) > Math.floor(pattern.expected / BLOCK_SIZE)
    if (sequential && (crossed || offset === 0)) pattern.windowBlocks = Math.min(MAX_WINDOW_BLOCKS, pattern.windowBlocks * (pattern.windowBlocks === 1 ? 2 : 4))
    if (pattern.windowBlocks === MAX_WINDOW_BLOCKS) this.rest.stop()
    pattern.expected = sequential ? Math.max(pattern.expected, end) : end
    const first = Math.floor(offset / BLOCK_SIZE)
    if (pattern.windowBlocks > 1 || this.key.size <= WHOLE_FETCH) this.startFrom(first, pattern.windowBlocks)
    else if (!sequential && pattern.mayBringMore && !this.deps.blocks.has(this.key, first)) {
      // What is waited for is asked for first.
      this.startFrom(first, 1)
      this.rest.missed(first)
    }
  }

  /** Requests what is missing of a window of blocks, a few blocks a request, as far as the budget goes. */
  private startFrom(first: number, count: number): void {
    if (this.outage !== undefined && performance.now() < this.outage.until) return
    const all = Math.ceil(this.key.size / BLOCK_SIZE)
    const last = this.key.size <= WHOLE_FETCH ? all : Math.min(all, first + count)
    for (let index = first; index < last;) {
      if (this.filling.has(index) || this.deps.blocks.has(this.key, index)) {
        index++
        continue
      }
      let run = 1
      while (run < REQUEST_BLOCKS && index + run < last && !this.filling.has(index + run) && !this.deps.blocks.has(this.key, index + run)) run++
      const whole = this.key.size <= WHOLE_FETCH
      if (whole) run = last
      // Ahead of need only what the budget gives at once, and no thin slices of a window that just moved by a block.
      if (!whole && index > first && run < REQUEST_BLOCKS && index + run < all) return
      if (!this.deps.budget.tryTake(run * BLOCK_SIZE)) return
      void this.begin(index, run)
      index += run
    }
  }

  /** As startFrom for one needed block: waits for the budget. */
  private async start(index: number): Promise<void> {
    const count = this.key.size <= WHOLE_FETCH ? Math.ceil(this.key.size / BLOCK_SIZE) : 1
    await this.deps.budget.take(count * BLOCK_SIZE)
    if (this.filling.has(index) || this.deps.blocks.has(this.key, index)) this.deps.budget.give(count * BLOCK_SIZE)
    else void this.begin(index, count)
  }

  private begin(index: number, count: number): Promise<boolean> {
    const work = this.fetch(index, count).finally(() => this.running.delete(work))
    this.running.add(work)
    return work
  }

  /** One request for `count` blocks, which are all of a small file; gives their budget back when done. Resolves to whether they came, never rejects. */
  private async fetch(first: number, count: number): Promise<boolean> {
    const whole = this.key.size <= WHOLE_FETCH
    const from = whole ? 0 : first
    const blocks: Array<[number, Filling]> = []
    const abort = new AbortController()
    let came = false
    for (let i = from; i < from + count; i++) {
      const block = new Filling(blockLength(this.key.size, i), abort)
      blocks.push([i, block])
      this.filling.set(i, block)
    }
    try {
      await receive({ ...this.deps, key: this.key, path: this.path }, blocks.map(([, block]) => block), from * BLOCK_SIZE, whole && PLAIN_MD5.test(this.key.etag), abort.signal)
      await Promise.all(blocks.map(([index, block]) => this.deps.blocks.put(this.key, index, block.data)))
      came = true
    } catch (error) {
      // To read(2) what is not there any more is another version like any other; ENOENT would be an answer about a name.
      const failure = isCellsError(error, 'precondition', 'not-found')
        ? new FsError('ESTALE', 'The file has changed on the server', { cause: error })
        : error as Error
      if (isCellsError(error, 'timeout', 'network')) this.outage = { until: performance.now() + PAUSE_MS, failure }
      for (const [, block] of blocks) block.fail(failure)
    }
    for (const [index, block] of blocks) {
      if (this.filling.get(index) === block) this.filling.delete(index)
      // (After a failure a thread may still write to it: the collector takes it.)
      if (came) blockMemory.give(block.data)
    }
    this.deps.budget.give(count * BLOCK_SIZE)
    return came
  }
}
