/** How accounts are named on the screen. */
import type { Accounts } from '../auth/goconfig.js'
import { formatTable } from './table.js'

const TYPES: Readonly<Record<string, string>> = { pat: 'PAT', session: 'Login/Password', oauth2: 'OAuth2' }
const UNMIGRATED = new Set(['Personal Access Token', 'Client Credentials', 'OAuth2'])

export function typeLabel(authType: string): string {
  return TYPES[authType] ?? (UNMIGRATED.has(authType) ? `Unmigrated - ${authType}` : 'Unknown')
}

export const sortedIds = (accounts: Accounts): string[] => [...accounts.byId.keys()].sort()

/** The table of `config ls`. */
export function accountsTable(accounts: Accounts): string {
  const rows = sortedIds(accounts).map((id) => {
    const account = accounts.byId.get(id)
    return [id === accounts.active ? '✓' : '', account?.label ?? '', account?.user ?? '', account?.url ?? '', typeLabel(account?.authType ?? '')]
  })
  return formatTable(['Active', 'Label', 'User', 'URL', 'Type'], rows, { wrap: false })
}

/** The JSON of `config ls`. */
export const accountsJson = (accounts: Accounts): object[] => sortedIds(accounts).map((id) => {
  const account = accounts.byId.get(id)
  return { id, label: account?.label ?? '', user: account?.user ?? '', url: account?.url ?? '', authType: account?.authType ?? '', active: id === accounts.active }
})
