/**
 * How changes of records come to the disk: all that was changed in one turn of the event loop goes to the log (write-ahead-log.ts) as one frame,
 * which is what "safe" waits for, and to the database in the background, once for many turns: most records of a file
 * that is written, sent and shown are gone again before it comes to that. Each transaction of the database says up to which change it goes,
 * so that after a crash the rest is taken from the log, and nothing twice.
 *
 * Without a log (no room for it, or it cannot be written) the database is waited for.
 */
import { setImmediate as immediate } from 'node:timers/promises'
import type { Database, RootDatabase } from 'lmdb'
import { crashPoint } from '../crashpoints.js'
import type { Table, TableOwner } from './table.js'
import type { WriteAheadLog } from './write-ahead-log.js'

/** The database is this much behind, milliseconds, unless the log is filling. */
const BEHIND_MS = 2_000
/** In the table `meta`: the number of the last change that the database has. */
export const APPLIED = 'applied'

export class WriteBehind implements TableOwner {
  private readonly root: RootDatabase
  private readonly meta: Database<number, string>
  private readonly tables: () => Iterable<Table<unknown>>
  private log: WriteAheadLog | undefined
  private queue: Buffer[] = []
  /** Numbers of the last change: that was made, that is in the log, that is safe on the disk. */
  private last: number
  private appended = 0
  private durable = 0
  /** Of what is queued. */
  private turn: Turn | undefined
  /** There is no room in the log: the database is waited for. */
  private waiting = false
  private timer: NodeJS.Timeout | undefined

  /** `last`: the number of the last change in the database. */
  constructor(root: RootDatabase, log: WriteAheadLog | undefined, last: number, tables: () => Iterable<Table<unknown>>) {
    this.root = root
    this.log = log
    this.last = last
    this.tables = tables
    this.meta = root.openDB<number, string>({ name: 'meta' })
    // (The log's frames were brought in right before.)
    void root.flushed.then(() => log?.release(last))
  }

  changed(record: Buffer, number: number): Promise<void> {
    this.queue.push(record)
    this.last = number
    if (this.turn === undefined) {
      this.turn = newTurn()
      if (!this.waiting) setImmediate(() => this.write())
    }
    return this.turn.over
  }

  /** Everything queued, in a turn of the event loop of its own: nobody is in the middle of changes that belong together. */
  private write(): void {
    const { turn, queue } = this
    if (turn === undefined || this.waiting) return
    this.turn = undefined
    this.queue = []
    if (this.append(queue)) {
      if (this.log!.isFilling) void this.handOver().catch(() => {})
      else this.timer ??= setTimeout(() => void this.handOver().catch(() => {}), BEHIND_MS).unref()
      turn.resolve()
      return
    }
    this.waiting = true
    void this.handOver().then(turn.resolve, turn.reject).finally(() => {
      this.waiting = false
      if (this.turn !== undefined) setImmediate(() => this.write())
    })
  }

  private append(records: readonly Buffer[]): boolean {
    try {
      if (this.log?.append(records, this.last) !== true) return false
    } catch {
      this.giveUp()
      return false
    }
    this.appended = this.last
    return true
  }

  /** The log cannot be written. What is in it is not lost: the database gets all of it. */
  private giveUp(): void {
    this.log?.close(false)
    this.log = undefined
  }

  /** Resolves when everything changed so far survives the end of this process, though not a power cut. */
  async written(): Promise<void> {
    await this.turn?.over
  }

  /** Resolves when everything changed so far is on the disk. */
  async safe(): Promise<void> {
    const wanted = this.last
    await this.written()
    while (this.durable < wanted) await (this.syncing ??= this.sync().finally(() => { this.syncing = undefined }))
  }

  private syncing: Promise<void> | undefined

  /** One sync for all who wait for it. */
  private async sync(): Promise<void> {
    const { appended, log } = this
    if (log !== undefined && appended > this.durable) {
      try {
        await log.sync()
        this.durable = Math.max(this.durable, appended)
        return
      } catch {
        if (this.log === log) this.giveUp()
      }
    }
    await immediate()
    await this.handOver()
  }

  /** Resolves when the database has everything changed so far on the disk. To be called in a turn of the event loop of its own, as `write`. */
  private async handOver(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    const { last } = this
    crashPoint('before the database gets records')
    for (const table of this.tables()) table.handOver()
    void this.meta.put(APPLIED, last)
    await this.root.flushed
    this.durable = Math.max(this.durable, last)
    this.log?.release(last)
    crashPoint('after the database has records')
  }

  /** The database gets the rest. `end` is called when there is no more, before anybody can change anything. */
  async close(end: () => void): Promise<void> {
    do {
      await this.written()
      await immediate()
      await this.handOver()
    } while (this.turn !== undefined || this.last > this.durable)
    clearTimeout(this.timer)
    end()
  }

  /** To be called when the database is closed. */
  closed(): void {
    this.log?.close(true)
    this.log = undefined
  }
}

interface Turn {
  readonly over: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

function newTurn(): Turn {
  let [resolve, reject]: [() => void, (error: unknown) => void] = [() => {}, () => {}]
  const over = new Promise<void>((yes, no) => { [resolve, reject] = [yes, no] })
  // Most who change something do not wait for it.
  over.catch(() => {})
  return { over, resolve, reject }
}
