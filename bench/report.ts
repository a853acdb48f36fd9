/** The figures as a table for people and as JSON for later: medians, spread, and on which machine, under which load. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { arch, availableParallelism, cpus, loadavg, release } from 'node:os'
import { promisify } from 'node:util'
import { BIG_BYTES } from './server.js'
import { WORKLOADS, type Measure, type Reference } from './workloads.js'

export interface Round {
  readonly side: string
  readonly repetition: number
  /** One-minute load average when it began; everything else on the machine included. */
  readonly load: number
  readonly measures: readonly Measure[]
}

export interface Result {
  readonly name: string
  readonly date: string
  readonly machine: Record<string, string | number>
  readonly server: string
  readonly sides: readonly { readonly name: string; readonly version: string }[]
  readonly repetitions: number
  /** What curl gets of the server without a mount, once a repetition. */
  readonly references: readonly Reference[]
  readonly rounds: readonly Round[]
}

export function machine(): Record<string, string | number> {
  return { cores: availableParallelism(), cpu: cpus()[0]?.model ?? '', arch: arch(), kernel: release(), node: process.version }
}

export const load = (): number => Math.round(loadavg()[0]! * 100) / 100

/** `0.1.0 (commit 588b823)`. */
export async function ownVersion(root: string): Promise<string> {
  const { version } = JSON.parse(await readFile(`${root}/package.json`, 'utf8')) as { version: string }
  const commit = await promisify(execFile)('git', ['-C', root, 'rev-parse', '--short', 'HEAD']).then(({ stdout }) => stdout.trim(), () => '')
  return commit === '' ? version : `${version} (commit ${commit})`
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

interface Cell {
  readonly app: number
  readonly saved?: number
  readonly mbPerS?: number
  /** That time is a limit that was not kept. */
  readonly over: ReadonlySet<Measure['over']>
  readonly failures: number
}

/** Undefined when the side never ran the workload. */
function cellOf(result: Result, side: string, workload: string): Cell | undefined {
  const measures = result.rounds.filter((round) => round.side === side).flatMap((round) => round.measures).filter((measure) => measure.workload === workload)
  if (measures.length === 0) return undefined
  const good = measures.filter((measure) => measure.failure === undefined)
  const of = (pick: (measure: Measure) => number | undefined): number | undefined => {
    const values = good.map(pick).filter((value) => value !== undefined)
    return values.length === 0 ? undefined : median(values)
  }
  return { app: of(({ app }) => app) ?? Number.NaN, saved: of(({ saved }) => saved), mbPerS: of(({ mbPerS }) => mbPerS), over: new Set(good.map(({ over }) => over)), failures: measures.length - good.length }
}

const seconds = (ms: number): string => (ms < 995 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 1000).toFixed(1)} s`)
const times = (ratio: number): string => `${ratio < 0.1 ? ratio.toFixed(2) : ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0)}x`

/** One measure as it is made. */
export function line({ workload, app, saved, over, failure }: Measure): string {
  const time = (which: 'app' | 'saved', ms: number): string => `${over === which ? '> ' : ''}${(ms / 1000).toFixed(2)} s`
  return `${workload.padEnd(28)} ${failure ?? `${time('app', app)}${saved === undefined ? '' : `, saved ${time('saved', saved)}`}`}`
}

/** Markdown, medians; the ratio says how many times longer than the first side it took. */
export function table(result: Result): string {
  const [own, ...others] = result.sides.map(({ name }) => name)
  const rows: string[][] = [['', own!, ...others.flatMap((name) => [name, 'ratio'])]]
  const add = (label: string, workload: string, which: 'app' | 'saved', pick: (cell: Cell) => number | undefined, show: (cell: Cell, value: number) => string): void => {
    const of = (side: string): { text: string; value: number | undefined; over: string } => {
      const cell = cellOf(result, side, workload)
      if (cell === undefined) return { text: '', value: undefined, over: '' }
      const value = pick(cell)
      const failed = cell.failures === 0 ? '' : `failed ${cell.failures} of ${result.repetitions}`
      const over = cell.over.has(which) ? '> ' : ''
      return value === undefined || Number.isNaN(value) ? { text: failed, value: undefined, over } : { text: `${over}${show(cell, value)}${failed === '' ? '' : ` (${failed})`}`, value, over }
    }
    const first = of(own!)
    rows.push([label, first.text, ...others.flatMap((name) => {
      const { text, value, over } = of(name)
      return [text, first.value === undefined || first.over !== '' || value === undefined ? '' : `${over}${times(value / first.value)}`]
    })])
  }
  for (const workload of WORKLOADS) {
    const changes = result.rounds.some((round) => round.measures.some((measure) => measure.workload === workload && measure.saved !== undefined))
    add(changes ? `${workload}: program ends` : workload, workload, 'app', ({ app }) => app, ({ mbPerS }, value) => `${seconds(value)}${mbPerS === undefined ? '' : `, ${mbPerS.toFixed(0)} MB/s`}`)
    if (changes) add(`${workload}: server shows it`, workload, 'saved', ({ saved }) => saved, (_cell, value) => seconds(value))
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const printed = (row: string[]): string => `| ${row.map((text, column) => text.padEnd(widths[column]!)).join(' | ')} |`
  return [printed(rows[0]!), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.slice(1).map(printed)].join('\n')
}

/** Cold reading and the drain of the big file, against what curl gets of the server. */
export function againstCurl(result: Result): string {
  const [own] = result.sides
  const best = (pick: (reference: Reference) => number): number => median(result.references.map(pick))
  const read = own && cellOf(result, own.name, 'read 256 MiB, cold')?.mbPerS
  const drained = own && cellOf(result, own.name, 'write 256 MiB')?.saved
  const lines = [`curl, as many requests at once as is best: reads ${best((it) => it.read).toFixed(0)} MB/s, writes ${best((it) => it.write).toFixed(0)} MB/s.`]
  if (read !== undefined) lines.push(`${own!.name}: cold read ${(read / best((it) => it.read)).toFixed(2)} of that`)
  if (drained !== undefined) lines.push(`${own!.name}: 256 MiB written and shown by the server at ${(BIG_BYTES / 1000 / drained / best((it) => it.write)).toFixed(2)} of that (the time of cp and of the index are in it)`)
  return lines.join('\n')
}

/** The sentence under the table. */
export function circumstances(result: Result): string {
  const loads = result.rounds.map((round) => round.load)
  const { cores, cpu, kernel, node } = result.machine
  return [
    `Median of ${result.repetitions}, ${result.date}, ${result.server}, loopback.`,
    `${cores} cores (${cpu}), Linux ${kernel}, Node ${node}; load average ${Math.min(...loads)} to ${Math.max(...loads)}.`,
    ...result.sides.map(({ name, version }) => `${name}: ${version}`),
  ].join('\n')
}
