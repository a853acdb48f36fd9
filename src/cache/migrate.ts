/**
 * Brings a store of an earlier schema up to the present one, in one transaction. To schema 3 only the number changed: who does not know of the log beside the
 * database must not open it. The tables of schema 1 were MessagePack without checksums. Of the
 * journal it knew contents, the renames of editors' backups (all others had gone to the server at once), replaced files and deletes;
 * its names were the same here and on the server.
 */
import type { RootDatabase } from 'lmdb'
import type { TableName, Tables } from './database.js'
import type { MoveRecord, RemovalRecord } from './store.js'

const NAMES: readonly TableName[] = ['facts', 'drafts', 'moves', 'removals', 'unlinks', 'folders', 'specials']

/** Its removals named one content instead of several. */
type OldRemoval = Omit<RemovalRecord, 'etags'> & { readonly md5?: string; readonly etags?: readonly string[] }

const CHANGED: { readonly [name in TableName]?: (value: unknown) => unknown } = {
  moves: (value) => ({ backup: true, ...value as MoveRecord }),
  removals: (value) => {
    const { md5, etags, ...rest } = value as OldRemoval
    return { ...rest, etags: etags ?? (md5 === undefined ? [] : [md5]) }
  },
}

export function migrate(root: RootDatabase, tables: Tables, from: number, to: number): void {
  const old = from > 1 ? [] : NAMES.map((name) => ({ name, db: root.openDB<unknown, string>({ name }) }))
  const meta = root.openDB<number, string>({ name: 'meta' })
  root.transactionSync(() => {
    for (const { name, db } of old) {
      const change = CHANGED[name] ?? ((value: unknown) => value)
      for (const { key, value } of [...db.getRange()]) void tables[name].put(key, change(value))
      db.clearSync()
    }
    meta.putSync('schema', to)
  })
}
