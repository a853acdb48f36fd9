/** Which bytes of a file are there: a sorted list of disjoint, non-touching ranges `[start, end)`. */

export type ByteRange = readonly [start: number, end: number]

export class ByteRanges {
  #ranges: ByteRange[] = []

  /** From a file of ours, thus input: what is not a list of ranges within `size` gives an empty one. */
  static parse(value: unknown, size: number): ByteRanges {
    const ranges = new ByteRanges()
    if (!Array.isArray(value)) return ranges
    for (const each of value as unknown[]) {
      const [start, end] = Array.isArray(each) ? each as unknown[] : []
      if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || (start as number) < 0 || (end as number) > size) return new ByteRanges()
      ranges.add(start as number, end as number)
    }
    return ranges
  }

  add(start: number, end: number): void {
    if (end <= start) return
    const before = this.#ranges.filter(range => range[1] < start)
    const after = this.#ranges.filter(range => range[0] > end)
    const touched = this.#ranges.slice(before.length, this.#ranges.length - after.length)
    const first = touched[0]?.[0] ?? start
    const last = touched.at(-1)?.[1] ?? end
    this.#ranges = [...before, [Math.min(first, start), Math.max(last, end)], ...after]
  }

  get total(): number {
    return this.#ranges.reduce((sum, [start, end]) => sum + end - start, 0)
  }

  /** End of the range that begins at 0. */
  get frontier(): number {
    const first = this.#ranges[0]
    return first?.[0] === 0 ? first[1] : 0
  }

  /** What is missing of the first `size` bytes, in pieces of at most `piece`. */
  gaps(size: number, piece: number): ByteRange[] {
    const gaps: ByteRange[] = []
    let position = 0
    for (const [start, end] of [...this.#ranges, [size, size] as const]) {
      for (; position < start; position = Math.min(start, position + piece)) gaps.push([position, Math.min(start, position + piece)])
      position = end
    }
    return gaps
  }

  clear(): void {
    this.#ranges = []
  }

  toJSON(): readonly ByteRange[] {
    return this.#ranges
  }
}
