/**
 * One signed request to the S3 gateway (bucket `io`, path style). The access key is the bearer
 * token. A dead token and a forbidden path are both 403 here (contract, section 9), so callers that
 * get a 403 ask REST, which refreshes a dead token, and then look whether the token has changed.
 */
import type { TokenSource } from '../auth/types.js'
import type { Deadline } from './deadline.js'
import type { Exchange, Http, Reply } from './http.js'
import { escapePath } from './names.js'
import { getToken } from './rest.js'
import { canonicalQuery, sign, UNSIGNED_PAYLOAD } from './sigv4.js'

const SECRET = 'gatewaysecret'
const REGION = 'us-east-1'
const BUCKET = 'io'

export interface S3Call {
  readonly method: Exchange['method']
  /** Path in the tree; '' for the bucket. */
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Exchange['body']
  readonly pool?: Exchange['pool']
  readonly deadline: Deadline
  /** As of an exchange (http.ts). */
  readonly whole?: number
  readonly into?: Exchange['into']
}

export interface S3Reply {
  readonly reply: Reply
  /** The token that signed. */
  readonly token: string
}

/** Headers that describe the body to the HTTP client; they stay out of the signature. */
const UNSIGNED = new Set(['content-length', 'content-type', 'range'])

export class S3 {
  readonly #http: Http
  readonly #tokens: TokenSource

  constructor(http: Http, tokens: TokenSource) {
    this.#http = http
    this.#tokens = tokens
  }

  async send(call: S3Call): Promise<S3Reply> {
    const token = await getToken(this.#tokens, call.deadline)
    const path = `/${BUCKET}/${escapePath(call.key)}`
    const query = call.query ?? {}
    const headers = Object.entries(call.headers ?? {})
    const signed = sign({
      method: call.method,
      path,
      query,
      headers: Object.fromEntries(headers.filter(([name]) => !UNSIGNED.has(name))),
      host: this.#http.url.host,
      payloadHash: UNSIGNED_PAYLOAD,
      date: new Date(),
    }, { accessKey: token, secretKey: SECRET, region: REGION })
    const text = canonicalQuery(query)
    const reply = await this.#http.send({
      method: call.method,
      path: text === '' ? path : `${path}?${text}`,
      headers: { ...signed, ...Object.fromEntries(headers.filter(([name]) => UNSIGNED.has(name))) },
      body: call.body ?? null,
      pool: call.pool ?? 'rest',
      deadline: call.deadline,
      whole: call.whole,
      into: call.into,
    })
    return { reply, token }
  }

  /** Whether the token that signed has been replaced since, so that a 403 deserves another try. */
  async tokenChanged(token: string, deadline: Deadline): Promise<boolean> {
    return (await getToken(this.#tokens, deadline)) !== token
  }
}

/** Text of every `<name>` element of an S3 answer, unescaped. The answers have no attributes, comments or CDATA. */
export function xmlTexts(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map((match) => unescapeXml(match[1] ?? ''))
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

export function unescapeXml(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w+));/g, (whole, decimal?: string, hex?: string, word?: string) => {
    if (word !== undefined) return ENTITIES[word] ?? whole
    const point = decimal === undefined ? parseInt(hex ?? '', 16) : parseInt(decimal, 10)
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole
  })
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
