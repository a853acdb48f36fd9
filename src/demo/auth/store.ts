/**
 * What the sign-in half keeps on disk: one small LMDB file with people, keys, sessions and tokens,
 * so that a restart of the embedded server signs nobody out. Reads are synchronous (memory
 * mapped), which lets the bearer check of every request be a plain function call; writes are
 * synced before they return, because a client that has been answered counts on its token.
 */
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'

/** A record that is worthless after `expires` (seconds since the epoch; undefined: never). */
interface Envelope {
  readonly value: unknown
  readonly expires?: number
}

export interface AuthStore {
  /** undefined when absent or expired. */
  get<T>(key: string): T | undefined
  put(key: string, value: unknown, expires?: number): void
  remove(key: string): void
  /** All live records whose key begins with `prefix`, in key order. */
  list<T>(prefix: string): Array<{ key: string; value: T }>
  /** Runs `work` as one transaction. */
  atomically<T>(work: () => T): T
  close(): Promise<void>
}

export const nowS = (): number => Math.floor(Date.now() / 1000)

/** Opens (or creates) the store in `dataDir`. Expired records of earlier runs are dropped here. */
export function openAuthStore(dataDir: string): AuthStore {
  // Keys hold opaque tokens, which exceed LMDB's default key budget only if somebody sends a huge one: `get` guards.
  const path = join(dataDir, 'identity.mdb')
  const db = open<Envelope, string>({ path, encoding: 'json' })
  // It holds live tokens.
  chmodSync(path, 0o600)
  const live = (envelope: Envelope | undefined): Envelope | undefined =>
    envelope !== undefined && (envelope.expires === undefined || envelope.expires > nowS()) ? envelope : undefined

  const store: AuthStore = {
    get<T>(key: string): T | undefined {
      if (key.length > MAX_KEY) return undefined
      return live(db.get(key))?.value as T | undefined
    },
    put: (key, value, expires) => { db.putSync(key, { value, expires }) },
    remove: (key) => { db.removeSync(key) },
    list<T>(prefix: string) {
      const found: Array<{ key: string; value: T }> = []
      for (const { key, value } of db.getRange({ start: prefix, end: `${prefix}\uffff` })) {
        if (live(value)) found.push({ key, value: value.value as T })
      }
      return found
    },
    atomically: (work) => db.transactionSync(work),
    close: () => db.close(),
  }
  store.atomically(() => {
    for (const { key, value } of [...db.getRange({})]) if (!live(value)) db.removeSync(key)
  })
  return store
}

/** LMDB refuses keys above 1978 bytes; nothing of ours is near that, so a longer one is simply unknown. */
const MAX_KEY = 500
