/** The figures of `npm run bench -- driver` for people: medians, and how many times faster the kernel driver is. */
import type { SideResult } from './driver-workloads.js'

export interface DriverRound extends SideResult {
  readonly side: string
  readonly repetition: number
  /** One-minute load average when it began; everything else on the machine included. */
  readonly load: number
}

export interface DriverResult {
  readonly name: 'driver'
  readonly date: string
  readonly machine: Record<string, string | number>
  readonly server: string
  readonly sides: readonly { readonly name: string; readonly description: string }[]
  readonly repetitions: number
  readonly sizes: Record<string, number>
  readonly rounds: readonly DriverRound[]
}

/** What is wanted of the kernel driver: at least so many times the speed of the other side. */
const WANTED: readonly { readonly workload: RegExp; readonly side: string; readonly times: number }[] = [
  // Warm, both answer from the kernel's memory.
  { workload: /^ls -l.*cold/, side: 'fuse-native', times: 5 },
  { workload: /^write 1 MiB/, side: 'fuse-native', times: 5 },
  { workload: /^random 4 KiB, 8/, side: 'fuse-native', times: 2 },
  // Of closing, the server has its share.
  { workload: /^(?!close)/, side: 'fuse-native', times: 1 },
  { workload: /^stat, warm|again, warm/, side: 'local', times: 0.8 },
]

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

interface Cell {
  readonly ms: number
  readonly text: string
  readonly cpu: number | undefined
}

function cellOf(result: DriverResult, side: string, workload: string): Cell | undefined {
  const all = result.rounds.filter((round) => round.side === side).flatMap(({ measures }) => measures).filter((measure) => measure.workload === workload)
  const [first] = all
  if (first === undefined) return undefined
  const ms = median(all.map((measure) => measure.ms))
  const spread = `${format(Math.min(...all.map((measure) => measure.ms)))}-${format(Math.max(...all.map((measure) => measure.ms)))}`
  const rate = workload.startsWith('close') ? '' : first.bytes >= first.ops * 65_536 ? `${(first.bytes / 1000 / ms).toFixed(0)} MB/s` : `${perSecond(first.ops / ms * 1000)}/s`
  const cpus = all.map(({ cpuSeconds }) => cpuSeconds).filter((value) => value !== undefined)
  return { ms, text: `${format(ms)} ms (${spread})${rate === '' ? '' : `, ${rate}`}`, cpu: cpus.length === 0 ? undefined : median(cpus) }
}

const format = (ms: number): string => (ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0))
const perSecond = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(0)}k` : value.toFixed(0))

function ratio(own: Cell, other: Cell | undefined, workload: string, side: string): string {
  if (other === undefined) return ''
  const times = other.ms / own.ms
  const wanted = WANTED.find((each) => each.side === side && each.workload.test(workload))?.times
  return `${times < 10 ? times.toFixed(2) : times.toFixed(0)}x${wanted === undefined ? '' : times >= wanted ? ` (wanted ${wanted})` : ` (**wanted ${wanted}**)`}`
}

/** Markdown. Ratios above 1: the kernel driver is that many times faster. */
export function driverTable(result: DriverResult): string {
  const workloads = [...new Set(result.rounds.flatMap(({ measures }) => measures.map(({ workload }) => workload)))]
  const own = result.sides[0]!.name
  const others = result.sides.slice(1).map(({ name }) => name)
  const rows = [['', own, ...others.flatMap((name) => [name, `${own} is faster`]), 'CPU s of the mount']]
  for (const workload of workloads) {
    const cell = cellOf(result, own, workload)
    const cells = others.map((name) => ({ name, cell: cellOf(result, name, workload) }))
    const cpus = [cell, ...cells.map((each) => each.cell)].map((each) => each?.cpu).filter((cpu) => cpu !== undefined)
    rows.push([
      workload, cell?.text ?? '',
      ...cells.flatMap(({ name, cell: other }) => [other?.text ?? '', cell === undefined ? '' : ratio(cell, other, workload, name)]),
      cpus.map((cpu) => cpu.toFixed(2)).join(' / '),
    ])
  }
  const total = (pick: (round: DriverRound) => number | undefined): string[] => [own, ...others].map((name) => {
    const values = result.rounds.filter(({ side }) => side === name).map(pick).filter((value) => value !== undefined)
    return values.length === 0 ? '' : String(median(values))
  })
  const usages: readonly [string, (round: DriverRound) => number | undefined][] = [['CPU seconds in all', ({ usage }) => usage?.cpuSeconds], ['peak memory, MB', ({ usage }) => usage?.peakMegabytes]]
  for (const [label, pick] of usages) {
    const [mine = '', ...rest] = total(pick)
    rows.push([label, mine, ...rest.flatMap((value) => [value, value === '' ? '' : `${(Number(value) / Number(mine)).toFixed(2)}x less`]), ''])
  }
  const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`
  return [line(rows[0]!), `|${rows[0]!.map(() => '---').join('|')}|`, ...rows.slice(1).map(line)].join('\n')
}

/** The page beside the raw figures. */
export function driverPage(result: DriverResult, raw: string): string {
  const loads = result.rounds.map(({ load }) => load)
  const { cores, cpu, kernel, node } = result.machine
  const busy = Math.max(...loads) > 3 ? ' **The machine was busy: ratios of one run hold, times may not.**' : ''
  return `# Kernel driver against fuse-native and a local folder

${result.date}, ${cores} cores (${cpu}), Linux ${kernel}, Node ${node}; load average ${Math.min(...loads)} to ${Math.max(...loads)}.${busy}
${result.server}. Each side in turn, ${result.repetitions} rounds, another one first each time; median (least-most). Raw figures: ${raw}.
Sizes: ${Object.entries(result.sizes).map(([name, value]) => `${name} ${value}`).join(', ')}. What the names mean stands in bench/driver-workloads.ts; the programs are ls and bench/client.c.

${result.sides.map(({ name, description }) => `- ${name}: ${description}`).join('\n')}

${driverTable(result)}
`
}
