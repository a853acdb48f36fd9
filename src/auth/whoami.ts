/**
 * Asks the server who a token belongs to, and what login and password are worth
 * (cec-reference 2.6 and 3.1, contract section 1).
 */
import { AuthError } from './errors.js'
import { busy, call, notCells, type Reach } from './http.js'

const USER = /<user\b[^>]*?\sid="([^"]*)"/

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function decodeEntities(text: string): string {
  return text.replace(/&(#x[0-9a-fA-F]+|#\d+|\w+);/g, (whole, name: string) => {
    if (!name.startsWith('#')) return ENTITIES[name] ?? whole
    const code = name[1] === 'x' ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}

/**
 * Login of a token's owner: the first `<user id="…">` of GET /a/frontend/state. The document is some
 * 300 KiB; it is read as far as that element.
 *
 * @throws AuthError `wrong-password` when the server refuses the token
 */
export async function whoami(reach: Reach, bearer: string, signal?: AbortSignal): Promise<string> {
  const answer = await call(reach, '/a/frontend/state', { bearer, ...(signal === undefined ? {} : { signal }), enough: (text) => USER.test(text) })
  const trouble = busy(reach, answer)
  if (trouble !== undefined) throw trouble
  if (answer.status === 401 || answer.status === 403) {
    throw new AuthError('wrong-password', `${new URL(reach.url).host} does not accept this token`, { status: answer.status })
  }
  if (answer.status !== 200 || !/xml/i.test(answer.contentType)) throw notCells(reach, answer)
  const user = decodeEntities(USER.exec(answer.text)?.[1] ?? '')
  // A guest's state has no user: the token was taken for none.
  if (user === '') throw new AuthError('wrong-password', `${new URL(reach.url).host} does not know who this token belongs to`)
  // It becomes part of the account id and of the keyring's key.
  if (/[\u0000-\u001f\u007f]/.test(user)) throw notCells(reach)
  return user
}

export interface Session {
  readonly token: string
  /** Unix seconds. */
  readonly expiresAt: number
}

/**
 * Logs in with login and password: POST /a/frontend/session.
 *
 * @throws AuthError `wrong-password` when refused. Do not try again with the same: repeated
 *         failures lock the user on the server.
 */
export async function logIn(reach: Reach, login: string, password: string, signal?: AbortSignal): Promise<Session> {
  const answer = await call(reach, '/a/frontend/session', {
    method: 'POST',
    json: { AuthInfo: { login, password, type: 'credentials' } },
    ...(signal === undefined ? {} : { signal }),
  })
  if (answer.status === 401 || answer.status === 403) {
    throw new AuthError('wrong-password', `${new URL(reach.url).host} refuses this login and password`, { status: answer.status })
  }
  const trouble = busy(reach, answer)
  if (trouble !== undefined) throw trouble
  if (answer.status !== 200 || !/json/i.test(answer.contentType)) throw notCells(reach, answer)
  const { JWT, ExpireTime } = parseObject(answer.text)
  if (typeof JWT !== 'string' || JWT === '') throw notCells(reach, answer)
  // Without a usable expiry: ten minutes, what servers give by default.
  const expiresAt = typeof ExpireTime === 'number' && Number.isFinite(ExpireTime) ? ExpireTime : Math.floor(Date.now() / 1000) + 600
  return { token: JWT, expiresAt }
}

/** A JSON object, or {} for anything else. */
export function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
