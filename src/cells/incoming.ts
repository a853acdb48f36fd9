/**
 * An answer whose body is handed on as it comes. A stream of the HTTP library would do, but loads all of that library (80 ms, when the
 * first file is read), and each piece of content would pass through two streams and three promises on its way.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'

/** Bytes that wait for somebody who takes them one by one, before the server has to. */
const WAITING_BYTES = 128 * 1024

export class Incoming implements Dispatcher.DispatchHandler, AsyncIterable<Buffer> {
  /** Resolves at the headers. */
  readonly started: Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders }>
  #begin!: (answer: { status: number; headers: IncomingHttpHeaders }) => void
  #reject!: (error: Error) => void
  #controller: Dispatcher.DispatchController | undefined
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #take: ((chunk: Buffer) => void) | undefined
  #wake = (): void => {}
  #over = false
  #failure: Error | undefined
  readonly #onClose: Array<() => void> = []

  constructor() {
    this.started = new Promise((resolve, reject) => {
      this.#begin = resolve
      this.#reject = reject
    })
  }

  /** Ends it, also while it waits for a connection or for the headers. What has come already is not handed out any more. */
  destroy(error?: Error): void {
    if (this.#over) return
    const reason = error ?? new Error('The body was given up')
    this.#controller?.abort(reason)
    this.#fail(reason)
  }

  /** When it is over, however it ended. */
  onClose(listener: () => void): void {
    if (this.#over) listener()
    else this.#onClose.push(listener)
  }

  /** Hands every piece to `take` the moment it comes; resolves after the last one. An error that `take` throws ends it. */
  async each(take: (chunk: Buffer) => void): Promise<void> {
    for (const chunk of this.#waiting.splice(0)) take(chunk)
    this.#take = take
    this.#goOn()
    while (!this.#over) await new Promise<void>((wake) => { this.#wake = wake })
    if (this.#failure !== undefined) throw this.#failure
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const chunk = this.#waiting.shift()
        if (chunk !== undefined) {
          this.#waitingBytes -= chunk.length
          yield chunk
        } else if (this.#failure !== undefined) throw this.#failure
        else if (this.#over) return
        else {
          // In this order: what is let go can come at once.
          const woken = new Promise<void>((wake) => { this.#wake = wake })
          this.#goOn()
          await woken
        }
      }
    } finally {
      this.destroy()
    }
  }

  // -- what the HTTP library tells

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#failure !== undefined) controller.abort(this.#failure)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status >= 200) this.#begin({ status, headers })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return
    if (this.#take !== undefined) {
      try {
        this.#take(chunk)
      } catch (error) {
        this.destroy(error as Error)
      }
      return
    }
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    if (this.#waitingBytes >= WAITING_BYTES) controller.pause()
    this.#wake()
  }

  onResponseEnd(): void {
    this.#end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.#over) this.#fail(error)
  }

  #goOn(): void {
    if (this.#controller?.paused === true) this.#controller.resume()
  }

  #fail(error: Error): void {
    this.#failure = error
    this.#waiting = []
    this.#reject(error)
    this.#end()
  }

  #end(): void {
    this.#over = true
    this.#wake()
    for (const listener of this.#onClose.splice(0)) listener()
  }
}
