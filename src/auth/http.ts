/**
 * The few HTTP requests of the sign-in: with a deadline, through the proxy of the environment, with or without
 * a check of certificates, and with every failure turned into one sentence (AuthError).
 */
import type { Dispatcher } from 'undici'
import { agentClass, requestAlone, undici } from '../undici.js'
import { AuthError } from './errors.js'
import { isLoopback } from './url.js'
import { timeLimit } from '../signals.js'

/** Deadline of one request of the sign-in, milliseconds. cec's own is 30 s. */
export const AUTH_TIMEOUT_MS = 30_000
/** No answer of the sign-in is longer; /a/frontend/state is some 300 KiB. */
const BODY_LIMIT = 8 * 1024 * 1024
const PROXIES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY']

export interface Reach {
  readonly url: string
  readonly skipVerify: boolean
  readonly customHeaders?: Readonly<Record<string, string>>
}

/**
 * Where requests to `reach.url` go: HTTP_PROXY, HTTPS_PROXY and NO_PROXY (lower-case too) are honoured, and a server
 * on this machine is never asked for through a proxy, as in Go's clients.
 */
export function createDispatcher(reach: Reach, options: { connections?: number } = {}): Dispatcher {
  const tls = { rejectUnauthorized: !reach.skipVerify }
  const settings = { connect: { ...tls, timeout: 10_000 }, ...options }
  if (isLoopback(reach.url) || PROXIES.every((name) => !process.env[name])) return new (agentClass())(settings)
  return new (undici().EnvHttpProxyAgent)({ ...settings, requestTls: tls })
}

const codeOf = (error: unknown): string => {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown }
  if (typeof code === 'string') return code
  return cause === undefined ? '' : codeOf(cause)
}

const TLS_WORDS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate chain ends in a self-signed certificate',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate cannot be verified',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by an unknown authority',
}

/** Turns what undici threw into an AuthError with one sentence about `url`'s host. */
export function networkError(error: unknown, url: string, signal?: AbortSignal): AuthError {
  if (error instanceof AuthError) return error
  const host = new URL(url).host
  const code = codeOf(error)
  const name = (error as { name?: unknown } | null)?.name
  if (signal?.aborted === true && name !== 'TimeoutError') return new AuthError('aborted', 'aborted', { cause: error })
  if (name === 'TimeoutError' || /TIMEOUT|ETIMEDOUT/.test(code)) return new AuthError('timeout', `${host} did not answer in time`, { cause: error })
  const words = TLS_WORDS[code]
  if (words !== undefined || /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|HOSTNAME_MISMATCH)|^EPROTO$/.test(code)) {
    return new AuthError('tls', `no secure connection to ${host}: ${words ?? 'the TLS handshake failed'}${words === undefined ? '' : ' (--skip-verify accepts it)'}`, { cause: error })
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new AuthError('network', `cannot find the host ${host}`, { cause: error })
  if (code === 'ECONNREFUSED') return new AuthError('network', `${host} refuses connections; is the server running?`, { cause: error })
  return new AuthError('network', `cannot reach ${host}${code === '' ? '' : ` (${code})`}`, { cause: error })
}

/** True when the request cannot have reached the server. */
export const neverSent = (error: AuthError): boolean => ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'].includes(codeOf(error.cause)) || error.kind === 'tls'

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

/**
 * One request to the server of `reach`.
 *
 * @param options.enough the body is read no further than it takes to make this true
 * @throws AuthError `network`, `tls`, `timeout`, `aborted`; any HTTP status is an answer
 */
export async function call(reach: Reach, path: string, options: {
  method?: 'GET' | 'POST'
  bearer?: string
  json?: unknown
  signal?: AbortSignal
  timeoutMs?: number
  enough?: (text: string) => boolean
} = {}): Promise<Answer> {
  const dispatcher = createDispatcher(reach)
  const signal = timeLimit(options.timeoutMs ?? AUTH_TIMEOUT_MS, options.signal)
  try {
    const response = await requestAlone()(reach.url + path, {
      dispatcher,
      signal,
      method: options.method ?? 'GET',
      headers: {
        ...reach.customHeaders,
        ...(options.bearer === undefined ? {} : { authorization: `Bearer ${options.bearer}` }),
        ...(options.json === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
    })
    const decoder = new TextDecoder()
    let text = ''
    for await (const chunk of response.body) {
      text += decoder.decode(chunk as Uint8Array, { stream: true })
      if (text.length > BODY_LIMIT) throw new AuthError('not-cells', `${new URL(reach.url).host} answered far too much`)
      if (options.enough?.(text) === true) break
    }
    return { status: response.statusCode, contentType: String(response.headers['content-type'] ?? ''), text }
  } catch (error) {
    throw networkError(error, reach.url, options.signal)
  } finally {
    // Not close(): a body that was left early must not keep the process waiting.
    await dispatcher.destroy()
  }
}

/** The server is there but not well (5xx, 429): the account is still good. */
export function busy(reach: Reach, answer: Answer): AuthError | undefined {
  if (answer.status < 500 && answer.status !== 429) return undefined
  return new AuthError('unavailable', `${new URL(reach.url).host} cannot answer now (HTTP ${answer.status})`, { status: answer.status })
}

/** Unknown paths of a Cells server, and any other web server, answer with a web page (trap 19). */
export const notCells = (reach: Reach, answer?: Answer): AuthError =>
  new AuthError('not-cells', `${reach.url} does not answer like a Pydio Cells server${answer === undefined ? '' : ` (HTTP ${answer.status}, ${answer.contentType.split(';')[0] || 'no content type'})`}`, answer === undefined ? {} : { status: answer.status })
