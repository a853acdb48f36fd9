/** A set of byte positions as sorted, disjoint, non-touching half-open ranges `[start, end)`. */
export class RangeSet {
  /** Flat pairs start, end; always sorted. */
  private edges: number[] = []

  /** Index of the first range whose end is >= `at` (so a touching range counts). */
  private firstTouching(at: number): number {
    let low = 0
    let high = this.edges.length / 2
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.edges[2 * middle + 1]! < at) low = middle + 1
      else high = middle
    }
    return low
  }

  add(start: number, end: number): void {
    if (end <= start) return
    const first = this.firstTouching(start)
    let last = first
    let from = start
    let to = end
    while (2 * last < this.edges.length && this.edges[2 * last]! <= end) {
      from = Math.min(from, this.edges[2 * last]!)
      to = Math.max(to, this.edges[2 * last + 1]!)
      last++
    }
    this.edges.splice(2 * first, 2 * (last - first), from, to)
  }

  /** Forgets everything at and after `end`. */
  truncate(end: number): void {
    const kept: number[] = []
    for (let i = 0; i < this.edges.length; i += 2) {
      const start = this.edges[i]!
      if (start >= end) break
      kept.push(start, Math.min(this.edges[i + 1]!, end))
    }
    this.edges = kept
  }

  covers(start: number, end: number): boolean {
    return this.gaps(start, end).length === 0
  }

  /** The parts of `[start, end)` that are not in the set, in order. */
  gaps(start: number, end: number): Array<[number, number]> {
    const found: Array<[number, number]> = []
    let at = start
    for (let i = this.firstTouching(start); 2 * i < this.edges.length && at < end; i++) {
      const from = this.edges[2 * i]!
      if (from >= end) break
      if (from > at) found.push([at, from])
      at = Math.max(at, this.edges[2 * i + 1]!)
    }
    if (at < end) found.push([at, end])
    return found
  }

  ranges(): Array<[number, number]> {
    const all: Array<[number, number]> = []
    for (let i = 0; i < this.edges.length; i += 2) all.push([this.edges[i]!, this.edges[i + 1]!])
    return all
  }

  static from(ranges: ReadonlyArray<readonly [number, number]>): RangeSet {
    const set = new RangeSet()
    for (const [start, end] of ranges) set.add(start, end)
    return set
  }
}
