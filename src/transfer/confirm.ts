/**
 * Waits until the server reports what was sent. A 2.x server answers a PUT with an empty ETag and
 * shows the content in its index a second or more later (contract, traps 1, 2, 12).
 *
 * A tree of small files would spend that second per file if each transfer slot waited for it. So
 * slots hand their file over and go on; this asks for all pending paths together, in batches, and learns
 * how long this server takes so that the first question usually gets the final answer.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CellsError, isCellsError } from '../cells/errors.js'
import { parentOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import { Semaphore } from './pool.js'

/** Paths of one question. A real 2.x server takes about 13 ms per path asked by name, and far less per path of a listing. */
const BATCH = 500
/** Paths asked about until the first of them has told how long this server takes; the others wait for that. */
const SCOUTS = 4
/** Folders listed at the same time. */
const PARALLEL = 4
/** From so many due paths of one folder on, the folder is listed instead ... */
const WORTH_LISTING = 4
/** ... unless that means reading far more entries than are asked for. */
const LONGEST_LISTING = 1000
const FIRST_PAUSE_MS = 150
const LONGEST_PAUSE_MS = 1500
/** Until the next question, as a part of the time waited so far: so much later than need be is an answer noticed. */
const PAUSE = 0.15
/** Between two questions, as a part of the usual delay, so that paths which become due one by one share a question. */
const GATHER = 0.2
const SHORTEST_GATHER_MS = 10
const LONGEST_GATHER_MS = 250
/**
 * On top of that while there is more to send: then nobody waits for the answer, and each question takes from the server, and from us,
 * what sending needs. The shorter one from so many paths on.
 */
const LEISURE_MS = 10_000
const SHORT_LEISURE_MS = 1500
const MANY = 1000

interface Pending {
  readonly path: string
  readonly wanted: (node: CellsNode | undefined) => boolean
  readonly since: number
  readonly deadline: number
  next: number
  last: CellsNode | undefined
  readonly resolve: (node: CellsNode | undefined) => void
  readonly reject: (error: unknown) => void
}

export class Confirmer {
  readonly #server: CellsServer
  readonly #signal: AbortSignal
  readonly #pending = new Set<Pending>()
  readonly #stop = new AbortController()
  #running = false
  #wake = new AbortController()
  /** When the pause that is under way ends. */
  #asleepUntil = -Infinity
  /** Milliseconds from hand-over to agreement, as seen so far. */
  #usual = 0
  #lastQuestion = -Infinity
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
    this.#wake.abort()
  }

  /**
   * Resolves with the node when `wanted` accepts what the server reports.
   * @throws CellsError `timeout` after `timeoutMs`; what the server's answers throw, unless transient
   */
  confirm(path: string, wanted: (node: CellsNode | undefined) => boolean, timeoutMs: number): Promise<CellsNode | undefined> {
    return new Promise((resolve, reject) => {
      const now = performance.now()
      const next = now + this.#usual
      this.#pending.add({ path, wanted, since: now, deadline: now + timeoutMs, next, last: undefined, resolve, reject })
      if (Math.max(next, this.#notBefore()) < this.#asleepUntil) this.#wake.abort()
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
      const due = this.#due()
      if (due.length === 0) await this.#pauseUntilDue()
      else await this.#ask(due)
    }
    this.#running = false
  }

  #due(): Pending[] {
    const now = performance.now()
    const due: Pending[] = []
    if (now < this.#notBefore()) return due
    let looked = 0
    for (const item of this.#pending) {
      if (item.next <= now) due.push(item)
      if (due.length === BATCH || (this.#usual === 0 && ++looked === SCOUTS)) break
    }
    return due
  }

  #notBefore(): number {
    const leisure = !this.#leisure || this.#usual === 0 ? 0 : this.#pending.size >= MANY ? SHORT_LEISURE_MS : LEISURE_MS
    return this.#lastQuestion + leisure + Math.min(LONGEST_GATHER_MS, Math.max(SHORTEST_GATHER_MS, this.#usual * GATHER))
  }

  async #pauseUntilDue(): Promise<void> {
    let earliest = Infinity
    let scouts = 0
    for (const item of this.#pending) {
      earliest = Math.min(earliest, item.next)
      if (this.#usual === 0 && ++scouts === SCOUTS) break
    }
    earliest = Math.max(earliest, this.#notBefore())
    this.#wake = new AbortController()
    this.#asleepUntil = earliest
    const wait = Math.max(1, earliest - performance.now())
    await sleep(wait, undefined, { signal: AbortSignal.any([this.#wake.signal, this.#stop.signal]) }).catch(() => {})
    this.#asleepUntil = -Infinity
  }

  async #ask(due: readonly Pending[]): Promise<void> {
    this.#lastQuestion = performance.now()
    let nodes: Map<string, CellsNode>
    try {
      nodes = await this.#look(due.map(item => item.path))
    } catch (error) {
      if (isCellsError(error) && error.transient) for (const item of due) this.#postpone(item, error)
      else for (const item of due) this.#settle(item, () => item.reject(error))
      return
    }
    this.#learn(due.filter(item => item.wanted(nodes.get(item.path))), due.length)
    for (const item of due) {
      item.last = nodes.get(item.path)
      if (item.wanted(item.last)) {
        this.#settle(item, () => item.resolve(item.last))
      } else {
        this.#postpone(item, undefined)
      }
    }
  }

  /**
   * When all that was asked for is there, the question could have come earlier; when not, it should come later. How long an answer
   * was waited for says little: it is asked for when there is time.
   */
  #learn(agreed: readonly Pending[], asked: number): void {
    if (agreed.length === 0) return
    const now = performance.now()
    const took = agreed.reduce((least, item) => Math.min(least, now - item.since), Infinity)
    const first = this.#usual === 0
    this.#usual = first ? took : Math.min(this.#usual * (agreed.length === asked ? 0.95 : 1.1), took)
    if (first) for (const item of this.#pending) item.next = Math.max(item.next, item.since + this.#usual)
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

  #postpone(item: Pending, cause: unknown): void {
    const now = performance.now()
    if (now >= item.deadline) {
      this.#settle(item, () => item.reject(new CellsError('timeout', `the server took ${item.path} but ${describe(item.last)}`, { cause })))
      return
    }
    item.next = Math.min(item.deadline, now + Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, (now - item.since) * PAUSE)))
  }

  #settle(item: Pending, settle: () => void): void {
    this.#pending.delete(item)
    settle()
  }

  #rejectAll(error: unknown): void {
    for (const item of [...this.#pending]) this.#settle(item, () => item.reject(error))
  }
}

function describe(node: CellsNode | undefined): string {
  if (node === undefined) return 'does not show it'
  return `still reports other content (${node.kind}, ${node.size} bytes, etag ${node.etag === '' ? 'none' : node.etag})`
}
