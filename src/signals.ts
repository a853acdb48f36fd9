/**
 * Signals and promises with a time. `AbortSignal.any([signal, AbortSignal.timeout(ms)])` is not enough: nothing but the combined signal refers to
 * the timeout, weakly, so Node (20.20) may collect it as garbage, and what waits for it waits for ever.
 */

/** Fires after `ms`, or when one of `signals` does, with its reason. The timer keeps no process alive. */
export function timeLimit(ms: number, ...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return limit(ms, signals).signal
}

/**
 * Runs `work` with a time limit that ends with it. `signal` may live as long as a mount, and each limit that is left to its time would
 * go on listening to it.
 */
export async function withinTime<T>(ms: number, signal: AbortSignal | undefined, work: (limit: AbortSignal) => Promise<T>): Promise<T> {
  const controller = limit(ms, [signal])
  try {
    return await work(controller.signal)
  } finally {
    controller.abort()
  }
}

/**
 * What `work` gives; after `ms` what `late` returns, or throws. The work itself goes on: for what has no signal. If it fails afterwards,
 * nobody hears of it.
 */
export async function orLate<T, U>(ms: number, work: Promise<T>, late: () => U): Promise<T | U> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => { timer = setTimeout(resolve, ms) }).then(late)
  work.catch(() => {})
  try {
    return await Promise.race([work, over])
  } finally {
    clearTimeout(timer)
  }
}

/** What `work` gives, or a rejection when the signal fires first, with its reason or what is made of it; `work` goes on. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined, error: (reason: unknown) => Error = (reason) => reason as Error): Promise<T> {
  if (signal === undefined) return work
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(error(signal.reason))
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

function limit(ms: number, signals: readonly (AbortSignal | undefined)[]): AbortController {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), ms)
  timer.unref()
  // With the end of this one the others let go of it.
  const { signal: over } = controller
  over.addEventListener('abort', () => clearTimeout(timer), { once: true })
  for (const signal of signals) {
    if (signal?.aborted === true) controller.abort(signal.reason)
    else signal?.addEventListener('abort', () => controller.abort(signal.reason), { once: true, signal: over })
  }
  return controller
}
