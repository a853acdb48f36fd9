/**
 * The end of a call: a timer, the caller's signal and the closing of the connection, as one
 * AbortSignal whose reason is already the right CellsError. Listeners are taken off again by
 * `end()`: the sources live as long as a mount does, and would collect one listener a request.
 */
import { CellsError } from './errors.js'
import { sentence } from './faults.js'

export class Deadline {
  readonly signal: AbortSignal
  readonly doing: string
  readonly #controller = new AbortController()
  readonly #sources: readonly AbortSignal[]
  readonly #onAbort: () => void
  readonly #endsAt: number
  readonly #sleepers = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined

  /** `doing` fits after "could not". */
  constructor(timeoutMs: number, doing: string, sources: readonly (AbortSignal | undefined)[]) {
    this.doing = doing
    this.signal = this.#controller.signal
    this.#endsAt = Date.now() + timeoutMs
    this.#sources = sources.filter((source) => source !== undefined)
    this.#onAbort = () => {
      // A source that is itself a Deadline says more than "aborted".
      const reason: unknown = this.#sources.find((source) => source.aborted)?.reason
      this.#controller.abort(reason instanceof CellsError ? reason : new CellsError('aborted', sentence('aborted', doing)))
    }
    if (this.#sources.some((source) => source.aborted)) this.#onAbort()
    for (const source of this.#sources) source.addEventListener('abort', this.#onAbort, { once: true })
    this.#timer = setTimeout(() => this.fail(new CellsError('timeout', sentence('timeout', doing))), Math.min(timeoutMs, 2 ** 31 - 1))
  }

  /** Milliseconds left, never below 0. */
  get remaining(): number {
    return Math.max(0, this.#endsAt - Date.now())
  }

  fail(error: CellsError): void {
    this.#controller.abort(error)
  }

  /** Stops the timer only: from now on something else (a stall timer) bounds the call. */
  stopClock(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** @throws the reason when it is over */
  check(): void {
    if (this.signal.aborted) throw this.signal.reason
  }

  /** Waits, or throws the reason if the end comes first; `end()` wakes it with `aborted`. */
  async sleep(ms: number): Promise<void> {
    this.check()
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer)
        this.signal.removeEventListener('abort', onAbort)
        this.#sleepers.delete(onEnd)
      }
      const onAbort = (): void => {
        leave()
        reject(this.signal.reason as Error)
      }
      const onEnd = (): void => {
        leave()
        reject(new CellsError('aborted', sentence('aborted', this.doing)))
      }
      const timer = setTimeout(() => {
        leave()
        resolve()
      }, ms)
      this.signal.addEventListener('abort', onAbort, { once: true })
      this.#sleepers.add(onEnd)
    })
  }

  /** `work`, or the reason if the end comes first; `work` itself is not stopped. */
  async race<T>(work: Promise<T>): Promise<T> {
    this.check()
    let onAbort = (): void => {}
    const over = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(this.signal.reason as Error)
      this.signal.addEventListener('abort', onAbort, { once: true })
    })
    try {
      return await Promise.race([work, over])
    } finally {
      this.signal.removeEventListener('abort', onAbort)
    }
  }

  /** Calls `cleanup` at `end()`. */
  onEnd(cleanup: () => void): void {
    this.#sleepers.add(cleanup)
  }

  end(): void {
    this.stopClock()
    for (const wake of [...this.#sleepers]) wake()
    this.#sleepers.clear()
    for (const source of this.#sources) source.removeEventListener('abort', this.#onAbort)
  }
}
