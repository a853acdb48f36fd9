/**
 * Where Cells' OAuth server (ORY Hydra) speaks differently from oidc-provider: pure functions from one
 * to the other. Every text is the recorded one (contract, section 1 and 01-auth.json), because clients show
 * them and some parse them.
 */

/** `offline`, not the standard's `offline_access`, is what gives a refresh token. */
export const SCOPES = ['openid', 'email', 'profile', 'pydio', 'offline']

/** Body of a 404 below `/oidc`. */
export const NO_ROUTE = '{"error": "Error 404 - The requested route does not exist. Make sure you are using the right path, domain, and port."}'

/** The body of every OAuth error on a Cells server. */
export interface OAuthError {
  readonly error: string
  readonly error_description: string
  readonly error_hint?: string
  readonly status_code: number
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  invalid_request: 'The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed',
  invalid_grant: 'The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client',
  invalid_client: 'Client authentication failed (e.g., unknown client, no client authentication included, or unsupported authentication method)',
  invalid_state: 'The state is missing or has less than 8 characters and is therefore considered too weak',
  invalid_scope: 'The requested scope is invalid, unknown, or malformed',
  unsupported_response_type: 'The authorization server does not support obtaining a token using this method',
  login_required: 'The Authorization Server requires End-User authentication',
  request_unauthorized: 'The request could not be authorized',
}

const HINTS = {
  generic: 'Make sure that the various parameters are correct, be aware of case sensitivity and trim your parameters. Make sure that the client you are using has exactly whitelisted the redirect_uri you specified.',
  codeUsed: 'The authorization code has already been used.',
  codeRedirect: 'The "redirect_uri" from this request does not match the one from the authorize request.',
  otherClient: 'The OAuth 2.0 Client ID from this request does not match the ID during the initial token issuance.',
  noClient: 'Client credentials missing or malformed in both HTTP Authorization header and HTTP POST body.',
  unknownClient: 'The requested OAuth 2.0 Client does not exist.',
  redirect: 'The "redirect_uri" parameter does not match any of the OAuth 2.0 Client\'s pre-registered redirect urls.',
  noResponseType: 'The request is missing the "response_type"" parameter.',
  noGrantType: 'Request parameter "grant_type"" is missing',
  emptyBody: 'The POST body can not be empty.',
  credentials: 'Check that you provided valid credentials in the right format.',
  state: 'Request parameter "state" must be at least be 8 characters long to ensure sufficient entropy.',
}

/** @param hint '' for none */
export function oauthError(error: string, hint: string = HINTS.generic, status = 400): OAuthError {
  return { error, error_description: DESCRIPTIONS[error] ?? error, ...(hint === '' ? {} : { error_hint: hint }), status_code: status }
}

/** `state` of fewer characters is refused. */
export const MIN_STATE = 8
export const unknownClient = (): OAuthError => oauthError('invalid_client', HINTS.unknownClient, 401)
export const wrongRedirect = (): OAuthError => oauthError('invalid_request', HINTS.redirect)
export const weakState = (): OAuthError => oauthError('invalid_state', HINTS.state)
export const noResponseType = (): OAuthError => oauthError('unsupported_response_type', HINTS.noResponseType)
export const clientRefused = (): OAuthError => oauthError('invalid_client', '', 401)
export const unauthorized = (): Record<string, unknown> =>
  ({ ...oauthError('request_unauthorized', HINTS.credentials, 401), error_debug: ': not_found', request_id: '' })
export const foreignScope = (scope: string): OAuthError => oauthError('invalid_scope', `The OAuth 2.0 Client is not allowed to request scope "${scope}".`)

/**
 * The token endpoint's error for what oidc-provider found wrong.
 *
 * @param detail oidc-provider's inner reason (`error_detail`), which it never sends
 * @param form the request
 * @param unusableRefresh what an unusable refresh token is called: `invalid_request` on 2.x
 */
export function tokenError(error: string, detail: string, form: URLSearchParams, unusableRefresh: string): OAuthError {
  const grantType = form.get('grant_type')
  if ([...form].length === 0) return oauthError('invalid_request', HINTS.emptyBody)
  if (grantType === null) return oauthError('invalid_request', HINTS.noGrantType)
  if (detail.startsWith('authorization code already consumed')) return oauthError('invalid_grant', HINTS.codeUsed)
  if (detail.startsWith('authorization code redirect_uri mismatch')) return oauthError('invalid_request', HINTS.codeRedirect)
  if (detail.startsWith('client mismatch')) return oauthError('invalid_request', HINTS.otherClient)
  if (detail.startsWith('no client authentication mechanism')) return oauthError('invalid_request', HINTS.noClient)
  if (error === 'invalid_client') return clientRefused()
  if (grantType === 'client_credentials') return oauthError('invalid_grant', `The OAuth 2.0 Client is not allowed to use authorization grant "${grantType}".`)
  if (grantType === 'authorization_code') return oauthError('invalid_grant', '')
  if (grantType === 'refresh_token' && error === 'invalid_grant') return oauthError(unusableRefresh)
  return oauthError(error === 'unsupported_grant_type' ? 'invalid_request' : error)
}

/** Query parameters of an error that is sent through a redirect; `state` comes back empty, as recorded. */
export function errorQuery({ error, error_description, error_hint }: OAuthError, withState: boolean): string {
  return new URLSearchParams({ error, error_description, ...(error_hint === undefined ? {} : { error_hint }), ...(withState ? { state: '' } : {}) }).toString()
}

export function withQuery(uri: string, query: string): string {
  return uri + (uri.includes('?') ? '&' : '?') + query
}

/** The discovery document, as recorded: the relative `userinfo_endpoint` is the server's own mistake (`/oidc/userinfo` is right). */
export function discoveryDocument(url: string): Record<string, unknown> {
  return {
    issuer: `${url}/oidc/`,
    authorization_endpoint: `${url}/oidc/oauth2/auth`,
    registration_endpoint: url,
    token_endpoint: `${url}/oidc/oauth2/token`,
    jwks_uri: `${url}/oidc/.well-known/jwks.json`,
    subject_types_supported: ['public'],
    response_types_supported: ['code', 'code id_token', 'id_token', 'token id_token', 'token', 'token id_token code'],
    claims_supported: [],
    grant_types_supported: ['authorization_code', 'implicit', 'client_credentials', 'refresh_token'],
    response_modes_supported: ['query', 'fragment'],
    userinfo_endpoint: '/oauth2/userinfo',
    scopes_supported: [],
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic', 'private_key_jwt', 'none'],
    userinfo_signing_alg_values_supported: ['none', 'RS256'],
    id_token_signing_alg_values_supported: ['RS256'],
    request_parameter_supported: true,
    request_uri_parameter_supported: true,
    require_request_uri_registration: true,
    claims_parameter_supported: false,
    revocation_endpoint: `${url}/oidc/oauth2/revoke`,
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
    frontchannel_logout_supported: true,
    frontchannel_logout_session_supported: true,
    end_session_endpoint: `${url}/oidc/oauth2/sessions/logout`,
  }
}
