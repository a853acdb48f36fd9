/**
 * A long model run: `node <build>/src/fs/model/long.testing.js`. MODEL_OPS operations in all (default 10,000) over MODEL_WORKERS
 * processes with MODEL_ENGINES engines each; MODEL_KINDS solo,shared,rough; MODEL_SERVER 2 or 4; MODEL_SEED; MODEL_LENGTH of a run. Goes
 * on after a failure (up to MODEL_FAILURES of a process), and adds each one, made smaller for MODEL_SHRINK_S, to MODEL_FILE.
 * MODEL_TRACE names a folder for a trace of each failed run. MODEL_TIMES=n carries the one run of MODEL_SEED out n times and tells how often it fails. Faster with TMPDIR on a memory disk.
 */
import { fork } from 'node:child_process'
import childProcess from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { RunKind } from './operations.testing.js'
import { drawn, replay, search, type SearchReport } from './search.testing.js'

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise)
const kinds = (process.env['MODEL_KINDS'] ?? 'solo,shared,rough').split(',') as RunKind[]
const length = number('MODEL_LENGTH', 60)

/** A store allocates its room through a program (cache/room.ts): a sixth of the time of a run, and nothing that is looked for here. */
function withoutPrograms(): void {
  childProcess.spawnSync = (() => ({ status: null, stderr: '' })) as unknown as typeof childProcess.spawnSync
  syncBuiltinESMExports()
}

async function worker(): Promise<void> {
  withoutPrograms()
  const file = process.env['MODEL_FILE']
  const server = process.env['MODEL_SERVER']
  const report = await search({
    kinds, length, operations: number('MODEL_OPS', 10_000), seed: number('MODEL_SEED', Date.now() % 1_000_000_000),
    engines: number('MODEL_ENGINES', 8), shrinkMs: number('MODEL_SHRINK_S', 60) * 1000, failures: number('MODEL_FAILURES', 1_000),
    ...(server !== undefined && { server: Number(server) as 2 | 4 }),
    onProgress: (line) => console.error(line),
    onFailure: (message) => console.error(`found, making it smaller: ${message}`),
    onFound: (failure) => { if (file !== undefined) appendFileSync(file, `${new Date().toISOString()} ${failure}\n`) },
  })
  process.send?.(report)
  if (process.send === undefined) print(report)
}

/** One run, again and again. */
async function times(count: number): Promise<void> {
  withoutPrograms()
  for (const kind of kinds) {
    const run = drawn(kind, length, number('MODEL_SEED', 0))
    const said: string[] = []
    const lane = async (): Promise<void> => {
      for (; started < count; ) {
        started++
        await replay(run).catch((error: unknown) => { said.push((error as Error).message) })
      }
    }
    let started = 0
    await Promise.all(Array.from({ length: Math.min(count, number('MODEL_ENGINES', 4)) }, lane))
    console.log(`${kind}, server ${run.setting.server}: ${said.length} of ${count} failed`)
    for (const message of new Set(said)) console.log(message)
  }
}

function print(report: SearchReport): void {
  console.log(`${report.operations} operations in ${report.runs} runs, ${report.seconds.toFixed(1)} s, ${Math.round(report.operations / report.seconds)} operations/s, ${report.failures.length} failures, ${report.slow.length} too slow once`)
  console.log(Object.entries(report.by).sort().map(([what, count]) => `${what}: ${count}`).join(', '))
  for (const slow of report.slow) console.log(`\nslow: ${slow}`)
  for (const failure of report.failures) console.log(`\n${failure}`)
  if (report.failures.length > 0) process.exitCode = 1
}

async function all(workers: number): Promise<void> {
  const each = Math.ceil(number('MODEL_OPS', 10_000) / workers)
  const seed = number('MODEL_SEED', Date.now() % 1_000_000_000)
  const reports = await Promise.all(Array.from({ length: workers }, (_, index) => new Promise<SearchReport>((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), { env: { ...process.env, MODEL_WORKERS: '0', MODEL_OPS: String(each), MODEL_SEED: String(seed + index * 100_000_007) } })
    child.once('message', (report) => resolve(report as SearchReport))
    child.once('exit', (code) => reject(new Error(`a worker ended with ${code}`)))
  })))
  const by: Record<string, number> = {}
  for (const report of reports) for (const [what, count] of Object.entries(report.by)) by[what] = (by[what] ?? 0) + count
  print({
    operations: reports.reduce((sum, it) => sum + it.operations, 0), runs: reports.reduce((sum, it) => sum + it.runs, 0),
    seconds: Math.max(...reports.map((it) => it.seconds)), failures: reports.flatMap((it) => it.failures), slow: reports.flatMap((it) => it.slow), by,
  })
}

const repeat = number('MODEL_TIMES', 0)
const workers = number('MODEL_WORKERS', 2)
if (repeat > 0) await times(repeat)
else await (workers === 0 ? worker() : all(workers))
if (workers === 0) process.disconnect?.()
