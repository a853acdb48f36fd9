/**
 * Again, after a pause, with an end. Pauses grow exponentially with full jitter, so that many
 * clients of a server that comes back do not come in step; `Retry-After` is obeyed.
 */
import type { Deadline } from './deadline.js'
import { CellsError } from './errors.js'

const FIRST_PAUSE_MS = 150

export interface RetryLimits {
  /** Tries of one request, the first included; Infinity leaves the end to the deadline. */
  readonly attempts?: number
  readonly longestPauseMs?: number
}

const DEFAULTS: Required<RetryLimits> = { attempts: 5, longestPauseMs: 4000 }

const retryAfter = new WeakMap<CellsError, number>()

/** Notes what a `Retry-After` header asked for (seconds or an HTTP date). */
export function noteRetryAfter(error: CellsError, header: string | undefined, now: number = Date.now()): void {
  if (header === undefined) return
  const ms = /^\d{1,6}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now
  if (Number.isFinite(ms) && ms > 0) retryAfter.set(error, ms)
}

export function pauseBefore(attempt: number, random: () => number = Math.random, longestPauseMs: number = DEFAULTS.longestPauseMs): number {
  return random() * Math.min(longestPauseMs, FIRST_PAUSE_MS * 2 ** attempt)
}

/** Refused before anything was done: safe to repeat even for a call that must not run twice. */
function wasRefused(error: CellsError): boolean {
  if (error.kind === 'locked' || error.status === 429) return true
  // Words of the server's own router when an inner service is not there (it is starting, say).
  if (error.kind === 'unavailable' && /none available/.test(error.detail)) return true
  return error.kind === 'network' && /\b(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT|EHOSTUNREACH|ENETUNREACH)\b/.test(error.detail)
}

/**
 * @param idempotent false: only what was surely not begun is repeated
 * @throws the last error; the deadline's reason if that comes first
 */
export async function retrying<T>(deadline: Deadline, idempotent: boolean, attempt: (number: number) => Promise<T>, limits: RetryLimits = {}): Promise<T> {
  const { attempts = DEFAULTS.attempts, longestPauseMs = DEFAULTS.longestPauseMs } = limits
  for (let number = 0; ; number++) {
    try {
      return await attempt(number)
    } catch (error) {
      if (!(error instanceof CellsError) || deadline.reason !== undefined || number + 1 >= attempts) throw error
      if (!error.transient || error.kind === 'timeout' || !(idempotent || wasRefused(error))) throw error
      const pause = retryAfter.get(error) ?? pauseBefore(number, Math.random, longestPauseMs)
      // Waiting longer than we may would only turn a true error into a time-out.
      if (pause >= deadline.remaining) throw error
      await deadline.sleep(pause)
    }
  }
}
