/**
 * The requests that the engine works on: how many there may be, how long each may take, and whose caller is dying.
 *
 * There is no queue on this side. When the bound is reached the device is not read: what waits then waits
 * in the kernel, where a signal takes it back (EINTR) without us. Interrupts are not seen in that time, so all callers
 * are looked at instead. One timer serves deadlines and callers of all requests, so that a request costs no timer.
 */
import { constants } from 'node:os'
import type { Call } from './call.js'

export interface Limits {
  /** Requests at a time. */
  readonly requests: number
  /** Bytes of content in them: reads count what they may return. */
  readonly bytes: number
}

export const DEFAULT_LIMITS: Limits = { requests: 1_024, bytes: 64 * 1_048_576 }

/** How often deadlines and interrupted callers are looked at. */
const SWEEP_MS = 250

export interface InflightOptions {
  readonly limits: Limits
  readonly isDying: (pid: number) => boolean
  /** The kernel must have a reply now, whatever the engine does: a positive errno. */
  readonly give: (call: Call, errno: number) => void
}

export class Inflight {
  readonly #options: InflightOptions
  readonly #calls = new Map<bigint, Call>()
  /** Calls by the inode they concern, which the kernel may have locked. */
  readonly #nodes = new Map<number, number>()
  /** Of these, reads: the kernel has locked the pages that wait for them. */
  readonly #reads = new Map<number, number>()
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #drained: (() => void)[] = []

  constructor(options: InflightOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#calls.size
  }

  get full(): boolean {
    const { requests, bytes } = this.#options.limits
    return this.#calls.size >= requests || this.#bytes >= bytes
  }

  /** Does a request work on this inode? */
  busy(nodeid: number): boolean {
    return this.#nodes.has(nodeid)
  }

  /** Does a read of this inode wait for its pages? */
  reading(nodeid: number): boolean {
    return this.#reads.has(nodeid)
  }

  add(call: Call): void {
    this.#calls.set(call.unique, call)
    count(this.#nodes, call.nodeid, 1)
    if (call.op === 'read') count(this.#reads, call.nodeid, 1)
    this.#bytes += call.bytes
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS)
  }

  /** The engine is done with it. */
  remove(call: Call): void {
    if (this.#calls.get(call.unique) === call) this.#calls.delete(call.unique)
    count(this.#nodes, call.nodeid, -1)
    if (call.op === 'read') count(this.#reads, call.nodeid, -1)
    this.#bytes -= call.bytes
    if (this.#calls.size === 0) for (const done of this.#drained.splice(0)) done()
  }

  /** The kernel says that a signal has hit the caller of `unique`. One that is answered by now is no matter. */
  interrupt(unique: bigint): void {
    const call = this.#calls.get(unique)
    if (call === undefined || call.answered) return
    call.interrupted = true
    this.#endIfDying(call)
  }

  /** Nobody waits any more: the connection is gone. */
  abort(): void {
    for (const call of this.#calls.values()) {
      call.answered = true
      call.abort()
    }
  }

  /** Resolves when the engine is done with everything. */
  drained(): Promise<void> {
    return this.#calls.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#drained.push(resolve))
  }

  #sweep(): void {
    if (this.#calls.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    const now = performance.now()
    const { full } = this
    for (const call of this.#calls.values()) {
      if (call.answered) continue
      if (now >= call.deadline) {
        call.abort()
        this.#options.give(call, constants.errno.ETIMEDOUT)
      } else if (call.interrupted || full) {
        this.#endIfDying(call)
      }
    }
  }

  #endIfDying(call: Call): void {
    if (!this.#options.isDying(call.pid)) return
    // What saves content goes on: it is as welcome without the program that asked for it.
    if (call.op !== 'flush' && call.op !== 'fsync' && call.op !== 'release') call.abort()
    this.#options.give(call, constants.errno.EINTR)
  }
}

function count(users: Map<number, number>, nodeid: number, change: number): void {
  const now = (users.get(nodeid) ?? 0) + change
  if (now > 0) users.set(nodeid, now)
  else users.delete(nodeid)
}
