/** What befalls the mount's requests and events on their way, drawn from a seed. The second client is spared. */
import type { DemoServer, Fault, RequestInfo } from '../../demo/index.js'
import type { Setting } from './operations.testing.js'

/** Header that tells the mount's requests from others. */
export const MOUNT_HEADER = 'x-model-side'

/** A small seeded generator (mulberry32): numbers in [0, 1). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const LONGEST_DELAY_MS = 120

export class Trouble {
  private readonly demo: DemoServer
  private readonly setting: Setting
  private readonly random: () => number
  private active = true
  private readonly late = new Set<NodeJS.Timeout>()
  private queueEnds = 0
  /** Events that never left. */
  private lost = 0

  constructor(demo: DemoServer, setting: Setting) {
    this.demo = demo
    this.setting = setting
    this.random = randomFrom(setting.seed)
    demo.onRequest = (info) => this.onRequest(info)
    demo.events.onMessage = (message, send) => this.onMessage(message, send)
    // As many as there are: a real server's limit makes events late, and that is a trouble of its own.
    demo.events.perSecond = 10_000
  }

  get failing(): boolean {
    return this.setting.faults > 0
  }

  /** Good weather from now on; what was lost is made up for by a reconnection, as it would be on a real network. */
  calm(): void {
    this.active = false
    if (this.lost > 0) this.demo.events.drop()
    this.lost = 0
  }

  /** Resolves when no event is on its way any more. */
  async arrived(): Promise<void> {
    while (this.late.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  resume(): void {
    this.active = true
  }

  stop(): void {
    this.demo.onRequest = undefined
    this.demo.events.onMessage = undefined
    for (const timer of this.late) clearTimeout(timer)
  }

  private onRequest(info: RequestInfo): Fault | undefined {
    if (!this.active || info.headers[MOUNT_HEADER] === undefined || this.random() * 100 >= this.setting.faults) return undefined
    const kinds: readonly Fault[] = [
      { status: 500, body: '{"Title":"internal error"}' }, { status: 503, body: '' }, { reset: true }, { loseAnswer: true },
      { stall: this.random() * 80 }, ...(info.route === 'GET s3' ? [{ cutAfter: 5 }, { shortBody: 5 }] : []),
    ]
    return kinds[Math.floor(this.random() * kinds.length)]
  }

  private onMessage(message: string, send: (message: string) => void): void {
    const { events } = this.setting
    const all = events === 'wild'
    if (!this.active || events === 'plain') return this.inOrder(message, send, 0)
    if ((all || events === 'lost') && this.random() < 0.3) {
      this.lost++
      return
    }
    if ((all || events === 'twice') && this.random() < 0.5) this.later(this.random() * LONGEST_DELAY_MS, () => send(message))
    if (all || events === 'shuffled') this.later(this.random() * LONGEST_DELAY_MS, () => send(message))
    else this.inOrder(message, send, events === 'late' ? this.random() * LONGEST_DELAY_MS : 0)
  }

  private inOrder(message: string, send: (message: string) => void, delay: number): void {
    const now = performance.now()
    this.queueEnds = Math.max(this.queueEnds, now + delay)
    if (this.queueEnds <= now) send(message)
    else this.later(this.queueEnds - now, () => send(message))
  }

  private later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.late.delete(timer)
      work()
    }, ms)
    this.late.add(timer)
  }
}
