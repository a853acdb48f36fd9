/**
 * The database file of a store, from "there may be one" to open tables: checked if need be, brought up to the present
 * schema, rebuilt from its bytes when it cannot be read.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { open, type Database, type RootDatabase } from 'lmdb'
import { migrate } from './migrate.js'
import { nextNumber, numbersFrom, recordsIn, RecordTable, type Sum } from './records.js'
import { salvage } from './salvage.js'
import type { DraftRecord } from './store.js'
import { StoreError } from './store-error.js'
import { type Found, type Frame, missing, WriteAheadLog } from './write-ahead-log.js'
import { APPLIED } from './write-behind.js'

/** Raised with every change of a record's shape; migrate() brings older stores up. 1: MessagePack without checksums. 2: no log beside the database. */
export const SCHEMA = 3
const CHECK_MS = 30_000

/** What the server does not know, and nobody else. */
export const JOURNAL = ['drafts', 'moves', 'folders', 'removals', 'unlinks', 'specials'] as const
export type TableName = (typeof JOURNAL)[number] | 'facts'
export type Tables = Readonly<Record<TableName, RecordTable<unknown>>>

export interface Opened {
  readonly root: RootDatabase
  readonly tables: Tables
  readonly damage: readonly string[]
  /** Undefined where none can be kept. */
  readonly log: WriteAheadLog | undefined
  /** Number of the last change that is in the database. */
  readonly applied: number
}

export function openRoot(file: string, readOnly = false): RootDatabase {
  return open({ path: file, noSubdir: true, maxDbs: 32, mapSize: 1 << 30, readOnly })
}

/** The schema of an open database; undefined for a new one. */
export function schemaOf(root: RootDatabase): number | undefined {
  return (root.openDB<number, string>({ name: 'meta' }) as Database<number, string> | undefined)?.get('schema')
}

export function openTables(root: RootDatabase): Tables {
  const sums = root.openDB<Sum, string>({ name: 'sums', cache: true }) as Database<Sum, string> | undefined
  const tables = Object.fromEntries(JOURNAL.map((name) => [name, new RecordTable<unknown>(root, name, sums ?? 'none')]))
  return { ...tables, facts: new RecordTable<unknown>(root, 'facts') } as unknown as Tables
}

/**
 * Opens or creates the database, with what its log (`logFile`) has and it does not. What is damaged is left out and told in `damage`; the damaged file
 * is kept beside.
 * @throws StoreError `newer`; what the file system throws
 */
export function openDatabase(dir: string, file: string, logFile: string): Opened {
  const damage: string[] = []
  let found: ReturnType<typeof salvage> | undefined
  if (!existsWithContent(file)) {
    const left = salvage(bytesOf(logFile))
    if (left.length > 0) found = left
  } else if (!isClean(file) && !check(file)) {
    found = salvage(Buffer.concat([readFileSync(file), bytesOf(logFile)]))
    const aside = join(dir, 'damaged', `${new Date().toISOString().replaceAll(':', '.')}-${basename(file)}`)
    mkdirSync(dirname(aside), { recursive: true, mode: 0o700 })
    renameSync(file, aside)
    rmSync(`${file}-lock`, { force: true })
    damage.push(`The store was damaged and was rebuilt from what could be read of it; the damaged one is kept as ${aside}`)
  }
  // From here on until the end it may be in the middle of something.
  rmSync(cleanMark(file), { force: true })
  const root = openRoot(file)
  try {
    const schema = schemaOf(root)
    if (schema !== undefined && schema > SCHEMA) {
      throw new StoreError('newer', `The folder ${dir} was written by a newer version of cellsfs (schema ${schema}); use that one`)
    }
    const tables = openTables(root)
    if (schema !== undefined && schema < SCHEMA) migrate(root, tables, schema, SCHEMA)
    if (schema === undefined && damage.length === 0 && (found !== undefined || readdirSync(join(dir, 'drafts')).length > 0)) damage.push('The store is gone; contents that were not sent are still there, without their names')
    // Not written again: it must open on a full disk too.
    if (schema === undefined) root.openDB<number, string>({ name: 'meta' }).putSync('schema', SCHEMA)
    const { log, found: logged } = WriteAheadLog.open(logFile) ?? {}
    if (found === undefined && logged !== undefined && replay(root, tables, logged)) damage.push('A part of the log of the store was damaged; what was saved right before the last mount ended may be missing')
    if (found !== undefined) takeOver(root, tables, logged?.frames ?? [], found.filter(({ table, key, value }) => table !== 'drafts' || !setAside(dir, key, value as DraftRecord)))
    const applied = root.openDB<number, string>({ name: 'meta' }).get(APPLIED) ?? 0
    for (const table of Object.values(tables)) {
      const keys = table.damaged()
      root.transactionSync(() => { for (const key of keys) void table.remove(key) })
      if (keys.length > 0) damage.push(`${keys.length === 1 ? 'A record' : `${keys.length} records`} of ${WHAT[table.name as TableName]} ${keys.length === 1 ? 'was' : 'were'} damaged and left out`)
    }
    return { root, tables, damage, log, applied }
  } catch (error) {
    void root.close()
    throw error
  }
}

/** Brings in what the log has and the database does not. True if something of it is damaged. */
function replay(root: RootDatabase, tables: Tables, { frames, raw }: Found): boolean {
  const meta = root.openDB<number, string>({ name: 'meta' })
  const applied = meta.get(APPLIED) ?? 0
  const last = Math.max(applied, frames.at(-1)?.number ?? 0)
  numbersFrom(last)
  const rest = missing(frames, applied)
  // (What is left of frames that the database has is not newer.)
  const records = [...recordsIn(rest.gap ? raw : Buffer.concat(rest.frames.map((it) => it.records)))].filter(({ number }) => number > applied).sort((one, other) => one.number - other.number)
  if (records.length > 0) {
    root.transactionSync(() => {
      for (const { table, key, value } of records) void (value === null ? tables[table as TableName].remove(key) : tables[table as TableName].put(key, value))
      void meta.put(APPLIED, last)
    })
  }
  return rest.gap
}

/** Takes over what was found in the bytes of a database, and of its log. */
function takeOver(root: RootDatabase, tables: Tables, frames: readonly Frame[], found: ReturnType<typeof salvage>): void {
  numbersFrom(Math.max(frames.at(-1)?.number ?? 0, ...found.map(({ number }) => number)))
  root.transactionSync(() => { for (const { table, key, value } of found) void tables[table].put(key, value) })
  root.openDB<number, string>({ name: 'meta' }).putSync(APPLIED, nextNumber())
}

/** All there is of a file, if there is one. */
function bytesOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch {
    return Buffer.alloc(0)
  }
}

/** A content that only its record has may be one that was sent long ago: it is for a person to look at. */
function setAside(dir: string, id: string, { path, content }: DraftRecord): boolean {
  if (content === undefined || existsSync(join(dir, 'drafts', id))) return false
  mkdirSync(join(dir, 'lost+found'), { recursive: true, mode: 0o700 })
  writeFileSync(join(dir, 'lost+found', `${basename(path)}.${id.slice(0, 8)}`), Buffer.from(content, 'base64'), { mode: 0o600 })
  return true
}

const WHAT: Readonly<Record<TableName, string>> = {
  drafts: 'changed files', moves: 'renames', folders: 'new folders', removals: 'replaced files', unlinks: 'deletes', specials: 'FIFOs and sockets', facts: 'modes and times',
}

function existsWithContent(file: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0
}

// -- has it been closed by us, and not been touched since?

const cleanMark = (file: string): string => `${file}-clean`

function fingerprint(file: string): string {
  const { size, mtimeNs, ino } = statSync(file, { bigint: true })
  return `${size} ${mtimeNs} ${ino}\n`
}

/** The database has been closed: it need not be checked at the next opening. */
export function markClean(file: string): void {
  try {
    writeFileSync(cleanMark(file), fingerprint(file), { mode: 0o600 })
  } catch {
    // On a full disk, say: it is checked then.
  }
}

export function isClean(file: string): boolean {
  try {
    return readFileSync(cleanMark(file), 'utf8') === fingerprint(file)
  } catch {
    return false
  }
}

/**
 * Can all of it be read, and is all there that should be? Damaged pages would end the process that looks, so another one does. What
 * it could read is taken from its copy.
 */
export function check(file: string): boolean {
  const copy = `${file}-checked`
  rmSync(copy, { force: true })
  const program = fileURLToPath(new URL('./store-check.js', import.meta.url))
  const { status } = spawnSync(process.execPath, [program, file, copy], { stdio: 'ignore', timeout: CHECK_MS, env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' } })
  if (status === 0) {
    renameSync(copy, file)
    rmSync(`${file}-lock`, { force: true })
  } else {
    rmSync(copy, { force: true })
  }
  rmSync(`${copy}-lock`, { force: true })
  return status === 0 || status === 3
}
