/**
 * Kills a process with an engine in it, at each numbered crash point or at random moments, starts another one over the
 * same state with an empty cache, and compares the server, as another client sees it, with what was acknowledged.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CHILD, type ChildShown, type ChildTask, type Looked, type Silence } from './crash-child.testing.js'
import { differences, filesOf, type Lane, notShown } from './crash-compare.testing.js'
import { HUGE_SCENARIO, randomSteps, type Scenario, worldsOf } from './crash-steps.testing.js'
import { Site } from './site.testing.js'
import { randomFrom } from './trouble.testing.js'

export interface CrashReport {
  scenario: string
  /** Points passed by a run that nobody kills. */
  points: number
  kills: number
  /** Steps. */
  acknowledged: number
  /** Files that were acknowledged when their process was killed. */
  files: number
  /** Of which the content is found nowhere on the server. */
  readonly lost: string[]
  /** One sentence for each kill after which a name is not as acknowledged: neither the state before nor the one after the step under way. */
  readonly wrong: string[]
}

export type How = 'at-once' | 'paced' | 'recovery' | 'again' | 'silent' | 'silent, paced'

/** When a process is killed. */
interface Kill {
  readonly what: string
  readonly env?: Record<string, string>
  readonly afterMs?: number
  /** The one after it is killed, too. */
  readonly again?: Record<string, string>
  /** The server says nothing to the one after it, at first. */
  readonly silence?: Silence
}

/** A process that brings everything back passes about as many points. */
const RECOVERY_POINTS = 30

/** An upload begins 150 ms after the change, and takes some milliseconds. */
const PACE_MS = 160

/** No process needs as long. */
const LIMIT_MS = 120_000

/** Runs between two words about a long search. */
const PROGRESS_EVERY = 100

interface Ended {
  readonly killed: boolean
  /** Steps acknowledged, by lane. */
  readonly acknowledged: readonly number[]
  readonly looked: readonly Looked[]
  readonly done: { readonly failed: readonly unknown[]; readonly shown: readonly ChildShown[] } | undefined
  /** Neither killed nor at its end: it did not come to one, or an operation failed. */
  readonly broken: string | undefined
  readonly stderr: string
}

/** Every child ends with us. */
const children = new Set<number>()
process.on('exit', () => { for (const pid of children) try { process.kill(pid, 'SIGKILL') } catch { /* gone */ } })

async function runChild(task: ChildTask, env: Record<string, string>, killAfterMs?: number): Promise<Ended> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  children.add(child.pid!)
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => out.push(data))
  child.stderr.on('data', (data: Buffer) => err.push(data))
  if (killAfterMs !== undefined) child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), killAfterMs))
  const limit = setTimeout(() => child.kill('SIGABRT'), LIMIT_MS)
  const [code, signal] = await once(child, 'close') as [number | null, string | null]
  clearTimeout(limit)
  children.delete(child.pid!)
  const acknowledged = task.lanes.map(() => 0)
  let done: Ended['done']
  let looked: readonly Looked[] = []
  for (const line of Buffer.concat(out).toString().split('\n')) {
    const [word, rest] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]
    if (word === 'done') done = JSON.parse(rest) as Ended['done']
    else if (word === 'look') looked = JSON.parse(rest) as readonly Looked[]
    else if (word !== '') acknowledged[Number(word)] = Number(rest)
  }
  const stderr = Buffer.concat(err).toString()
  const broken = signal === 'SIGKILL' || code === 0 ? undefined : signal === 'SIGABRT' ? `it did not end within ${LIMIT_MS / 1_000} s` : `it ended with ${code ?? signal}`
  return { killed: signal === 'SIGKILL', acknowledged, looked, done, broken, stderr }
}

export class CrashHarness {
  private readonly site: Site
  private readonly folder: string
  private readonly token: string
  private readonly parallel: number
  private readonly reports: CrashReport[] = []
  private runs = 0
  private running = 0
  private finished = 0
  private readonly waiting: (() => void)[] = []

  private constructor(site: Site, folder: string, token: string, parallel: number) {
    this.parallel = parallel
    this.site = site
    this.folder = folder
    this.token = token
  }

  /** At most `parallel` runs at a time, over all calls. */
  static async open(version: 2 | 4, parallel: number, indexDelayMs?: number): Promise<CrashHarness> {
    const site = await Site.open(version, indexDelayMs)
    return new CrashHarness(site, await mkdtemp(join(tmpdir(), 'cellsfs-crash-')), await site.token(), parallel)
  }

  /** What there is to tell so far, in one sentence. */
  summary(): string {
    const sum = (of: (report: CrashReport) => number): number => this.reports.reduce((total, it) => total + of(it), 0)
    return `${sum((it) => it.points)} crash points, ${sum((it) => it.kills)} kills, ${sum((it) => it.acknowledged)} steps and ${sum((it) => it.files)} files acknowledged, `
      + `${sum((it) => it.lost.length)} files lost, ${sum((it) => it.wrong.length)} kills with a name that is not as acknowledged`
  }

  private newReport(scenario: string): CrashReport {
    const report: CrashReport = { scenario, points: 0, kills: 0, acknowledged: 0, files: 0, lost: [], wrong: [] }
    this.reports.push(report)
    return report
  }

  async close(): Promise<void> {
    await this.site.close()
    await rm(this.folder, { recursive: true, force: true })
  }

  /**
   * Kills the scenario at each of its points, or at every n-th of them from `offset` on. `at-once`: one step after the other, then all of it
   * is sent. `paced`: what a step has to send is on its way when the next one comes. `recovery`: all steps are acknowledged, their process is
   * killed, and the one after it is killed while it brings everything back and sends it. `again`: as `at-once`, and the one after it is killed, too, at
   * some point. `silent`: as `at-once`, and the server says nothing to the one after it, at first, which knows what was kept of the server's names.
   */
  async everyPoint(scenario: Scenario, how: How, { every = 1, offset = 0, only }: { every?: number; offset?: number; only?: readonly number[] | undefined } = {}): Promise<CrashReport> {
    const report = this.newReport(`${scenario.name}, ${how}`)
    const log = join(this.folder, `points-${++this.runs}`)
    await this.once(scenario, how, { what: 'no point', env: { CELLSFS_CRASH_AT: '0', CELLSFS_CRASH_LOG: log } }, report)
    const names = (await readFile(log, 'utf8')).trim().split('\n')
    report.points = names.length
    const silent = how === 'silent' || how === 'silent, paced'
    const points = only ?? names.map((_, index) => index + 1).filter((at) => at % every === offset % every)
    await Promise.all(points.map((at) => {
      const random = randomFrom(offset + at)
      const next = 1 + Math.floor(random() * RECOVERY_POINTS)
      const silence = random() < 0.5 ? 'stalls' : 'fails'
      return this.once(scenario, how, {
        what: `${at} (${names[at - 1]})${how === 'again' ? `, and again at ${next}` : silent ? `, the server ${silence}` : ''}`,
        env: { CELLSFS_CRASH_AT: String(at) }, ...(how === 'again' && { again: { CELLSFS_CRASH_AT: String(next) } }), ...(silent && { silence }),
      }, report)
    }))
    return report
  }

  /** Kills a busy process at a random moment of the first `withinMs`, `times` times; `again`: and the one after it at some point. */
  async randomMoments(times: number, seed: number, { again = false, withinMs = 1_500 } = {}): Promise<CrashReport> {
    const report = this.newReport(again ? 'random moments, and again' : 'random moments')
    const random = randomFrom(seed)
    await Promise.all(Array.from({ length: times }, async () => {
      const load: Scenario[] = [0, 1, 2].map((it) => ({ name: 'load', before: [], steps: randomSteps(Math.floor(random() * 2 ** 31), 200, `w${it}`) }))
      const ms = random() * withinMs
      const next = again ? 1 + Math.floor(random() * RECOVERY_POINTS * 3) : 0
      await this.once(load, 'at-once', { what: `after ${Math.round(ms)} ms${again ? `, and again at ${next}` : ''}`, afterMs: ms, ...(again && { again: { CELLSFS_CRASH_AT: String(next) } }) }, report)
    }))
    return report
  }

  /** Kills a process at a random moment while it sends a large file in parts, one after the other, for it takes all there is of a machine. */
  async duringUpload(times: number, seed: number): Promise<CrashReport> {
    const report = this.newReport('huge')
    const random = randomFrom(seed)
    for (let i = 0; i < times; i++) {
      const ms = 100 + random() * 3_000
      const next = 1 + Math.floor(random() * RECOVERY_POINTS)
      await this.once(HUGE_SCENARIO, 'at-once', { what: `after ${Math.round(ms)} ms, and again at ${next}`, afterMs: ms, again: { CELLSFS_CRASH_AT: String(next) } }, report)
    }
    return report
  }

  private async once(scenario: Scenario | readonly Scenario[], how: How, kill: Kill, report: CrashReport): Promise<void> {
    const release = await this.turn()
    try {
      await this.onceNow('steps' in scenario ? [scenario] : scenario, how, kill, report)
    } finally {
      release()
      if (++this.finished % PROGRESS_EVERY === 0) console.error(`${new Date().toISOString()} ${this.waiting.length} runs wait; so far ${this.summary()}`)
    }
  }

  /** Waits until fewer than the allowed number of runs go on. */
  private async turn(): Promise<() => void> {
    while (this.running >= this.parallel) await new Promise<void>((resolve) => this.waiting.push(resolve))
    this.running++
    return () => {
      this.running--
      this.waiting.shift()?.()
    }
  }

  private async onceNow(scenarios: readonly Scenario[], how: How, { what, env = {}, afterMs, again, silence }: Kill, report: CrashReport): Promise<void> {
    const { remote } = await this.site.place()
    const home = await mkdtemp(join(this.folder, 'run-'))
    const tag = `t${++this.runs}`
    const base = { url: this.site.demo.url, token: this.token, remote, state: join(home, 'state'), tag, partBytes: scenarios[0]!.partBytes }
    const before = scenarios.flatMap((it) => it.before)
    const ready = worldsOf(before, tag)
    const broken: string[] = []
    const logs: string[] = []
    const child = async (which: string, ...call: Parameters<typeof runChild>): Promise<Ended> => {
      const ended = await runChild(...call)
      if (ended.broken !== undefined) broken.push(`${which}: ${ended.broken}: ${ended.stderr}`)
      logs.push(`-- ${which}\n${ended.stderr}`)
      return ended
    }
    if (before.length > 0) await child('the one before', { ...base, cache: join(home, 'cache-0'), lanes: [{ steps: before, firstIndex: 0 }] }, {})
    const lanes: Lane[] = scenarios.map(({ steps }) => ({ steps, firstIndex: before.length, worlds: worldsOf(steps, tag, ready.at(-1), before.length) }))
    const task = { ...base, cache: join(home, 'cache-1'), lanes: lanes.map(({ steps, firstIndex }) => ({ steps, firstIndex })) }
    const recovery = how === 'recovery' ? env : again
    const first = await child('the one that was killed', how === 'paced' || how === 'silent, paced' ? { ...task, paceMs: PACE_MS } : { ...task, die: how === 'recovery' }, how === 'recovery' ? {} : env, afterMs)
    if (first.killed && how !== 'recovery') report.kills++
    const second = recovery === undefined ? undefined : await child('the second', { ...base, cache: join(home, 'cache-3'), lanes: [] }, recovery)
    if (second?.killed === true) report.kills++
    report.acknowledged += first.acknowledged.reduce((sum, it) => sum + it, 0)
    const there = silence === undefined ? undefined : await this.contentsOf(remote)
    const paths = [...new Set(lanes.flatMap(({ worlds }) => worlds.flatMap((it) => [...it.names.keys()])))].filter((it) => it !== '' && it !== '4913')
    const after = await child('the one after', { ...base, cache: join(home, silence === undefined ? 'cache-2' : 'cache-1'), lanes: [], ...(silence !== undefined && { look: { paths, silence } }) }, {})
    const lost = report.lost.length
    const wrong = [
      ...broken, ...(there === undefined ? [] : lanes.flatMap((lane, index) => notShown(lane, first.acknowledged[index]!, after.looked, there))),
      ...await this.compare(remote, lanes, first.acknowledged, after, report, what),
    ]
    for (const it of report.lost.slice(lost)) console.error(`lost: ${it}`)
    if (wrong.length > 0) {
      report.wrong.push(`${report.scenario}, killed at ${what}, ${first.acknowledged.join('/')} steps acknowledged: ${wrong.join('\n  ')}`)
      if (process.env['TEST_LOG'] !== undefined) console.error(`${report.wrong.at(-1)}\n${logs.join('\n')}`)
    }
    await rm(home, { recursive: true, force: true })
  }

  /** What the server has, by path: `folder`, or size and md5. */
  private async contentsOf(remote: string): Promise<Map<string, string>> {
    const found = new Map<string, string>()
    for (const [path, node] of await this.site.tree(remote)) {
      // Of a file that was sent in parts the ETag says nothing about its content.
      const etag = node.kind === 'file' && node.etag.includes('-') ? await this.site.md5(node.path) : node.etag
      found.set(path, node.kind === 'folder' ? 'folder' : `${node.size} ${etag}`)
    }
    return found
  }

  /** What is not as acknowledged, on the server or in the mount. */
  private async compare(remote: string, lanes: readonly Lane[], acknowledged: readonly number[], after: Ended, report: CrashReport, what: string): Promise<string[]> {
    if (after.done === undefined) return []
    if (after.done.failed.length > 0) return [`the one after could not send, or show, everything: ${JSON.stringify(after.done.failed)} ${after.stderr}`]
    const server = await this.contentsOf(remote)
    const mount = new Map(after.done.shown.map((it) => [it.path, it]))
    const missing: string[] = []
    for (const [index, { worlds }] of lanes.entries()) {
      const done = acknowledged[index]!
      const possible = worlds.slice(done, done + 2)
      const all = new Set(server.values())
      // What the step under way takes away may be gone.
      const kept = possible.map(filesOf).reduce((both, files) => new Map([...both].filter(([key]) => files.has(key))))
      report.files += kept.size
      for (const [key, path] of kept) if (!all.has(key)) report.lost.push(`${report.scenario}, killed at ${what}: ${path} (${key})`)
      const found = possible.map((world) => differences(world, server, mount, lanes.length === 1))
      if (!found.some((it) => it.length === 0)) missing.push(found.map((it) => it.join(', ')).join('\n    or '))
    }
    return missing
  }
}
