/**
 * Work one after the other. What finds that something else has to happen first, which may need the lane itself, throws `Later`: the lane goes
 * on, and the work is begun again afterwards.
 */
import { CellsError } from '../cells/errors.js'
import { abortable } from '../signals.js'

export class Lane {
  private tail: Promise<unknown> = Promise.resolve()
  private readonly stop: AbortSignal

  /** `stop`: nothing is begun any more. */
  constructor(stop: AbortSignal) {
    this.stop = stop
  }

  /** `work` is begun again when what it found to wait for is over: the lane goes on meanwhile, because what it waits for may need it. */
  async run(work: () => Promise<void>): Promise<void> {
    for (;;) {
      const turn = this.tail.then(() => {
        if (this.stop.aborted) throw new CellsError('aborted', 'The mount has ended')
        return work()
      })
      this.tail = turn.catch(() => {})
      try {
        return await turn
      } catch (error) {
        if (!(error instanceof Later)) throw error
        await abortable(error.until(), this.stop)
      }
    }
  }
}

/** What is to be done first cannot be done in the lane. */
export class Later extends Error {
  override readonly name = 'Later'
  readonly until: () => Promise<void>

  constructor(until: () => Promise<void>) {
    super('Waits for another change')
    this.until = until
  }
}
