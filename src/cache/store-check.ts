/**
 * Reads a store's database through, in a process of its own that may die of it, and copies it, if there is room: the list of free pages,
 * which cannot be read through, is made anew in the copy; a damaged one would have live pages written over.
 * Ends with 0 when everything can be read, nothing is missing and the copy is whole, with 3 without a copy. Single records that are
 * damaged are no reason to give up the others.
 */
import { closeSync, fsyncSync, openSync } from 'node:fs'
import type { Database } from 'lmdb'
import { JOURNAL, openRoot, openTables, SCHEMA, schemaOf } from './database.js'
import { RecordTable } from './records.js'

function check(file: string): boolean {
  const root = openRoot(file, true)
  const schema = schemaOf(root)
  if (schema !== undefined && schema > SCHEMA) return true
  if (schema === 1) {
    for (const name of [...JOURNAL, 'facts']) {
      const table = root.openDB<unknown, string>({ name }) as Database<unknown, string> | undefined
      for (const { value } of table?.getRange() ?? []) void value
    }
    return true
  }
  const tables = [...Object.values(openTables(root)), new RecordTable<unknown>(root, 'names')]
  // With a damaged record the sum cannot agree.
  return tables.every((table) => table.damaged().length > 0 || table.sumAgrees())
}

async function copied(file: string, copy: string): Promise<boolean> {
  try {
    await openRoot(file, true).backup(copy, true)
    const fd = openSync(copy, 'r+')
    fsyncSync(fd)
    closeSync(fd)
    return check(copy)
  } catch {
    return false
  }
}

const [file, copy] = process.argv.slice(2) as [string, string]
process.exit(!check(file) ? 1 : await copied(file, copy) ? 0 : 3)
