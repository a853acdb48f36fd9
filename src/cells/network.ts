/**
 * A thread with connections of its own, which does the work of exchanges (sockets, TLS, parsing, copying, and the collector behind all of it) beside
 * the main thread, where programs wait for answers. What was asked and what the answer means stays with the caller: this is only another way to the
 * server, with the same events.
 *
 * Large bodies are received straight into memory that both share. An answer that is wanted as a whole comes in one message: the main thread works a
 * third as long for it as for the exchange itself, a quarter while the process is young.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { Thread } from '../thread.js'
import type { ConnectionsPlan, Pool } from './connections.js'
import { landedError, type PortedError } from './ported-error.js'
import type { WholeAnswer } from './whole.js'

interface Asked {
  readonly id: number
  readonly pool: Pool
  readonly options: Dispatcher.DispatchOptions
}

/** What the thread is told: a request, for a body or for a whole answer of at most so many bytes, or the end of one. */
export type NetworkTask =
  | Asked & { readonly into: readonly Uint8Array[]; readonly progress: Int32Array }
  | Asked & { readonly most: number }
  | { readonly stop: number }

/** What the thread says. `null`: the progress of some request has changed. */
export type NetworkAnswer = 'ready' | null
  | { readonly id: number; readonly status: number; readonly headers: IncomingHttpHeaders; readonly content?: Uint8Array }
  | { readonly id: number; readonly piece: Uint8Array }
  | { readonly id: number; readonly end: true }
  | { readonly id: number; readonly error: PortedError }

export interface NetworkData extends ConnectionsPlan {
  /** 1 while a message about progress is on its way. */
  readonly told: Int32Array
}

/** Somebody who waits for answers of the thread. */
interface Waiting {
  hear(answer: Exclude<NetworkAnswer, 'ready' | null>): void
  /** Nothing comes any more. */
  fail(error: Error): void
  /** The progress of a body may have changed. */
  handOn?(): void
}

/** A request whose answer comes as a whole. */
export interface Whole {
  readonly answer: Promise<WholeAnswer>
  /** Its answer is `reason`, whatever comes. */
  stop(reason: Error): void
}

/** What could not be started is not tried again for so long, milliseconds: without it all goes on, on the main thread. */
const PAUSE_MS = 60_000

const counter = (): Int32Array => new Int32Array(new SharedArrayBuffer(4))

export class Network {
  readonly #thread: Thread<NetworkTask, NetworkAnswer>
  readonly #waiting = new Map<number, Waiting>()
  readonly #told = counter()
  #last = 0
  #ready = false
  /** performance.now() before which it is not started. */
  #notBefore = 0

  constructor(plan: ConnectionsPlan) {
    this.#thread = new Thread({
      program: new URL('./network-thread.js', import.meta.url),
      data: { ...plan, told: this.#told } satisfies NetworkData,
      onAnswer: (answer) => this.#hear(answer),
      onEnd: (error) => {
        if (!this.#ready) this.#notBefore = performance.now() + PAUSE_MS
        this.#ready = false
        Atomics.store(this.#told, 0, 0)
        const lost = [...this.#waiting.values()]
        this.#waiting.clear()
        for (const each of lost) each.fail(Object.assign(new Error(error.message, { cause: error }), { code: 'UND_ERR_SOCKET' }))
      },
    })
  }

  /** Can it take a request now? */
  get ready(): boolean {
    return this.#ready
  }

  /** Starts the thread, if it is not there: nobody waits for that. */
  warm(): void {
    if (performance.now() < this.#notBefore) return
    try {
      this.#thread.warm()
    } catch {
      this.#notBefore = performance.now() + PAUSE_MS
    }
  }

  /** As Dispatcher.dispatch, for a body that goes into `into`, from its beginning on; the pieces handed on are views of it. An error's body comes as it is. */
  dispatch(pool: Pool, options: Dispatcher.DispatchOptions, into: readonly Buffer[], handler: Dispatcher.DispatchHandler): void {
    if (!into.every(({ buffer }) => buffer instanceof SharedArrayBuffer)) throw new TypeError('The thread would get a copy of memory that is not shared')
    const id = ++this.#last
    const progress = counter()
    const landing = new Landing(handler, into, progress, (stop) => this.#leave(id, stop))
    this.#waiting.set(id, landing)
    this.#thread.begin({ id, pool, options, into, progress })
    handler.onRequestStart?.(landing, {})
  }

  /** Asks for an answer of at most `most` bytes. The body of the request, if any, is text or bytes at hand. */
  ask(pool: Pool, options: Dispatcher.DispatchOptions, most: number): Whole {
    const id = ++this.#last
    let stop!: (reason: Error) => void
    const answer = new Promise<WholeAnswer>((resolve, reject) => {
      this.#waiting.set(id, {
        hear: (it) => {
          this.#leave(id)
          if ('status' in it) resolve({ status: it.status, headers: it.headers, content: it.content === undefined ? Buffer.alloc(0) : Buffer.from(it.content.buffer) })
          else if ('error' in it) reject(landedError(it.error))
        },
        fail: reject,
      })
      stop = (reason) => {
        if (this.#leave(id, true)) reject(reason)
      }
    })
    // (A view would be sent with all of the memory it is a part of.)
    const body = options.body instanceof Uint8Array ? new Uint8Array(options.body) : options.body
    this.#thread.begin({ id, pool, options: { ...options, body }, most }, body instanceof Uint8Array ? [body.buffer] : [])
    return { answer, stop }
  }

  close(): void {
    this.#thread.end()
  }

  /** Nobody waits for it any more. False: nobody did. */
  #leave(id: number, stop = false): boolean {
    if (!this.#waiting.delete(id)) return false
    if (stop) this.#thread.tell({ stop: id })
    this.#thread.done()
    return true
  }

  #hear(answer: NetworkAnswer): void {
    if (answer === 'ready') this.#ready = true
    else if (answer === null) {
      Atomics.store(this.#told, 0, 0)
      for (const each of this.#waiting.values()) each.handOn?.()
    } else this.#waiting.get(answer.id)?.hear(answer)
  }
}

/** A body on its way into shared memory, as those who wait for it see it. */
class Landing implements Dispatcher.DispatchController, Waiting {
  readonly aborted = false
  readonly paused = false
  readonly reason = null
  readonly rawHeaders = null
  readonly rawTrailers = null
  readonly #handler: Dispatcher.DispatchHandler
  readonly #into: readonly Buffer[]
  /** Bytes in place, as the thread says. */
  readonly #progress: Int32Array
  readonly #leave: (stop: boolean) => boolean
  /** The caller knows the answer's headers. */
  #started = false
  #handed = 0

  constructor(handler: Dispatcher.DispatchHandler, into: readonly Buffer[], progress: Int32Array, leave: (stop: boolean) => boolean) {
    this.#handler = handler
    this.#into = into
    this.#progress = progress
    this.#leave = leave
  }

  abort(reason: Error): void {
    if (this.#leave(true)) this.fail(reason)
  }

  // The memory is there: nothing has to wait.
  pause(): void {}

  resume(): void {}

  hear(answer: Exclude<NetworkAnswer, 'ready' | null>): void {
    if ('status' in answer) {
      this.#started = true
      this.#handler.onResponseStart?.(this, answer.status, answer.headers)
    } else if ('piece' in answer) this.#handler.onResponseData?.(this, Buffer.from(answer.piece.buffer))
    else {
      this.handOn()
      // Whoever got the last piece may have given it up.
      if (!this.#leave(false)) return
      if ('end' in answer) this.#handler.onResponseEnd?.(this, {})
      else this.fail(landedError(answer.error))
    }
  }

  fail(error: Error): void {
    this.#handler.onResponseError?.(this, error)
  }

  /** Hands on what has come since. */
  handOn(): void {
    if (!this.#started) return
    const until = Atomics.load(this.#progress, 0)
    let start = 0
    for (const part of this.#into) {
      const [from, to] = [Math.max(this.#handed - start, 0), Math.min(until - start, part.length)]
      start += part.length
      if (from >= to) continue
      this.#handed = start - part.length + to
      this.#handler.onResponseData?.(this, part.subarray(from, to))
    }
  }
}
