/** Small helpers over node:http: bodies in, JSON and errors out, in the shapes of contract section 9. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { ServerVersion } from './auth/types.js'
import { NeverAnswer, PlainError, RestError } from './errors.js'

/** REST bodies larger than this are refused: nobody sends a megabyte of paths. */
const MAX_BODY = 8 * 1024 * 1024

/** The whole body of a request. @throws PlainError 413 */
export async function readBody(req: IncomingMessage, limit = MAX_BODY): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw new PlainError(413, '413: Request Entity Too Large')
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  return req.headers['content-encoding'] === 'gzip' ? gunzipSync(body, { maxOutputLength: limit }) : body
}

/**
 * A JSON request body, {} when it is empty. The content type must be JSON (contract, section 2).
 * @throws PlainError 415, RestError 500
 */
export async function readJson(req: IncomingMessage): Promise<Record<string, unknown>> {
  const type = (req.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
  const body = await readBody(req)
  if (type !== 'application/json') {
    if (type === '' || type === 'application/x-www-form-urlencoded') throw new RestError(500, 'unable to unmarshal content of type')
    throw new PlainError(415, '415: Unsupported Media Type')
  }
  if (body.length === 0) return {}
  let value: unknown
  try {
    value = JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new RestError(500, (error as Error).message)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new RestError(500, 'json: cannot unmarshal')
  return value as Record<string, unknown>
}

export function sendJson(req: IncomingMessage, res: ServerResponse, value: unknown, status = 200): void {
  const text = Buffer.from(JSON.stringify(value))
  if (/\bgzip\b/.test(String(req.headers['accept-encoding'] ?? '')) && text.length > 0) {
    const body = gzipSync(text, { level: 1 })
    res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip', 'Vary': 'Accept-Encoding', 'Content-Length': body.length })
    res.end(body)
    return
  }
  res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': text.length })
  res.end(text)
}

export function sendText(res: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8', headers: Record<string, string> = {}): void {
  const body = Buffer.from(text)
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': body.length, ...headers })
  res.end(body)
}

const CODES_V5: Readonly<Record<number, [code: string, sentence: string]>> = {
  401: ['E_UNAUTHORIZED', 'You are not authorized to access this resource'],
  403: ['E_FORBIDDEN', 'You are not allowed to access this resource'],
  404: ['E_NOT_FOUND', 'The resource was not found'],
  423: ['E_RESOURCE_LOCKED', 'This resource is currently locked, please retry later!'],
  503: ['E_SERVICE_UNAVAILABLE', 'The service is not available'],
}

/** The status that 4.x and 5.x give where 2.0 says 500 with a text (newer-servers 3.9). */
function trueStatus(error: RestError): number {
  if (error.detail.startsWith('Forbidden:')) return 403
  if (error.detail.startsWith('Not Found:') || error.detail.includes('"code":404')) return 404
  return error.status
}

/** Answers a failed REST request. A NeverAnswer leaves the connection open without a word. */
export function sendError(req: IncomingMessage, res: ServerResponse, error: unknown, version: ServerVersion): void {
  if (error instanceof NeverAnswer) return
  if (res.headersSent || res.destroyed) {
    res.destroy()
    return
  }
  if (error instanceof PlainError) {
    sendText(res, error.status, error.message)
    return
  }
  if (!(error instanceof RestError)) {
    const message = error instanceof Error ? error.message : String(error)
    sendJson(req, res, { Title: message, Detail: message }, 500)
    return
  }
  if (error.status === 502) {
    res.writeHead(502, { 'Content-Length': 0 })
    res.end()
    return
  }
  if (version === 5) {
    const status = trueStatus(error)
    const [code, sentence] = CODES_V5[status] ?? ['E_INTERNAL_SERVER_ERROR', 'An internal error occurred, please retry or contact your administrator']
    sendJson(req, res, { Title: code, Detail: sentence }, CODES_V5[status] ? status : 500)
    return
  }
  sendJson(req, res, { Title: error.message, Detail: error.detail }, error.status)
}

/** Resolves when the peer has taken what was written, or has gone. */
function drained(res: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      res.off('drain', done)
      res.off('close', done)
      resolve()
    }
    res.on('drain', done)
    res.on('close', done)
    if (res.destroyed) done()
  })
}

/** Writes a body with back-pressure; destroys the connection if it ends short, as a server does that promised more. */
export async function sendStream(res: ServerResponse, source: AsyncIterable<Buffer>, length: number): Promise<void> {
  let sent = 0
  try {
    for await (const chunk of source) {
      if (res.destroyed) return
      sent += chunk.length
      if (!res.write(chunk)) await drained(res)
    }
  } catch {
    // The blob was replaced while it was read: what follows cannot be told from a short body.
  }
  if (sent === length) res.end()
  else {
    // Even if not one byte could be read, the answer has begun before it breaks off.
    res.flushHeaders()
    // end() of the socket, not destroy(): what has been written still arrives, then the connection closes.
    res.socket?.end()
  }
}
