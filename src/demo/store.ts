/**
 * The embedded server's database: a few small tables in memory, kept on disk as an append-only log of
 * JSON lines. One line holds everything that changed in one turn of the event loop, so a change that touches
 * several records is there whole or not at all; a torn last line (kill -9 in the middle of a write) is dropped. A
 * log that is mostly old values is rewritten at start (temporary file, then rename).
 *
 * `commit()` resolves when the change has been handed to the kernel: it survives the death of the process. Power
 * loss is not this server's business, so nothing is synced except at close.
 */
import { ftruncateSync, writeSync } from 'node:fs'
import { open, readFile, rename, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** Table, key, value; null deletes. */
type Change = readonly [table: string, key: string, value: unknown]

export interface Table<T> {
  get(key: string): T | undefined
  has(key: string): boolean
  set(key: string, value: T): void
  delete(key: string): boolean
  values(): IterableIterator<T>
  entries(): IterableIterator<[string, T]>
  readonly size: number
}

const LOG = 'index.jsonl'

export class Store {
  readonly #tables = new Map<string, Map<string, unknown>>()
  readonly #file: FileHandle
  #pending: Change[] = []
  #scheduled: Promise<void> | undefined
  #closed = false
  /** Bytes of the log that are whole lines. */
  #length: number

  private constructor(file: FileHandle, length: number, tables: Map<string, Map<string, unknown>>) {
    this.#file = file
    this.#length = length
    this.#tables = tables
  }

  /** Opens (or creates) the database in the folder `dir`, which must exist. */
  static async open(dir: string): Promise<Store> {
    const path = join(dir, LOG)
    const { tables, lines, torn } = await load(path)
    const live = [...tables.values()].reduce((sum, table) => sum + table.size, 0)
    if (torn || lines > 1000 + 2 * live) await rewrite(path, tables)
    const file = await open(path, 'a', 0o600)
    return new Store(file, (await file.stat()).size, tables)
  }

  table<T>(name: string): Table<T> {
    let map = this.#tables.get(name) as Map<string, T> | undefined
    if (!map) this.#tables.set(name, (map = new Map<string, T>()))
    const rows = map
    return {
      get: key => rows.get(key),
      has: key => rows.has(key),
      set: (key, value) => {
        rows.set(key, value)
        this.#record([name, key, value])
      },
      delete: key => {
        if (!rows.delete(key)) return false
        this.#record([name, key, null])
        return true
      },
      values: () => rows.values(),
      entries: () => rows.entries(),
      get size() {
        return rows.size
      },
    }
  }

  /** Resolves when every change made so far would survive the death of the process. */
  commit(): Promise<void> {
    return this.#scheduled ?? Promise.resolve()
  }

  async close(): Promise<void> {
    await this.commit()
    this.#closed = true
    await this.#file.datasync()
    await this.#file.close()
  }

  #record(change: Change): void {
    // A timer that fires after close() has nothing to keep: the next start settles everything anyway.
    if (this.#closed) return
    this.#pending.push(change)
    this.#scheduled ??= new Promise(resolve => setImmediate(resolve)).then(() => this.#flush())
    // Whoever needs the outcome awaits commit(); a failure must not be an unhandled rejection as well.
    this.#scheduled.catch(() => {})
  }

  /** At once: the kernel takes a line in microseconds, and lines that wait for one another would be the slowest part of each request. */
  #flush(): void {
    const line = Buffer.from(JSON.stringify(this.#pending) + '\n')
    this.#pending = []
    this.#scheduled = undefined
    try {
      for (let done = 0; done < line.length;) done += writeSync(this.#file.fd, line, done)
      this.#length += line.length
    } catch (error) {
      // A full disk may have taken half of the line: the next one must not continue it.
      try {
        ftruncateSync(this.#file.fd, this.#length)
      } catch {
        // The error of the write says more.
      }
      throw error
    }
  }
}

async function load(path: string): Promise<{ tables: Map<string, Map<string, unknown>>; lines: number; torn: boolean }> {
  const tables = new Map<string, Map<string, unknown>>()
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  let lines = 0
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start)
    if (end < 0) return { tables, lines, torn: true }
    for (const [name, key, value] of JSON.parse(text.slice(start, end)) as Change[]) {
      let table = tables.get(name)
      if (!table) tables.set(name, (table = new Map<string, unknown>()))
      if (value === null) table.delete(key)
      else table.set(key, value)
      lines++
    }
    start = end + 1
  }
  return { tables, lines, torn: false }
}

async function rewrite(path: string, tables: Map<string, Map<string, unknown>>): Promise<void> {
  const lines: string[] = []
  for (const [name, table] of tables) {
    for (const [key, value] of table) lines.push(JSON.stringify([[name, key, value]]))
  }
  await writeFile(`${path}.tmp`, lines.length > 0 ? lines.join('\n') + '\n' : '', { mode: 0o600 })
  await rename(`${path}.tmp`, path)
}
