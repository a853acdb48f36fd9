/** The tables of pjdfstest-exclusions.md: which cases cannot pass, by reason and file. The prose around them is a person's. */
import { REASONS, type Reason } from './pjdfstest.js'

/** Cases of one file. */
export interface Excluded {
  /** The refused call itself. */
  readonly refused: Set<number>
  /** What fails because of it. */
  readonly follows: Set<number>
}

export class Exclusions {
  private readonly tables = new Map<Reason, Map<string, Excluded>>(REASONS.map((it) => [it, new Map()]))

  /** @throws Error for a heading or a line that is none */
  static parse(text: string): Exclusions {
    const exclusions = new Exclusions()
    let reason: Reason | undefined
    for (const line of text.split('\n')) {
      const heading = /^## (.*)$/.exec(line)
      if (heading !== null) reason = REASONS.find((it) => it === heading[1])
      const row = /^\| `([^`]+\.t)` \|([^|]*)\|([^|]*)\|$/.exec(line)
      if (row === null) continue
      if (reason === undefined) throw new Error(`a table under no reason: ${line}`)
      const add = (numbers: Iterable<number>, how: keyof Excluded): void => { for (const number of numbers) exclusions.add(reason!, row[1]!, number, how) }
      add(numbersOf(row[2]!), 'refused')
      add(numbersOf(row[3]!), 'follows')
    }
    return exclusions
  }

  add(reason: Reason, file: string, number: number, how: keyof Excluded): void {
    const table = this.tables.get(reason)!
    const excluded = table.get(file) ?? { refused: new Set(), follows: new Set() }
    table.set(file, excluded)
    excluded[how].add(number)
  }

  of(file: string, number: number): { reason: Reason; how: keyof Excluded } | undefined {
    for (const [reason, table] of this.tables) {
      const excluded = table.get(file)
      if (excluded?.refused.has(number) === true) return { reason, how: 'refused' }
      if (excluded?.follows.has(number) === true) return { reason, how: 'follows' }
    }
    return undefined
  }

  /** `text` with these tables in the place of its own. */
  format(text: string): string {
    const lines: string[] = []
    let reason: Reason | undefined
    const finish = (): void => {
      if (reason === undefined) return
      while (lines.at(-1) === '') lines.pop()
      lines.push('', '| file | refused | follows |', '|---|---|---|')
      for (const [file, { refused, follows }] of [...this.tables.get(reason)!].sort()) lines.push(`| \`${file}\` | ${rangesOf(refused)} | ${rangesOf(follows)} |`)
      lines.push('')
      reason = undefined
    }
    for (const line of text.split('\n')) {
      if (line.startsWith('## ')) {
        finish()
        reason = REASONS.find((it) => line === `## ${it}`)
      }
      if (reason === undefined || !line.startsWith('|')) lines.push(line)
    }
    finish()
    return `${lines.join('\n').trimEnd()}\n`
  }
}

/** '3, 7-9' */
function numbersOf(text: string): number[] {
  return text.split(',').map((it) => it.trim()).filter((it) => it !== '').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number) as [number, number?]
    return Array.from({ length: to - from + 1 }, (_, index) => from + index)
  })
}

function rangesOf(numbers: ReadonlySet<number>): string {
  const ranges: Array<[number, number]> = []
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === number - 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges.map(([from, to]) => from === to ? String(from) : `${from}-${to}`).join(', ')
}
