/** Rate and time left of something that grows, from its last few seconds. */
import { humanSize } from './human.js'

const WINDOW_MS = 5000
/** Less than this says nothing about the rate. */
const FIRST_MS = 1000

export class RateMeter {
  #bytes = 0
  #samples: { at: number; bytes: number }[]

  constructor(now: number = performance.now()) {
    this.#samples = [{ at: now, bytes: 0 }]
  }

  /** So many more. */
  add(bytes: number, now: number = performance.now()): void {
    this.reach(this.#bytes + bytes, now)
  }

  /** So many by now, fewer when a request starts again. @returns by how much it grew */
  reach(bytes: number, now: number = performance.now()): number {
    const growth = bytes - this.#bytes
    this.#bytes = bytes
    const last = this.#samples.at(-1)
    if (last === undefined || now - last.at >= WINDOW_MS / 20) this.#samples.push({ at: now, bytes })
    while (this.#samples.length > 2 && now - (this.#samples[1]?.at ?? now) > WINDOW_MS) this.#samples.shift()
    return growth
  }

  /** Bytes per second; 0 as long as nothing can be said. */
  rate(now: number = performance.now()): number {
    const first = this.#samples[0]
    if (first === undefined || now - first.at < FIRST_MS) return 0
    return Math.max(0, (this.#bytes - first.bytes) / ((now - first.at) / 1000))
  }

  /** ` 12 MiB/s 0:42 left`, or nothing yet. */
  text(total: number, now: number = performance.now()): string {
    const rate = this.rate(now)
    if (rate < 1) return ''
    return ` ${humanSize(rate)}/s ${clock(Math.max(0, total - this.#bytes) / rate)} left`
  }
}

/** `0:05`, `12:34`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.ceil(seconds)
  const two = (value: number): string => String(value).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  return minutes < 60 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}
