/** The figures of transfer.ts as a page: medians, and how many times longer the others took. */
import type { Result } from './report.js'

export interface TransferRound {
  readonly side: string
  readonly repetition: number
  /** One-minute load average when it began; everything else on the machine included. */
  readonly load: number
  readonly measures: readonly { readonly workload: string; readonly ms: number; readonly shown?: number }[]
}

export interface TransferResult extends Pick<Result, 'name' | 'date' | 'machine' | 'server' | 'repetitions'> {
  readonly sides: readonly { readonly name: string; readonly description: string }[]
  readonly sizes: { readonly files: number; readonly smallBytes: number; readonly bigBytes: number }
  readonly rounds: readonly TransferRound[]
}

const medianOf = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] ?? NaN : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

export function transferPage(result: TransferResult, raw: string): string {
  const { files, smallBytes, bigBytes } = result.sizes
  const [own, ...others] = result.sides.map(({ name }) => name)
  const of = (side: string, workload: string, pick: 'ms' | 'shown'): number[] =>
    result.rounds.filter((round) => round.side === side).flatMap((round) => round.measures).flatMap((measure) => (measure.workload === workload && measure[pick] !== undefined ? [measure[pick]] : []))
  const lines = [
    `# \`cec scp\` and \`rclone copy\`, ${result.date}`, '',
    `${files} files of 1 to 16 KiB (${(smallBytes / 1e6).toFixed(1)} MB, in 20 folders) and one of ${(bigBytes / 2 ** 20).toFixed(0)} MiB. Median of ${result.repetitions} (fastest to slowest); the factor is the time of rclone over that of cec.`, '',
    `| | ${own} | ${others.map((name) => `${name} | factor`).join(' | ')} |`,
    `| --- | ---: |${others.map(() => ' ---: | ---: |').join('')}`,
  ]
  for (const [workload, pick, label] of [
    ['upload small', 'shown', 'upload small: server shows it'], ['upload small', 'ms', 'upload small: program ends*'], ['download small', 'ms', 'download small'],
    ['upload big', 'shown', 'upload big: server shows it'], ['upload big', 'ms', 'upload big: program ends*'], ['download big', 'ms', 'download big'],
  ] as const) {
    const first = medianOf(of(own ?? '', workload, pick))
    const cell = (side: string): string => {
      const values = of(side, workload, pick)
      const rate = workload.endsWith('big') ? `, ${(bigBytes / 1e3 / medianOf(values)).toFixed(0)} MB/s` : ''
      return `${(medianOf(values) / 1000).toFixed(2)} s${rate} (${(Math.min(...values) / 1000).toFixed(2)} to ${(Math.max(...values) / 1000).toFixed(2)})`
    }
    lines.push(`| ${label} | ${cell(own ?? '')} | ${others.map((name) => `${cell(name)} | ${(medianOf(of(name, workload, pick)) / first).toFixed(2)}x`).join(' | ')} |`)
  }
  lines.push('', '\\* cec ends when the server shows all with the right md5, a second or more after the last answer; rclone with the last answer, and does not look.')
  const loads = result.rounds.map((round) => round.load)
  const { cores, cpu, kernel, node } = result.machine
  lines.push('', `${result.server}, loopback. ${cores} cores (${cpu}), Linux ${kernel}, Node ${node}; load average ${Math.min(...loads)} to ${Math.max(...loads)} (other work on this machine included).`, '')
  for (const { name, description } of result.sides) lines.push(`* ${name}: ${description}`)
  lines.push('', `Raw figures: ${raw}`, '')
  return lines.join('\n')
}
