/**
 * Signing in, with or without a person to ask: what `config add`, `config relog` and `cellsfs mount` share
 * (cec-reference 3.2, 5.1). Knows no terminal: questions go through a Prompter, lines through `say`.
 */
import { silentLogger, type Logger } from '../log.js'
import { openBrowser } from './browser.js'
import { listenForCallback } from './callback.js'
import { AuthError } from './errors.js'
import { BLANK_ACCOUNT, type Account, type AuthType } from './goconfig.js'
import type { Reach } from './http.js'
import { beginSignIn, BROWSER_REDIRECT, finishSignIn, pasteRedirect, PkceRefused, type Grant } from './oauth.js'
import type { AccountStore } from './store.js'
import { cleanUrl, isLoopback } from './url.js'
import { logIn, whoami } from './whoami.js'

/** How a person is asked. Rejects when there is nobody or when they press Ctrl-C. */
export interface Prompter {
  text(message: string, options?: { default?: string; check?: (text: string) => string | undefined }): Promise<string>
  secret(message: string): Promise<string>
  choose<T extends string>(message: string, choices: readonly { name: string; value: T }[], current?: T): Promise<T>
  /** y/N. */
  confirm(message: string): Promise<boolean>
}

export interface SignInContext {
  readonly store: AccountStore
  readonly prompter: Prompter
  /** A line for the person, not a result. */
  readonly say: (line: string) => void
  readonly logger?: Logger
  readonly signal?: AbortSignal
  readonly open?: (url: string) => Promise<boolean>
  /** How long the browser may take. */
  readonly callbackTimeoutMs?: number
  /** Where the browser comes back to; the registered address unless a test says otherwise. */
  readonly browserRedirect?: string
}

/** What is known before anybody is asked: flags, or the account to be renewed. */
export interface Known {
  readonly url: string
  readonly token: string
  readonly idToken: string
  readonly login: string
  readonly password: string
  readonly skipVerify: boolean
  readonly skipKeyring: boolean
}

export const METHODS: readonly { name: string; value: AuthType }[] = [
  { name: 'Sign in with the browser (OAuth2)', value: 'oauth2' },
  { name: 'Personal access token', value: 'pat' },
  { name: 'Login and password', value: 'session' },
]

const CALLBACK_TIMEOUT_MS = 10 * 60_000

const notBlank = (text: string): string | undefined => (text.trim() === '' ? 'Please give a value' : undefined)

function checkUrl(text: string): string | undefined {
  try {
    cleanUrl(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

async function askReach(context: SignInContext, known: Known): Promise<Reach> {
  const typed = await context.prompter.text('Server URL', { check: checkUrl, ...(known.url === '' ? {} : { default: known.url }) })
  const url = cleanUrl(typed)
  if (!url.startsWith('https:')) return { url, skipVerify: known.skipVerify }
  const skip = await context.prompter.choose('Skip the verification of TLS certificates? (not recommended)', [
    { name: 'No', value: 'no' },
    { name: 'Yes', value: 'yes' },
  ], known.skipVerify ? 'yes' : 'no')
  return { url, skipVerify: skip === 'yes' }
}

function warnOfClearText(context: SignInContext, url: string): void {
  if (url.startsWith('http:') && !isLoopback(url)) (context.logger ?? silentLogger).warn(`${url} is not encrypted: your sign-in can be read on the way`)
}

/**
 * Signs in by `method`, asking for what is not known, has the server confirm it, and saves the account as the active one.
 * Nothing is saved when anything fails.
 *
 * @returns the account as saved
 * @throws AuthError
 */
export async function signIn(context: SignInContext, method: AuthType, known: Known): Promise<Account> {
  const { account, bearer } = await byMethod[method](context, known)
  const signal = context.signal
  const user = await whoami(account, bearer, signal)
  return await context.store.save({ ...account, user })
}

interface Draft {
  readonly account: Account
  readonly bearer: string
}

const blank = (reach: Reach, known: Known, authType: AuthType): Account =>
  ({ ...BLANK_ACCOUNT, authType, url: reach.url, skipVerify: reach.skipVerify, skipKeyring: known.skipKeyring })

/** Both or all flags there: nobody is asked. */
const silently = (known: Known, ...values: string[]): Reach | undefined =>
  (known.url !== '' && values.every((value) => value !== '') ? { url: cleanUrl(known.url), skipVerify: known.skipVerify } : undefined)

async function withToken(context: SignInContext, known: Known): Promise<Draft> {
  const silent = silently(known, known.token)
  const reach = silent ?? await askReach(context, known)
  const token = silent !== undefined ? known.token : (await context.prompter.secret('Personal access token')).trim()
  if (token === '') throw new AuthError('invalid', 'a token is needed')
  warnOfClearText(context, reach.url)
  return { account: { ...blank(reach, known, 'pat'), idToken: token }, bearer: token }
}

async function withPassword(context: SignInContext, known: Known): Promise<Draft> {
  const silent = silently(known, known.login, known.password)
  const reach = silent ?? await askReach(context, known)
  const login = silent !== undefined ? known.login : (await context.prompter.text('Login', { check: notBlank, ...(known.login === '' ? {} : { default: known.login }) })).trim()
  const password = silent !== undefined ? known.password : await context.prompter.secret('Password')
  warnOfClearText(context, reach.url)
  const session = await logIn(reach, login, password, context.signal)
  return { account: { ...blank(reach, known, 'session'), user: login, password }, bearer: session.token }
}

async function withOAuth(context: SignInContext, known: Known): Promise<Draft> {
  const silent = silently(known, known.idToken)
  if (silent !== undefined) {
    // No refresh token and no expiry: used until the server refuses it.
    return { account: { ...blank(silent, known, 'oauth2'), idToken: known.idToken }, bearer: known.idToken }
  }
  const reach = await askReach(context, known)
  warnOfClearText(context, reach.url)
  const here = await context.prompter.choose('Can you open a browser on this computer?', [
    { name: 'Yes', value: 'yes' },
    { name: 'No (copy and paste a code)', value: 'no' },
  ], 'yes')
  const grant = await codeFlow(context, reach, here === 'yes')
  context.say(`The sign-in is renewed automatically; the current token is valid until ${new Date(grant.expiresAt * 1000).toLocaleString()}.`)
  return {
    account: { ...blank(reach, known, 'oauth2'), idToken: grant.accessToken, refreshToken: grant.refreshToken, tokenExpiresAt: grant.expiresAt },
    bearer: grant.accessToken,
  }
}

const byMethod: Readonly<Record<AuthType, (context: SignInContext, known: Known) => Promise<Draft>>> = {
  pat: withToken,
  session: withPassword,
  oauth2: withOAuth,
}

/** The authorization code flow, once more without PKCE for a server that trips over it (newer-servers 3.1). */
async function codeFlow(context: SignInContext, reach: Reach, browser: boolean): Promise<Grant> {
  try {
    return await codeFlowOnce(context, reach, browser, true)
  } catch (error) {
    if (!(error instanceof PkceRefused)) throw error
    ;(context.logger ?? silentLogger).info('The server does not know PKCE; signing in once more without it.')
    return await codeFlowOnce(context, reach, browser, false)
  }
}

async function codeFlowOnce(context: SignInContext, reach: Reach, browser: boolean, pkce: boolean): Promise<Grant> {
  if (!browser) return await byPaste(context, reach, pkce)
  const redirect = context.browserRedirect ?? BROWSER_REDIRECT
  const attempt = await beginSignIn(reach, redirect, { pkce })
  const callback = await listenForCallback(redirect, attempt.state, { timeoutMs: context.callbackTimeoutMs ?? CALLBACK_TIMEOUT_MS })
  if (callback === undefined) {
    ;(context.logger ?? silentLogger).warn(`port ${new URL(redirect).port} is in use by another program; copy and paste the code instead`)
    return await byPaste(context, reach, pkce)
  }
  try {
    const opened = await (context.open ?? openBrowser)(attempt.authorizationUrl)
    context.say(opened ? 'Your browser opens to sign you in. If it does not, open this address:' : 'Open this address in your browser to sign in:')
    context.say(`  ${attempt.authorizationUrl}`)
    return await finishSignIn(reach, attempt, await orAborted(callback.answer, context.signal))
  } finally {
    callback.close()
  }
}

async function byPaste(context: SignInContext, reach: Reach, pkce: boolean): Promise<Grant> {
  const attempt = await beginSignIn(reach, pasteRedirect(reach.url), { pkce })
  context.say('Open this address in a browser on any computer, sign in, and copy the code that is shown:')
  context.say(`  ${attempt.authorizationUrl}`)
  return await finishSignIn(reach, attempt, await context.prompter.text('Code', { check: notBlank }))
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work
  signal.throwIfAborted()
  return await new Promise<T>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(new AuthError('aborted', 'aborted by user')), { once: true })
    work.then(resolve, reject)
  })
}
