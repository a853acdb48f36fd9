/** A bandwidth limit for all streams of a transfer together. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Unused rate that may be made up for, milliseconds. */
const BURST_MS = 200

/** Milliseconds; another one for tests. */
export interface Clock {
  now(): number
  sleep(ms: number, signal?: AbortSignal): Promise<unknown>
}

const CLOCK: Clock = { now: () => performance.now(), sleep: (ms, signal) => sleep(ms, undefined, { signal }) }

export class RateLimiter {
  readonly bytesPerSecond: number
  readonly #clock: Clock
  /** When what has been let through so far will have had its time. */
  #paidUntil = -Infinity

  constructor(bytesPerSecond: number, clock: Clock = CLOCK) {
    this.bytesPerSecond = bytesPerSecond
    this.#clock = clock
  }

  /** Resolves when `bytes` may pass; callers queue up. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = this.#clock.now()
    this.#paidUntil = Math.max(this.#paidUntil, now - BURST_MS) + (bytes / this.bytesPerSecond) * 1000
    const wait = this.#paidUntil - now
    if (wait > 1) await this.#clock.sleep(wait, signal)
  }

  /** Pieces so small that the limit does not come as a burst and a silence. */
  get chunk(): number {
    return Math.max(512, Math.min(256 * 1024, Math.floor(this.bytesPerSecond / 8)))
  }
}

interface Limited {
  readonly limiter?: RateLimiter
  readonly signal: AbortSignal
}

/** Slower than this no connection is (cells/timeouts.ts); a limit below it needs longer deadlines. */
const SLOWEST_RATE = 32 * 1024
/** Streams that may share a limit. */
const SHARERS = 16

/** Signal and deadline of a request with `size` bytes of content. */
export function callFor(size: number, { signal, limiter }: Limited): { signal: AbortSignal; timeoutMs?: number } {
  const rate = limiter === undefined ? Infinity : limiter.bytesPerSecond / SHARERS
  return rate >= SLOWEST_RATE ? { signal } : { signal, timeoutMs: 60_000 + (size / rate) * 1000 }
}

/** `body` at the pace of the limit. */
export async function * limited(body: AsyncIterable<Uint8Array>, { limiter, signal }: Limited): AsyncGenerator<Uint8Array> {
  if (limiter === undefined) {
    yield * body
    return
  }
  for await (const chunk of body) {
    for (let start = 0; start < chunk.length; start += limiter.chunk) {
      const piece = chunk.subarray(start, start + limiter.chunk)
      await limiter.take(piece.length, signal)
      yield piece
    }
  }
}
