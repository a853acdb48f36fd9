/**
 * A thread that is there while it is used: started by the first task, ended some seconds after the last one. It keeps the process only
 * while it has something to do.
 */
import { type Transferable, Worker } from 'node:worker_threads'

/** An idle thread is ended after this long. */
const IDLE_MS = 10_000

export interface ThreadOptions<Answer> {
  /** What runs in it. */
  readonly program: URL
  readonly data?: unknown
  readonly onAnswer: (answer: Answer) => void
  /** It has died, or was ended: no further answer comes. */
  readonly onEnd: (error: Error) => void
}

export class Thread<Task, Answer> {
  readonly #options: ThreadOptions<Answer>
  #worker: Worker | undefined
  #tasks = 0
  #idle: NodeJS.Timeout | undefined

  constructor(options: ThreadOptions<Answer>) {
    this.#options = options
  }

  /** Begins a task: whoever hears its last answer says `done`. */
  begin(task: Task, transfer: readonly Transferable[] = []): void {
    const worker = this.warm()
    if (this.#tasks++ === 0) worker.ref()
    clearTimeout(this.#idle)
    worker.postMessage(task, transfer)
  }

  /** Says something about a task. */
  tell(message: Task): void {
    this.#worker?.postMessage(message)
  }

  done(): void {
    if (--this.#tasks > 0) return
    this.#worker?.unref()
    this.#wait()
  }

  /** Starts it ahead of the first task. */
  warm(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const { program, data, onAnswer } = this.#options
    const worker = new Worker(program, { workerData: data, execArgv: [] })
    worker.unref()
    worker.on('message', onAnswer)
    worker.on('error', (error) => this.end(error, worker))
    this.#worker = worker
    this.#wait()
    return worker
  }

  /** Ends it. The next task starts another one. */
  end(error = new Error('The thread has ended'), worker = this.#worker): void {
    if (worker === undefined || worker !== this.#worker) return
    clearTimeout(this.#idle)
    this.#worker = undefined
    this.#tasks = 0
    void worker.terminate()
    this.#options.onEnd(error)
  }

  #wait(): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => this.end(), IDLE_MS).unref()
  }
}
