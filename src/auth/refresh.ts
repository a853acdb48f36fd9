/**
 * One refresh of an OAuth account, whichever process it is that finds it due.
 *
 * The refresh token works once, and a refresh kills the old access token at once (trap 16). So: under a lock between
 * processes, read file and keyring again; if somebody has refreshed meanwhile, take theirs; else refresh and save.
 *
 * A process can die between the server's answer and the save; then the stored refresh token is burnt and nothing on this side knows. A record
 * beside the accounts file is therefore written and synced before the request. Whoever finds such a record for the stored
 * token tries that token once (the request may never have left), and if it is refused says so in one sentence; the refusal
 * is recorded, so that nobody asks the server again for a token that is known to be dead. The record holds
 * fingerprints, no token.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeDurably } from './accounts.js'
import { AuthError, isAuthError } from './errors.js'
import type { Account } from './goconfig.js'
import { neverSent } from './http.js'
import { withLock } from './lock.js'
import { refreshTokens, type Grant } from './oauth.js'
import type { AccountStore, OAuthTokens } from './store.js'
import { parseObject } from './whoami.js'

/** cec refreshes a token that has this long to live or less, seconds. */
const MARGIN_S = 60
/** Longer than one refresh may take (discovery and token, 30 s each). */
const LOCK_TIMEOUT_MS = 90_000

const fingerprint = (token: string): string => createHash('sha256').update(token).digest('hex').slice(0, 32)

/** What is known about an account's refreshes; every field may be missing. */
interface RefreshRecord {
  /** Fingerprint of a refresh token that was sent, its answer not saved (yet). */
  readonly sent?: string
  /** Fingerprint of a refresh token that the server has refused. */
  readonly refused?: string
  /** Lifetime of the tokens this server gives, seconds. */
  readonly lifetime?: number
}

async function readRecord(path: string): Promise<RefreshRecord> {
  const { sent, refused, lifetime } = parseObject(await readFile(path, 'utf8').catch(() => ''))
  return {
    ...(typeof sent === 'string' ? { sent } : {}),
    ...(typeof refused === 'string' ? { refused } : {}),
    ...(typeof lifetime === 'number' ? { lifetime } : {}),
  }
}

async function writeRecord(path: string, record: RefreshRecord): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeDurably(path, JSON.stringify(record))
  } catch (error) {
    // Without room for the record there is none for the tokens either: better not to burn the old ones.
    throw new AuthError('storage', `cannot write ${path}: ${(error as Error).message}`, { cause: error })
  }
}

/**
 * Seconds before expiry at which a token counts as due. A token that lives shorter than a few margins would be due from its first
 * moment; the margin is at most a quarter of its life.
 */
export const marginFor = (lifetime: number | undefined, minValidityS = 0): number =>
  Math.min(Math.max(MARGIN_S, minValidityS), lifetime === undefined ? Infinity : Math.floor(lifetime / 4))

export interface RefreshOptions {
  /** An access token that the server has refused. */
  readonly rejected?: string
  /** Seconds. */
  readonly minValidity?: number
  /** Replaces the request to the server, for tests. */
  readonly exchange?: (account: Account) => Promise<Grant>
}

export interface Refreshed extends OAuthTokens {
  /** Seconds; undefined when not known. */
  readonly lifetime: number | undefined
}

export const recordPath = (store: AccountStore, id: string): string => store.recordPath(id, 'refresh.json')

/** Lifetime of this account's tokens as last seen, seconds. */
export async function knownLifetime(store: AccountStore, id: string): Promise<number | undefined> {
  return (await readRecord(recordPath(store, id))).lifetime
}

/**
 * Tokens of account `id` that are good for a while: those another process has just stored, or new ones.
 *
 * @throws AuthError `login-needed` when only a new sign-in helps; `unavailable`, `network`, ... when the account is still good
 */
export async function refreshAccount(store: AccountStore, id: string, options: RefreshOptions = {}): Promise<Refreshed> {
  return await withLock(store.recordPath(id, 'refresh.lock'), () => refreshLocked(store, id, options), { timeoutMs: LOCK_TIMEOUT_MS })
}

async function refreshLocked(store: AccountStore, id: string, options: RefreshOptions): Promise<Refreshed> {
  const path = recordPath(store, id)
  const [account, record] = [await store.load(id), await readRecord(path)]
  const now = Math.floor(Date.now() / 1000)
  const refused = account.idToken === options.rejected
  const stored: Refreshed = { accessToken: account.idToken, refreshToken: account.refreshToken, expiresAt: account.tokenExpiresAt, lifetime: record.lifetime }
  if (!refused && (account.tokenExpiresAt === 0 || account.tokenExpiresAt > now + marginFor(record.lifetime, options.minValidity))) return stored
  if (account.refreshToken === '') {
    // Signed in with --id-token: what there is serves to its end.
    if (!refused && account.tokenExpiresAt > now) return stored
    throw new AuthError('login-needed', `login failed for ${id}: the token has expired and cannot be renewed; ${signInAgain(id)}`)
  }

  const mark = fingerprint(account.refreshToken)
  if (record.refused === mark) throw refusal(id, false)
  const interrupted = record.sent === mark
  const lifetime = record.lifetime === undefined ? {} : { lifetime: record.lifetime }
  await writeRecord(path, { ...lifetime, sent: mark })
  let grant: Grant
  try {
    const reach = { url: account.url, skipVerify: account.skipVerify, customHeaders: account.customHeaders }
    grant = await (options.exchange?.(account) ?? refreshTokens(reach, account.refreshToken))
  } catch (error) {
    if (isAuthError(error, 'login-needed')) {
      // 401 is about the client or a gateway in front, not about this token.
      if (error.status === 400) await writeRecord(path, { ...lifetime, refused: mark })
      throw refusal(id, interrupted, error)
    }
    if (error instanceof AuthError && neverSent(error) && !interrupted) await writeRecord(path, lifetime)
    throw error
  }
  await store.saveTokens(id, grant)
  await writeRecord(path, { lifetime: grant.lifetime })
  return grant
}

const signInAgain = (id: string): string => `sign in again: cec config relog "${id}"`

function refusal(id: string, interrupted: boolean, cause?: AuthError): AuthError {
  const why = interrupted
    ? 'an earlier renewal was interrupted before its answer could be saved'
    : 'the server no longer accepts the stored sign-in (expired or revoked)'
  return new AuthError('login-needed', `login failed for ${id}: ${why}; ${signInAgain(id)}`, { status: cause?.status ?? 0, cause })
}
