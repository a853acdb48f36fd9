/**
 * Accounts with their secrets: the accounts file and the keyring as one thing, by the rules of
 * cec-reference 2.4 to 2.6.
 *
 * A secret is in the keyring, or, with `skipKeyring`, in the 0600 file. A keyring that cannot be written is a warning and
 * the file; one that cannot be read is an error, for the file has nothing.
 */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLogger, type Logger } from '../log.js'
import { AccountsFile, configFolder } from './accounts.js'
import { AuthError } from './errors.js'
import { NO_ACCOUNTS, type Account, type Accounts } from './goconfig.js'
import { systemKeyring, type SecretStore } from './keyring.js'
import { accountIdOf, labelOf } from './url.js'
import { VERSION } from '../version.js'

const SEPARATOR = '__//__'

export const NO_KEYRING_WARNING = 'secrets are kept in clear text in the accounts file, readable by you only'

export interface OAuthTokens {
  readonly accessToken: string
  readonly refreshToken: string
  /** Unix seconds. */
  readonly expiresAt: number
}

export const keyringKey = (account: Pick<Account, 'url' | 'user'>): string => `${account.url}::${account.user}`

/** What stands in the keyring for this account; '' when it has no secret. */
export function secretOf(account: Account): string {
  if (account.authType === 'session') return account.password
  if (account.authType !== 'oauth2') return account.idToken
  return account.idToken === '' ? '' : `${account.idToken}${SEPARATOR}${account.refreshToken}`
}

export function withSecret(account: Account, secret: string): Account {
  if (account.authType === 'session') return { ...account, password: secret }
  if (account.authType !== 'oauth2') return { ...account, idToken: secret }
  const [idToken = '', refreshToken = ''] = secret.split(SEPARATOR)
  return { ...account, idToken, refreshToken }
}

const withoutSecret = (account: Account): Account => ({ ...account, idToken: '', refreshToken: '', password: '' })

const withAccount = (accounts: Accounts, id: string, account: Account): Accounts =>
  ({ ...accounts, byId: new Map([...accounts.byId, [id, account]]) })

export const idOf = (account: Pick<Account, 'url' | 'user'>): string => accountIdOf(account.url, account.user)

export class AccountStore {
  readonly file: AccountsFile
  readonly #keyring: () => Promise<SecretStore>
  readonly #logger: Logger

  constructor(options: { folder: string; logger?: Logger; keyring?: () => Promise<SecretStore> }) {
    this.file = new AccountsFile(options.folder)
    this.#keyring = options.keyring ?? systemKeyring
    this.#logger = options.logger ?? silentLogger
  }

  /** All accounts, secrets not included unless they are in the file; undefined without a file. */
  async list(): Promise<Accounts | undefined> {
    return await this.file.read()
  }

  /**
   * One account with its secret.
   *
   * @throws AuthError `no-account`; `login-needed` when its secret is gone; `keyring`; `storage`
   */
  async load(id: string): Promise<Account> {
    const account = (await this.list())?.byId.get(id)
    if (account === undefined) throw new AuthError('no-account', `there is no account "${id}"; "cec config ls" shows them`)
    if (account.skipKeyring) {
      if (secretOf(account) === '') throw this.#secretGone(id)
      return account
    }
    const secret = await this.#readKeyring(id, keyringKey(account))
    if (secret !== undefined && secret !== '') return withSecret(account, secret)
    // A hand-made file, or one whose first keyring write is still to come.
    if (secretOf(account) !== '') return account
    const migrated = await this.#migrateSecret(id, account)
    if (migrated === undefined) throw this.#secretGone(id)
    return migrated
  }

  #secretGone(id: string): AuthError {
    return new AuthError('login-needed', `the secret of ${id} is gone; sign in again: cec config relog "${id}"`)
  }

  async #readKeyring(id: string, key: string): Promise<string | undefined> {
    try {
      return await (await this.#keyring()).get(key)
    } catch (error) {
      throw new AuthError('keyring', `cannot read the secret of ${id}: ${(error as Error).message}; "cec config relog --skip-keyring" keeps it in the file instead`, { cause: error })
    }
  }

  /** The keyring entries of before 2.1 (cec-reference 2.5). */
  async #migrateSecret(id: string, account: Account): Promise<Account | undefined> {
    const keyring = await this.#keyring()
    const found = async (kind: string): Promise<string[] | undefined> => (await keyring.get(`${account.url}::${kind}`))?.split(SEPARATOR)
    const client = account.user === '' ? undefined : await found('ClientCredentials')
    const pair = client === undefined ? await found('IdToken') : undefined
    const next = client !== undefined
      ? { ...account, authType: 'session', password: client[1] ?? '' }
      : { ...account, authType: 'oauth2', idToken: pair?.[0] ?? '', refreshToken: pair?.[1] ?? '' }
    if (secretOf(next) === '') return undefined
    const stored = await this.#store(next)
    await this.file.update((accounts) => withAccount(accounts, id, stored))
    await keyring.delete(`${account.url}::${client === undefined ? 'IdToken' : 'ClientCredentials'}`)
    return { ...next, skipKeyring: stored.skipKeyring }
  }

  /** Puts the secret where it belongs. @returns the account as the file is to hold it */
  async #store(account: Account): Promise<Account> {
    if (account.skipKeyring) return account
    try {
      await (await this.#keyring()).set(keyringKey(account), secretOf(account))
      return withoutSecret(account)
    } catch (error) {
      this.#logger.warn(`${(error as Error).message}: ${NO_KEYRING_WARNING}`)
      return { ...account, skipKeyring: true }
    }
  }

  /**
   * Saves an account that the server has just accepted, and makes it the active one.
   *
   * @returns as saved: with label, version, and `skipKeyring` as it turned out
   */
  async save(account: Account): Promise<Account> {
    const complete = { ...account, label: labelOf(account.url, account.user), createdAtVersion: VERSION }
    const stored = await this.#store(complete)
    await this.file.update((accounts) => ({ ...withAccount(accounts, idOf(complete), stored), active: idOf(complete) }))
    // Tells running processes of a sign-in with the same secret as before, too (stored-tokens.ts).
    await writeFile(this.recordPath(idOf(complete), 'signed-in'), '', { mode: 0o600 }).catch((error: unknown) => this.#logger.debug('not noted', { error }))
    return { ...complete, skipKeyring: stored.skipKeyring }
  }

  /** Saves a refreshed pair. Does not touch which account is active, and does not bring back one that was removed meanwhile. */
  async saveTokens(id: string, tokens: OAuthTokens): Promise<void> {
    const current = (await this.list())?.byId.get(id)
    if (current === undefined) return
    const { idToken, refreshToken, tokenExpiresAt, skipKeyring } =
      await this.#store({ ...current, idToken: tokens.accessToken, refreshToken: tokens.refreshToken, tokenExpiresAt: tokens.expiresAt })
    await this.file.update((accounts) => {
      const now = accounts.byId.get(id)
      return now === undefined ? accounts : withAccount(accounts, id, { ...now, idToken, refreshToken, tokenExpiresAt, skipKeyring })
    })
  }

  /** @throws AuthError `no-account` */
  async activate(id: string): Promise<void> {
    await this.file.update((accounts) => {
      if (!accounts.byId.has(id)) throw new AuthError('no-account', `there is no account "${id}"; "cec config ls" shows them`)
      return { ...accounts, active: id }
    })
  }

  /**
   * Removes accounts, their keyring entries first. Without any left the file goes too.
   *
   * @param active id to be active afterwards
   * @throws AuthError `keyring` when an entry cannot be deleted; that account and those after it are kept
   */
  async remove(ids: readonly string[], active = ''): Promise<void> {
    const accounts = (await this.list()) ?? NO_ACCOUNTS
    for (const id of ids) {
      const account = accounts.byId.get(id)
      if (account === undefined) continue
      if (!account.skipKeyring) await (await this.#keyring()).delete(keyringKey(account))
      for (const kind of ['refresh.json', 'signed-in']) await rm(this.recordPath(id, kind), { force: true })
      await this.file.update((now) => {
        const byId = new Map(now.byId)
        byId.delete(id)
        if (byId.size === 0) return undefined
        return { active: now.active === id ? active : now.active, byId }
      })
    }
  }

  /** A folder for locks and records about account `id`. */
  recordPath(id: string, kind: string): string {
    return join(this.file.privateFolder, `${encodeURIComponent(id)}.${kind}`)
  }
}

/** The store of this user, or of `--config DIR`. */
export const openStore = (options: { config: string; logger?: Logger }): AccountStore =>
  new AccountStore({ folder: configFolder(options.config), ...(options.logger === undefined ? {} : { logger: options.logger }) })
