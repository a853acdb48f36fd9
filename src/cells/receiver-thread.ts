/** The thread of receiver.ts: its own connections, and nothing else that knows the server. */
import { parentPort, type Transferable, workerData } from 'node:worker_threads'
import type { Dispatcher } from 'undici'
import { openConnections } from './connections.js'
import type { ReceiverAnswer, ReceiverData, ReceiverTask } from './receiver.js'

const { url, connections, skipVerify, told } = workerData as ReceiverData
const dispatcher = openConnections(new URL(url), connections, skipVerify)
const running = new Map<number, Landing>()
const say = (answer: ReceiverAnswer, transfer: readonly Transferable[] = []): void => parentPort?.postMessage(answer, transfer)

class Landing implements Dispatcher.DispatchHandler {
  readonly #id: number
  readonly #into: readonly Uint8Array[]
  readonly #progress: Int32Array
  #controller: Dispatcher.DispatchController | undefined
  #stopped = false
  #fits = false
  #part = 0
  #at = 0

  constructor(id: number, into: readonly Uint8Array[], progress: Int32Array) {
    this.#id = id
    this.#into = into
    this.#progress = progress
  }

  /** Nobody hears of it any more. */
  stop(): void {
    this.#stopped = true
    running.delete(this.#id)
    this.#controller?.abort(new Error('The body was given up'))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#stopped) controller.abort(new Error('The body was given up'))
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: NonNullable<unknown>): void {
    if (status < 200) return
    const room = this.#into.reduce((sum, { length }) => sum + length, 0)
    // What is not the body that was expected comes as it is, and the caller sees what is wrong with it.
    this.#fits = (status === 200 || status === 206) && Number((headers as Record<string, string>)['content-length']) === room
    say({ id: this.#id, status, headers })
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stopped) return
    if (!this.#fits) {
      const piece = new Uint8Array(chunk)
      say({ id: this.#id, piece }, [piece.buffer])
      return
    }
    for (let taken = 0; taken < chunk.length;) {
      const part = this.#into[this.#part]!
      const n = Math.min(part.length - this.#at, chunk.length - taken)
      part.set(chunk.subarray(taken, taken + n), this.#at)
      taken += n
      this.#at += n
      if (this.#at === part.length) {
        this.#part++
        this.#at = 0
      }
    }
    Atomics.add(this.#progress, 0, chunk.length)
    if (Atomics.exchange(told, 0, 1) === 0) say(null)
  }

  onResponseEnd(): void {
    if (running.delete(this.#id)) say({ id: this.#id, end: true })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error & { code?: unknown; cause?: { code?: unknown } }): void {
    const code = [error.code, error.cause?.code].find((each) => typeof each === 'string')
    if (running.delete(this.#id)) say({ id: this.#id, error: { name: error.name, message: error.message, code } })
  }
}

parentPort?.on('message', (task: ReceiverTask) => {
  if ('stop' in task) return running.get(task.stop)?.stop()
  const landing = new Landing(task.id, task.into, task.progress)
  running.set(task.id, landing)
  dispatcher.dispatch(task.options, landing)
})
say('ready')
