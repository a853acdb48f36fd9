/** Faults on demand: what a test makes the server do instead of, or on top of, its answer to one request. */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What a hook is told about a request before anything else looks at it. */
export interface RequestInfo {
  readonly method: string
  /** Decoded path without the query. */
  readonly path: string
  /** `PUT s3`, `GET /a/tree/stat`, ...: the key in `requests`. */
  readonly route: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  /** How many requests of this route there have been, this one included. */
  readonly count: number
}

export interface Fault {
  /** Answer with this status (and `body`) without doing anything. */
  readonly status?: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Wait before anything else, milliseconds; `forever` never answers. */
  readonly stall?: number | 'forever'
  /** Destroy the connection at once. */
  readonly reset?: boolean
  /** Do the work, then destroy the connection instead of answering. */
  readonly loseAnswer?: boolean
  /** Send the headers and this many body bytes, then cut the connection. */
  readonly cutAfter?: number
  /** Send only this many body bytes, with a Content-Length that says so: a silent truncation. */
  readonly shortBody?: number
  /** Put this in place of the ETag header's value (quotes included by the caller). */
  readonly etag?: string
}

export type RequestHook = (info: RequestInfo) => Fault | undefined | void | Promise<Fault | undefined | void>

/** A short name for what a request is about, for counters and hooks. */
export function routeName(method: string, path: string): string {
  if (/^\/(io|data)(\/|$)/.test(path)) return `${method} s3`
  if (!path.startsWith('/a/')) return `${method} ${path.split('/').slice(0, 4).join('/')}`
  return `${method} ${path.split('/').slice(0, /^\/a\/(meta\/bulk|jobs\/user)/.test(path) ? 5 : 4).join('/')}`
}

/** Returns true when the request has been dealt with. Otherwise `res` has been prepared and the work goes on. */
export async function applyFault(fault: Fault, req: IncomingMessage, res: ServerResponse): Promise<boolean> {
  if (fault.reset) {
    req.socket.destroy()
    return true
  }
  if (fault.stall === 'forever') return true
  if (fault.stall !== undefined) await new Promise(resolve => setTimeout(resolve, fault.stall as number))
  if (fault.status !== undefined) {
    const body = Buffer.from(fault.body ?? '')
    res.writeHead(fault.status, { 'Content-Length': body.length, ...fault.headers })
    res.end(body)
    return true
  }
  if (fault.etag !== undefined) replaceEtag(res, fault.etag)
  if (fault.shortBody !== undefined) limitBody(res, fault.shortBody, true)
  else if (fault.cutAfter !== undefined) limitBody(res, fault.cutAfter, false)
  if (fault.loseAnswer) {
    const lose = (): ServerResponse => res.destroy()
    res.writeHead = lose
    res.end = lose
  }
  return false
}

type WriteHead = (status: number, headers?: Record<string, string | number>) => ServerResponse

function onHeaders(res: ServerResponse, change: (headers: Record<string, string | number>) => Record<string, string | number>): void {
  const original = res.writeHead.bind(res) as WriteHead
  res.writeHead = ((status: number, headers: Record<string, string | number> = {}) => original(status, change(headers))) as typeof res.writeHead
}

function replaceEtag(res: ServerResponse, etag: string): void {
  onHeaders(res, headers => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, name.toLowerCase() === 'etag' ? etag : value])))
}

/** Lets `limit` body bytes through; then ends the answer (`quiet`) or the connection. */
function limitBody(res: ServerResponse, limit: number, quiet: boolean): void {
  let left = limit
  if (quiet) {
    onHeaders(res, headers => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, name.toLowerCase() === 'content-length' ? Math.min(Number(value), limit) : value])))
  }
  const write = res.write.bind(res) as (chunk: Buffer) => boolean
  const end = res.end.bind(res) as (chunk?: Buffer) => ServerResponse
  let stopped = false
  const stop = (): void => {
    stopped = true
    if (quiet) end()
    else res.socket?.end()
  }
  res.write = ((chunk: Buffer) => {
    const head = chunk.subarray(0, left)
    left -= head.length
    const more = head.length > 0 ? write(head) : true
    if (head.length < chunk.length) stop()
    return more
  }) as typeof res.write
  res.end = ((chunk?: Buffer | string) => {
    if (stopped) return res
    const body = chunk === undefined ? Buffer.alloc(0) : Buffer.from(chunk)
    if (body.length <= left) return end(body)
    if (left > 0) write(body.subarray(0, left))
    else res.flushHeaders()
    stop()
    return res
  }) as typeof res.end
}
