/** Waits for conditions that are looked at whenever something has changed. */
export class Conditions {
  private waiting: Array<{ readonly met: () => boolean; readonly resolve: () => void }> = []

  /** Resolves when the condition is met. @throws the reason of `signal` when that fires first */
  async until(met: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    if (met()) return
    signal?.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.waiting = this.waiting.filter((it) => it !== wait)
        reject(signal?.reason as Error)
      }
      const wait = {
        met,
        resolve: () => {
          signal?.removeEventListener('abort', leave)
          resolve()
        },
      }
      this.waiting.push(wait)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }

  /** Something has changed. */
  look(): void {
    const ready = this.waiting.filter(({ met }) => met())
    if (ready.length === 0) return
    this.waiting = this.waiting.filter((it) => !ready.includes(it))
    for (const { resolve } of ready) resolve()
  }
}
