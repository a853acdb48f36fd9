/**
 * Pauses that can be cut short: before something is tried again, or asked again, unless there is a reason to do it at once. Own timers,
 * because a signal combined of others may be collected as garbage while only a pause waits for it (signals.ts).
 */
export class Pauses {
  private readonly waiting = new Set<() => void>()

  /** Resolves after `ms`, when the pauses are cut short, or when `signal` fires. Never rejects. */
  async wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return
    await new Promise<void>((resolve) => {
      const over = (): void => {
        clearTimeout(timer)
        this.waiting.delete(over)
        signal?.removeEventListener('abort', over)
        resolve()
      }
      const timer = setTimeout(over, ms)
      this.waiting.add(over)
      signal?.addEventListener('abort', over)
    })
  }

  /** All who wait now go on. */
  cutShort(): void {
    for (const over of [...this.waiting]) over()
  }
}
