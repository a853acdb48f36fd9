import { strict as assert } from 'node:assert'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { callFor, limited, RateLimiter } from './limiter.js'
import type { Clock } from './limiter.js'

/** Time that passes only when somebody waits. */
class FakeClock implements Clock {
  time = 1_000_000
  readonly #waiting: { readonly at: number; readonly wake: () => void }[] = []

  now(): number {
    return this.time
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ at: this.time + ms, wake: resolve })
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    })
  }

  /** Lets time go on until `work` is done. */
  async run<T>(work: Promise<T>): Promise<T> {
    let done = false
    const end = work.finally(() => { done = true })
    end.catch(() => {})
    for (;;) {
      for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
      if (done) return end
      const next = this.#waiting.sort((a, b) => a.at - b.at).shift()
      assert.ok(next !== undefined, 'nobody waits, and the work is not done')
      this.time = Math.max(this.time, next.at)
      next.wake()
    }
  }
}

describe('bandwidth limit', () => {
  it('all streams together get the rate, and at most a fifth of a second of it at once', async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1024, max: 50_000_000 }), fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 30 }), async (rate, pieces) => {
      const clock = new FakeClock()
      const limiter = new RateLimiter(rate, clock)
      const began = clock.time
      await clock.run(Promise.all(pieces.map(piece => limiter.take(piece))))
      const bytes = pieces.reduce((sum, piece) => sum + piece, 0)
      const took = clock.time - began
      assert.ok(took >= (bytes / rate) * 1000 - 202, `${bytes} bytes at ${rate} in ${took} ms`)
      assert.ok(took <= (bytes / rate) * 1000 + 2, `${bytes} bytes at ${rate} in ${took} ms`)
    }), { numRuns: 40 })
  })

  it('what was not used is lost but for a fifth of a second', async () => {
    const clock = new FakeClock()
    const limiter = new RateLimiter(1000, clock)
    await clock.run(limiter.take(1000))
    clock.time += 3_600_000
    const before = clock.time
    await clock.run(limiter.take(200))
    assert.equal(clock.time, before, 'the burst')
    await clock.run(limiter.take(1000))
    assert.equal(clock.time, before + 1000)
  })

  it('a body comes whole, in pieces no larger than an eighth of a second', async () => {
    const clock = new FakeClock()
    const limiter = new RateLimiter(80_000, clock)
    const content = Buffer.alloc(100_001, 'content ')
    const pieces: Uint8Array[] = []
    const began = clock.time
    await clock.run((async () => {
      // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
      async function * body(): AsyncGenerator<Uint8Array> { yield content }
      for await (const piece of limited(body(), { limiter, signal: new AbortController().signal })) pieces.push(piece)
    })())
    assert.ok(Buffer.concat(pieces).equals(content))
    assert.ok(pieces.every(piece => piece.length <= 10_000))
    assert.ok(Math.abs(clock.time - began - 1250) <= 210, `${clock.time - began}`)
  })

  it('a wait ends with the transfer', async () => {
    const stop = new AbortController()
    const clock = new FakeClock()
    const limiter = new RateLimiter(1, clock)
    const waiting = limiter.take(1_000_000, stop.signal)
    stop.abort(new Error('aborted by user'))
    await assert.rejects(waiting, /aborted by user/)
  })

  it('a request below a low limit gets the time it needs', () => {
    const { signal } = new AbortController()
    assert.equal(callFor(1000, { signal }).timeoutMs, undefined)
    assert.equal(callFor(1000, { signal, limiter: new RateLimiter(100_000_000) }).timeoutMs, undefined)
    assert.ok((callFor(1_048_576, { signal, limiter: new RateLimiter(1024) }).timeoutMs ?? 0) > 1_024_000)
  })
})
