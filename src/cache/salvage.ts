/**
 * What can be recognised in the bytes of a database that cannot be read: the newest copy of each record. Copies that were removed long
 * ago can be among them, in pages that are free. That does no harm: a draft counts only while its file is there, and the
 * others are compared with the server before anything is done (fs/recovery.ts); a delete without a Uuid could not be, and is left out.
 */
import { recordsIn, type Stored } from './records.js'

export type SalvagedTable = 'drafts' | 'moves' | 'folders' | 'removals' | 'unlinks' | 'specials' | 'facts'
const TABLES: ReadonlySet<string> = new Set<SalvagedTable>(['drafts', 'moves', 'folders', 'removals', 'unlinks', 'specials', 'facts'])

export function salvage(bytes: Buffer): Array<{ readonly table: SalvagedTable; readonly key: string; readonly value: unknown; readonly number: number }> {
  const newest = new Map<string, Stored<unknown>>()
  for (const record of recordsIn(bytes)) {
    const id = `${record.table} ${record.key}`
    if (TABLES.has(record.table) && (newest.get(id)?.number ?? -1) < record.number) newest.set(id, record)
  }
  return [...newest.values()]
    // (Null in a log: removed.)
    .filter(({ table, value }) => value !== null && (table !== 'unlinks' || ((value as { uuid?: string }).uuid ?? '') !== ''))
    .map(({ table, key, value, number }) => ({ table: table as SalvagedTable, key, value, number }))
}
