/** Reading and answering requests: the few lines that every route of the sign-in half needs. */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** A login form or a token request is far below this; more is somebody's mistake. */
const BODY_LIMIT = 64 * 1024

/** The client's mistake, with the status that a real server gives it. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest'
  readonly status: 415 | 500

  constructor(message: string, status: 415 | 500 = 500, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }
}

/** @throws BadRequest above 64 KiB */
export async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > BODY_LIMIT) throw new BadRequest('request body too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * The JSON object in the body.
 *
 * @throws BadRequest when the body is something else; a missing type is a 415 (contract, section 2)
 */
export async function readJson(req: IncomingMessage): Promise<Record<string, unknown>> {
  const type = (req.headers['content-type'] ?? '').split(';', 1)[0]!.trim()
  if (type === '') throw new BadRequest('415: Unsupported Media Type', 415)
  if (type !== 'application/json') throw new BadRequest(`[ServiceError:400] Unable to unmarshal content of type:${type}`)
  const text = (await readBody(req)).toString('utf8')
  try {
    return asObject(JSON.parse(text)) ?? {}
  } catch (cause) {
    throw new BadRequest('unexpected EOF', 500, { cause })
  }
}

export function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined
}

export function send(res: ServerResponse, status: number, type: string, body: string, headers: Record<string, string> = {}): void {
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), ...headers })
  res.end(body)
}

export const sendJson = (res: ServerResponse, status: number, body: unknown): void => send(res, status, 'application/json', JSON.stringify(body))
export const sendText = (res: ServerResponse, status: number, body: string): void => send(res, status, 'text/plain; charset=utf-8', body)

/** The bearer of the Authorization header, '' if there is none. */
export function bearerOf(req: IncomingMessage): string {
  return /^Bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1]?.trim() ?? ''
}

export function cookieOf(req: IncomingMessage, name: string): string | undefined {
  for (const pair of (req.headers.cookie ?? '').split(';')) {
    const [key, ...rest] = pair.trim().split('=')
    if (key === name) return rest.join('=')
  }
  return undefined
}
