/**
 * config.json as Pydio's cec reads and writes it (cec-reference 2.2, 2.5): text in, accounts out, and back
 * to the same bytes. No file access here.
 */
import { accountIdOf, labelOf } from './url.js'

export type AuthType = 'pat' | 'session' | 'oauth2'

/** One account. Secret fields are '' when they are in the keyring. */
export interface Account {
  /** As in the file; an unknown value of a newer cec is kept. */
  readonly authType: string
  readonly url: string
  readonly user: string
  /** PAT, or the OAuth access token (not the OIDC id_token). */
  readonly idToken: string
  readonly refreshToken: string
  /** Unix seconds; 0 = none. */
  readonly tokenExpiresAt: number
  readonly password: string
  readonly skipVerify: boolean
  readonly useTokenCache: boolean
  readonly customHeaders: Readonly<Record<string, string>>
  readonly label: string
  /** The secrets are in this file. */
  readonly skipKeyring: boolean
  readonly createdAtVersion: string
  /** Keys that we do not know, written back as they were. */
  readonly others: Readonly<Record<string, unknown>>
}

export interface Accounts {
  /** '' when none is active. */
  readonly active: string
  readonly byId: ReadonlyMap<string, Account>
}

export const NO_ACCOUNTS: Accounts = { active: '', byId: new Map() }

export const BLANK_ACCOUNT: Account = {
  authType: '', url: '', user: '', idToken: '', refreshToken: '', tokenExpiresAt: 0, password: '', skipVerify: false,
  useTokenCache: true, customHeaders: {}, label: '', skipKeyring: false, createdAtVersion: '', others: {},
}

const OLD_TYPES: Readonly<Record<string, AuthType>> = {
  'Personal Access Token': 'pat',
  'Client Credentials': 'session',
  OAuth2: 'oauth2',
}

const KNOWN = new Set([
  'authtype', 'url', 'user', 'idtoken', 'refreshtoken', 'tokenexpiresat', 'password', 'skipverify', 'usetokencache', 'customheaders',
  'label', 'skipkeyring', 'createdatversion',
])

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function toAccount(raw: Record<string, unknown>): Account {
  // Go matches keys without regard to case, and old versions wrote some of them differently.
  const byKey = new Map(Object.entries(raw).map(([key, value]) => [key.toLowerCase(), value]))
  const text = (key: string): string => {
    const value = byKey.get(key)
    return typeof value === 'string' ? value : ''
  }
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = byKey.get(key)
    return typeof value === 'boolean' ? value : otherwise
  }
  const expiry = byKey.get('tokenexpiresat')
  const headers = byKey.get('customheaders')
  return {
    authType: text('authtype'),
    url: text('url').trim().replace(/\/+$/, ''),
    user: text('user'),
    idToken: text('idtoken'),
    refreshToken: text('refreshtoken'),
    tokenExpiresAt: typeof expiry === 'number' && Number.isFinite(expiry) ? Math.trunc(expiry) : 0,
    password: text('password'),
    skipVerify: flag('skipverify', false),
    useTokenCache: flag('usetokencache', true),
    customHeaders: isObject(headers) ? Object.fromEntries(Object.entries(headers).filter((entry): entry is [string, string] => typeof entry[1] === 'string')) : {},
    label: text('label'),
    skipKeyring: flag('skipkeyring', false),
    createdAtVersion: text('createdatversion'),
    others: Object.fromEntries(Object.entries(raw).filter(([key]) => !KNOWN.has(key.toLowerCase()))),
  }
}

/** The names of before 4.1; and of before 2.1, when a file had none. */
function migrateType(account: Account): Account {
  const renamed = OLD_TYPES[account.authType]
  if (renamed !== undefined) return { ...account, authType: renamed }
  if (account.authType !== '') return account
  if (account.refreshToken !== '' || account.tokenExpiresAt !== 0) return { ...account, authType: 'oauth2' }
  if (account.password !== '') return { ...account, authType: 'session' }
  return account.idToken === '' ? account : { ...account, authType: 'pat' }
}

export interface Parsed {
  readonly accounts: Accounts
  /** The file was of an older layout and should be rewritten. */
  readonly migrated: boolean
}

/**
 * Reads the text of config.json, of any version since 2.0.
 *
 * @param version what to write as createdAtVersion of a flat file's account
 * @throws SyntaxError when it is not a JSON object
 */
export function parseConfig(text: string, version: string): Parsed {
  const raw: unknown = JSON.parse(text)
  if (!isObject(raw)) throw new SyntaxError('not a JSON object')
  const configs = raw['Configs']
  if (isObject(configs) && Object.keys(configs).length > 0) {
    let migrated = false
    const byId = new Map<string, Account>()
    for (const [id, value] of Object.entries(configs)) {
      if (!isObject(value)) continue
      const account = toAccount(value)
      const now = migrateType(account)
      migrated ||= now !== account
      byId.set(id, now)
    }
    return { accounts: { active: typeof raw['ActiveConfigID'] === 'string' ? raw['ActiveConfigID'] : '', byId }, migrated }
  }
  const flat = toAccount(raw)
  let id: string
  try {
    id = accountIdOf(flat.url, flat.user)
  } catch {
    // `{"ActiveConfigID":"","Configs":{}}`, which `config use` of the original writes on a fresh machine.
    return { accounts: NO_ACCOUNTS, migrated: false }
  }
  const account = migrateType({ ...flat, label: labelOf(flat.url, flat.user), createdAtVersion: version, others: {} })
  return { accounts: { active: id, byId: new Map([[id, account]]) }, migrated: true }
}

const sorted = <T>(entries: Iterable<[string, T]>): [string, T][] => [...entries].sort(([a], [b]) => (Buffer.compare(Buffer.from(a), Buffer.from(b))))

function fromAccount(account: Account): Record<string, unknown> {
  const headers = sorted(Object.entries(account.customHeaders))
  return {
    ...(account.authType === '' ? {} : { authType: account.authType }),
    url: account.url,
    user: account.user,
    ...(account.idToken === '' ? {} : { idToken: account.idToken }),
    ...(account.refreshToken === '' ? {} : { refreshToken: account.refreshToken }),
    ...(account.tokenExpiresAt === 0 ? {} : { tokenExpiresAt: account.tokenExpiresAt }),
    ...(account.password === '' ? {} : { password: account.password }),
    skipVerify: account.skipVerify,
    useTokenCache: account.useTokenCache,
    CustomHeaders: headers.length === 0 ? null : Object.fromEntries(headers),
    label: account.label,
    skipKeyring: account.skipKeyring,
    createdAtVersion: account.createdAtVersion,
    ...account.others,
  }
}

const GO_ESCAPES: Readonly<Record<string, string>> = { '<': '\\u003c', '>': '\\u003e', '&': '\\u0026', '\u2028': '\\u2028', '\u2029': '\\u2029' }

/** The bytes that Go's json.MarshalIndent with tabs would write; map keys sorted, no newline at the end. */
export function formatConfig(accounts: Accounts): string {
  const value = { ActiveConfigID: accounts.active, Configs: Object.fromEntries(sorted(accounts.byId).map(([id, account]) => [id, fromAccount(account)])) }
  return JSON.stringify(value, null, '\t').replace(/[<>&\u2028\u2029]/g, (character) => GO_ESCAPES[character] ?? character)
}
