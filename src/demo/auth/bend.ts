/**
 * Around oidc-provider: what a request must look like before it sees it, and what its answers must look like
 * to be a Cells server's (the texts are in dialect.ts).
 */
import { IncomingMessage } from 'node:http'
import type { KoaContextWithOIDC, Provider } from 'oidc-provider'
import {
  clientRefused, discoveryDocument, errorQuery, foreignScope, MIN_STATE, noResponseType, NO_ROUTE, SCOPES, tokenError, unauthorized, unknownClient, weakState,
  withQuery, wrongRedirect,
} from './dialect.js'
import { readBody } from './http.js'
import { signIdToken, type SigningKey } from './keys.js'
import { escapeHtml } from './pages.js'
import { nowS } from './store.js'
import type { AuthOptions } from './types.js'
import type { Users } from './users.js'

interface BendDeps {
  readonly users: Users
  readonly options: AuthOptions
  readonly signing: SigningKey
  readonly provider: Provider
}

/** What oidc-provider decides differently from a Cells server, before and after it. */
export async function bend({ users, options, signing, provider }: BendDeps, ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> {
  const url = options.publicUrl()
  switch (ctx.path) {
    case '/.well-known/openid-configuration':
      ctx.body = discoveryDocument(url)
      return
    case '/oauth2/auth': {
      const refusal = await refuse(provider, url, ctx.query)
      if (refusal === undefined) await next()
      if (ctx.method !== 'GET') return
      // The challenge in the address is all the state there is; iss (RFC 9207) is newer than Cells.
      ctx.remove('Set-Cookie')
      const target = refusal ?? withoutIssuer(ctx.response.get('Location'))
      ctx.redirect(target)
      ctx.status = 302
      ctx.body = target.startsWith(`${url}/oauth2/`) ? `<a href="${escapeHtml(target)}">Found</a>.\n\n` : ''
      return
    }
    case '/oauth2/token': {
      if (ctx.method === 'GET') { ctx.set('Allow', 'POST, OPTIONS'); ctx.status = 405; return }
      await next()
      if (ctx.method !== 'POST') return
      const body = ctx.body as Record<string, unknown>
      if (typeof body['error'] === 'string') {
        const error = tokenError(body['error'], String(ctx.state['reason'] ?? ''), formOf(ctx.req), options.serverVersion >= 5 ? 'invalid_grant' : 'invalid_request')
        ctx.status = error.status_code
        ctx.body = error
        return
      }
      body['token_type'] = 'bearer'
      const { AccessToken: access, AuthorizationCode: code, RefreshToken: refresh } = ctx.oidc.entities
      const user = users.byUuid(access?.accountId ?? '')?.user
      const source = code ?? refresh
      // The package has no hook for `rat`, `jti`, the list in `aud` or the ever empty `nonce`.
      if (body['id_token'] !== undefined && access !== undefined && user !== undefined) {
        body['id_token'] = signIdToken(signing, {
          issuer: provider.issuer, user, clientId: access.clientId ?? '', accessToken: String(body['access_token']),
          sid: access.sid ?? '', authTime: source?.authTime ?? nowS(),
        })
      }
      return
    }
    case '/oauth2/revoke':
      // Hydra says yes to a request without a token, and knows one reason only for a no.
      if (ctx.method === 'POST' && formOf(ctx.req).get('token') === null) { ctx.status = 200; ctx.body = ''; return }
      await next()
      if (ctx.method === 'POST' && ctx.status !== 200) { ctx.status = 401; ctx.body = clientRefused() }
      return
    case '/userinfo':
      await next()
      if (ctx.status === 401 || ctx.status === 400) {
        ctx.status = 401
        ctx.remove('WWW-Authenticate')
        ctx.body = unauthorized()
      }
      return
    default:
      await next()
      if (ctx.status === 404 && ctx.body == null) {
        ctx.status = 404
        ctx.body = NO_ROUTE
      }
  }
}

const withoutIssuer = (location: string): string => location.replace(/([?&#])iss=[^&]*(&|$)/, '$1').replace(/[?&#]$/, '')

/** The checks of the authorization request that oidc-provider does not make or reports elsewhere; the address to go to if one fails. */
async function refuse(provider: Provider, url: string, query: KoaContextWithOIDC['query']): Promise<string | undefined> {
  const first = (name: string): string => { const value = query[name]; return (Array.isArray(value) ? value[0] : value) ?? '' }
  const fallback = `${url}/oauth2/fallbacks/error`
  const client = await provider.Client.find(first('client_id'))
  if (client === undefined) return withQuery(fallback, errorQuery(unknownClient(), false))
  const redirect = first('redirect_uri')
  if (!client.redirectUriAllowed(redirect)) return withQuery(fallback, errorQuery(wrongRedirect(), false))
  if (first('response_type') === '') return withQuery(redirect, errorQuery(noResponseType(), true))
  if (first('state').length < MIN_STATE) return withQuery(redirect, errorQuery(weakState(), true))
  const foreign = first('scope').split(' ').find((scope) => scope !== '' && !SCOPES.includes(scope))
  if (foreign !== undefined) return withQuery(redirect, errorQuery(foreignScope(foreign), true))
  return undefined
}

/** The form fields of a rewritten request. */
const forms = new WeakMap<IncomingMessage, URLSearchParams>()
const formOf = (req: IncomingMessage): URLSearchParams => forms.get(req) ?? new URLSearchParams()

/**
 * The request as oidc-provider should see it: below its mount point, without PKCE (a Cells server accepts
 * the parameters and does not enforce them, not even a wrong verifier), and a public client that
 * came by HTTP Basic with an empty secret named in the form instead. undefined: not a route below `/oidc/`.
 */
export async function rewrite(req: IncomingMessage): Promise<IncomingMessage | undefined> {
  const original = new URL(req.url ?? '/', 'http://localhost')
  if (!original.pathname.startsWith('/oidc/')) return undefined
  original.searchParams.delete('code_challenge')
  original.searchParams.delete('code_challenge_method')
  const inner = new IncomingMessage(req.socket)
  inner.method = req.method
  inner.headers = { ...req.headers }
  inner.httpVersion = req.httpVersion
  inner.url = original.pathname.slice('/oidc'.length) + original.search
  Object.assign(inner, { originalUrl: original.pathname + original.search })

  let body = await readBody(req)
  if (inner.method === 'POST' && (req.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded')) {
    const form = new URLSearchParams(body.toString('utf8'))
    form.delete('code_verifier')
    const basic = /^Basic (.+)$/i.exec(req.headers.authorization ?? '')?.[1]
    const [clientId, secret] = Buffer.from(basic ?? '', 'base64').toString('utf8').split(':')
    if (clientId !== undefined && clientId !== '' && secret === '') {
      delete inner.headers.authorization
      if (!form.has('client_id')) form.set('client_id', decodeURIComponent(clientId))
    }
    body = Buffer.from(form.toString())
    forms.set(inner, form)
  }
  delete inner.headers['transfer-encoding']
  if (body.length > 0) inner.headers['content-length'] = String(body.length)
  // Without `complete` Node takes the copy for a request that was cut off, and ends the socket under the answer.
  inner.complete = true
  inner.push(body)
  inner.push(null)
  return inner
}
