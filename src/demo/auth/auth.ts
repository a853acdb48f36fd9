/**
 * The sign-in half of the embedded server, put together: who is this bearer, and the routes
 * `/a/frontend/session`, `/a/auth/*`, `/oidc/*` and `/oauth2/*`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { findAccessToken } from './adapter.js'
import { handleAuthRoute } from './auth-routes.js'
import { BadRequest, readBody, send, sendJson, sendText } from './http.js'
import { createIssuer, type Issuer } from './issuer.js'
import { codePage, errorPage, loginPage, otherPage, PAGE_HEADERS } from './pages.js'
import { openPersonalTokens, type PersonalTokenOptions } from './personal-tokens.js'
import { createFrontSession, type FrontSession } from './session.js'
import { openAuthStore } from './store.js'
import type { AuthOptions, DemoAuth, DemoUser } from './types.js'
import { openUsers } from './users.js'

export interface FullDemoAuth extends DemoAuth {
  verifyBearer(token: string): DemoUser | undefined
  /**
   * Makes a personal access token, on every server version (real servers: `cells admin user token`).
   *
   * @throws Error for an unknown login
   */
  createPersonalToken(login: string, options?: PersonalTokenOptions): string
}

/** Opens the sign-in half over `options.dataDir`. The OIDC part is loaded when the first request needs it. */
export function createAuth(options: AuthOptions): FullDemoAuth {
  const store = openAuthStore(options.dataDir)
  const users = openUsers(store)
  const tokens = openPersonalTokens(store)
  let issuing: Promise<Issuer> | undefined
  const issuer = (): Promise<Issuer> => issuing ??= createIssuer({ store, users, options })
  const session = createFrontSession(store, users, issuer)

  /** 2.x lets the live token of a deleted user go on working; newer servers look the user up each time. */
  const userBehind = (uuid: string): DemoUser | undefined => {
    const known = users.byUuid(uuid)
    return known === undefined || (known.removed && options.serverVersion > 2) ? undefined : known.user
  }
  const verifyBearer = (token: string): DemoUser | undefined => {
    if (token === '') return undefined
    const uuid = findAccessToken(store, token)?.accountId ?? tokens.use(token)?.userUuid
    return uuid === undefined ? undefined : userBehind(uuid)
  }
  const routeDeps = { users, tokens, enabled: options.personalTokenRest ?? options.serverVersion >= 4, verify: verifyBearer }

  async function route(req: IncomingMessage, res: ServerResponse): Promise<boolean> {
    const path = (req.url ?? '/').split('?', 1)[0]!
    if (path === '/a/frontend/session') {
      if (req.method === 'POST') await session.handle(req, res)
      else sendText(res, 405, '405: Method Not Allowed')
    }
    else if (path.startsWith('/a/auth/')) await handleAuthRoute(routeDeps, req, res, path)
    else if (path.startsWith('/oidc/')) await (await issuer()).handle(req, res)
    else if (path.startsWith('/oauth2/')) await handlePage(session, req, res, path)
    else return false
    return true
  }

  return {
    users,
    verifyBearer,
    createPersonalToken(login, tokenOptions) {
      const user = users.find(login)
      if (user === undefined) throw new Error(`no such user: ${login}`)
      return tokens.create(user.uuid, tokenOptions).token
    },
    async handle(req, res) {
      try {
        return await route(req, res)
      } catch (error) {
        const mistake = error instanceof BadRequest ? error : undefined
        if (mistake === undefined) options.logger.error('sign-in request failed', { path: req.url?.split('?', 1)[0], error })
        if (res.headersSent) res.destroy()
        else if (mistake?.status === 415) sendText(res, 415, mistake.message)
        // As a real server reports nearly everything (contract, trap 17).
        else sendJson(res, 500, { Title: mistake?.message ?? 'Internal Server Error', Detail: mistake?.message ?? 'Internal Server Error' })
        return true
      }
    },
    close: () => store.close(),
  }
}

/** `/oauth2/*`: what a browser sees. */
async function handlePage(session: FrontSession, req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
  const show = (status: number, html: string): void => send(res, status, 'text/html; charset=utf-8', html, PAGE_HEADERS)
  const query = new URL(req.url ?? '/', 'http://localhost').searchParams
  switch (path) {
    case '/oauth2/login': {
      if (req.method !== 'POST') return show(200, loginPage(query.get('login_challenge') ?? ''))
      const form = new URLSearchParams((await readBody(req)).toString('utf8'))
      const challenge = form.get('login_challenge') ?? ''
      const target = await session.answerChallenge(challenge, form.get('login') ?? '', form.get('password') ?? '')
      if (target === undefined) return show(401, loginPage(challenge, 'Login failed'))
      res.writeHead(303, { Location: target, 'Content-Length': 0 })
      res.end()
      return
    }
    case '/oauth2/oob':
      return show(200, codePage(query.get('code') ?? ''))
    case '/oauth2/fallbacks/error':
      return show(200, errorPage(query.get('error_description') ?? 'Unknown error', query.get('error_hint') ?? ''))
    default:
      return show(200, otherPage())
  }
}
