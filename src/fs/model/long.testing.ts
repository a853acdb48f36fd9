/**
 * A long model run: `node <build>/src/fs/model/long.testing.js`. MODEL_OPS operations in all (default 10,000) over MODEL_WORKERS
 * processes with MODEL_ENGINES engines each; MODEL_KINDS solo,shared,rough; MODEL_SEED; MODEL_LENGTH of a run.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { RunKind } from './operations.testing.js'
import { search, type SearchReport } from './search.testing.js'

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise)

async function worker(): Promise<void> {
  const report = await search({
    kinds: (process.env['MODEL_KINDS'] ?? 'solo,shared,rough').split(',') as RunKind[],
    operations: number('MODEL_OPS', 10_000), length: number('MODEL_LENGTH', 60), seed: number('MODEL_SEED', Date.now() % 1_000_000_000),
    engines: number('MODEL_ENGINES', 8), shrinkMs: number('MODEL_SHRINK_S', 120) * 1000,
    onFailure: (message) => console.error(`found, making it smaller: ${message}`),
  })
  process.send?.(report)
  if (process.send === undefined) print(report)
}

function print(report: SearchReport): void {
  console.log(`${report.operations} operations in ${report.runs} runs, ${report.seconds.toFixed(1)} s, ${Math.round(report.operations / report.seconds)} operations/s, ${report.failures.length} failures`)
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
  print({
    operations: reports.reduce((sum, it) => sum + it.operations, 0), runs: reports.reduce((sum, it) => sum + it.runs, 0),
    seconds: Math.max(...reports.map((it) => it.seconds)), failures: reports.flatMap((it) => it.failures),
  })
}

const workers = number('MODEL_WORKERS', 2)
await (workers === 0 ? worker() : all(workers))
if (workers === 0) process.disconnect?.()
