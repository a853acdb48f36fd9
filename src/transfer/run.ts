/**
 * What upload and download have in common: steps are read ahead, files run three at a time (small ones more), failures
 * are collected. An error that concerns one item lets the others go on; one that concerns
 * them all (sign-in, network, full disk) stops the rest.
 */
import { setMaxListeners } from 'node:events'
import { isAuthError } from '../auth/errors.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import { readAhead, Semaphore } from './pool.js'
import { TransferError } from './types.js'
import type { FileTask, PlanCounts, TransferFailure, TransferListener, TransferOptions, TransferReport } from './types.js'

const FILES = 3
/** For small files it is not the line but the way there and back that takes the time: while some are read or put in place, others have all the requests. */
const SMALL_FILES = 24
const SMALL = 1024 * 1024
/** Requests with content at the same time: a real 2.x server gains nothing beyond 8 to 16 connections (contract, section 8). */
const REQUESTS = 8
/** Steps known ahead of their turn; some hundred bytes each, of a download, with all that the server tells of a file, two thousand. */
const READ_AHEAD = 10_000
/** Failures one after the other, of a kind that is usually the server's, until it is taken for gone. */
const IN_A_ROW = 5

const FATAL_CELLS = ['login-needed', 'tls', 'not-cells', 'aborted', 'quota', 'network'] as const
const FATAL_LOCAL = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'ENFILE'])

type Step = { readonly kind: string; readonly path: string }

export class TransferRun {
  readonly listener: TransferListener
  readonly requests: Semaphore
  /** Fires when the caller aborts or going on is pointless. */
  readonly signal: AbortSignal
  readonly #stop = new AbortController()
  readonly #user: AbortSignal | undefined
  readonly #slots: Semaphore
  readonly #smallSlots: Semaphore
  readonly #running = new Set<Promise<void>>()
  /** Wakes the one who waits for room. */
  #fewer = (): void => {}
  readonly #failures: TransferFailure[] = []
  /** Folders that could not be made: nothing below them is tried. */
  readonly #lost = new Set<string>()
  #counts = { removals: 0, folders: 0, files: 0, bytes: 0, complete: false }
  #done = { removals: 0, folders: 0, files: 0, bytes: 0, same: 0 }
  #inARow = 0
  #nextId = 1

  constructor(options: TransferOptions, partsConcurrency: number) {
    this.listener = options.listener ?? {}
    this.#user = options.signal
    this.signal = options.signal === undefined ? this.#stop.signal : AbortSignal.any([options.signal, this.#stop.signal])
    // Each request under way listens; that is no leak.
    setMaxListeners(0, this.signal)
    this.#slots = new Semaphore(options.files ?? FILES)
    this.#smallSlots = new Semaphore(options.files ?? SMALL_FILES)
    this.requests = new Semaphore(Math.max(REQUESTS, partsConcurrency), this.signal)
  }

  /** The steps of `plan`, counted as the walk finds them, ahead of the work. Ends early when the run is stopped. */
  async * steps<S extends Step>(plan: AsyncIterable<S>, sizeOf: (step: S) => number): AsyncGenerator<S> {
    for await (const step of readAhead(this.#counted(plan, sizeOf), READ_AHEAD)) {
      if (this.signal.aborted) return
      if (!this.#isLost(step.path)) yield step
    }
  }

  async * #counted<S extends Step>(plan: AsyncIterable<S>, sizeOf: (step: S) => number): AsyncGenerator<S> {
    for await (const step of plan) {
      if (this.signal.aborted) return
      if (step.kind === 'remove') this.#counts.removals++
      else if (step.kind === 'folder') this.#counts.folders++
      else if (step.kind === 'file') {
        this.#counts.files++
        this.#counts.bytes += sizeOf(step)
      }
      this.listener.onPlan?.(this.counts)
      yield step
    }
    this.#counts.complete = true
    this.listener.onPlan?.(this.counts)
  }

  get counts(): PlanCounts {
    return { ...this.#counts }
  }

  /** Removals and folders done. */
  did(kind: 'removal' | 'folder', path: string): void {
    if (kind === 'removal') this.#done.removals++
    else this.#done.folders++
    this.listener.onStep?.(kind, path)
  }

  isSame(path: string): void {
    this.#done.same++
    this.listener.onSame?.(path)
  }

  fail(path: string, error: unknown, task?: FileTask): void {
    const failure = { path, error: error instanceof Error ? error : new Error(String(error)) }
    // What fails because the run was stopped is not a finding of its own; a call that is cut short may bring the reason of the stop itself.
    if (this.signal.aborted && (isAbort(failure.error) || failure.error === this.signal.reason)) return
    this.#failures.push(failure)
    this.listener.onFailure?.(path, failure.error, task)
    this.#inARow = isServerTrouble(error) ? this.#inARow + 1 : 0
    if (isFatal(error) || this.#inARow >= IN_A_ROW) this.#stop.abort(failure.error)
  }

  /** `path` could not be made ready: what should go there or below is passed over in silence. */
  lose(path: string): void {
    this.#lost.add(path)
  }

  #isLost(path: string): boolean {
    if (this.#lost.size === 0) return false
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (this.#lost.has(path.slice(0, end))) return true
    }
    return false
  }

  /**
   * Waits for a free slot, then starts `work` and returns. `work` may call `finished` when the bytes
   * are there, to give the slot to the next file, and go on waiting.
   */
  async start(source: string, target: string, label: string, size: number, work: (task: FileTask, finished: () => void) => Promise<void>): Promise<void> {
    const slots = size <= SMALL ? this.#smallSlots : this.#slots
    await slots.acquire()
    if (this.signal.aborted) {
      slots.release()
      return
    }
    const task: FileTask = { id: this.#nextId++, label, source, target, size }
    let held = true
    const finished = (): void => {
      if (!held) return
      held = false
      this.listener.onFinish?.(task)
      slots.release()
    }
    const run = async (): Promise<void> => {
      try {
        this.listener.onStart?.(task)
        await work(task, finished)
        finished()
        this.#done.files++
        this.#done.bytes += size
        this.#inARow = 0
      } catch (error) {
        if (held) slots.release()
        held = false
        this.fail(source, error, task)
      }
    }
    this.#track(run())
  }

  /** Lets `work` about `path` go on in the background; `finish` waits for it. */
  background(path: string, work: Promise<unknown>): void {
    this.#track(work.then(() => {}, (error: unknown) => this.fail(path, error)))
  }

  #track(work: Promise<void>): void {
    const running = work.finally(() => {
      this.#running.delete(running)
      this.#fewer()
    })
    this.#running.add(running)
  }

  /** Waits until fewer than `limit` items are under way or wait to be confirmed. */
  async drain(limit: number): Promise<void> {
    // Not by a race: each would leave a trace at all those promises, thousands of times.
    while (this.#running.size >= limit) await new Promise<void>(resolve => { this.#fewer = resolve })
  }

  /** Waits for everything. @throws the reason of the caller's abort */
  async finish(): Promise<TransferReport> {
    await Promise.all(this.#running)
    if (this.#user?.aborted === true) throw this.#user.reason
    return { ...this.#done, failures: this.#failures, aborted: this.signal.aborted }
  }
}

function isAbort(error: Error): boolean {
  return isCellsError(error, 'aborted') || isAuthError(error, 'aborted') || error.name === 'AbortError'
}

/** The disk here, or this process, can take no more. */
export const isLocalTrouble = (error: unknown): boolean => error instanceof Error && FATAL_LOCAL.has((error as NodeJS.ErrnoException).code ?? '')

const isFatal = (error: unknown): boolean => isCellsError(error, ...FATAL_CELLS) || isAuthError(error) || isLocalTrouble(error)

const isServerTrouble = (error: unknown): boolean => error instanceof CellsError && error.transient

/** One sentence about what went wrong with an item, for a list of failures. */
export function explain(error: Error): string {
  if (error instanceof TransferError || error instanceof CellsError) return error.message
  const code = (error as NodeJS.ErrnoException).code
  const words = code === undefined ? undefined : LOCAL_WORDS[code]
  return words ?? error.message
}

const LOCAL_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or folder',
  ENOSPC: 'no space left on this disk',
  EDQUOT: 'disk quota reached',
  EROFS: 'this disk is read-only',
  EISDIR: 'is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  EEXIST: 'something of that name exists already',
  ENAMETOOLONG: 'its name is too long for this disk',
  EMFILE: 'too many open files',
  EIO: 'the disk reports an error',
}
