/** The thread of network.ts: its own connections, and nothing else that knows the server. */
import { parentPort, type Transferable, workerData } from 'node:worker_threads'
import type { Dispatcher } from 'undici'
import { openConnections } from './connections.js'
import type { NetworkAnswer, NetworkData, NetworkTask } from './network.js'
import { portError } from './ported-error.js'
import { Gathering } from './whole.js'

const { told, ...plan } = workerData as NetworkData
const pools = openConnections(plan)
const running = new Map<number, { stop(reason: Error): void }>()
const say = (answer: NetworkAnswer, transfer: readonly Transferable[] = []): void => parentPort?.postMessage(answer, transfer)

class Landing implements Dispatcher.DispatchHandler {
  readonly #id: number
  readonly #into: readonly Uint8Array[]
  readonly #progress: Int32Array
  #controller: Dispatcher.DispatchController | undefined
  #stopped: Error | undefined
  #fits = false
  #part = 0
  #at = 0

  constructor(id: number, into: readonly Uint8Array[], progress: Int32Array) {
    this.#id = id
    this.#into = into
    this.#progress = progress
  }

  stop(reason: Error): void {
    this.#stopped = reason
    this.#controller?.abort(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#stopped !== undefined) controller.abort(this.#stopped)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: NonNullable<unknown>): void {
    if (status < 200) return
    const room = this.#into.reduce((sum, { length }) => sum + length, 0)
    // What is not the body that was expected comes as it is, and the caller sees what is wrong with it.
    this.#fits = (status === 200 || status === 206) && Number((headers as Record<string, string>)['content-length']) === room
    say({ id: this.#id, status, headers })
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stopped !== undefined) return
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

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (running.delete(this.#id)) say({ id: this.#id, error: portError(error) })
  }
}

function gather(id: number, most: number): Gathering {
  const gathering = new Gathering(most)
  gathering.answer.then(({ status, headers, content }) => {
    if (!running.delete(id)) return
    // (Of its own: the memory behind what came from a socket holds more.)
    const own = new Uint8Array(content)
    if (own.length === 0) say({ id, status, headers })
    else say({ id, status, headers, content: own }, [own.buffer])
  }, (error: unknown) => {
    if (running.delete(id)) say({ id, error: portError(error) })
  })
  return gathering
}

parentPort?.on('message', (task: NetworkTask) => {
  if ('stop' in task) {
    const given = running.get(task.stop)
    // Nobody hears of it any more.
    running.delete(task.stop)
    given?.stop(new Error('The answer was given up'))
    return
  }
  const { id, pool, options } = task
  const handler = 'most' in task ? gather(id, task.most) : new Landing(id, task.into, task.progress)
  running.set(id, handler)
  try {
    pools[pool].dispatch(options, handler)
  } catch (error) {
    if (running.delete(id)) say({ id, error: portError(error) })
  }
})
say('ready')
