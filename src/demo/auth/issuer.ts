/**
 * OIDC through the oidc-provider package: `/oidc/*`. The package checks requests, keeps grants,
 * rotates and revokes tokens; a middleware around it (dialect.ts has the texts) bends what a Cells
 * server does differently. Loaded on first use, because it takes a third of a second.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type * as OidcProvider from 'oidc-provider'
import type { Configuration, KoaContextWithOIDC, Provider } from 'oidc-provider'
import { createAdapters } from './adapter.js'
import { bend, rewrite } from './bend.js'
import { errorQuery, NO_ROUTE, oauthError, SCOPES, withQuery } from './dialect.js'
import { sendText } from './http.js'
import { openSigningKey, signIdToken, type SigningKey } from './keys.js'
import { nowS, type AuthStore } from './store.js'
import type { AuthOptions, DemoUser } from './types.js'
import type { Users } from './users.js'

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
  provider.use((ctx, next) => bend({ ...deps, signing, provider }, ctx as unknown as KoaContextWithOIDC, next))
  const answer = provider.callback()

  return {
    async handle(req, res) {
      const inner = await rewrite(req)
      if (inner === undefined) return sendText(res, 404, NO_ROUTE)
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
        redirectUri: params['redirect_uri'], scope, authTime: nowS(), sid: randomUUID(),
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

