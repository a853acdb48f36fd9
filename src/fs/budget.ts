/** A bound on something shared (bytes in flight, say): reserved before use, granted in order. */
export class Budget {
  private available: number
  private readonly limit: number
  private readonly queue: Array<{ amount: number; grant: () => void }> = []

  constructor(limit: number) {
    this.limit = limit
    this.available = limit
  }

  /** Takes `amount` now, or says no. More than the whole budget counts as the whole budget. `leaving`: the part of the budget that must stay. */
  tryTake(amount: number, leaving = 0): boolean {
    const wanted = Math.min(amount, this.limit)
    if (this.queue.length > 0 || wanted + leaving * this.limit > this.available) return false
    this.available -= wanted
    return true
  }

  async take(amount: number): Promise<void> {
    if (this.tryTake(amount)) return
    await new Promise<void>((grant) => this.queue.push({ amount: Math.min(amount, this.limit), grant }))
  }

  give(amount: number): void {
    this.available += Math.min(amount, this.limit)
    while (this.queue.length > 0 && this.queue[0]!.amount <= this.available) {
      const next = this.queue.shift()!
      this.available -= next.amount
      next.grant()
    }
  }

  get used(): number {
    return this.limit - this.available
  }
}
