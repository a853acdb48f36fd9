/**
 * How a mount reaches its server: a credentials file (for fstab, where a secret must not stand), an account
 * by name, or, without either, what every command takes (auth/connection.ts).
 */
import { open } from 'node:fs/promises'
import { accountConnection, resolveConnection } from '../../auth/connection.js'
import { AuthError } from '../../auth/errors.js'
import type { Accounts } from '../../auth/goconfig.js'
import { openStore } from '../../auth/store.js'
import type { ConnectionSettings } from '../../auth/types.js'
import { cleanUrl } from '../../auth/url.js'
import type { Logger } from '../../log.js'
import { CommandError } from '../errors.js'
import type { GlobalOptions } from '../options.js'
import type { MountSettings } from './options.js'

/** @throws AuthError as resolveConnection; CommandError for a credentials file that cannot be used */
export async function mountConnection({ globals, account, credentials }: Pick<MountSettings, 'globals' | 'account' | 'credentials'>, logger: Logger): Promise<ConnectionSettings> {
  if (credentials !== '') return resolveConnection(await withCredentials(globals, credentials), { logger })
  if (account === '') return resolveConnection(globals, { logger })
  const store = openStore({ config: globals.config, logger })
  return accountConnection(store, accountNamed(await store.list(), account), logger)
}

/** The id of the account that `wanted` means: its id, its label, or the address of its server, if only one account has it. @throws AuthError */
export function accountNamed(accounts: Accounts | undefined, wanted: string): string {
  if (accounts?.byId.has(wanted) === true) return wanted
  const url = /^https?:/i.test(wanted) ? cleanUrl(wanted) : undefined
  const found = [...accounts?.byId ?? []].filter(([, { label, url: own }]) => (url === undefined ? label === wanted : own === url)).map(([id]) => id).sort()
  if (found.length > 1) throw new AuthError('no-account', `several accounts match "${wanted}": ${found.join(', ')}; name one of them`)
  if (found[0] === undefined) throw new AuthError('no-account', `there is no account "${wanted}"; "cec config ls" shows them, "cec config add" makes one`)
  return found[0]
}

const KEYS: Readonly<Record<string, 'url' | 'login' | 'password' | 'token'>> = { url: 'url', login: 'login', username: 'login', user: 'login', password: 'password', token: 'token' }

/** Lines `key=value`, as mount.cifs has them: url, username, password, token. Flags that are given come first. @throws CommandError */
async function withCredentials(globals: GlobalOptions, path: string): Promise<GlobalOptions> {
  const found: { url?: string; login?: string; password?: string; token?: string } = {}
  for (const [index, line] of (await readPrivate(path)).split('\n').entries()) {
    if (/^\s*(#|$)/.test(line)) continue
    const [, name = '', value = ''] = /^\s*([a-z]+)\s*=\s?(.*?)\r?$/i.exec(line) ?? []
    const key = KEYS[name.toLowerCase()]
    // The line itself may be a secret.
    if (key === undefined) throw new CommandError(`line ${index + 1} of ${path} is none of url=, username=, password=, token=`)
    found[key] = value
  }
  const given = Object.fromEntries(Object.entries({ url: globals.url, login: globals.login }).filter(([, value]) => value !== ''))
  const all = { ...globals, password: '', token: '', ...found, ...given }
  if (all.url === '') throw new CommandError(`${path} has no line url=, and no --url is given`)
  if (all.token === '' && (all.login === '' || all.password === '')) throw new CommandError(`${path} must have a line token=, or lines username= and password=`)
  return all
}

/** Text of a file that only its owner can read, who is this user or root. @throws CommandError */
async function readPrivate(path: string): Promise<string> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(error.code === 'ENOENT' ? `the credentials file ${path} does not exist` : `the credentials file ${path} cannot be read (${error.code ?? error.message})`)
  })
  try {
    const { mode, uid } = await file.stat()
    if ((mode & 0o077) !== 0) throw new CommandError(`others can read the credentials file ${path}: run \`chmod 600 ${path}\``)
    if (uid !== 0 && uid !== process.getuid?.()) throw new CommandError(`the credentials file ${path} belongs to somebody else`)
    return await file.readFile('utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') throw new CommandError(`${path} is a folder, not a credentials file`)
    throw error
  } finally {
    await file.close()
  }
}
