/**
 * A thread that is there while it is used: started by the first task, ended some seconds after the last one. It keeps the process only
 * while it has something to do.
 */
import { parentPort, type Transferable, Worker } from 'node:worker_threads'

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
    worker.on('exit', () => this.end(undefined, worker))
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

/** What a task that is answered once comes to. */
type Outcome<Value> = { readonly value: Value } | { readonly code: string | undefined; readonly message: string }

interface Asked<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (error: Error) => void
}

/** A thread that does one task after the other, and answers each once (`answerTasks`). */
export class TaskThread<Task, Value> {
  readonly #asked: Asked<Value>[] = []
  readonly #thread: Thread<Task, Outcome<Value>>

  constructor(program: URL) {
    this.#thread = new Thread({
      program,
      onAnswer: (outcome) => {
        const asked = this.#asked.shift()
        if ('value' in outcome) asked?.resolve(outcome.value)
        else asked?.reject(Object.assign(new Error(outcome.message), { code: outcome.code }))
        this.#thread.done()
      },
      onEnd: (error) => { for (const { reject } of this.#asked.splice(0)) reject(error) },
    })
  }

  /** @throws what the task threw, with its `code`; an error when the thread died */
  ask(task: Task, transfer?: readonly Transferable[]): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ resolve, reject })
      this.#thread.begin(task, transfer)
    })
  }
}

/** To be called in the program of a TaskThread: does its tasks. */
export function answerTasks<Task, Value>(work: (task: Task) => Value): void {
  parentPort?.on('message', (task: Task) => {
    let outcome: Outcome<Value>
    try {
      outcome = { value: work(task) }
    } catch (error) {
      outcome = { code: (error as NodeJS.ErrnoException).code, message: (error as Error).message }
    }
    parentPort?.postMessage(outcome)
  })
}
