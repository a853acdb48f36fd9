/**
 * The contract replay's own HTTP client and S3 signer. Deliberately not the project's: a mistake that both
 * sides of the project share must still show. node:http sends a path byte for byte (`//`, `..`) and shows
 * when a connection is cut, which fetch hides.
 */
import { createHash, createHmac } from 'node:crypto'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'

export interface WireRequest {
  readonly method: string
  /** Path and query exactly as they go on the wire. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer
}

export interface WireAnswer {
  /** 0: no answer within the time. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The server cut the connection before the announced length. */
  readonly cut: boolean
}

const NO_ANSWER: WireAnswer = { status: 0, headers: {}, body: Buffer.alloc(0), cut: false }

/** Sends one request. Never throws for what a server does; a refused connection rejects. */
export function send(url: string, { method, path, headers, body }: WireRequest, timeoutMs: number): Promise<WireAnswer> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let answered = false
    const request = httpRequest({ hostname, port, method, path, headers, agent: false }, (response) => {
      answered = true
      const chunks: Buffer[] = []
      const done = (cut: boolean): void => {
        clearTimeout(timer)
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks), cut })
      }
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => done(!response.complete))
      response.on('error', () => done(true))
    })
    const timer = setTimeout(() => {
      resolve(NO_ANSWER)
      request.destroy()
    }, timeoutMs)
    request.on('error', (error) => {
      clearTimeout(timer)
      if (answered) return
      // Cut before the first byte of an answer.
      if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') resolve({ ...NO_ANSWER, cut: true })
      else reject(error)
    })
    if (headers['expect'] === '100-continue') request.once('continue', () => request.end(body))
    else request.end(body)
  })
}

export interface SigningKey {
  readonly accessKey: string
  readonly secret: string
  readonly region: string
  readonly at: Date
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()
const stamp = (at: Date): string => at.toISOString().replace(/[-:]|\.\d{3}/g, '')
const scopeOf = ({ region, at }: SigningKey): string => `${stamp(at).slice(0, 8)}/${region}/s3/aws4_request`

function signature(key: SigningKey, stringToSign: string): string {
  const day = hmac(`AWS4${key.secret}`, stamp(key.at).slice(0, 8))
  return createHmac('sha256', hmac(hmac(hmac(day, key.region), 's3'), 'aws4_request')).update(stringToSign).digest('hex')
}

function canonical(method: string, path: string, headers: Readonly<Record<string, string>>, payload: string): { request: string; signed: string } {
  const [uri = '', query = ''] = path.split('?')
  const pairs = query === '' ? [] : query.split('&').map((pair) => pair.includes('=') ? pair : `${pair}=`).sort()
  const names = Object.keys(headers).map((name) => name.toLowerCase()).sort()
  const values = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const signed = names.join(';')
  return { request: [method, uri, pairs.join('&'), ...names.map((name) => `${name}:${values[name]}`), '', signed, payload].join('\n'), signed }
}

/** Headers with an AWS Signature V4 over host and every `x-amz-*` header. A content hash that is given is signed as it is. */
export function signHeaders(url: string, { method, path, headers, body }: WireRequest, key: SigningKey): Record<string, string> {
  const hash = headers['x-amz-content-sha256'] ?? sha256(body ?? '')
  const all: Record<string, string> = { ...headers, host: new URL(url).host, 'x-amz-date': stamp(key.at), 'x-amz-content-sha256': hash }
  const toSign = Object.fromEntries(Object.entries(all).filter(([name]) => name === 'host' || name.startsWith('x-amz-')))
  const { request, signed } = canonical(method, path, toSign, hash)
  const text = ['AWS4-HMAC-SHA256', stamp(key.at), scopeOf(key), sha256(request)].join('\n')
  return { ...all, authorization: `AWS4-HMAC-SHA256 Credential=${key.accessKey}/${scopeOf(key)}, SignedHeaders=${signed}, Signature=${signature(key, text)}` }
}

/** The path with a presigned query, valid for 900 s. Parameters already in `path` are signed too. */
export function presign(url: string, method: string, path: string, key: SigningKey): string {
  const query = new URLSearchParams({
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Credential': `${key.accessKey}/${scopeOf(key)}`, 'X-Amz-Date': stamp(key.at),
    'X-Amz-Expires': '900', 'X-Amz-SignedHeaders': 'host',
  })
  const unsigned = `${path}${path.includes('?') ? '&' : '?'}${query.toString()}`
  const { request } = canonical(method, unsigned, { host: new URL(url).host }, 'UNSIGNED-PAYLOAD')
  const text = ['AWS4-HMAC-SHA256', stamp(key.at), scopeOf(key), sha256(request)].join('\n')
  return `${unsigned}&X-Amz-Signature=${signature(key, text)}`
}

/** A body in aws-chunked coding, each chunk signed, after the seed signature of the request's own headers. */
export function signChunks(seedAuthorization: string, chunks: readonly Buffer[], key: SigningKey): Buffer {
  let previous = /Signature=([0-9a-f]+)$/.exec(seedAuthorization)?.[1] ?? ''
  const parts: Buffer[] = []
  for (const chunk of [...chunks, Buffer.alloc(0)]) {
    previous = signature(key, ['AWS4-HMAC-SHA256-PAYLOAD', stamp(key.at), scopeOf(key), previous, sha256(''), sha256(chunk)].join('\n'))
    parts.push(Buffer.from(`${chunk.length.toString(16)};chunk-signature=${previous}\r\n`), chunk, Buffer.from('\r\n'))
  }
  return Buffer.concat(parts)
}
