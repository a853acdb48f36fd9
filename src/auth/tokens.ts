/**
 * Token sources, one for each kind of account: a personal access token, login and password, OAuth
 * (cec-reference 3.1, 3.3). See types.ts for what callers may rely on.
 */
import { silentLogger, type Logger } from '../log.js'
import { abortable } from '../signals.js'
import { AuthError, isAuthError } from './errors.js'
import type { Account } from './goconfig.js'
import type { Reach } from './http.js'
import { knownLifetime, marginFor, refreshAccount, type Refreshed, type RefreshOptions } from './refresh.js'
import type { AccountStore } from './store.js'
import type { TokenSource } from './types.js'
import { logIn, type Session } from './whoami.js'

interface GetOptions {
  minValidityMs?: number
  signal?: AbortSignal
}

const DEFAULT_VALIDITY_MS = 30_000
/** A new token that is refused twice within this time is refused for good. */
const FRESH_MS = 60_000
/** Pause after a background refresh that failed for lack of an answer. */
const RETRY_MS = 30_000

const nowS = (): number => Date.now() / 1000

const aborted = (cause: unknown): AuthError => new AuthError('aborted', 'aborted', { cause })

/** A token that nobody can renew: PAT from a flag, the environment or an account. */
export class FixedTokens implements TokenSource {
  readonly #token: string
  readonly #refusal: string
  #rejected = false

  /** @param refusal the sentence for when the server refuses the token */
  constructor(token: string, refusal: string) {
    this.#token = token
    this.#refusal = refusal
  }

  get(): Promise<string> {
    if (this.#rejected) return Promise.reject(new AuthError('login-needed', this.#refusal))
    return Promise.resolve(this.#token)
  }

  reject(token: string): void {
    if (token === this.#token) this.#rejected = true
  }
}

/** Counts refusals of new tokens, so that a server that refuses everything is not asked for ever. */
class Patience {
  #refusals = 0
  #issuedAt = 0

  issued(): void {
    if (Date.now() - this.#issuedAt > FRESH_MS) this.#refusals = 0
    this.#issuedAt = Date.now()
  }

  refused(): void {
    if (Date.now() - this.#issuedAt < FRESH_MS) this.#refusals++
  }

  reset(): void {
    this.#refusals = 0
  }

  get exhausted(): boolean {
    return this.#refusals >= 2
  }
}

/** Logs in with login and password, and again when the token is about to expire. Nothing is stored. */
export class SessionTokens implements TokenSource {
  readonly #reach: Reach
  readonly #login: string
  readonly #password: string
  readonly #cache: boolean
  readonly #patience = new Patience()
  #session: (Session & { lifetime: number }) | undefined
  #pending: Promise<Session & { lifetime: number }> | undefined
  /** The password was refused: never sent again, repeated failures lock the user. */
  #refused: AuthError | undefined

  constructor(reach: Reach, login: string, password: string, options: { cache: boolean }) {
    this.#reach = reach
    this.#login = login
    this.#password = password
    this.#cache = options.cache
  }

  async get(options: GetOptions = {}): Promise<string> {
    if (this.#refused !== undefined) throw this.#refused
    if (this.#patience.exhausted) throw new AuthError('login-needed', `${new URL(this.#reach.url).host} refuses the tokens it gives to ${this.#login}`)
    const session = this.#session
    const margin = marginFor(session?.lifetime, (options.minValidityMs ?? DEFAULT_VALIDITY_MS) / 1000)
    if (this.#cache && session !== undefined && session.expiresAt > nowS() + margin) return session.token
    this.#pending ??= this.#logIn().finally(() => { this.#pending = undefined })
    return (await abortable(this.#pending, options.signal, aborted)).token
  }

  async #logIn(): Promise<Session & { lifetime: number }> {
    try {
      const session = await logIn(this.#reach, this.#login, this.#password)
      this.#session = { ...session, lifetime: Math.max(0, session.expiresAt - nowS()) }
      this.#patience.issued()
      return this.#session
    } catch (error) {
      if (isAuthError(error, 'wrong-password')) this.#refused = error
      throw error
    }
  }

  reject(token: string): void {
    if (this.#session?.token !== token) return
    this.#session = undefined
    this.#patience.refused()
  }
}

/** Tokens of a stored OAuth account, refreshed ahead of expiry and shared with all processes of this user. */
export class OAuthTokenSource implements TokenSource {
  readonly #store: AccountStore
  readonly #id: string
  readonly #logger: Logger
  readonly #exchange: RefreshOptions['exchange']
  readonly #patience = new Patience()
  #current: Refreshed
  #rejected: string | undefined
  #pending: Promise<Refreshed> | undefined
  #ended = false
  #timer: NodeJS.Timeout | undefined

  /** @param account as loaded from `store`, with its secret */
  constructor(store: AccountStore, id: string, account: Account, options: { logger?: Logger; lifetime?: number; exchange?: RefreshOptions['exchange'] } = {}) {
    this.#store = store
    this.#id = id
    this.#logger = options.logger ?? silentLogger
    this.#exchange = options.exchange
    this.#current = { accessToken: account.idToken, refreshToken: account.refreshToken, expiresAt: account.tokenExpiresAt, lifetime: options.lifetime }
    this.#schedule()
  }

  /** Loads what is known about the account's tokens first. */
  static async open(store: AccountStore, id: string, account: Account, logger: Logger): Promise<OAuthTokenSource> {
    const lifetime = await knownLifetime(store, id)
    return new OAuthTokenSource(store, id, account, { logger, ...(lifetime === undefined ? {} : { lifetime }) })
  }

  #secondsLeft(): number {
    return this.#current.expiresAt === 0 ? Infinity : this.#current.expiresAt - nowS()
  }

  #usable(): boolean {
    return this.#current.accessToken !== this.#rejected && this.#secondsLeft() > 0
  }

  async get(options: GetOptions = {}): Promise<string> {
    const minValidity = (options.minValidityMs ?? DEFAULT_VALIDITY_MS) / 1000
    if (this.#usable() && this.#secondsLeft() > marginFor(this.#current.lifetime, minValidity)) return this.#current.accessToken
    try {
      if (this.#patience.exhausted) await this.#lookForNewSignIn()
      return (await abortable(this.#refresh(minValidity), options.signal, aborted)).accessToken
    } catch (error) {
      // The server cannot be asked, but what we hold still works.
      if (this.#usable() && !isAuthError(error, 'aborted')) {
        this.#logger.debug('token not renewed yet', { account: this.#id, error })
        return this.#current.accessToken
      }
      throw error
    }
  }

  reject(token: string): void {
    if (token !== this.#current.accessToken || token === this.#rejected) return
    this.#rejected = token
    this.#patience.refused()
  }

  /** The server refuses even new tokens: only a sign-in made meanwhile (config relog) helps. */
  async #lookForNewSignIn(): Promise<void> {
    const { idToken } = await this.#store.load(this.#id)
    if (idToken === this.#rejected) {
      throw new AuthError('login-needed', `login failed for ${this.#id}: the server refuses even new tokens; sign in again: cec config relog "${this.#id}"`)
    }
    this.#patience.reset()
  }

  /** One refresh at a time in this process; it goes on even when nobody waits for it any more. */
  #refresh(minValidity: number): Promise<Refreshed> {
    this.#pending ??= this.#refreshOnce(minValidity).finally(() => { this.#pending = undefined })
    return this.#pending
  }

  async #refreshOnce(minValidity: number): Promise<Refreshed> {
    const before = this.#current.accessToken
    try {
      // A later `config relog` heals an ended sign-in: the store is read again each time, the server is not asked.
      this.#current = await refreshAccount(this.#store, this.#id, {
        minValidity,
        ...(this.#rejected === undefined ? {} : { rejected: this.#rejected }),
        ...(this.#exchange === undefined ? {} : { exchange: this.#exchange }),
      })
    } catch (error) {
      // Once: the caller of every later request gets the same sentence as its error.
      if (isAuthError(error, 'login-needed') && !this.#ended) {
        this.#ended = true
        this.#logger.debug('the sign-in has ended', { account: this.#id, error })
      }
      throw error
    }
    this.#ended = false
    if (this.#current.accessToken !== before) {
      this.#patience.issued()
      this.#logger.debug('token renewed', { account: this.#id, validS: Math.round(this.#secondsLeft()) })
    }
    this.#schedule()
    return this.#current
  }

  /**
   * Refreshes ahead of expiry even while nobody asks: on some servers the refresh token dies an hour after it
   * was given, and an idle mount must not lose its sign-in. Never keeps the process alive.
   */
  #schedule(delayMs?: number): void {
    clearTimeout(this.#timer)
    if (this.#current.refreshToken === '' || this.#current.expiresAt === 0) return
    const due = (this.#secondsLeft() - marginFor(this.#current.lifetime)) * 1000
    // Spread, so that many processes do not wake up together; setTimeout takes 31 bits.
    const wait = Math.min(Math.max(delayMs ?? due, 1000) + Math.random() * 2000, 2 ** 31 - 1)
    this.#timer = setTimeout(() => {
      this.#refresh(0).catch((error: unknown) => {
        if (isAuthError(error, 'login-needed', 'no-account')) return
        this.#logger.debug('token not renewed, trying again', { account: this.#id, error })
        this.#schedule(RETRY_MS)
      })
    }, wait)
    this.#timer.unref()
  }
}
