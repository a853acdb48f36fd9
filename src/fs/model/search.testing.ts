/**
 * Looks for runs that fail: draws runs, carries them out, several engines at a time, and makes what fails smaller. A run that
 * fails for want of time is carried out again before it counts: a starved machine is no finding. A wrong answer counts at once.
 */
import fc from 'fast-check'
import { asTest, type Run, type RunKind, runs } from './operations.testing.js'
import { Runner } from './runner.testing.js'
import { shrink } from './shrink.testing.js'
import { Site } from './site.testing.js'

export interface SearchOptions {
  readonly kinds: readonly RunKind[]
  /** Only runs on this server. */
  readonly server?: 2 | 4
  /** Ends after this many operations, over all engines. */
  readonly operations: number
  /** Longest run, operations. */
  readonly length: number
  readonly seed: number
  /** Engines at a time. */
  readonly engines: number
  /** Time to make a failing run smaller. */
  readonly shrinkMs: number
  /** Goes on after a failure, up to this many. Default: 1. */
  readonly failures?: number
  /** A failure, before it is made smaller. */
  readonly onFailure?: (message: string, run: Run) => void
  /** Told now and then how far it is. */
  readonly onProgress?: (line: string) => void
  /** A failure, made smaller. */
  readonly onFound?: (failure: string) => void
}

/** Long enough for what a smaller run needs, short enough to try many. */
const SHRINK_QUIESCENCE_MS = 6_000
/** Times that a run which had too little time is carried out again. */
const AGAIN = 3
/** Failures that look alike are made smaller this many times. */
const ALIKE = 2
const PROGRESS_MS = 60_000

export interface SearchReport {
  readonly operations: number
  readonly runs: number
  readonly seconds: number
  /** As code, with what went wrong. */
  readonly failures: readonly string[]
  /** Runs that ended in time when they were carried out again. */
  readonly slow: readonly string[]
  /** Operations, by kind and server. */
  readonly by: Readonly<Record<string, number>>
}

/** Servers for each version, made when needed and used by one run at a time. */
class Sites {
  private readonly idle: { readonly version: 2 | 4; readonly site: Site }[] = []

  async with<T>(version: 2 | 4, work: (site: Site) => Promise<T>): Promise<T> {
    const index = this.idle.findIndex((it) => it.version === version)
    const site = index >= 0 ? this.idle.splice(index, 1)[0]!.site : await Site.open(version)
    try {
      return await work(site)
    } finally {
      this.idle.push({ version, site })
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.idle.map(({ site }) => site.close()))
  }
}

let replays = 0

/** Carries one run out on a server of its own. @throws Mismatch */
export async function replay(run: Run, quiescenceMs?: number): Promise<void> {
  const site = await Site.open(run.setting.server)
  try {
    const runner = new Runner(site, run, quiescenceMs)
    await runner.start().catch((error: unknown) => {
      runner.trace.save(`replay-${run.setting.seed}-${++replays}`, (error as Error).message)
      throw error
    })
  } finally {
    await site.close()
  }
}

/** The run that a seed stands for. */
export function drawn(kind: RunKind, length: number, seed: number): Run {
  return fc.sample(runs(kind, length), { numRuns: 1, seed })[0] as Run
}

/** Did it take too long, and nothing else? */
function isLate(message: string): boolean {
  const said = /agree, and the model differs|sync reports \[\{"path":"[^"]/.test(message)
  return !said && /no quiescence|TimeoutError|AbortError|takes too long|within \d+ ms/.test(message)
}

/** What went wrong, without what differs from run to run. */
function gist(message: string): string {
  return message.replace(/^operation \d+ \[[^\]]*\]: /, '').replaceAll(/[\w~./]*\d[\w~./]*|«[^»]*»/g, '#').slice(0, 90)
}

export async function search(options: SearchOptions): Promise<SearchReport> {
  const sites = new Sites()
  const began = performance.now()
  const failures: string[] = []
  const slow: string[] = []
  const by: Record<string, number> = {}
  const alike = new Map<string, number>()
  let count = 0
  let next = 0
  const operations = (): number => Object.values(by).reduce((sum, it) => sum + it, 0)
  const verdict = async (run: Run, searched?: { readonly kind: RunKind; readonly seed: number }, quiescenceMs?: number): Promise<string | undefined> => sites.with(run.setting.server, async (site) => {
    const runner = new Runner(site, run, quiescenceMs)
    try {
      await runner.start()
      return undefined
    } catch (error) {
      if (searched !== undefined) runner.trace.save(`${searched.kind}-${searched.seed}`, (error as Error).message)
      return (error as Error).message
    } finally {
      // What makes a failure smaller is no search.
      if (searched !== undefined) {
        const key = `${searched.kind} ${run.setting.server}`
        by[key] = (by[key] ?? 0) + runner.operations
        count++
      }
    }
  })
  const examine = async (kind: RunKind, seed: number, run: Run, first: string): Promise<void> => {
    const about = `(kind ${kind}, seed ${seed}, server ${run.setting.server}, `
    let message: string | undefined = first
    if (isLate(first)) {
      for (let n = 0; n < AGAIN; n++) {
        message = await verdict(run)
        if (message !== undefined) break
      }
      if (message === undefined) {
        slow.push(`${first}\n${about}not again in ${AGAIN} times)`)
        options.onFound?.(`SLOW ${slow.at(-1)}\n`)
        return
      }
    }
    options.onFailure?.(message, run)
    const times = (alike.get(gist(message)) ?? 0) + 1
    alike.set(gist(message), times)
    const least = times > ALIKE ? { run, message: message } : await shrink(run, message, (it) => verdict(it, undefined, SHRINK_QUIESCENCE_MS), options.shrinkMs)
    failures.push(`${message}\n${about}${run.operations.length} operations made ${least.run.operations.length})\n\n${asTest(least.run, least.message)}\n`)
    options.onFound?.(failures.at(-1)!)
  }
  const lane = async (): Promise<void> => {
    while (operations() < options.operations && failures.length < (options.failures ?? 1)) {
      const number = next++
      const kind = options.kinds[number % options.kinds.length]!
      const seed = options.seed + number
      const run = drawn(kind, options.length, seed)
      if (options.server !== undefined && run.setting.server !== options.server) continue
      const message = await verdict(run, { kind, seed })
      if (message !== undefined) await examine(kind, seed, run, message)
    }
  }
  const progress = setInterval(() => {
    const seconds = (performance.now() - began) / 1000
    options.onProgress?.(`${Math.round(seconds)} s: ${operations()} operations, ${Math.round(operations() / seconds)} a second, ${failures.length} failures; ${JSON.stringify(by)}`)
  }, PROGRESS_MS)
  await Promise.all(Array.from({ length: options.engines }, lane))
  clearInterval(progress)
  await sites.close()
  return { operations: operations(), runs: count, seconds: (performance.now() - began) / 1000, failures, slow, by }
}
