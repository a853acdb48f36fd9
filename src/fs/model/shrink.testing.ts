/** Makes a failing run smaller: leaves operations out, in ever smaller pieces, as long as what is left still fails. */
import type { Operation, Run } from './operations.testing.js'

/** What goes wrong in a run; undefined: nothing. */
export type Verdict = (run: Run) => Promise<string | undefined>

export interface Shrunk {
  readonly run: Run
  readonly message: string
}

/** A failure may depend on time: how often it comes is tried first, and what passes is tried again as often as it takes. */
const FIRST_TRIES = 8
const MOST_TRIES = 8

export async function shrink(run: Run, message: string, verdict: Verdict, budgetMs: number): Promise<Shrunk> {
  const deadline = performance.now() + budgetMs
  let best: Shrunk = { run, message }
  let tries = 2
  // All tries at once: a run spends most of its time waiting.
  const outcomes = (candidate: Run, times: number): Promise<(string | undefined)[]> => Promise.all(Array.from({ length: times }, () => verdict(candidate)))
  const fails = async (candidate: Run): Promise<boolean> => {
    const found = (await outcomes(candidate, tries)).find((it) => it !== undefined)
    if (found !== undefined) best = { run: candidate, message: found }
    return found !== undefined
  }
  const failed = (await outcomes(run, FIRST_TRIES)).filter((it) => it !== undefined).length
  if (failed === 0) return best
  tries = Math.min(MOST_TRIES, Math.ceil(2 * FIRST_TRIES / failed))
  await fails({ ...run, setting: { ...run.setting, events: 'plain', faults: 0 } })
  for (let size = Math.ceil(run.operations.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.run.operations.length && performance.now() < deadline;) {
      const operations: readonly Operation[] = best.run.operations.toSpliced(at, size)
      if (operations.length === 0 || !await fails({ ...best.run, operations })) at += size
    }
  }
  return best
}
