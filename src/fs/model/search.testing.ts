/** Looks for a run that fails: draws runs, carries them out, several engines at a time, and shrinks what fails. */
import fc from 'fast-check'
import { asTest, type Run, type RunKind, runs } from './operations.testing.js'
import { Runner } from './runner.testing.js'
import { shrink } from './shrink.testing.js'
import { Site } from './site.testing.js'

export interface SearchOptions {
  readonly kinds: readonly RunKind[]
  /** Ends after this many operations, over all engines. */
  readonly operations: number
  /** Longest run, operations. */
  readonly length: number
  readonly seed: number
  /** Engines at a time. */
  readonly engines: number
  /** Time to make a failing run smaller. */
  readonly shrinkMs: number
  /** The first failure of a kind, before it is made smaller. */
  readonly onFailure?: (message: string, run: Run) => void
}

/** Long enough for what a smaller run needs, short enough to try many. */
const SHRINK_QUIESCENCE_MS = 6_000

export interface SearchReport {
  readonly operations: number
  readonly runs: number
  readonly seconds: number
  /** As code, with what went wrong. */
  readonly failures: readonly string[]
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

/** Carries one run out on a server of its own. @throws Mismatch */
export async function replay(run: Run, quiescenceMs?: number): Promise<void> {
  const site = await Site.open(run.setting.server)
  try {
    await new Runner(site, run, quiescenceMs).start()
  } finally {
    await site.close()
  }
}

export async function search(options: SearchOptions): Promise<SearchReport> {
  const sites = new Sites()
  const began = performance.now()
  const failures: string[] = []
  let operations = 0
  let count = 0
  let next = 0
  const verdict = async (run: Run, quiescenceMs?: number): Promise<string | undefined> => sites.with(run.setting.server, async (site) => {
    const runner = new Runner(site, run, quiescenceMs)
    try {
      await runner.start()
      return undefined
    } catch (error) {
      return (error as Error).message
    } finally {
      count++
      operations += runner.operations
    }
  })
  const lane = async (): Promise<void> => {
    while (operations < options.operations && failures.length === 0) {
      const number = next++
      const kind = options.kinds[number % options.kinds.length]!
      const [run] = fc.sample(runs(kind, options.length), { numRuns: 1, seed: options.seed + number }) as [Run]
      const message = await verdict(run)
      if (message === undefined) continue
      options.onFailure?.(message, run)
      const least = await shrink(run, message, (it) => verdict(it, SHRINK_QUIESCENCE_MS), options.shrinkMs)
      failures.push(`${least.message}\n(kind ${kind}, seed ${options.seed + number}, ${run.operations.length} operations made ${least.run.operations.length})\n\n${asTest(least.run, least.message)}\n`)
    }
  }
  await Promise.all(Array.from({ length: options.engines }, lane))
  await sites.close()
  return { operations, runs: count, seconds: (performance.now() - began) / 1000, failures }
}
