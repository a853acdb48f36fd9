/**
 * Counters, gauges and histograms of one mount, and their text as Prometheus reads it (exposition format 0.0.4). A writer of our own:
 * the usual library collects for a whole process, has a registry, aggregation over workers and default metrics, of which nothing is
 * wanted here, and the format is a page long.
 */

/** Seconds: from a cached answer to the deadline of a request. */
const BUCKETS = [0.0001, 0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120]

type Labels = Readonly<Record<string, string>>

interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: () => Iterable<readonly [suffix: string, labels: Labels, value: number]>
}

/** Counts by one label, or without one. */
export class Counter {
  private readonly values = new Map<string, number>()
  readonly label: string | undefined

  constructor(label?: string) {
    this.label = label
  }

  add(value = 1, key = ''): void {
    this.values.set(key, (this.values.get(key) ?? 0) + value)
  }

  get total(): number {
    let sum = 0
    for (const value of this.values.values()) sum += value
    return sum
  }

  * samples(): Generator<readonly [string, Labels, number]> {
    if (this.label === undefined) yield ['', {}, this.total]
    else for (const [key, value] of this.values) yield ['', { [this.label]: key }, value]
  }
}

interface Observed {
  readonly buckets: number[]
  sum: number
  count: number
}

/** Durations by one label. */
export class Histogram {
  private readonly observed = new Map<string, Observed>()
  readonly label: string

  constructor(label: string) {
    this.label = label
  }

  observe(seconds: number, key: string): void {
    let entry = this.observed.get(key)
    if (entry === undefined) this.observed.set(key, entry = { buckets: BUCKETS.map(() => 0), sum: 0, count: 0 })
    entry.sum += seconds
    entry.count++
    for (let i = 0; i < BUCKETS.length; i++) {
      if (seconds > BUCKETS[i]!) continue
      entry.buckets[i]!++
      break
    }
  }

  * samples(): Generator<readonly [string, Labels, number]> {
    for (const [key, { buckets, sum, count }] of this.observed) {
      const labels = { [this.label]: key }
      let below = 0
      for (const [i, bound] of BUCKETS.entries()) yield ['_bucket', { ...labels, le: String(bound) }, below += buckets[i]!]
      yield ['_bucket', { ...labels, le: '+Inf' }, count]
      yield ['_sum', labels, sum]
      yield ['_count', labels, count]
    }
  }
}

export class Metrics {
  private readonly families: Family[] = []

  counter(name: string, help: string, label?: string): Counter {
    const counter = new Counter(label)
    this.families.push({ name, help, type: 'counter', samples: () => counter.samples() })
    return counter
  }

  histogram(name: string, help: string, label: string): Histogram {
    const histogram = new Histogram(label)
    this.families.push({ name, help, type: 'histogram', samples: () => histogram.samples() })
    return histogram
  }

  /** Asked for when it is read. */
  read(type: 'gauge' | 'counter', name: string, help: string, value: () => number | Iterable<readonly [Labels, number]>): void {
    this.families.push({
      name, help, type,
      * samples() {
        const now = value()
        if (typeof now === 'number') yield ['', {}, now]
        else for (const [labels, each] of now) yield ['', labels, each]
      },
    })
  }

  text(): string {
    const lines: string[] = []
    for (const { name, help, type, samples } of this.families) {
      lines.push(`# HELP ${name} ${help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}`, `# TYPE ${name} ${type}`)
      for (const [suffix, labels, value] of samples()) lines.push(`${name}${suffix}${labelText(labels)} ${value}`)
    }
    return `${lines.join('\n')}\n`
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
