/**
 * The end of a call: a timer, the caller's signal and the closing of the connection, as one
 * AbortSignal whose reason is already the right CellsError. Listeners are taken off again by
 * `end()`: the sources live as long as a mount does, and would collect one listener a request. The signal is made when somebody
 * asks for it: of thousands of small requests hardly one needs it.
 */
import { CellsError } from './errors.js'
import { sentence } from './faults.js'

export class Deadline {
  readonly doing: string
  #reason: CellsError | undefined
  #controller: AbortController | undefined
  readonly #listeners = new Set<(reason: CellsError) => void>()
  readonly #sources: readonly AbortSignal[]
  readonly #onAbort: () => void
  readonly #endsAt: number
  readonly #sleepers = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined

  /** `doing` fits after "could not". */
  constructor(timeoutMs: number, doing: string, sources: readonly (AbortSignal | undefined)[]) {
    this.doing = doing
    this.#endsAt = Date.now() + timeoutMs
    this.#sources = sources.filter((source) => source !== undefined)
    this.#onAbort = () => {
      // A source that is itself a Deadline says more than "aborted".
      const reason: unknown = this.#sources.find((source) => source.aborted)?.reason
      this.fail(reason instanceof CellsError ? reason : new CellsError('aborted', sentence('aborted', doing)))
    }
    if (this.#sources.some((source) => source.aborted)) this.#onAbort()
    for (const source of this.#sources) source.addEventListener('abort', this.#onAbort, { once: true })
    this.#timer = setTimeout(() => this.fail(new CellsError('timeout', sentence('timeout', doing))), Math.min(timeoutMs, 2 ** 31 - 1))
  }

  /** Milliseconds left, never below 0. */
  get remaining(): number {
    return Math.max(0, this.#endsAt - Date.now())
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Why it is over; undefined while it is not. */
  get reason(): CellsError | undefined {
    return this.#reason
  }

  fail(error: CellsError): void {
    if (this.#reason !== undefined) return
    this.#reason = error
    this.#controller?.abort(error)
    for (const listener of [...this.#listeners]) listener(error)
  }

  /** Calls `listener` when it is over. @returns takes it off again */
  onFail(listener: (reason: CellsError) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Stops the timer only: from now on something else (a stall timer) bounds the call. */
  stopClock(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** @throws the reason when it is over */
  check(): void {
    if (this.#reason !== undefined) throw this.#reason
  }

  /** Waits, or throws the reason if the end comes first; `end()` wakes it with `aborted`. */
  async sleep(ms: number): Promise<void> {
    this.check()
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer)
        unlisten()
        this.#sleepers.delete(onEnd)
      }
      const onEnd = (): void => {
        leave()
        reject(new CellsError('aborted', sentence('aborted', this.doing)))
      }
      const timer = setTimeout(() => {
        leave()
        resolve()
      }, ms)
      const unlisten = this.onFail((reason) => {
        leave()
        reject(reason)
      })
      this.#sleepers.add(onEnd)
    })
  }

  /** `work`, or the reason if the end comes first; `work` itself is not stopped. */
  async race<T>(work: Promise<T>): Promise<T> {
    this.check()
    return new Promise<T>((resolve, reject) => {
      const unlisten = this.onFail(reject)
      work.then((value) => {
        unlisten()
        resolve(value)
      }, (error: Error) => {
        unlisten()
        reject(error)
      })
    })
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
