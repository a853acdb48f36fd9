/**
 * Bodies that a thread receives, straight into memory that both share: the work of a fast download (sockets, TLS, parsing, copying, and
 * the collector behind all of it) would keep the main thread from those who wait for an answer. What was asked and what the answer means stays
 * with the caller: this is only another way to its connections, with the same events.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { Thread } from '../thread.js'

/** What the thread is told: a request, or the end of one. */
export type ReceiverTask =
  | { readonly id: number; readonly options: Dispatcher.DispatchOptions; readonly into: readonly Uint8Array[]; readonly progress: Int32Array }
  | { readonly stop: number }

/** What the thread says. `null`: the progress of some request has changed. */
export type ReceiverAnswer = 'ready' | null
  | { readonly id: number; readonly status: number; readonly headers: IncomingHttpHeaders }
  | { readonly id: number; readonly piece: Uint8Array }
  | { readonly id: number; readonly end: true }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string; readonly code: string | undefined } }

export interface ReceiverData {
  readonly url: string
  readonly connections: number
  readonly skipVerify: boolean
  /** 1 while a message about progress is on its way. */
  readonly told: Int32Array
}

interface Request extends Dispatcher.DispatchController {
  readonly handler: Dispatcher.DispatchHandler
  readonly into: readonly Buffer[]
  /** Bytes in place, as the thread says. */
  readonly progress: Int32Array
  /** The caller knows the answer's headers. */
  started: boolean
  handed: number
}

const counter = (): Int32Array => new Int32Array(new SharedArrayBuffer(4))

export class Receiver {
  readonly #thread: Thread<ReceiverTask, ReceiverAnswer>
  readonly #requests = new Map<number, Request>()
  readonly #told = counter()
  #last = 0
  #ready = false

  constructor(url: URL, connections: number, skipVerify: boolean) {
    this.#thread = new Thread({
      program: new URL('./receiver-thread.js', import.meta.url),
      data: { url: url.href, connections, skipVerify, told: this.#told } satisfies ReceiverData,
      onAnswer: (answer) => this.#hear(answer),
      onEnd: (error) => {
        this.#ready = false
        Atomics.store(this.#told, 0, 0)
        for (const [id, request] of this.#requests) {
          this.#requests.delete(id)
          request.handler.onResponseError?.(request, Object.assign(new Error(error.message, { cause: error }), { code: 'UND_ERR_SOCKET' }))
        }
      },
    })
  }

  /** Can it take a request? The first question starts it: whoever asks does not wait for that. */
  get ready(): boolean {
    if (!this.#ready) this.#thread.warm()
    return this.#ready
  }

  /** As Dispatcher.dispatch, for a body that goes into `into`, from its beginning on; the pieces handed on are views of it. An error's body comes as it is. */
  dispatch(options: Dispatcher.DispatchOptions, into: readonly Buffer[], handler: Dispatcher.DispatchHandler): void {
    if (!into.every(({ buffer }) => buffer instanceof SharedArrayBuffer)) throw new TypeError('The thread would get a copy of memory that is not shared')
    const id = ++this.#last
    const progress = counter()
    const request: Request = {
      handler, into, progress, started: false, handed: 0, aborted: false, paused: false, reason: null, rawHeaders: null, rawTrailers: null,
      abort: (reason) => {
        if (!this.#requests.delete(id)) return
        this.#thread.tell({ stop: id })
        this.#thread.done()
        handler.onResponseError?.(request, reason)
      },
      // The memory is there: nothing has to wait.
      pause: () => {},
      resume: () => {},
    }
    this.#requests.set(id, request)
    this.#thread.begin({ id, options, into, progress })
    handler.onRequestStart?.(request, {})
  }

  close(): void {
    this.#thread.end()
  }

  #hear(answer: ReceiverAnswer): void {
    if (answer === 'ready') {
      this.#ready = true
      return
    }
    if (answer === null) {
      Atomics.store(this.#told, 0, 0)
      for (const request of this.#requests.values()) if (request.started) hand(request)
      return
    }
    const request = this.#requests.get(answer.id)
    if (request === undefined) return
    const { handler } = request
    if ('status' in answer) {
      request.started = true
      handler.onResponseStart?.(request, answer.status, answer.headers)
    } else if ('piece' in answer) handler.onResponseData?.(request, Buffer.from(answer.piece.buffer))
    else {
      hand(request)
      // Whoever got the last piece may have given it up.
      if (!this.#requests.delete(answer.id)) return
      this.#thread.done()
      if ('end' in answer) handler.onResponseEnd?.(request, {})
      else handler.onResponseError?.(request, Object.assign(new Error(answer.error.message), answer.error))
    }
  }
}

/** Hands on what has come since. */
function hand(request: Request): void {
  const until = Atomics.load(request.progress, 0)
  let start = 0
  for (const part of request.into) {
    const [from, to] = [Math.max(request.handed - start, 0), Math.min(until - start, part.length)]
    start += part.length
    if (from >= to) continue
    request.handed = start - part.length + to
    request.handler.onResponseData?.(request, part.subarray(from, to))
  }
}
