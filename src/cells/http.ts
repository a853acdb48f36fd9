/**
 * The wire: bounded keep-alive connections to one server and the exchange of one request. Knows
 * nothing of Cells but its errors; rest.ts and s3.ts put their ways of signing in on top.
 *
 * Two pools, so that bodies that stream for minutes never make a stat wait for a socket. More than
 * 16 connections only add latency on a real server (contract, section 8); with fewer, what is 25 ms away is done by no more than 300 small requests a second.
 */
import { setMaxListeners } from 'node:events'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Dispatcher } from 'undici'
import type { ConnectionSettings } from '../auth/types.js'
import { silentLogger, type Logger } from '../log.js'
import { openConnections } from './connections.js'
import { Deadline } from './deadline.js'
import { CellsError } from './errors.js'
import { sentence, transportFault } from './faults.js'
import { Incoming } from './incoming.js'
import { Receiver } from './receiver.js'
import { TIMEOUTS } from './timeouts.js'
import { Gathering, WholeBody } from './whole.js'

/** Sockets of a pool. */
const CONNECTIONS = 16
/** Bodies that a thread receives are large: a few at a time are all that a network carries. */
const RECEIVER_CONNECTIONS = 8

export type Pool = 'rest' | 'data'

export interface HttpOptions {
  readonly logger?: Logger
  readonly userAgent?: string
  /** Sockets for REST calls, for object bodies. */
  readonly restConnections?: number
  readonly dataConnections?: number
}

export interface Exchange {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'HEAD'
  /** Path and query, escaped. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array> | null
  readonly pool: Pool
  readonly deadline: Deadline
  /** The answer is wanted as a whole, if its body has no more bytes than this. */
  readonly whole?: number
  /** Memory for the body, shared between threads, exactly as long as it: a thread may receive it there, and the pieces handed out are views of it. */
  readonly into?: readonly Buffer[]
}

export interface Reply {
  readonly status: number
  readonly header: (name: string) => string
  readonly body: ReplyBody
}

export interface ReplyBody extends AsyncIterable<Buffer> {
  /** Hands over every piece the moment it comes; resolves after the last one. */
  each(take: (chunk: Buffer) => void): Promise<void>
  /** When it is over, however it ended; at once if it is. */
  onClose(listener: () => void): void
  destroy(error?: Error): void
}

export interface TextReply {
  readonly status: number
  readonly contentType: string
  readonly header: (name: string) => string
  readonly body: string
}

/** A page of 500 nodes is about 150 kB; nothing honest comes near this. */
const LONGEST_TEXT = 64 * 1024 * 1024
const gunzipText = promisify(gunzip)

export class Http {
  readonly url: URL
  readonly logger: Logger
  /** Fires when the connection is closed. */
  readonly closed: AbortSignal
  readonly #closing = new AbortController()
  readonly #pools: Record<Pool, Dispatcher>
  readonly #receiver: Receiver
  readonly #common: Record<string, string>

  constructor(settings: ConnectionSettings, options: HttpOptions = {}) {
    try {
      this.url = new URL(settings.url)
    } catch (cause) {
      throw new CellsError('invalid', `${JSON.stringify(settings.url)} is not an address`, { cause })
    }
    if (this.url.protocol !== 'http:' && this.url.protocol !== 'https:') throw new CellsError('invalid', `the address must begin with http:// or https://, not ${this.url.protocol}`)
    this.logger = options.logger ?? silentLogger
    this.closed = this.#closing.signal
    // One listener per call under way: many calls are no leak.
    setMaxListeners(0, this.closed)
    this.#common = { 'user-agent': options.userAgent ?? 'cellsfs', ...lowerCase(settings.customHeaders) }
    const pool = (connections: number): Dispatcher => openConnections(this.url, connections, settings.skipVerify)
    this.#pools = { rest: pool(options.restConnections ?? CONNECTIONS), data: pool(options.dataConnections ?? CONNECTIONS) }
    this.#receiver = new Receiver(this.url, options.dataConnections ?? RECEIVER_CONNECTIONS, settings.skipVerify)
  }

  /** A deadline that also ends with this connection. */
  deadline(timeoutMs: number, doing: string, signal?: AbortSignal): Deadline {
    return new Deadline(timeoutMs, doing, [signal, this.closed])
  }

  /** Sends and resolves at the headers; the body must be consumed or destroyed. */
  async send(exchange: Exchange): Promise<Reply> {
    const { deadline } = exchange
    deadline.check()
    const started = performance.now()
    const options = {
      origin: this.url.origin,
      path: exchange.path,
      method: exchange.method,
      headers: { ...this.#common, ...exchange.headers },
      body: (exchange.body ?? null) as Dispatcher.DispatchOptions['body'],
      headersTimeout: 0,
      bodyTimeout: TIMEOUTS.stall,
    }
    try {
      const { into } = exchange
      const dispatcher = this.#pools[exchange.pool]
      const reply = into !== undefined && this.#receiver.ready ? await streamed((body) => this.#receiver.dispatch(options, into, body), deadline)
        : exchange.whole === undefined ? await streamed((body) => dispatcher.dispatch(options, body), deadline)
          : await gathered(dispatcher, options, exchange.whole, deadline)
      this.logger.debug('http', { method: exchange.method, path: exchange.path, status: reply.status, ms: Math.round(performance.now() - started) })
      return reply
    } catch (error) {
      const fault = deadline.reason ?? transportFault(error, deadline.doing)
      this.logger.debug('http', { method: exchange.method, path: exchange.path, error: fault, ms: Math.round(performance.now() - started) })
      throw fault
    }
  }

  /** Sends and reads the whole (bounded) text. */
  async text(exchange: Exchange): Promise<TextReply> {
    const reply = await this.send({ ...exchange, whole: LONGEST_TEXT, headers: { 'accept-encoding': 'gzip', ...exchange.headers } })
    return { status: reply.status, contentType: reply.header('content-type'), header: reply.header, body: await readText(reply, exchange.deadline) }
  }

  async close(): Promise<void> {
    if (this.closed.aborted) return
    this.#closing.abort()
    this.#receiver.close()
    await Promise.all([this.#pools.rest.destroy(), this.#pools.data.destroy()])
  }
}

async function streamed(dispatch: (body: Incoming) => void, deadline: Deadline): Promise<Reply> {
  const body = new Incoming()
  body.onClose(deadline.onFail((reason) => body.destroy(reason)))
  dispatch(body)
  const { status, headers } = await body.started
  return { status, header: (name) => headerText(headers[name]), body }
}

async function gathered(dispatcher: Dispatcher, options: Dispatcher.DispatchOptions, most: number, deadline: Deadline): Promise<Reply> {
  const gathering = new Gathering(most, () => new CellsError('protocol', `${sentence('protocol', deadline.doing)} (too long)`))
  const unlisten = deadline.onFail((reason) => gathering.stop(reason))
  try {
    dispatcher.dispatch(options, gathering)
    const { status, headers, content } = await gathering.answer
    return { status, header: (name) => headerText(headers[name]), body: new WholeBody(content) }
  } finally {
    unlisten()
  }
}

/** The text of a reply, unzipped; also used for the error bodies of S3. */
export async function readText(reply: Reply, deadline: Deadline): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of reply.body) {
      length += chunk.length
      if (length > LONGEST_TEXT) throw new CellsError('protocol', `${sentence('protocol', deadline.doing)} (too long)`)
      chunks.push(chunk)
    }
    const whole = Buffer.concat(chunks)
    if (reply.header('content-encoding') !== 'gzip') return whole.toString('utf8')
    return (await gunzipText(whole, { maxOutputLength: LONGEST_TEXT })).toString('utf8')
  } catch (error) {
    deadline.check()
    if (error instanceof CellsError) throw error
    throw new CellsError('protocol', sentence('protocol', deadline.doing), { cause: error, status: reply.status })
  }
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function headerText(value: string | string[] | undefined): string {
  return Array.isArray(value) ? (value[0] ?? '') : (value ?? '')
}
