/**
 * kill -9: what was acknowledged is on the server afterwards, nothing is there twice. CI kills at a share of the crash points (a
 * different one each time) and at a few random moments; CRASH_EVERY=1 kills at each point, CRASH_KILLS=200 at 200 random
 * moments, CRASH_LARGE=1 adds an upload in parts, CRASH_PARALLEL says how many runs go on at a time.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { LARGE_SCENARIOS, SCENARIOS } from './crash-steps.testing.js'
import { CrashHarness, type CrashReport } from './crash.testing.js'

const every = Number(process.env['CRASH_EVERY'] ?? 40)
const kills = Number(process.env['CRASH_KILLS'] ?? 2)
const parallel = Number(process.env['CRASH_PARALLEL'] ?? 6)
const seed = Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000)

/** Where names are not always as acknowledged while changes are written through to the server; no content is lost even there. */
const HALF_DONE: Readonly<Record<string, string>> = {
  'rename': 'C4: a name that is written to while its last content is not yet shown stays behind a rename',
  'rename over': 'C1: a kill between the upload to the target and the record of the old name leaves both names',
  'rename over, both known': 'C1',
  'save as vim': 'C2: the rename to the backup name is forgotten when a draft of it was begun',
  'save as emacs': 'C2',
  'tree': 'C3: a link is a file after a kill, until the server has shown it once',
  'many files': 'C1',
  'large': 'C5: the upload that a kill left unfinished is not aborted, and its name is busy for good',
  'random moments': 'C1, C2',
}

describe('kill -9', { concurrency: true, timeout: 3_600_000 }, () => {
  let harness: CrashHarness
  const reports: Promise<CrashReport>[] = []

  before(async () => {
    harness = await CrashHarness.open(2, parallel)
  })

  after(async () => {
    const done = (await Promise.allSettled(reports)).flatMap((it) => it.status === 'fulfilled' ? it.value : [])
    await harness.close()
    const sum = (of: (report: CrashReport) => number): number => done.reduce((total, it) => total + of(it), 0)
    console.log(`${sum((it) => it.points)} crash points, ${sum((it) => it.kills)} kills, ${sum((it) => it.acknowledged)} steps and ${sum((it) => it.files)} files acknowledged, `
      + `${sum((it) => it.lost.length)} files lost, ${sum((it) => it.wrong.length)} kills with a name that is not as acknowledged (seed ${seed})`)
  })

  const scenarios = [...SCENARIOS, ...(process.env['CRASH_LARGE'] === undefined ? [] : LARGE_SCENARIOS)]
  const work: readonly { readonly name: string; readonly start: () => Promise<CrashReport> }[] = [
    ...scenarios.map((scenario) => ({ name: scenario.name, start: () => harness.everyPoint(scenario, every, seed) })),
    { name: 'random moments', start: () => harness.randomMoments(kills, seed) },
  ]
  for (const { name, start } of work) {
    let report: Promise<CrashReport> | undefined
    const begun = (): Promise<CrashReport> => {
      if (report === undefined) reports.push(report = start())
      return report
    }
    it(`${name}: no acknowledged content is lost`, async () => {
      assert.deepEqual((await begun()).lost, [])
    })
    it(`${name}: every name is as acknowledged`, { todo: HALF_DONE[name] ?? false }, async () => {
      assert.deepEqual((await begun()).wrong, [])
    })
  }
})
