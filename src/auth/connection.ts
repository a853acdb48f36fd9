/**
 * From flags, CEC_* variables and the accounts file to "how to reach the server and who to be there"
 * (cec-reference 1.3, 1.4).
 */
import { silentLogger, type Logger } from '../log.js'
import { AuthError } from './errors.js'
import { openStore, type AccountStore } from './store.js'
import { StoredTokens } from './stored-tokens.js'
import { FixedTokens, OAuthTokenSource, SessionTokens } from './tokens.js'
import type { ConnectionSettings, TokenSource } from './types.js'
import { accountIdOf, cleanUrl } from './url.js'
import type { Account, AuthType } from './goconfig.js'

/** The global flags that decide about the connection, CEC_* already merged in (cli/options.ts). */
export interface ConnectionFlags {
  readonly config: string
  readonly url: string
  readonly token: string
  readonly login: string
  readonly password: string
  readonly skipVerify: boolean
  readonly skipKeyring: boolean
  readonly noCache: boolean
}

/**
 * 1. url and token: personal access token; 2. url, login and password: login. Nothing is read from disk or
 * from a keyring for these two. 3. The active account of config.json with its secret.
 *
 * @throws AuthError `no-account` without any of these; `login-needed` or `keyring` when the secret is gone; `invalid` for a URL that is none
 */
export async function resolveConnection(flags: ConnectionFlags, options: { logger?: Logger; store?: AccountStore } = {}): Promise<ConnectionSettings> {
  const logger = options.logger ?? silentLogger
  if (flags.url !== '' && flags.token !== '') {
    const url = cleanUrl(flags.url)
    return fromFlags(flags, url, 'pat', '', new FixedTokens(flags.token, `${new URL(url).host} does not accept this token`))
  }
  if (flags.url !== '' && flags.login !== '' && flags.password !== '') {
    const url = cleanUrl(flags.url)
    const tokens = new SessionTokens({ url, skipVerify: flags.skipVerify }, flags.login, flags.password, { cache: !flags.noCache })
    return fromFlags(flags, url, 'session', flags.login, tokens)
  }
  const store = options.store ?? openStore({ config: flags.config, logger })
  const settings = await activeConnection(store, logger)
  const unused = unusedFlags(flags, settings.url)
  if (unused !== '') logger.warn(`${unused}; using the active account ${settings.accountId}`)
  return settings
}

function fromFlags(flags: ConnectionFlags, url: string, authType: AuthType, user: string, tokens: TokenSource): ConnectionSettings {
  return { url, tokens, skipVerify: flags.skipVerify, customHeaders: {}, accountId: accountIdOf(url, user), authType, user }
}

/** cec passes over an incomplete set of flags in silence, and works on another server than the one named. */
function unusedFlags(flags: ConnectionFlags, active: string): string {
  if (flags.token !== '') return 'a token without a URL is ignored'
  if (flags.login !== '' || flags.password !== '') return 'login needs --url, --login and --password together and is ignored'
  if (flags.url === '') return ''
  const url = cleanUrl(flags.url)
  return url === active ? '' : `${url} without a token or a login is ignored`
}

async function activeConnection(store: AccountStore, logger: Logger): Promise<ConnectionSettings> {
  const accounts = await store.list()
  if (accounts === undefined || accounts.byId.size === 0) {
    throw new AuthError('no-account', 'no account is configured on this machine; run "cec config add" first')
  }
  if (!accounts.byId.has(accounts.active)) {
    throw new AuthError('no-account', `active config not found${accounts.active === '' ? '' : ` (${accounts.active})`}; choose one with "cec config use"`)
  }
  return await accountConnection(store, accounts.active, logger)
}

/**
 * The connection of a stored account.
 *
 * @throws AuthError as resolveConnection
 */
export async function accountConnection(store: AccountStore, id: string, logger: Logger = silentLogger): Promise<ConnectionSettings> {
  const account = await store.load(id)
  const authType = account.authType
  if (authType !== 'pat' && authType !== 'session' && authType !== 'oauth2') {
    throw new AuthError('invalid', `the account ${id} is of a kind that this version does not know (${authType || 'none'})`)
  }
  return {
    url: account.url,
    tokens: await tokensOf(store, id, account, authType, logger),
    skipVerify: account.skipVerify,
    customHeaders: account.customHeaders,
    accountId: id,
    authType,
    user: account.user,
  }
}

async function tokensOf(store: AccountStore, id: string, account: Account, authType: AuthType, logger: Logger): Promise<TokenSource> {
  if (authType === 'pat') return await StoredTokens.open(store, id, account, ({ idToken }) => new FixedTokens(idToken, `login failed for ${id}: the server does not accept the stored token; give a new one: cec config relog "${id}"`))
  if (authType === 'oauth2') return await OAuthTokenSource.open(store, id, account, logger)
  return await StoredTokens.open(store, id, account, (it) => new SessionTokens(it, it.user, it.password, { cache: it.useTokenCache }))
}
