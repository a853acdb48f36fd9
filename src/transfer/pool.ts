/** Bounded concurrency: a counting semaphore, and reading ahead of an async sequence. */

/** At most `limit` holders at a time, first come first served. */
export class Semaphore {
  #free: number
  #waiting: (() => void)[] = []
  readonly #signal: AbortSignal | undefined

  /** @param signal once it has fired, nothing new is run */
  constructor(limit: number, signal?: AbortSignal) {
    this.#free = limit
    this.#signal = signal
  }

  async acquire(): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>(resolve => this.#waiting.push(resolve))
  }

  release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }

  /** @throws what `work` throws; the reason of the signal */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.acquire()
    try {
      this.#signal?.throwIfAborted()
      return await work()
    } finally {
      this.release()
    }
  }
}

/**
 * Reads up to `limit` items ahead of the consumer, so that the walk of a tree goes on while files
 * are transferred but never holds all of a huge tree in memory. An error of the source is thrown after
 * the items before it. Leaving the loop early stops the source.
 */
export async function * readAhead<T>(source: AsyncIterable<T>, limit: number): AsyncGenerator<T> {
  const items: T[] = []
  let done = false
  let failure: { error: unknown } | undefined
  let wakeConsumer = (): void => {}
  let wakeProducer = (): void => {}
  const produce = async (): Promise<void> => {
    try {
      for await (const item of source) {
        if (done) return
        items.push(item)
        wakeConsumer()
        if (items.length >= limit) await new Promise<void>(resolve => { wakeProducer = resolve })
        if (done) return
      }
    } catch (error) {
      failure = { error }
    } finally {
      done = true
      wakeConsumer()
    }
  }
  const producer = produce()
  try {
    for (;;) {
      const item = items.shift()
      if (item !== undefined) {
        wakeProducer()
        yield item
      } else if (done) {
        break
      } else {
        await new Promise<void>(resolve => { wakeConsumer = resolve })
      }
    }
  } finally {
    done = true
    wakeProducer()
    await producer
  }
  if (failure !== undefined) throw failure.error
}
