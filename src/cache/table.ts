/** Records of one kind as the rest of the program sees them: what was put last is there at once, wherever it is on its way to the disk (write-behind.ts). */
import { encodeRecord, nextNumber, type RecordTable } from './records.js'

/** A record that the database does not have yet; none: it is to be removed there. */
type Change<T> = { readonly bytes: Buffer; readonly value: T; readonly number: number } | 'removed'

export interface TableOwner {
  /** A change, as it goes to the log. Resolves when it survives the end of this process. */
  changed(record: Buffer, number: number): Promise<void>
}

export class Table<T> {
  private readonly base: RecordTable<T>
  private readonly owner: TableOwner
  private readonly changes = new Map<string, Change<T>>()
  private count: number
  private over = false

  constructor(base: RecordTable<T>, owner: TableOwner) {
    this.base = base
    this.owner = owner
    this.count = base.size
  }

  /** How many records a table of the journal has. */
  get size(): number {
    return this.count
  }

  get(key: string): T | undefined {
    if (this.over) return undefined
    const change = this.changes.get(key)
    if (change !== undefined) return change === 'removed' ? undefined : change.value
    return this.base.get(key)
  }

  /** All of them. */
  getRange(): Array<{ readonly key: string; readonly value: T }> {
    if (this.over) return []
    const found = this.base.getRange().filter(({ key }) => !this.changes.has(key))
    for (const [key, change] of this.changes) if (change !== 'removed') found.push({ key, value: change.value })
    return found
  }

  /** Resolves, to true, when the record survives the end of this process; at once, to false, when the store is closed. */
  put(key: string, value: T): Promise<boolean> {
    if (this.over) return Promise.resolve(false)
    if (this.get(key) === undefined) this.count++
    const number = nextNumber()
    const bytes = encodeRecord(this.base.name, key, value, number)
    this.changes.set(key, { bytes, value, number })
    return this.owner.changed(bytes, number).then(() => true)
  }

  /** As `put`. */
  remove(key: string): Promise<boolean> {
    if (this.over) return Promise.resolve(false)
    if (this.get(key) !== undefined) this.count--
    const number = nextNumber()
    this.changes.set(key, 'removed')
    return this.owner.changed(encodeRecord(this.base.name, key, null, number), number).then(() => true)
  }

  /** The database gets what it does not have yet, in this turn of the event loop: that is one transaction. */
  handOver(): void {
    if (this.changes.size === 0) return
    for (const [key, change] of this.changes) void this.base.write(key, change === 'removed' ? undefined : change)
    this.base.keepSum()
    this.changes.clear()
  }

  /** The store is closed: nothing is there any more, and nothing is written. */
  end(): void {
    this.over = true
    this.base.end()
  }
}
