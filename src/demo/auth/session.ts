/**
 * `POST /a/frontend/session`: the web front end's sign-in, which is also how a login challenge of the
 * OIDC flow is answered (contract, section 1 and 01-auth.json). The refresh token of a real server
 * hides inside the cookie; here the cookie is a random handle on a session record.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { findAccessToken, revokeGrant } from './adapter.js'
import { asObject, cookieOf, readJson, sendJson } from './http.js'
import type { FrontTokens, Issuer } from './issuer.js'
import { nowS, type AuthStore } from './store.js'
import type { DemoUser } from './types.js'
import type { Users } from './users.js'

const COOKIE = 'pydio'
const COOKIE_PATH = '/a/frontend'
/** Seconds; renewed by every call. */
const SESSION_TTL_S = 1440

interface Session {
  readonly userUuid?: string
  readonly grantId?: string
  readonly sid?: string
  readonly accessToken?: string
  readonly expiresAt?: number
}

export interface FrontSession {
  handle(req: IncomingMessage, res: ServerResponse): Promise<void>
  /** Login and password against a login challenge: where to go next, undefined if anything is wrong. For the page without JavaScript. */
  answerChallenge(challenge: string, login: string, password: string): Promise<string | undefined>
}

interface Reply {
  readonly status: number
  readonly body: unknown
  /** undefined: the session ends. */
  readonly session: Session | undefined
}

/** One answer for every reason, so that nobody learns which part was wrong. */
const LOGIN_FAILED: Reply = { status: 401, body: { Title: 'Login failed', Detail: 'Unauthorized: Login failed' }, session: {} }

const NO_REFRESH_TOKEN: Reply = { status: 401, body: { Title: 'No refresh token', Detail: 'No refresh token' }, session: {} }

export function createFrontSession(store: AuthStore, users: Users, issuer: () => Promise<Issuer>): FrontSession {
  const keyOf = (cookie: string): string => `session:${createHash('sha256').update(cookie).digest('hex')}`

  async function answer(session: Session, info: Record<string, unknown>): Promise<Reply> {
    const text = (name: string): string => typeof info[name] === 'string' ? info[name] : ''
    switch (text('type')) {
      case 'credentials': {
        const user = await users.check(text('login'), text('password'))
        if (user === undefined) return LOGIN_FAILED
        if (text('challenge') !== '') return goOn(user, text('challenge'), session)
        const tokens = await (await issuer()).frontTokens(user)
        return { status: 200, body: tokenBody(tokens, true), session: toSession(user, tokens) }
      }
      case 'external': {
        const user = userOf(session)
        if (user === undefined) return LOGIN_FAILED
        const reply = await goOn(user, text('challenge'), session)
        return reply.status === 200 ? { ...reply, body: { JWT: session.accessToken, ExpireTime: session.expiresAt, ...asObject(reply.body) } } : reply
      }
      case 'refresh': {
        const renewed = await renew(session)
        return renewed === undefined ? NO_REFRESH_TOKEN : { status: 200, body: tokenBody(renewed.tokens, false), session: renewed.session }
      }
      case 'logout':
        if (session.grantId !== undefined) revokeGrant(store, session.grantId)
        return { status: 200, body: {}, session: session.grantId === undefined ? {} : undefined }
      default:
        return current(session)
    }
  }

  /** No AuthInfo: who the cookie says one is; its token is renewed if it has expired. */
  async function current(session: Session): Promise<Reply> {
    let now = session
    if (session.accessToken !== undefined && findAccessToken(store, session.accessToken) === undefined) now = (await renew(session))?.session ?? {}
    const body = now.accessToken === undefined ? {} : { JWT: now.accessToken, ExpireTime: now.expiresAt }
    return { status: 200, body, session: now }
  }

  async function goOn(user: DemoUser, challenge: string, session: Session): Promise<Reply> {
    const target = await (await issuer()).acceptChallenge(challenge, user)
    return target === undefined ? LOGIN_FAILED : { status: 200, body: { RedirectTo: target }, session }
  }

  async function renew(session: Session): Promise<{ tokens: FrontTokens; session: Session } | undefined> {
    const user = userOf(session)
    if (user === undefined || session.grantId === undefined || session.sid === undefined) return undefined
    const tokens = await (await issuer()).frontTokens(user, { grantId: session.grantId, sid: session.sid })
    return { tokens, session: toSession(user, tokens) }
  }

  function userOf(session: Session): DemoUser | undefined {
    const known = users.byUuid(session.userUuid ?? '')
    return known === undefined || known.removed ? undefined : known.user
  }

  return {
    async handle(req, res) {
      const cookie = cookieOf(req, COOKIE) ?? ''
      const session = cookie === '' ? undefined : store.get<Session>(keyOf(cookie))
      const request = await readJson(req)
      const reply = await answer(session ?? {}, asObject(request['AuthInfo']) ?? {})
      if (reply.session === undefined) {
        store.remove(keyOf(cookie))
        res.setHeader('Set-Cookie', `${COOKIE}=; Path=${COOKIE_PATH}; HttpOnly`)
      } else {
        // A failed login must not end the session that the same browser already has.
        const kept = reply === LOGIN_FAILED ? session ?? {} : reply.session
        // A new handle whenever a session begins, so that one planted in a browser beforehand is worth nothing.
        const handle = session !== undefined && session.grantId === kept.grantId ? cookie : randomBytes(32).toString('base64url')
        if (handle !== cookie && session !== undefined) store.remove(keyOf(cookie))
        store.put(keyOf(handle), kept, nowS() + SESSION_TTL_S)
        const expires = new Date(Date.now() + SESSION_TTL_S * 1000).toUTCString()
        res.setHeader('Set-Cookie', `${COOKIE}=${handle}; Path=${COOKIE_PATH}; Expires=${expires}; Max-Age=${SESSION_TTL_S}; HttpOnly`)
      }
      sendJson(res, reply.status, reply.body)
    },
    async answerChallenge(challenge, login, password) {
      const user = await users.check(login, password)
      return user === undefined ? undefined : (await issuer()).acceptChallenge(challenge, user)
    },
  }
}

function toSession(user: DemoUser, tokens: FrontTokens): Session {
  return { userUuid: user.uuid, grantId: tokens.grantId, sid: tokens.sid, accessToken: tokens.accessToken, expiresAt: tokens.expiresAt }
}

function tokenBody({ accessToken, idToken, expiresAt }: FrontTokens, withIdToken: boolean): unknown {
  return {
    JWT: accessToken,
    ExpireTime: expiresAt,
    Token: { AccessToken: accessToken, ...(withIdToken ? { IDToken: idToken } : {}), ExpiresAt: String(expiresAt) },
  }
}
