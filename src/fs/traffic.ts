/** How much goes to the server and comes from it, in all and lately. */

/** A rate is that of so many whole seconds before now. */
const SECONDS = 5

export class Meter {
  total = 0
  private readonly seconds = new Map<number, number>()
  private readonly now: () => number

  /** @param now milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.now = now
  }

  add(bytes: number): void {
    this.total += bytes
    const second = Math.floor(this.now() / 1000)
    this.seconds.set(second, (this.seconds.get(second) ?? 0) + bytes)
    for (const old of this.seconds.keys()) {
      if (old >= second - SECONDS) break
      this.seconds.delete(old)
    }
  }

  /** Bytes per second. */
  get rate(): number {
    const second = Math.floor(this.now() / 1000)
    let sum = 0
    for (const [at, bytes] of this.seconds) if (at > second - SECONDS) sum += bytes
    return Math.round(sum / SECONDS)
  }
}

/** Content in both directions. */
export class Traffic {
  readonly sent = new Meter()
  readonly received = new Meter()
}
