/**
 * OAuth 2 against a Cells server, through openid-client: authorization code with PKCE and state, and
 * refresh (cec-reference 3.2, contract section 1).
 *
 * Peculiarities this file knows, all of a real 2.x server:
 *   - the endpoints stand in /oidc/.well-known/openid-configuration; the origin there may be another name of the same site. Only
 *     its paths are used: a token goes to the host that the user has named and to no other.
 *   - the id_token is taken out of the answer before openid-client sees it. The identity is asked for
 *     with the access token (whoami.ts), so a clock that is wrong or an issuer under another name must not stop the sign-in.
 *   - a refused refresh token is 400 `invalid_request`, not `invalid_grant`.
 */
import * as client from 'openid-client'
import type { Dispatcher } from 'undici'
import { AuthError } from './errors.js'
import { undici } from '../undici.js'
import { AUTH_TIMEOUT_MS, busy, call, createDispatcher, networkError, notCells, type Reach } from './http.js'
import type { OAuthTokens } from './store.js'
import { parseObject } from './whoami.js'

export const CLIENT_ID = 'cells-client'
const SCOPE = 'openid email profile pydio offline'
/** Registered on every server; nothing else is accepted. */
export const BROWSER_REDIRECT = 'http://localhost:3000/servers/callback'
export const pasteRedirect = (url: string): string => `${url}/oauth2/oob`

export interface Grant extends OAuthTokens {
  /** Seconds. */
  readonly lifetime: number
}

/** A sign-in under way. */
export interface Attempt {
  readonly authorizationUrl: string
  readonly redirectUri: string
  readonly state: string
  readonly verifier: string | undefined
}

/** The authorization server would not exchange the code because of PKCE: the flow may be repeated without. */
export class PkceRefused extends AuthError {}

async function configure(reach: Reach, dispatcher: Dispatcher): Promise<client.Configuration> {
  const answer = await call(reach, '/oidc/.well-known/openid-configuration')
  const trouble = busy(reach, answer)
  if (trouble !== undefined) throw trouble
  const document = answer.status === 200 && /json/i.test(answer.contentType) ? parseObject(answer.text) : {}
  if (typeof document['issuer'] !== 'string') throw notCells(reach, answer)
  const here = (name: string, otherwise: string): string => {
    const value = document[name]
    return reach.url + (typeof value === 'string' && URL.canParse(value) ? new URL(value).pathname : otherwise)
  }
  const config = new client.Configuration({
    issuer: document['issuer'],
    authorization_endpoint: here('authorization_endpoint', '/oidc/oauth2/auth'),
    token_endpoint: here('token_endpoint', '/oidc/oauth2/token'),
  }, CLIENT_ID, {}, client.None())
  config.timeout = AUTH_TIMEOUT_MS / 1000
  config[client.customFetch] = (url, options) => fetchTokens(reach, dispatcher, url, options)
  // The user has typed http://; the caller has warned unless it is this machine.
  if (reach.url.startsWith('http:')) client.allowInsecureRequests(config)
  return config
}

async function fetchTokens(reach: Reach, dispatcher: Dispatcher, url: string, options: client.CustomFetchOptions): Promise<Response> {
  let status: number
  let contentType: string
  let text: string
  try {
    const response = await undici().fetch(url, { ...(options as object), headers: { ...reach.customHeaders, ...options.headers }, dispatcher })
    status = response.status
    contentType = response.headers.get('content-type') ?? ''
    text = await response.text()
  } catch (error) {
    throw networkError(error, reach.url)
  }
  const trouble = busy(reach, { status, contentType, text })
  if (trouble !== undefined) throw trouble
  if (!/json/i.test(contentType)) throw notCells(reach, { status, contentType, text })
  const body = parseObject(text)
  delete body['id_token']
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } })
}

/** Runs `work` with the server's OAuth configuration; our own errors come back out of openid-client's wrapping. */
async function withConfiguration<T>(reach: Reach, work: (config: client.Configuration) => Promise<T>): Promise<T> {
  const dispatcher = createDispatcher(reach)
  try {
    return await work(await configure(reach, dispatcher))
  } catch (error) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) if (cause instanceof AuthError) throw cause
    // Neither a grant nor an OAuth error: an answer that openid-client could not make sense of.
    throw new AuthError('not-cells', `${new URL(reach.url).host} answers the sign-in in a way that cannot be understood`, { cause: error })
  } finally {
    await dispatcher.destroy()
  }
}

function toGrant(answer: client.TokenEndpointResponse, reach: Reach, oldRefreshToken = ''): Grant {
  const lifetime = answer.expires_in ?? 600
  if (answer.access_token === '') throw notCells(reach)
  return {
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token ?? oldRefreshToken,
    lifetime,
    expiresAt: Math.floor(Date.now() / 1000) + lifetime,
  }
}

/** Where to send the user, and what to check when they come back. */
export async function beginSignIn(reach: Reach, redirectUri: string, options: { pkce: boolean }): Promise<Attempt> {
  return await withConfiguration(reach, async (config) => {
    const state = client.randomState()
    const verifier = options.pkce ? client.randomPKCECodeVerifier() : undefined
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: SCOPE,
      state,
      ...(verifier === undefined ? {} : { code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' }),
    })
    return { authorizationUrl: url.href, redirectUri, state, verifier }
  })
}

/** What a server says in error_description and error_hint, cut short: it ends up in a sentence for a person. */
function wordsOf(error: client.ResponseBodyError): string {
  const hint = error.cause['error_hint']
  return (typeof hint === 'string' && hint !== '' ? hint : (error.error_description ?? error.error)).replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, 200)
}

/**
 * Exchanges the code. `callback` is the redirect URI with the query the server gave, or what a person has
 * pasted: the bare code, or that whole address.
 *
 * @throws AuthError `invalid` for a wrong state, an error in the callback or a refused code; PkceRefused
 */
export async function finishSignIn(reach: Reach, attempt: Attempt, callback: string): Promise<Grant> {
  const url = callbackUrl(attempt, callback)
  const failure = url.searchParams.get('error')
  const state = url.searchParams.get('state')
  // A real server returns some refusals with an empty state; a refusal gives nothing away and grants nothing.
  if (state !== attempt.state && !(failure !== null && state === '')) throw new AuthError('invalid', 'the answer does not belong to this sign-in (wrong state); start again')
  if (failure !== null) throw new AuthError('invalid', `the server refuses the sign-in: ${(url.searchParams.get('error_description') ?? failure).slice(0, 200)}`)
  if ((url.searchParams.get('code') ?? '') === '') throw new AuthError('invalid', 'the answer of the sign-in holds no code; start again')
  // The answer's `iss` may be another name of this site (see above).
  url.searchParams.delete('iss')
  return await withConfiguration(reach, async (config) => {
    try {
      const answer = await client.authorizationCodeGrant(config, url, {
        expectedState: attempt.state,
        ...(attempt.verifier === undefined ? {} : { pkceCodeVerifier: attempt.verifier }),
      })
      return toGrant(answer, reach)
    } catch (error) {
      if (!(error instanceof client.ResponseBodyError)) throw error
      const words = wordsOf(error)
      const everything = JSON.stringify(error.cause)
      if (attempt.verifier !== undefined && error.error === 'invalid_grant' && /pkce|code[ _]?(verifier|challenge)/i.test(everything)) {
        throw new PkceRefused('invalid', `the server refuses PKCE: ${words}`, { status: error.status, cause: error })
      }
      throw new AuthError('invalid', `the server refuses the code: ${words}`, { status: error.status, cause: error })
    }
  })
}

function callbackUrl(attempt: Attempt, callback: string): URL {
  const text = callback.trim()
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return new URL(text)
  const url = new URL(attempt.redirectUri)
  if (text.startsWith('?') || /(^|&)code=/.test(text)) url.search = text
  else url.searchParams.set('code', text)
  // A bare code was pasted by the person who asked for it; it has no state to compare.
  if (!url.searchParams.has('state')) url.searchParams.set('state', attempt.state)
  return url
}

/**
 * A new pair for a refresh token. The old pair is dead from the moment the server answers, so this takes no AbortSignal:
 * an answer must never be dropped because somebody no longer waits for it.
 *
 * @throws AuthError `login-needed` when the server refuses the token; `unavailable`, `network`, `timeout`, `tls`, `not-cells` when it may still be good
 */
export async function refreshTokens(reach: Reach, refreshToken: string): Promise<Grant> {
  return await withConfiguration(reach, async (config) => {
    try {
      return toGrant(await client.refreshTokenGrant(config, refreshToken, { scope: SCOPE }), reach, refreshToken)
    } catch (error) {
      if (!(error instanceof client.ResponseBodyError)) throw error
      throw new AuthError('login-needed', `the server refuses the stored sign-in (${error.error})`, { status: error.status, cause: error })
    }
  })
}
