/**
 * A program that reads here and there in a large file (a database, an archive, a disk image) waits for the server at each place: one
 * round trip for each block. After a few such reads the rest of the file comes in the background, in larger pieces, several at once.
 *
 * Evidence is paid for evidence: each read that had to wait doubles what may come unasked, so that a glance at the end of an archive
 * costs a block, and a program that goes on gets the file. Never more than a share of the cache, which it would push out. Reads that somebody waits
 * for go first: pieces take only what half of the budget of bytes in flight leaves, one at first, more while they come quickly; and where even one
 * takes long nothing comes unasked, because on such a line it would be in the way.
 */
import { BLOCK_SIZE } from '../cache/blocks.js'

/** Reads that waited, before anything comes unasked. */
const WAITED = 4
/** What then may come, bytes; twice as much with each read that waits after that. */
const FIRST_BYTES = 8 * BLOCK_SIZE
const PIECE_BLOCKS = 4
const MOST_PIECES = 6
/** A piece that took less: one more at once. More: half as many. */
const QUICK_MS = 300
/** A line on which a piece takes this long is left to what is waited for. */
const SLOW_MS = 1_500
/** The part of the cache that one file may take unasked: one divided by this. */
const SHARE = 4

export interface Source {
  /** Blocks of the file. */
  readonly count: number
  /** Bound of the cache, bytes. */
  readonly cacheBytes: number
  /** Neither here nor on its way. */
  readonly lacks: (index: number) => boolean
  /** Fetches blocks, if that much may be in flight for something nobody waits for. Resolves to whether it could be had. */
  readonly fetch: (index: number, count: number) => Promise<boolean> | undefined
}

export class RestOfIt {
  private readonly source: Source
  private readonly now: () => number
  private waited = 0
  /** Bytes that have come unasked. */
  private taken = 0
  private next = 0
  private pieces = 1
  private underWay = 0
  /** Counts the stops: what began before one does not go on after it. */
  private round = 0

  /** @param now milliseconds */
  constructor(source: Source, now: () => number = () => performance.now()) {
    this.source = source
    this.now = now
  }

  /** Somebody waits for this block, and was elsewhere before. */
  missed(index: number): void {
    this.waited++
    // What is near is likelier to be wanted next.
    this.next = index
    this.goOn()
  }

  /** Nobody reads the file any more, or not here and there. */
  stop(): void {
    this.round++
    this.waited = 0
    this.taken = 0
    this.pieces = 1
    this.underWay = 0
  }

  private get allowed(): number {
    if (this.waited < WAITED) return 0
    return Math.min(FIRST_BYTES * 2 ** (this.waited - WAITED), this.source.cacheBytes / SHARE)
  }

  private goOn(): void {
    while (this.underWay < this.pieces && this.taken < this.allowed) {
      const run = this.nextRun()
      if (run === undefined) return
      const coming = this.source.fetch(run.index, run.count)
      if (coming === undefined) return
      this.next = run.index + run.count
      this.taken += run.count * BLOCK_SIZE
      this.underWay++
      void this.arrived(coming)
    }
  }

  private async arrived(coming: Promise<boolean>): Promise<void> {
    const { round } = this
    const began = this.now()
    const came = await coming
    if (round !== this.round) return
    this.underWay--
    const took = this.now() - began
    if (!came || took > SLOW_MS) this.stop()
    else this.pieces = took < QUICK_MS ? Math.min(MOST_PIECES, this.pieces + 1) : Math.max(1, this.pieces >> 1)
    this.goOn()
  }

  /** The next blocks that are not here, from where somebody waited to the end, then from the beginning. */
  private nextRun(): { index: number; count: number } | undefined {
    const { count, lacks } = this.source
    for (let looked = 0; looked < count; looked++) {
      const index = (this.next + looked) % count
      if (!lacks(index)) continue
      let run = 1
      while (run < PIECE_BLOCKS && index + run < count && lacks(index + run)) run++
      return { index, count: run }
    }
    return undefined
  }
}
