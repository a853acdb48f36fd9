/**
 * Personal access tokens as 4.x and later have them (newer-servers.md 3.1): with an end date, or
 * sliding (each use moves the end). Only the hash is kept; the token is shown once.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { nowS, type AuthStore } from './store.js'

export interface PersonalTokenOptions {
  readonly label?: string
  /** Seconds since the epoch. Without this and `autoRefreshS` the token never ends. */
  readonly expires?: number
  /** Every use makes the token live this many seconds more. */
  readonly autoRefreshS?: number
  /** `node:<uuid>:rw` and the like; kept and listed. */
  readonly scopes?: readonly string[]
}

export interface PersonalToken {
  readonly id: string
  readonly userUuid: string
  readonly label: string
  readonly created: number
  readonly expires?: number
  readonly autoRefreshS?: number
  readonly scopes: readonly string[]
}

export interface PersonalTokens {
  create(userUuid: string, options?: PersonalTokenOptions): { token: string; record: PersonalToken }
  /** The live token's record; a sliding one is prolonged. */
  use(token: string): PersonalToken | undefined
  list(userUuid?: string): PersonalToken[]
  /** False if there was none. */
  remove(id: string): boolean
}

const KEY = 'pat:'
const keyOf = (token: string): string => KEY + createHash('sha256').update(token).digest('hex')

export function openPersonalTokens(store: AuthStore): PersonalTokens {
  const all = (): Array<{ key: string; value: PersonalToken }> => store.list<PersonalToken>(KEY)
  return {
    create(userUuid, { label = '', expires, autoRefreshS, scopes = [] } = {}) {
      const token = randomBytes(32).toString('base64url')
      const created = nowS()
      const end = autoRefreshS === undefined ? expires : created + autoRefreshS
      const record: PersonalToken = { id: randomUUID(), userUuid, label, created, expires: end, autoRefreshS, scopes }
      store.put(keyOf(token), record, end)
      return { token, record }
    },
    use(token) {
      const record = store.get<PersonalToken>(keyOf(token))
      if (record?.autoRefreshS === undefined) return record
      const expires = nowS() + record.autoRefreshS
      // Not more than one write a second, however many requests a mount sends.
      if (expires === record.expires) return record
      const prolonged = { ...record, expires }
      store.put(keyOf(token), prolonged, expires)
      return prolonged
    },
    list: (userUuid) => all().map(({ value }) => value).filter((each) => userUuid === undefined || each.userUuid === userUuid),
    remove(id) {
      const found = all().find(({ value }) => value.id === id)
      if (found !== undefined) store.remove(found.key)
      return found !== undefined
    },
  }
}
