/**
 * `/a/auth/*`: personal access tokens over REST. On 2.x these routes do not exist, except a
 * revoke call that is there and does nothing (contract, section 1).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { bearerOf, readJson, sendJson, sendText } from './http.js'
import type { PersonalToken, PersonalTokens } from './personal-tokens.js'
import { nowS } from './store.js'
import type { DemoUser } from './types.js'
import type { Users } from './users.js'

interface Deps {
  readonly users: Users
  readonly tokens: PersonalTokens
  /** Whether this server has the calls at all. */
  readonly enabled: boolean
  readonly verify: (token: string) => DemoUser | undefined
}

const NOT_FOUND = '404: Page Not Found'
/** As recorded: the token's id is looked up as something that it is not. */
const REVOKE_ERROR = '{"id":"","code":0,"detail":": not_found","status":""}'

export async function handleAuthRoute({ users, tokens, enabled, verify }: Deps, req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
  const user = verify(bearerOf(req))
  if (user === undefined) return sendText(res, 401, 'Unauthorized.\n')
  if (path === '/a/auth/token/revoke') return sendJson(res, 500, { Title: REVOKE_ERROR, Detail: REVOKE_ERROR })
  if (!enabled) return sendText(res, 404, NOT_FOUND)

  const id = /^\/a\/auth\/tokens\/([^/]+)$/.exec(path)?.[1]
  if (req.method === 'DELETE' && id !== undefined) {
    const mine = tokens.list(user.isAdmin ? undefined : user.uuid).some((each) => each.id === id)
    if (!mine || !tokens.remove(id)) return sendJson(res, 404, { Title: 'Not Found', Detail: 'Not Found: no such token' })
    return sendJson(res, 200, { Success: true })
  }
  if (req.method !== 'POST') return sendText(res, 404, NOT_FOUND)

  const body = await readJson(req)
  const login = typeof body['UserLogin'] === 'string' && body['UserLogin'] !== '' ? body['UserLogin'] : user.login
  switch (path) {
    case '/a/auth/tokens': {
      const owner = body['ByUserLogin'] ?? (user.isAdmin ? undefined : user.login)
      const of = typeof owner === 'string' ? users.find(owner)?.uuid ?? '' : undefined
      if (!user.isAdmin && of !== user.uuid) return sendText(res, 401, 'Unauthorized.\n')
      return sendJson(res, 200, { Tokens: tokens.list(of).map((each) => listed(each, users)) })
    }
    case '/a/auth/token/personal':
    case '/a/auth/token/impersonate': {
      const forOther = login !== user.login
      // Making a token for somebody else is what the impersonate call is for, and for administrators.
      if (forOther && !(user.isAdmin && path.endsWith('impersonate'))) return sendText(res, 401, 'Unauthorized.\n')
      const owner = users.find(login)
      if (owner === undefined) return sendJson(res, 404, { Title: 'Not Found', Detail: `Not Found: user ${login}` })
      const expires = seconds(body['ExpiresAt'])
      if (expires !== undefined && expires <= nowS()) return sendJson(res, 500, { Title: 'Bad Request', Detail: 'ExpiresAt is in the past' })
      const scopes = Array.isArray(body['Scopes']) ? body['Scopes'].filter((each) => typeof each === 'string') : []
      const label = typeof body['Label'] === 'string' ? body['Label'] : ''
      const { token, record } = tokens.create(owner.uuid, { label, expires, autoRefreshS: seconds(body['AutoRefresh']), scopes })
      return sendJson(res, 200, { AccessToken: token, TokenUuid: record.id })
    }
    default:
      return sendText(res, 404, NOT_FOUND)
  }
}

/** Numbers of seconds travel as numbers or as text (64-bit integers in JSON); 0 means none. */
function seconds(value: unknown): number | undefined {
  const number = Number(value ?? 0)
  return Number.isSafeInteger(number) && number > 0 ? number : undefined
}

function listed(token: PersonalToken, users: Users): unknown {
  return {
    Uuid: token.id,
    Type: 'PERSONAL',
    Label: token.label,
    UserUuid: token.userUuid,
    UserLogin: users.byUuid(token.userUuid)?.user.login,
    CreatedAt: String(token.created),
    ...(token.expires === undefined ? {} : { ExpiresAt: String(token.expires) }),
    ...(token.autoRefreshS === undefined ? {} : { AutoRefresh: token.autoRefreshS }),
    ...(token.scopes.length === 0 ? {} : { Scopes: token.scopes }),
  }
}
