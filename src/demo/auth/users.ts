/**
 * The people of the embedded server. A removed person keeps a record: on a 2.x server a live
 * token goes on working after its user was deleted (contract, section 1), so somebody must still
 * know whose it was.
 */
import { randomUUID } from 'node:crypto'
import { hashPassword, NOBODY_HASH, verifyPassword } from './passwords.js'
import type { AuthStore } from './store.js'
import type { DemoUser, UserStore } from './types.js'

interface StoredUser {
  readonly user: DemoUser
  readonly passwordHash: string
  readonly removed: boolean
}

/** Logins and passwords that the demo prints; the same as those of the project's real test server, admin aside. */
export const SAMPLE_LOGINS: ReadonlyArray<{ login: string; password: string; displayName: string; isAdmin: boolean }> = [
  { login: 'admin', password: 'admin', displayName: '', isAdmin: true },
  { login: 'alice', password: 'alice-P4ss', displayName: 'Alice', isAdmin: false },
  { login: 'bob', password: 'bob-P4ss', displayName: 'Bob', isAdmin: false },
]

export interface Users extends UserStore {
  /** Removed people included. */
  byUuid(uuid: string): { user: DemoUser; removed: boolean } | undefined
  /** The user if login and password are right. Takes the same time whatever is wrong. */
  check(login: string, password: string): Promise<DemoUser | undefined>
}

const KEY = 'user:'

export function openUsers(store: AuthStore): Users {
  const byUuid = new Map<string, StoredUser>()
  const byLogin = new Map<string, StoredUser>()

  const remember = (record: StoredUser): void => {
    byUuid.set(record.user.uuid, record)
    if (record.removed) byLogin.delete(record.user.login)
    else byLogin.set(record.user.login, record)
  }
  const save = (record: StoredUser): void => {
    store.put(KEY + record.user.uuid, record)
    remember(record)
  }
  // Removed ones first: a login may have been given to a new person since.
  const stored = store.list<StoredUser>(KEY).map(({ value }) => value)
  for (const record of stored.filter((each) => each.removed)) remember(record)
  for (const record of stored.filter((each) => !each.removed)) remember(record)

  const users: Users = {
    list: () => [...byLogin.values()].map(({ user }) => user).sort((a, b) => a.login < b.login ? -1 : 1),
    find: (login) => byLogin.get(login)?.user,
    byUuid: (uuid) => byUuid.get(uuid),
    put(user, password) {
      const known = byLogin.get(user.login)
      if (password === undefined && known === undefined) throw new Error(`a new user needs a password: ${user.login}`)
      if (known !== undefined && known.user.uuid !== user.uuid) users.remove(user.login)
      save({ user, passwordHash: password === undefined ? known!.passwordHash : hashPassword(password), removed: false })
    },
    remove(login) {
      const known = byLogin.get(login)
      if (known === undefined) return false
      save({ ...known, removed: true })
      return true
    },
    async check(login, password) {
      const known = byLogin.get(login)
      const right = await verifyPassword(password, known?.passwordHash ?? NOBODY_HASH)
      return right ? known?.user : undefined
    },
  }

  if (stored.length === 0) {
    for (const { login, password, displayName, isAdmin } of SAMPLE_LOGINS) {
      users.put({ uuid: randomUUID(), login, displayName, email: '', isAdmin, groupPath: '/', readOnlyWorkspaces: [], hiddenWorkspaces: [] }, password)
    }
  }
  return users
}
