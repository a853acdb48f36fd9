/**
 * The tokens of a stored account whose secret nobody can renew but a person: a personal access token, login and
 * password. When the server has refused it, the store is looked at with each further question: a sign-in made meanwhile (`cec config
 * relog`) is used at once, by processes that are running too. A refused secret itself is never sent again: repeated failures
 * lock a user. (OAuth accounts read the store again by themselves: tokens.ts.)
 */
import { stat } from 'node:fs/promises'
import { AuthError, isAuthError } from './errors.js'
import type { Account } from './goconfig.js'
import { secretOf, type AccountStore } from './store.js'
import type { TokenSource } from './types.js'

export class StoredTokens implements TokenSource {
  readonly #store: AccountStore
  readonly #id: string
  readonly #open: (account: Account) => TokenSource
  #inner: TokenSource
  #secret: string
  #signedInAt: number

  private constructor(store: AccountStore, id: string, account: Account, signedInAt: number, open: (account: Account) => TokenSource) {
    this.#store = store
    this.#id = id
    this.#open = open
    this.#inner = open(account)
    this.#secret = secretOf(account)
    this.#signedInAt = signedInAt
  }

  static async open(store: AccountStore, id: string, account: Account, open: (account: Account) => TokenSource): Promise<StoredTokens> {
    return new StoredTokens(store, id, account, await signedInAt(store, id), open)
  }

  async get(options?: { minValidityMs?: number; signal?: AbortSignal }): Promise<string> {
    try {
      return await this.#inner.get(options)
    } catch (error) {
      if (!isAuthError(error, 'login-needed', 'wrong-password') || !await this.#lookForNewSignIn()) throw error
      return await this.#inner.get(options)
    }
  }

  reject(token: string): void {
    this.#inner.reject(token)
  }

  async #lookForNewSignIn(): Promise<boolean> {
    let account: Account
    try {
      account = await this.#store.load(this.#id)
    } catch (error) {
      // Signed out on this machine, or the keyring is locked.
      if (error instanceof AuthError) return false
      throw error
    }
    const at = await signedInAt(this.#store, this.#id)
    if (secretOf(account) === this.#secret && at === this.#signedInAt) return false
    this.#secret = secretOf(account)
    this.#signedInAt = at
    this.#inner = this.#open(account)
    return true
  }
}

/** When this machine signed in last, by whatever makes it (AccountStore.save); 0: not known. */
async function signedInAt(store: AccountStore, id: string): Promise<number> {
  return await stat(store.recordPath(id, 'signed-in')).then(({ mtimeMs }) => mtimeMs, () => 0)
}
