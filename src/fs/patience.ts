/**
 * How long to wait for the server with an older answer in hand (design, invariant 8: with the server gone, what is known
 * is still answered, and nobody waits long for it). A question that takes too long or fails is answered from memory,
 * and for a moment no further ones are asked. The question itself goes on: its answer is learned when it comes.
 */
import { CellsError, isCellsError } from '../cells/errors.js'
import { orLate } from '../signals.js'

/**
 * Is it about the way to the server, or our standing there, and not about what was asked? Then nothing is known that was not known before:
 * what is remembered still stands, and what is to be sent waits. A hotel's web page and its certificate are among these.
 */
export function saysNothing(error: unknown): boolean {
  return isCellsError(error) && (error.transient || error.kind === 'login-needed' || error.kind === 'tls' || error.kind === 'not-cells')
}

/** A stat takes 15 ms on an idle server, and seconds while it indexes a burst. */
const PATIENCE_MS = 3_000
/** While a mount starts: it is to be usable within a second. */
const STARTING_MS = 300
const PAUSE_MS = 5_000

export class Patience {
  private pausedUntil = 0
  /** The mount does not answer yet, and asks for as little as it can. */
  starting = false
  private readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  /** The server is there again. */
  reset(): void {
    this.pausedUntil = 0
  }

  /** It has just been seen that the server does not answer. */
  pause(): void {
    this.pausedUntil = this.now() + PAUSE_MS
  }

  get paused(): boolean {
    return this.now() < this.pausedUntil
  }

  /** @throws what the question throws; CellsError `timeout` when it takes too long; `network` during a pause */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    if (this.paused) throw new CellsError('network', 'The server did not answer a moment ago')
    try {
      const answer = await orLate(this.starting ? STARTING_MS : PATIENCE_MS, question(), () => {
        throw new CellsError('timeout', 'The server takes too long')
      })
      this.reset()
      return answer
    } catch (error) {
      if (saysNothing(error)) this.pause()
      throw error
    }
  }
}
