/**
 * kill -9: what was acknowledged is on the server afterwards, nothing is there twice. CI kills at a share of the crash points (elsewhere a
 * different one each time) and at a few random moments; CRASH_EVERY=1 kills at each point in each way, CRASH_KILLS=200 at 200 random
 * moments, CRASH_LARGE=1 adds uploads in parts, CRASH_LATE=1 an index as late as a real one, CRASH_PARALLEL says how many runs go on at a time. CRASH_ONLY names scenarios (part of
 * a name), CRASH_HOW a way, CRASH_POINTS=3,17 points; with TEST_LOG each failure comes with the logs of its processes.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { LARGE_SCENARIOS, SCENARIOS } from './crash-steps.testing.js'
import { CrashHarness, type CrashReport, type How } from './crash.testing.js'

const every = Number(process.env['CRASH_EVERY'] ?? 100)
const kills = Number(process.env['CRASH_KILLS'] ?? 2)
/** Of a real server. */
const LATE_MS = 1_500
/** All is acknowledged long before such a server has all of it. */
const LATE_KILLS_MS = 8_000
const parallel = Number(process.env['CRASH_PARALLEL'] ?? 6)
const points = process.env['CRASH_POINTS']?.split(',').map(Number)
// In CI the same points each time; a search for others is run by hand.
const seed = Number(process.env['CRASH_SEED'] ?? (process.env['CI'] === undefined ? Date.now() % 1_000_000 : 1))

describe('kill -9', { concurrency: true, timeout: 3_600_000 }, () => {
  let harness: CrashHarness
  let late: CrashHarness
  const reports: Promise<CrashReport>[] = []

  before(async () => {
    harness = await CrashHarness.open(2, parallel)
    // These wait most of the time.
    late = await CrashHarness.open(2, parallel, LATE_MS)
    // A long search that is stopped tells what it found.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        console.error(`stopped: ${harness.summary()}; with a late index ${late.summary()} (seed ${seed})`)
        process.exit(1)
      })
    }
  })

  after(async () => {
    await Promise.allSettled(reports)
    await Promise.all([harness.close(), late.close()])
    console.log(`${harness.summary()}; with a late index ${late.summary()} (seed ${seed})`)
  })

  const scenarios = [...SCENARIOS, ...(process.env['CRASH_LARGE'] === undefined ? [] : LARGE_SCENARIOS)]
  const ways: readonly How[] = ['at-once', 'recovery']
  // In CI of one scenario only.
  const more: readonly How[] = ['paced', 'again', 'silent', 'silent, paced']
  const some = process.env['CRASH_EVERY'] === undefined ? SCENARIOS.filter((it) => it.name === 'many files') : scenarios
  const all: readonly { readonly name: string; readonly start: () => Promise<CrashReport> }[] = [
    ...[...scenarios.flatMap((scenario) => ways.map((how) => ({ scenario, how }))), ...some.flatMap((scenario) => more.map((how) => ({ scenario, how })))]
      .map(({ scenario, how }) => ({ name: `${scenario.name}, ${how}`, start: () => harness.everyPoint(scenario, how, { every, offset: seed, only: points }) })),
    // Found by a whole search: the server stalls while an old node is still to go from the name of a new file.
    { name: 'rename over, both known, found', start: () => harness.everyPoint(SCENARIOS.find(({ name }) => name === 'rename over, both known')!, 'silent, paced', { offset: 132_756, only: [17, 18] }) },
    { name: 'random moments', start: () => harness.randomMoments(kills, seed) },
    { name: 'random moments, and again', start: () => harness.randomMoments(Math.floor(kills / 2), seed + 1, { again: true }) },
    ...(process.env['CRASH_LARGE'] === undefined ? [] : [{ name: 'huge', start: () => harness.duringUpload(Math.ceil(kills / 10), seed) }]),
    ...(process.env['CRASH_LATE'] === undefined ? [] : [
      ...SCENARIOS.flatMap((scenario) => (['at-once', 'recovery'] as const).map((how) => ({ name: `late index, ${scenario.name}, ${how}`, start: () => late.everyPoint(scenario, how, { every, offset: seed, only: points }) }))),
      { name: 'late index, random moments', start: () => late.randomMoments(kills, seed, { withinMs: LATE_KILLS_MS }) },
    ]),
  ]
  const work = all.filter(({ name }) => name.includes(process.env['CRASH_ONLY'] ?? '') && name.includes(process.env['CRASH_HOW'] ?? ''))
  for (const { name, start } of work) {
    let report: Promise<CrashReport> | undefined
    const begun = (): Promise<CrashReport> => {
      if (report === undefined) reports.push(report = start())
      return report
    }
    it(`${name}: no acknowledged content is lost`, async () => {
      assert.deepEqual((await begun()).lost, [])
    })
    it(`${name}: every name is as acknowledged`, async () => {
      assert.deepEqual((await begun()).wrong, [])
    })
  }
})
