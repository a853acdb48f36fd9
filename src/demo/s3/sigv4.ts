/**
 * AWS Signature Version 4, the checking side: canonical request, string to sign, signature, for the Authorization
 * header, for presigned URLs and for each chunk of a streamed body. Pure functions of the request as it came over the
 * wire (the raw path and query, because decoding and encoding again would hide a client's mistake).
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

export const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** What a request says about its signature. */
export interface Claim {
  readonly accessKey: string
  /** yyyymmdd */
  readonly date: string
  readonly region: string
  readonly service: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
  /** yyyymmddThhmmssZ */
  readonly time: string
  readonly presigned: boolean
  /** Seconds, for presigned URLs. */
  readonly expires: number
}

export interface SignedRequest {
  readonly method: string
  /** Path and query exactly as received. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

const hmac = (key: Buffer | string, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

export function signingKey(secret: string, claim: Pick<Claim, 'date' | 'region' | 'service'>): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, claim.date), claim.region), claim.service), 'aws4_request')
}

/** Percent-encoding as AWS wants it: everything but unreserved characters. */
export function awsEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Name and value pairs of a query, decoded; `+` is a plus. */
export function queryPairs(url: string): [string, string][] {
  const at = url.indexOf('?')
  if (at < 0) return []
  return url.slice(at + 1).split('&').filter(pair => pair !== '').map(pair => {
    const eq = pair.indexOf('=')
    return eq < 0 ? [decode(pair), ''] : [decode(pair.slice(0, eq)), decode(pair.slice(eq + 1))]
  })
}

/** Reads the claim from the Authorization header or the query; undefined if the request is not signed with SigV4. */
export function readClaim(request: SignedRequest): Claim | undefined {
  const header = request.headers.authorization
  if (header?.startsWith('AWS4-HMAC-SHA256')) {
    const part = (name: string): string => new RegExp(`${name}=([^,\\s]+)`).exec(header)?.[1] ?? ''
    const time = String(request.headers['x-amz-date'] ?? '') || toAmzTime(request.headers.date)
    return claim(part('Credential'), part('SignedHeaders'), part('Signature'), time, false, 0)
  }
  const query = new Map(queryPairs(request.url))
  if (query.get('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256') return undefined
  return claim(query.get('X-Amz-Credential') ?? '', query.get('X-Amz-SignedHeaders') ?? '', query.get('X-Amz-Signature') ?? '',
    query.get('X-Amz-Date') ?? '', true, Number(query.get('X-Amz-Expires') ?? 0))
}

function claim(credential: string, signedHeaders: string, signature: string, time: string, presigned: boolean, expires: number): Claim | undefined {
  // The access key may hold slashes; the other four parts may not.
  const parts = credential.split('/')
  if (parts.length < 5 || parts.at(-1) !== 'aws4_request' || signature === '' || !/^\d{8}T\d{6}Z$/.test(time)) return undefined
  const [date = '', region = '', service = ''] = parts.slice(-4)
  return { accessKey: parts.slice(0, -4).join('/'), date, region, service, signedHeaders: signedHeaders.toLowerCase().split(';').filter(name => name !== ''), signature, time, presigned, expires }
}

function toAmzTime(date: string | undefined): string {
  const time = Date.parse(date ?? '')
  return Number.isNaN(time) ? '' : new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

/** Milliseconds since the epoch of `yyyymmddThhmmssZ`. */
export function amzTimeMs(time: string): number {
  return Date.parse(time.replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/, '$1-$2-$3T$4:$5:$6Z'))
}

/** `payloadHash`: the x-amz-content-sha256 value, or UNSIGNED-PAYLOAD for presigned URLs. `ignore`: query names left out. */
export function canonicalRequest(request: SignedRequest, signed: Claim, payloadHash: string, ignore: ReadonlySet<string> = new Set()): string {
  const path = request.url.split('?')[0] ?? '/'
  const canonicalPath = path.split('/').map(segment => awsEncode(decode(segment))).join('/')
  const query = queryPairs(request.url)
    .filter(([name]) => !ignore.has(name) && !(signed.presigned && name === 'X-Amz-Signature'))
    .map(([name, value]): [string, string] => [awsEncode(name), awsEncode(value)])
    .sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
  const headers = signed.signedHeaders.map(name => `${name}:${headerValue(request.headers, name)}\n`).join('')
  return [request.method, canonicalPath, query, headers, signed.signedHeaders.join(';'), payloadHash].join('\n')
}

function headerValue(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name]
  return (Array.isArray(value) ? value.join(',') : (value ?? '')).trim().replace(/ +/g, ' ')
}

export function scopeOf(signed: Pick<Claim, 'date' | 'region' | 'service'>): string {
  return `${signed.date}/${signed.region}/${signed.service}/aws4_request`
}

export function expectedSignature(secret: string, signed: Claim, canonical: string): string {
  const toSign = ['AWS4-HMAC-SHA256', signed.time, scopeOf(signed), sha256(canonical)].join('\n')
  return hmac(signingKey(secret, signed), toSign).toString('hex')
}

/** Signature of one chunk of a STREAMING-AWS4-HMAC-SHA256-PAYLOAD body. */
export function chunkSignature(key: Buffer, signed: Claim, previous: string, chunkSha256: string): string {
  return hmac(key, ['AWS4-HMAC-SHA256-PAYLOAD', signed.time, scopeOf(signed), previous, EMPTY_SHA256, chunkSha256].join('\n')).toString('hex')
}

export function sameSignature(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)]
  return x.length === y.length && timingSafeEqual(x, y)
}
