/**
 * OIDC through the oidc-provider package: `/oidc/*`. The package checks requests, keeps grants,
 * rotates and revokes tokens; a middleware around it (dialect.ts has the texts) bends what a Cells
 * server does differently. Loaded on first use, because it takes a third of a second.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { IncomingMessage, type ServerResponse } from 'node:http'
import type * as OidcProvider from 'oidc-provider'
import type { Configuration, KoaContextWithOIDC, Provider } from 'oidc-provider'
import { createAdapters } from './adapter.js'
import { discoveryDocument, errorQuery, foreignScope, MIN_STATE, oauthError, tokenError, unknownClient, weakState, withQuery, wrongRedirect } from './dialect.js'
import { readBody, sendText } from './http.js'
import { openSigningKey, signIdToken, type SigningKey } from './keys.js'
import { nowS, type AuthStore } from './store.js'
import type { AuthOptions, DemoUser } from './types.js'
import type { Users } from './users.js'

const SCOPES = ['openid', 'email', 'profile', 'pydio', 'offline']
/** The web front end's own client: its tokens come from the session call and never leave through OAuth. */
const FRONT_CLIENT = 'cells-frontend'
const CHALLENGE = 'challenge:'
const YEAR_S = 365 * 86_400

export interface FrontTokens {
  readonly accessToken: string
  readonly idToken: string
  readonly grantId: string
  readonly sid: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

export interface Issuer {
  /** Answers a request below `/oidc`. */
  handle(req: IncomingMessage, res: ServerResponse): Promise<void>
  /** Where to send the browser with its code, and the challenge is used up; undefined for an unknown or used challenge. */
  acceptChallenge(challenge: string, user: DemoUser): Promise<string | undefined>
  /** New tokens of the web front end; with `grant` in place of that sign-in's earlier ones, which die. */
  frontTokens(user: DemoUser, grant?: { grantId: string; sid: string }): Promise<FrontTokens>
}

interface Deps {
  readonly store: AuthStore
  readonly users: Users
  readonly options: AuthOptions
}

export async function createIssuer(deps: Deps): Promise<Issuer> {
  const { store, options } = deps
  const url = options.publicUrl()
  const signing = await openSigningKey(store)
  const { Provider } = await importQuietly()
  const provider = new Provider(`${url}/oidc/`, configuration(deps, url, signing))
  dotTokens(provider)
  provider.on('grant.error', (ctx, error) => { ctx.state['reason'] = error.error_detail ?? error.error_description ?? '' })
  provider.on('server_error', (_ctx, error) => options.logger.error('oidc', { error }))
  const koa: NodeJS.EventEmitter = provider
  koa.on('error', (error: unknown) => options.logger.error('oidc', { error }))
  provider.use((ctx, next) => bend(deps, signing, provider, ctx as unknown as KoaContextWithOIDC, next))
  const answer = provider.callback()

  return {
    async handle(req, res) {
      const inner = await rewrite(req)
      if (inner === undefined) return sendText(res, 404, JSON.stringify({ error: NO_ROUTE }))
      await answer(inner, res)
    },
    async acceptChallenge(challenge, user) {
      const interactionId = store.get<string>(CHALLENGE + challenge)
      const interaction = interactionId === undefined ? undefined : await provider.Interaction.find(interactionId)
      if (interaction === undefined) return undefined
      const params = interaction.params as Partial<Record<string, string>>
      const client = await provider.Client.find(params['client_id'] ?? '')
      if (client === undefined) return undefined
      store.remove(CHALLENGE + challenge)
      await interaction.destroy()
      // oidc-provider would resume through cookies; a Cells server hands out the code right here and needs none.
      const scope = params['scope'] ?? ''
      const code = new provider.AuthorizationCode({
        client, accountId: user.uuid, grantId: await newGrant(provider, user, client.clientId, scope), gty: 'authorization_code',
        redirectUri: params['redirect_uri'], scope, nonce: params['nonce'], authTime: nowS(), sid: randomUUID(),
      })
      const query = new URLSearchParams({ code: await code.save() })
      if (params['state'] !== undefined) query.set('state', params['state'])
      return withQuery(params['redirect_uri'] ?? '', query.toString())
    },
    async frontTokens(user, grant) {
      const client = await provider.Client.find(FRONT_CLIENT)
      const scope = SCOPES.join(' ')
      const grantId = grant?.grantId ?? await newGrant(provider, user, FRONT_CLIENT, scope)
      const sid = grant?.sid ?? randomUUID()
      const token = new provider.AccessToken({ client: client!, accountId: user.uuid, grantId, gty: 'session', scope, sid })
      const accessToken = await token.save()
      const idToken = signIdToken(signing, { issuer: provider.issuer, user, clientId: FRONT_CLIENT, accessToken, sid, authTime: nowS() })
      return { accessToken, idToken, grantId, sid, expiresAt: nowS() + token.expiration }
    },
  }
}

const NO_ROUTE = 'Error 404 - The requested route does not exist. Make sure you are using the right path, domain, and port.'

/** Two random parts and a dot is what tokens look like on a real server; they travel as S3 access keys too. */
function dotTokens(provider: Provider): void {
  for (const { prototype } of [provider.AccessToken, provider.RefreshToken, provider.AuthorizationCode] as Array<{ prototype: { generateTokenId?: () => string } }>) {
    const generate = prototype.generateTokenId
    prototype.generateTokenId = function (this: unknown) {
      const id = generate!.call(this)
      return `${id.slice(0, id.length / 2)}.${id.slice(id.length / 2)}`
    }
  }
}

async function newGrant(provider: Provider, user: DemoUser, clientId: string, scope: string): Promise<string> {
  const grant = new provider.Grant({ accountId: user.uuid, clientId })
  grant.addOIDCScope(scope)
  return grant.save()
}

function configuration({ store, users, options }: Deps, url: string, { jwk }: SigningKey): Configuration {
  const publicClient = { token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] } as const
  const refreshTtl = options.refreshTokenTtlS ?? (options.serverVersion === 2 ? 3600 : 60 * 86_400)
  return {
    adapter: createAdapters(store),
    jwks: { keys: [jwk] },
    clients: [
      { client_id: 'cells-client', redirect_uris: ['http://localhost:3000/servers/callback', `${url}/oauth2/oob`], ...publicClient },
      { client_id: 'cells-sync', redirect_uris: syncRedirects(), ...publicClient },
      { client_id: FRONT_CLIENT, redirect_uris: [], token_endpoint_auth_method: 'none', grant_types: ['refresh_token'], response_types: [] },
    ],
    scopes: SCOPES,
    claims: { openid: ['sub', 'name', 'email', 'sid'] },
    findAccount: (_ctx, id, token) => {
      const known = users.byUuid(id)
      if (known === undefined || known.removed) return undefined
      const { user } = known
      return { accountId: id, claims: () => ({ sub: id, name: user.login, email: user.email, sid: (token as { sid?: string } | undefined)?.sid }) }
    },
    // `offline`, not the standard's `offline_access` (contract, section 1).
    issueRefreshToken: (_ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline'),
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    formats: { bitsOfOpaqueRandomness: 512 },
    clientBasedCORS: () => true,
    pkce: { required: () => false },
    routes: { authorization: '/oauth2/auth', token: '/oauth2/token', revocation: '/oauth2/revoke', jwks: '/.well-known/jwks.json', userinfo: '/userinfo' },
    ttl: { AccessToken: options.accessTokenTtlS ?? 600, RefreshToken: refreshTtl, AuthorizationCode: 600, IdToken: 3600, Interaction: 3600, Grant: YEAR_S, Session: 3600 },
    features: {
      devInteractions: { enabled: false },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      rpInitiatedLogout: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      resourceIndicators: { enabled: false },
      dPoP: { enabled: false },
    },
    interactions: {
      url: (_ctx, interaction) => {
        const challenge = randomBytes(16).toString('hex')
        store.put(CHALLENGE + challenge, interaction.uid, interaction.exp)
        return `${url}/oauth2/login?login_challenge=${challenge}`
      },
    },
    // Errors that may not go to the redirect_uri end on a page of the server.
    renderError: (ctx, out) => {
      ctx.redirect(`${url}/oauth2/fallbacks/error?${errorQuery(oauthError(out.error, out.error_description), false)}`)
    },
  }
}

/** newer-servers.md 3.1: port 3000 and every port from 3636 to 3666. */
function syncRedirects(): string[] {
  const ports = [3000, ...Array.from({ length: 3666 - 3636 + 1 }, (_, i) => 3636 + i)]
  return ports.map((port) => `http://localhost:${port}/servers/callback`)
}

/** What oidc-provider decides differently from a Cells server, before and after it. */
async function bend({ users, options }: Deps, signing: SigningKey, provider: Provider, ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> {
  const url = options.publicUrl()
  switch (ctx.path) {
    case '/.well-known/openid-configuration':
      ctx.body = discoveryDocument(url)
      return
    case '/oauth2/auth': {
      const refusal = await refuse(provider, url, ctx.query)
      if (refusal !== undefined) return ctx.redirect(refusal)
      await next()
      if (ctx.status === 303) ctx.status = 302
      // The challenge in the address is all the state there is; iss (RFC 9207) is newer than Cells.
      ctx.remove('Set-Cookie')
      const location = ctx.response.get('Location')
      if (/[?&]iss=/.test(location)) ctx.set('Location', location.replace(/([?&])iss=[^&]*(&|$)/, '$1').replace(/[?&]$/, ''))
      return
    }
    case '/oauth2/token': {
      await next()
      const body = ctx.body as Record<string, unknown>
      const asked = ctx.oidc.params?.['grant_type']
      const grantType = typeof asked === 'string' ? asked : ''
      if (typeof body['error'] === 'string') {
        const error = tokenError(body['error'], String(ctx.state['reason'] ?? ''), grantType, options.serverVersion >= 5 ? 'invalid_grant' : 'invalid_request')
        ctx.status = error.status_code
        ctx.body = error
        return
      }
      body['token_type'] = 'bearer'
      const { AccessToken: access, AuthorizationCode: code, RefreshToken: refresh } = ctx.oidc.entities
      const user = users.byUuid(access?.accountId ?? '')?.user
      const source = code ?? refresh
      // The package has no hook for `rat`, `jti`, the list in `aud` or the empty `nonce`.
      if (body['id_token'] !== undefined && access !== undefined && user !== undefined) {
        body['id_token'] = signIdToken(signing, {
          issuer: provider.issuer, user, clientId: access.clientId ?? '', accessToken: String(body['access_token']),
          sid: access.sid ?? '', authTime: source?.authTime ?? nowS(), nonce: source?.nonce,
        })
      }
      return
    }
    default:
      await next()
      if (ctx.status === 404 && ctx.body == null) {
        ctx.status = 404
        ctx.body = JSON.stringify({ error: NO_ROUTE })
      }
  }
}

/** The checks of the authorization request that oidc-provider does not make or reports elsewhere; the address to go to if one fails. */
async function refuse(provider: Provider, url: string, query: KoaContextWithOIDC['query']): Promise<string | undefined> {
  const first = (name: string): string => { const value = query[name]; return (Array.isArray(value) ? value[0] : value) ?? '' }
  const fallback = `${url}/oauth2/fallbacks/error`
  const client = await provider.Client.find(first('client_id'))
  if (client === undefined) return withQuery(fallback, errorQuery(unknownClient(), false))
  const redirect = first('redirect_uri')
  if (!client.redirectUriAllowed(redirect)) return withQuery(fallback, errorQuery(wrongRedirect(), false))
  if (first('state').length < MIN_STATE) return withQuery(redirect, errorQuery(weakState(), true))
  const foreign = first('scope').split(' ').find((scope) => scope !== '' && !SCOPES.includes(scope))
  if (foreign !== undefined) return withQuery(redirect, errorQuery(foreignScope(foreign), true))
  return undefined
}

/**
 * The request as oidc-provider should see it: below its mount point, without PKCE (a Cells server accepts
 * the parameters and does not enforce them, not even a wrong verifier), and a public client that
 * came by HTTP Basic with an empty secret named in the form instead. undefined: not a route below `/oidc/`.
 */
async function rewrite(req: IncomingMessage): Promise<IncomingMessage | undefined> {
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
  }
  delete inner.headers['transfer-encoding']
  if (body.length > 0) inner.headers['content-length'] = String(body.length)
  // Without `complete` Node takes the copy for a request that was cut off, and ends the socket under the answer.
  inner.complete = true
  inner.push(body)
  inner.push(null)
  return inner
}

/** oidc-provider warns about Node 20 at import, on the console, where it would end up in the user's terminal. It works there; our tests run on it. */
async function importQuietly(): Promise<typeof OidcProvider> {
  const warn = console.warn
  console.warn = (...args: unknown[]) => {
    if (!String(args[0]).includes('Unsupported runtime')) warn(...args)
  }
  try {
    return await import('oidc-provider')
  } finally {
    console.warn = warn
  }
}

