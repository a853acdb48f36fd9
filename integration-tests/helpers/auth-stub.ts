/**
 * A stand-in for the sign-in side of a Cells server, for tests that need to see each request and to misbehave on
 * purpose. It follows the recorded contract: one-time refresh tokens, old access token dead at once, 400
 * `invalid_request` for a used refresh token, wrong userinfo endpoint, issuer with a slash.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface StubOptions {
  /** Seconds that access tokens live. */
  lifetime?: number
  /** Called before a token request is answered; throw to leave it unanswered. */
  onToken?: (form: URLSearchParams, burn: () => void) => Promise<void> | void
  /** An authorization server that cannot do PKCE. */
  refusePkce?: boolean
  /** Issuer and endpoints under another name of the site. */
  publicUrl?: string
  tls?: { key: string; cert: string }
  /** Answers every path with this web page, as a server that is no Cells does. */
  html?: boolean
  /** This status for every request under /oidc. */
  oidcStatus?: number
}

export interface Stub {
  readonly url: string
  /** Every request: `METHOD /path`. */
  readonly requests: string[]
  readonly tokenRequests: URLSearchParams[]
  readonly options: StubOptions
  /** Makes a pair as a finished sign-in would. */
  grant(login: string): { access: string; refresh: string }
  accepts(access: string): boolean
  revoke(access: string): void
  close(): Promise<void>
}

const USERS: Readonly<Record<string, string>> = { alice: 'alice-P4ss', bob: 'bob-P4ss' }

export async function startStub(options: StubOptions = {}): Promise<Stub> {
  const requests: string[] = []
  const tokenRequests: URLSearchParams[] = []
  const live = new Map<string, string>([['pat-of-alice', 'alice']])
  const refreshable = new Map<string, { login: string; access: string }>()
  const codes = new Map<string, { redirect: string; challenge: string | null }>()
  const random = (): string => randomBytes(12).toString('hex')

  const grant = (login: string): { access: string; refresh: string } => {
    const pair = { access: `at.${random()}`, refresh: `rt.${random()}` }
    live.set(pair.access, login)
    refreshable.set(pair.refresh, { login, access: pair.access })
    return pair
  }

  const json = (response: ServerResponse, status: number, value: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json;charset=UTF-8' }).end(JSON.stringify(value))
  }

  const token = async (form: URLSearchParams, response: ServerResponse): Promise<void> => {
    tokenRequests.push(form)
    const refused = (error: string, hint: string): void => json(response, 400, { error, error_description: 'refused', error_hint: hint, status_code: 400 })
    const answer = (login: string): void => {
      const pair = grant(login)
      json(response, 200, { access_token: pair.access, refresh_token: pair.refresh, expires_in: options.lifetime ?? 600, id_token: 'not.a.jwt', scope: 'openid', token_type: 'bearer' })
    }
    if (form.get('grant_type') === 'refresh_token') {
      const old = refreshable.get(form.get('refresh_token') ?? '')
      const burn = (): void => {
        refreshable.delete(form.get('refresh_token') ?? '')
        if (old !== undefined) live.delete(old.access)
      }
      await options.onToken?.(form, burn)
      if (old === undefined || !refreshable.has(form.get('refresh_token') ?? '')) return refused('invalid_request', 'check the parameters')
      burn()
      return answer(old.login)
    }
    await options.onToken?.(form, () => {})
    const code = codes.get(form.get('code') ?? '')
    codes.delete(form.get('code') ?? '')
    if (code === undefined) return refused('invalid_grant', 'The authorization code has already been used.')
    if (code.redirect !== form.get('redirect_uri')) return refused('invalid_request', 'wrong redirect_uri')
    const verifier = form.get('code_verifier')
    if (options.refusePkce === true && verifier !== null) return refused('invalid_grant', 'PKCE is not supported for this client')
    if (code.challenge !== null && createHash('sha256').update(verifier ?? '').digest('base64url') !== code.challenge) return refused('invalid_grant', 'wrong verifier')
    answer('alice')
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', base)
    requests.push(`${request.method} ${url.pathname}`)
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const bearer = (request.headers.authorization ?? '').replace(/^Bearer /, '')
    if (options.html === true) {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>hello</html>')
      return
    }
    if (url.pathname.startsWith('/oidc') && options.oidcStatus !== undefined) return json(response, options.oidcStatus, { error: 'server_error' })
    switch (url.pathname) {
      case '/oidc/.well-known/openid-configuration': {
        const site = options.publicUrl ?? base
        return json(response, 200, {
          issuer: `${site}/oidc/`, authorization_endpoint: `${site}/oidc/oauth2/auth`, token_endpoint: `${site}/oidc/oauth2/token`,
          jwks_uri: `${site}/oidc/.well-known/jwks.json`, userinfo_endpoint: '/oauth2/userinfo',
        })
      }
      case '/oidc/oauth2/auth': {
        const code = random()
        const redirect = url.searchParams.get('redirect_uri') ?? ''
        codes.set(code, { redirect, challenge: url.searchParams.get('code_challenge') })
        const target = new URL(redirect)
        target.searchParams.set('code', code)
        target.searchParams.set('state', url.searchParams.get('state') ?? '')
        response.writeHead(302, { location: target.href }).end()
        return
      }
      case '/oidc/oauth2/token':
        return await token(new URLSearchParams(body), response)
      case '/a/frontend/state': {
        const user = live.get(bearer)
        if (user === undefined) {
          response.writeHead(401, { 'content-type': 'text/plain' }).end('Unauthorized.\n')
          return
        }
        response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?>\n<pydio_registry><actions/><user id="${user}"><x/></user></pydio_registry>`)
        return
      }
      case '/a/frontend/session': {
        const { AuthInfo: info } = JSON.parse(body) as { AuthInfo: { login: string; password: string } }
        if (USERS[info.login] !== info.password) return json(response, 401, { Title: 'Login failed', Detail: 'Unauthorized: Login failed' })
        return json(response, 200, { JWT: grant(info.login).access, ExpireTime: Math.floor(Date.now() / 1000) + (options.lifetime ?? 600) })
      }
      default:
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>the web interface</html>')
    }
  }

  const listener: RequestListener = (request, response) => {
    handle(request, response).catch(() => response.destroy())
  }
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `${options.tls === undefined ? 'http' : 'https'}://localhost:${(server.address() as AddressInfo).port}`
  return {
    url: base,
    requests,
    tokenRequests,
    options,
    grant,
    accepts: (access) => live.has(access),
    revoke: (access) => void live.delete(access),
    close: () => new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    }),
  }
}
