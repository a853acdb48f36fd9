/**
 * Keys that this connection has just deleted over S3. A PUT that follows such a delete too soon leaves the
 * index stale for good (contract, trap 6), so `put` waits here until stat says that the key is gone.
 * Deletes and moves over REST need no entry: they resolve only when stat agrees.
 */
import { CellsError, isCellsError } from './errors.js'

const REMEMBERED_MS = 15_000
const LONGEST_WAIT_MS = 10_000
const MOST = 10_000

/** Resolves when stat says that the path is gone; throws `timeout`. */
export type UntilGone = (path: string, timeoutMs: number, signal?: AbortSignal) => Promise<void>

export class Tombstones {
  readonly #deleted = new Map<string, number>()
  readonly #untilGone: UntilGone
  readonly #now: () => number

  constructor(untilGone: UntilGone, now: () => number = Date.now) {
    this.#untilGone = untilGone
    this.#now = now
  }

  add(path: string): void {
    this.#deleted.delete(path)
    this.#deleted.set(path, this.#now())
    for (const [old, at] of this.#deleted) {
      if (this.#deleted.size <= MOST && this.#now() - at < REMEMBERED_MS) break
      this.#deleted.delete(old)
    }
  }

  /** A node has come to the path since, and stat shows it: there is no emptiness to wait for. */
  taken(path: string): void {
    this.#deleted.delete(path)
  }

  /**
   * Before a PUT.
   *
   * @throws CellsError `locked` (worth another try) when the delete does not come through
   */
  async settle(path: string, signal?: AbortSignal): Promise<void> {
    const at = this.#deleted.get(path)
    if (at === undefined) return
    if (this.#now() - at < REMEMBERED_MS) {
      try {
        await this.#untilGone(path, LONGEST_WAIT_MS, signal)
      } catch (error) {
        if (!isCellsError(error, 'timeout')) throw error
        throw new CellsError('locked', `could not write ${path}: its deletion is not finished`, { cause: error })
      }
    }
    // Unless it was deleted again meanwhile.
    if (this.#deleted.get(path) === at) this.#deleted.delete(path)
  }
}
