/**
 * An answer that is wanted as a whole, gathered as it comes. A stream, and what it takes to read one, would cost more than all
 * else about the thousands of short answers.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'

export interface WholeAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly content: Buffer
}

/** A body that has come. Behaves like one that is still to be read. */
export class WholeBody implements AsyncIterable<Buffer> {
  readonly content: Buffer

  constructor(content: Buffer) {
    this.content = content
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence, also when it is at hand
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    if (this.content.length > 0) yield this.content
  }

  each(take: (chunk: Buffer) => void): Promise<void> {
    if (this.content.length > 0) take(this.content)
    return Promise.resolve()
  }

  onClose(listener: () => void): void {
    listener()
  }

  destroy(): void {}
}

export class Gathering implements Dispatcher.DispatchHandler {
  readonly answer: Promise<WholeAnswer>
  readonly #most: number
  readonly #tooLong: () => Error
  #resolve!: (answer: WholeAnswer) => void
  #reject!: (error: Error) => void
  #controller: Dispatcher.DispatchController | undefined
  #stopped: Error | undefined
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #chunks: Buffer[] = []
  #length = 0

  /** @param most bytes of a body; a longer one is the error `tooLong` */
  constructor(most: number, tooLong: () => Error) {
    this.#most = most
    this.#tooLong = tooLong
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Also while it waits for a connection. */
  stop(reason: Error): void {
    this.#stopped = reason
    this.#controller?.abort(reason)
    this.#reject(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#stopped !== undefined) controller.abort(this.#stopped)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    this.#status = status
    this.#headers = headers
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#length += chunk.length
    if (this.#length > this.#most) this.stop(this.#tooLong())
    else this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    const [first] = this.#chunks
    this.#resolve({ status: this.#status, headers: this.#headers, content: this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks) })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#reject(error)
  }
}
