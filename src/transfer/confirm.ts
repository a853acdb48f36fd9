/**
 * Waits until the server reports what was sent. A 2.x server answers a PUT with an empty ETag and
 * shows the content in its index a second or more later (contract, traps 1, 2, 12), and that only when nobody has written for a
 * second: all that came before then shows at once.
 *
 * A tree of small files would spend that second per file if each transfer slot waited for it. So slots hand their file over
 * and go on. Of all that is pending a few, the scouts, are asked about again and again; when one of them is there, so are
 * the others as a rule, and are asked for in large batches.
 */
import { CellsError, isCellsError } from '../cells/errors.js'
import { parentOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import { Pauses } from '../pauses.js'
import { Semaphore } from './pool.js'

/** The oldest, the newest and two others: with the same ones each time, a path that never agrees could keep all others waiting. */
const SCOUTS = 4
/** Paths of one question. A real 2.x server takes about 13 ms per path asked by name, and far less per path of a listing. */
const BATCH = 1000
/** Folders listed at the same time. */
const PARALLEL = 4
/** From so many paths of one folder on, the folder is listed instead ... */
const WORTH_LISTING = 4
/** ... unless that means reading far more entries than are asked for. */
const LONGEST_LISTING = 1000
const FIRST_PAUSE_MS = 80
const LONGEST_PAUSE_MS = 1500
/** Until the next question, as a part of the time waited so far: so much later than need be is an answer noticed. */
const PAUSE = 0.1
/**
 * While there is more to send: then nobody waits for the answer, and each question takes from the server, and from us, what sending
 * needs. The shorter one from so many paths on.
 */
const LEISURE_MS = 10_000
const SHORT_LEISURE_MS = 1500
const MANY = 1000

interface Pending {
  readonly path: string
  readonly wanted: (node: CellsNode | undefined) => boolean
  readonly timeoutMs: number
  last: CellsNode | undefined
  readonly resolve: (node: CellsNode | undefined) => void
  readonly reject: (error: unknown) => void
}

export class Confirmer {
  readonly #server: CellsServer
  readonly #signal: AbortSignal
  /** In the order in which they were handed over. */
  readonly #pending = new Set<Pending>()
  readonly #stop = new AbortController()
  #running = false
  readonly #pauses = new Pauses()
  /** When the pause that is under way ends. */
  #asleepUntil = -Infinity
  #lastQuestion = -Infinity
  #lastHandOver = -Infinity
  #leisure = false
  /** Folders that turned out to hold too much to list. */
  readonly #large = new Set<string>()

  constructor(server: CellsServer, signal: AbortSignal) {
    this.#server = server
    this.#signal = signal
    const stop = (): void => this.#stop.abort(signal.reason)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  }

  /** Paths not yet agreed upon. */
  get size(): number {
    return this.#pending.size
  }

  /** While true, questions come seldom: there is more to send. */
  set leisure(value: boolean) {
    this.#leisure = value
    this.#pauses.cutShort()
  }

  /**
   * Resolves with the node when `wanted` accepts what the server reports.
   * @param timeoutMs counted from the last time that anything was handed over: while somebody writes, an index may stand still
   * @throws CellsError `timeout`; what the server's answers throw, unless transient
   */
  confirm(path: string, wanted: (node: CellsNode | undefined) => boolean, timeoutMs: number): Promise<CellsNode | undefined> {
    return new Promise((resolve, reject) => {
      this.#lastHandOver = performance.now()
      this.#pending.add({ path, wanted, timeoutMs, last: undefined, resolve, reject })
      if (this.#nextQuestion() < this.#asleepUntil) this.#pauses.cutShort()
      if (!this.#running) {
        this.#running = true
        void this.#run()
      }
    })
  }

  async #run(): Promise<void> {
    while (this.#pending.size > 0) {
      if (this.#stop.signal.aborted) {
        this.#rejectAll(new CellsError('aborted', 'aborted while waiting for the server to report what was sent', { cause: this.#signal.reason }))
        break
      }
      if (this.#nextQuestion() > performance.now()) await this.#pause()
      else if (await this.#ask(this.#scouts()) !== 'none') await this.#askForAll()
    }
    this.#running = false
  }

  #nextQuestion(): number {
    if (this.#leisure) return this.#lastQuestion + (this.#pending.size >= MANY ? SHORT_LEISURE_MS : LEISURE_MS)
    const waited = this.#lastQuestion - this.#lastHandOver
    return this.#lastQuestion + Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, waited * PAUSE))
  }

  async #pause(): Promise<void> {
    this.#asleepUntil = this.#nextQuestion()
    const wait = Math.max(1, this.#asleepUntil - performance.now())
    await this.#pauses.wait(wait, this.#stop.signal)
    this.#asleepUntil = -Infinity
  }

  #scouts(): Pending[] {
    const all = [...this.#pending]
    if (all.length <= SCOUTS) return all
    const indices = [0, all.length - 1, ...Array.from({ length: SCOUTS - 2 }, () => Math.floor(Math.random() * all.length))]
    return [...new Set(indices)].flatMap(index => all[index] ?? [])
  }

  /** In order, until one batch does not agree as a whole. */
  async #askForAll(): Promise<void> {
    const all = [...this.#pending]
    for (let start = 0; start < all.length && !this.#stop.signal.aborted; start += BATCH) {
      if (await this.#ask(all.slice(start, start + BATCH)) !== 'all') return
    }
  }

  /** @returns how many of them are settled now, one way or the other */
  async #ask(items: readonly Pending[]): Promise<'none' | 'some' | 'all'> {
    this.#lastQuestion = performance.now()
    let nodes: Map<string, CellsNode> | undefined
    let trouble: unknown
    try {
      nodes = await this.#look(items.map(item => item.path))
    } catch (error) {
      trouble = error
    }
    const final = trouble !== undefined && !(isCellsError(trouble) && trouble.transient)
    let settled = 0
    for (const item of items) {
      if (nodes !== undefined) item.last = nodes.get(item.path)
      if (nodes !== undefined && item.wanted(item.last)) item.resolve(item.last)
      else if (final) item.reject(trouble)
      else if (performance.now() >= this.#lastHandOver + item.timeoutMs) item.reject(new CellsError('timeout', `the server took ${item.path} but ${describe(item.last)}`, { cause: trouble }))
      else continue
      this.#pending.delete(item)
      settled++
    }
    return settled === 0 ? 'none' : settled === items.length ? 'all' : 'some'
  }

  /** The nodes of those paths that exist. */
  async #look(paths: readonly string[]): Promise<Map<string, CellsNode>> {
    const byFolder = new Map<string, string[]>()
    for (const path of paths) {
      const folder = parentOf(path)
      byFolder.set(folder, [...byFolder.get(folder) ?? [], path])
    }
    const found = new Map<string, CellsNode>()
    const byName: string[] = []
    const slots = new Semaphore(PARALLEL)
    await Promise.all([...byFolder].map(async ([folder, inside]) => {
      const worthListing = inside.length >= WORTH_LISTING && !this.#large.has(folder)
      const listed = worthListing && await slots.run(() => this.#list(folder, new Set(inside), found))
      if (!listed) byName.push(...inside)
    }))
    if (byName.length > 0) for (const [path, node] of await this.#server.statMany(byName, { signal: this.#stop.signal })) found.set(path, node)
    return found
  }

  /** Puts what is listed of `wanted` into `found`. False when the listing does not tell about all of them. */
  async #list(folder: string, wanted: ReadonlySet<string>, found: Map<string, CellsNode>): Promise<boolean> {
    let read = 0
    try {
      for await (const page of this.#server.list(folder, { signal: this.#stop.signal })) {
        for (const node of page) if (wanted.has(node.path)) found.set(node.path, node)
        read += page.length
        if (read > LONGEST_LISTING) {
          this.#large.add(folder)
          return false
        }
      }
      return true
    } catch (error) {
      // A folder that was just made is not listed yet, what was put into it may be.
      if (isCellsError(error, 'not-found')) return false
      throw error
    }
  }

  #rejectAll(error: unknown): void {
    for (const item of this.#pending) item.reject(error)
    this.#pending.clear()
  }
}

function describe(node: CellsNode | undefined): string {
  if (node === undefined) return 'does not show it'
  return `still reports other content (${node.kind}, ${node.size} bytes, etag ${node.etag === '' ? 'none' : node.etag})`
}
