/**
 * Is a program in the middle of something? Its requests are answered by the thread that also sends what was saved: while they come one after the
 * other, little is begun that can wait a moment (uploader.ts).
 *
 * Looked at by turns of the event loop and not by the clock alone: a process that was not run for a while has heard of no request either.
 */

/** A program that works file by file asks more often than this, milliseconds. */
const LOOK_MS = 10
/** It rests when it has asked for nothing between so many looks. */
const LOOKS = 2

export class Foreground {
  private asks = 0
  private timer: NodeJS.Timeout | undefined
  /** Told when the program rests. */
  onRest: () => void = () => {}

  get busy(): boolean {
    return this.timer !== undefined
  }

  /** The kernel has asked for something. */
  asked(): void {
    this.asks++
    this.timer ??= this.watch()
  }

  private watch(): NodeJS.Timeout {
    let [seen, silent] = [0, 0]
    return setInterval(() => {
      silent = this.asks === seen ? silent + 1 : 0
      seen = this.asks
      if (silent < LOOKS) return
      clearInterval(this.timer)
      this.timer = undefined
      this.onRest()
    }, LOOK_MS).unref()
  }
}
