/**
 * Records that describe themselves: magic, checksum, length, then JSON of table, key, number and value. So a damaged one is
 * recognised, never believed, and when the database around them is beyond use they can be found in its raw bytes (salvage.ts).
 *
 * A table of the journal also keeps, in the same transaction as each change, how many records it has and the XOR of their checksums: a
 * database with a damaged page can lose records without a word.
 */
import { crc32 } from 'node:zlib'
import type { Database, RootDatabase } from 'lmdb'

const MAGIC = Buffer.from('cfsR\x00\x02\xf5\x9e', 'latin1')
const HEADER = MAGIC.length + 8
/** No record comes near it; a damaged length is not followed. */
const LONGEST = 16 * 2 ** 20

/** A record as it is in the database. */
export interface Stored<T> {
  readonly table: string
  readonly key: string
  /** Rises from one write to the next, so that the newest of several copies can be told. */
  readonly number: number
  readonly value: T
  readonly crc: number
}

export interface Sum {
  readonly count: number
  readonly xor: number
}

/** What is there instead of a record that does not agree with its checksum. */
export const DAMAGED = Symbol('damaged')

let lastNumber = 0

/** The number of a record that is made now. */
export function nextNumber(): number {
  return lastNumber = Math.max(lastNumber + 1, Date.now() * 1000)
}

/** Numbers of earlier processes, whose clock may have been ahead, have come as far as this. */
export function numbersFrom(number: number): void {
  lastNumber = Math.max(lastNumber, number)
}

/** `value` null: there is no such record any more. */
export function encodeRecord(table: string, key: string, value: unknown, number = nextNumber()): Buffer {
  const text = Buffer.from(JSON.stringify([table, key, number, value]))
  const head = Buffer.allocUnsafe(HEADER)
  MAGIC.copy(head)
  head.writeUInt32BE(crc32(text), MAGIC.length)
  head.writeUInt32BE(text.length, MAGIC.length + 4)
  return Buffer.concat([head, text])
}

/** The record that begins at `at`. */
export function decodeRecord<T>(bytes: Buffer, at = 0): Stored<T> | typeof DAMAGED {
  if (bytes.length < at + HEADER || bytes.compare(MAGIC, 0, MAGIC.length, at, at + MAGIC.length) !== 0) return DAMAGED
  const crc = bytes.readUInt32BE(at + MAGIC.length)
  const length = bytes.readUInt32BE(at + MAGIC.length + 4)
  const text = bytes.subarray(at + HEADER, at + HEADER + length)
  if (length === 0 || length > LONGEST || text.length !== length || crc32(text) !== crc) return DAMAGED
  const [table, key, number, value] = JSON.parse(text.toString()) as [string, string, number, T]
  return { table, key, number, value, crc }
}

/** All whole records in raw bytes, wherever they are, old copies too. */
export function * recordsIn(bytes: Buffer): Generator<Stored<unknown>> {
  for (let at = bytes.indexOf(MAGIC); at >= 0; at = bytes.indexOf(MAGIC, at + 1)) {
    const record = decodeRecord<unknown>(bytes, at)
    if (record !== DAMAGED) yield record
  }
}

/** A table of records on the disk. Writes are asynchronous and durable when the database says that it is flushed; reads see them at once. */
export class RecordTable<T> {
  readonly name: string
  /** Undefined in a database that is only read and does not have the table. */
  private readonly db: Database<Buffer, string> | undefined
  private readonly sums: Database<Sum, string> | 'none' | undefined
  private readonly crcs = new Map<string, number>()
  private readonly decoded = new WeakMap<Buffer, Stored<T> | typeof DAMAGED>()
  private xor = 0

  /**
   * @param sums where the sum of the table is kept; absent: it has none; `none`: it should have one, in a database that is only read
   * @param cache a read sees a put at once
   */
  constructor(root: RootDatabase, name: string, sums?: Database<Sum, string> | 'none', cache = true) {
    this.name = name
    this.sums = sums
    // Those of schema 1 had the bare names. Without a cache a read would see a put only when it is committed.
    this.db = root.openDB<Buffer, string>({ name: `${name} records`, encoding: 'binary', cache })
    if (sums === undefined) return
    for (const { key, stored } of this.all()) if (stored !== DAMAGED) this.count(key, stored.crc)
  }

  private over = false

  /** The database is about to be closed. What looks at a closed one ends the process, and not all that is under way can be waited for: from now on nothing is there, and nothing is written. */
  end(): void {
    this.over = true
  }

  private * all(): Generator<{ key: string; stored: Stored<T> | typeof DAMAGED }> {
    if (this.over) return
    for (const { key, value } of this.db?.getRange() ?? []) yield { key, stored: decodeRecord<T>(value) }
  }

  private count(key: string, crc: number | undefined): void {
    this.xor = (this.xor ^ (this.crcs.get(key) ?? 0) ^ (crc ?? 0)) >>> 0
    if (crc === undefined) this.crcs.delete(key)
    else this.crcs.set(key, crc)
  }

  /** How many records a table of the journal has. */
  get size(): number {
    return this.crcs.size
  }

  get(key: string): T | undefined {
    const bytes = this.over ? undefined : this.db?.get(key)
    if (bytes === undefined) return undefined
    let stored = this.decoded.get(bytes)
    if (stored === undefined) {
      stored = decodeRecord<T>(bytes)
      this.decoded.set(bytes, stored)
    }
    return stored === DAMAGED ? undefined : stored.value
  }

  /** All that are on the disk. */
  getRange(): Array<{ readonly key: string; readonly value: T }> {
    const found: Array<{ key: string; value: T }> = []
    for (const { key, stored } of this.all()) if (stored !== DAMAGED) found.push({ key, value: stored.value })
    return found
  }

  put(key: string, value: T): Promise<boolean> {
    const number = nextNumber()
    const bytes = encodeRecord(this.name, key, value, number)
    const done = this.write(key, { bytes, value, number })
    this.keepSum()
    return done
  }

  remove(key: string): Promise<boolean> {
    const done = this.write(key, undefined)
    this.keepSum()
    return done
  }

  /** Writes a record that is made already, or none; the sum is for the caller to keep, in the same turn of the event loop: that is one transaction. */
  write(key: string, record: { readonly bytes: Buffer; readonly value: T; readonly number: number } | undefined): Promise<boolean> {
    if (this.over) return Promise.resolve(false)
    const crc = record?.bytes.readUInt32BE(MAGIC.length)
    if (this.sums !== undefined) this.count(key, crc)
    if (record === undefined) return this.db!.remove(key)
    // Most are read again soon.
    this.decoded.set(record.bytes, { table: this.name, key, number: record.number, value: record.value, crc: crc! })
    return this.db!.put(key, record.bytes)
  }

  keepSum(): void {
    if (!this.over && this.sums !== undefined && this.sums !== 'none') void this.sums.put(this.name, { count: this.crcs.size, xor: this.xor })
  }

  /** Keys of records that are damaged. */
  damaged(): string[] {
    return [...this.all()].filter(({ stored }) => stored === DAMAGED).map(({ key }) => key)
  }

  /** Is anything missing, or there that should not be? */
  sumAgrees(): boolean {
    const kept = this.sums === 'none' ? undefined : this.sums?.get(this.name)
    return this.sums === undefined || ((kept?.count ?? 0) === this.crcs.size && (kept?.xor ?? 0) === this.xor)
  }
}
