/**
 * AWS Signature Version 4 for the S3 gateway, headers only, payload unsigned: what Cells accepts
 * on every version (contract, section 4), and nothing more. The access key is the bearer token,
 * the secret is a constant of the server that protects nothing; the token does.
 */
import { createHmac, hash } from 'node:crypto'
import { escapeSegment } from './names.js'

export interface SigningKey {
  readonly accessKey: string
  readonly secretKey: string
  readonly region: string
}

export interface RequestToSign {
  readonly method: string
  /** Already escaped, with the leading slash. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Signed besides host and x-amz-*; names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly host: string
  /** `UNSIGNED-PAYLOAD` or a hex sha256. */
  readonly payloadHash: string
  readonly date: Date
}

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** The key that signs for one day, made once: four digests for each request would be the better part of its cost. */
let daily: { readonly of: string; readonly key: Buffer } = { of: '', key: Buffer.alloc(0) }

function signingKey({ secretKey, region }: SigningKey, day: string): Buffer {
  const of = `${day} ${region} ${secretKey}`
  if (daily.of !== of) daily = { of, key: hmac(hmac(hmac(hmac(`AWS4${secretKey}`, day), region), 's3'), 'aws4_request') }
  return daily.key
}

/** The query in canonical order; it must be sent in exactly this form. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${escapeSegment(name)}=${escapeSegment(value)}`)
    .sort()
    .join('&')
}

/** All headers of the request, with the signature in `authorization`. `host` is left to the HTTP client. */
export function sign(request: RequestToSign, key: SigningKey): Record<string, string> {
  const stamp = request.date.toISOString().replace(/[-:]|\.\d{3}/g, '')
  const day = stamp.slice(0, 8)
  const scope = `${day}/${key.region}/s3/aws4_request`
  const headers: Record<string, string> = {
    ...request.headers,
    host: request.host,
    'x-amz-content-sha256': request.payloadHash,
    'x-amz-date': stamp,
  }
  const names = Object.keys(headers).sort()
  const canonical = [
    request.method,
    request.path,
    canonicalQuery(request.query),
    ...names.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    request.payloadHash,
  ].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', stamp, scope, hash('sha256', canonical)].join('\n')
  const signature = createHmac('sha256', signingKey(key, day)).update(toSign).digest('hex')
  delete headers['host']
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${key.accessKey}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
  }
}
