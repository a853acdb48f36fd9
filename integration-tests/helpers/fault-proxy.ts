/**
 * A proxy between a client and a server that does on demand what bad networks and bad servers do. It works on whole HTTP
 * exchanges and websocket messages, so that a test can say *which* request suffers, and with any server, the real one too.
 *
 *     const proxy = await FaultProxy.start(server.url)
 *     connect({ url: proxy.url, ... })
 *     proxy.fault({ method: 'GET', path: /^\/io\//, times: 1 }, { cutAfter: 10 })
 *     proxy.messages = (message, send) => { send(message); send(message) }
 *     await proxy.refuse()        // server down; proxy.accept() brings it back
 */
import { Agent, createServer, request as httpRequest } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { EventPipe } from './event-pipe.js'
import type { MessageHook } from './event-pipe.js'

export type { MessageHook } from './event-pipe.js'

/** Which requests; all that is given must agree. */
export interface Match {
  readonly method?: string
  /** Of the decoded path with its query. */
  readonly path?: RegExp
  /** Leaves out the first ones that match. */
  readonly skip?: number
  /** Ends after as many; default: never. */
  readonly times?: number
}

/** What happens to a request. One of these; `stall` also before another one. */
export interface Fault {
  /** Waits before anything else, milliseconds; `forever` never answers and never forwards. */
  readonly stall?: number | 'forever'
  /** Answers with this, without asking the server. */
  readonly status?: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Ends the connection without an answer; the server is not asked. */
  readonly reset?: boolean
  /** The server does what it is asked; its answer is lost. */
  readonly loseAnswer?: boolean
  /** Ends the connection after so many bytes of the answer's body. */
  readonly cutAfter?: number
  /** Answers with so many bytes of the body and a Content-Length that agrees. */
  readonly shortBody?: number
  /** In place of the answer's ETag. */
  readonly etag?: string
  /** Answers in pieces of so many bytes, one every `everyMs`. */
  readonly drip?: { readonly bytes: number; readonly everyMs: number }
}

/** Faults by name, for tables of tests. */
export const FAULTS = {
  /** What a 2.x server sends for a listing without nodes. */
  emptyListing: { status: 200, body: '{}', headers: { 'content-type': 'application/json' } },
  emptyAnswer: { status: 200, body: '' },
  unauthorized: { status: 401, body: 'Unauthorized.\n', headers: { 'content-type': 'text/plain' } },
  webPage: { status: 200, body: '<!DOCTYPE html><html></html>', headers: { 'content-type': 'text/html; charset=utf-8' } },
  badGateway: { status: 502, body: '502 Bad Gateway' },
  gone: { status: 404, body: '404 page not found\n', headers: { 'content-type': 'text/plain' } },
} as const satisfies Record<string, Fault>

interface Rule {
  readonly match: Match
  readonly fault: Fault
  seen: number
  hits: number
}

export class FaultProxy {
  readonly #upstream: URL
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 })
  readonly #sockets = new Set<Socket>()
  readonly #pipes = new Set<EventPipe>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #rules: Rule[] = []
  #port = 0
  /** Gets each event that the server sends, and what passes it on: now, later, twice, in another order or never. */
  messages: MessageHook | undefined
  /** Requests that came in, `METHOD path?query`, decoded. */
  readonly requests: string[] = []

  private constructor(upstream: string) {
    this.#upstream = new URL(upstream)
    this.#server = createServer((req, res) => this.#serve(req, res))
    this.#server.requestTimeout = 0
    this.#server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => this.#upgrade(req, socket, head))
    this.#server.on('connection', (socket: Socket) => {
      socket.setNoDelay(true)
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** @param upstream `http://host:port` */
  static async start(upstream: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(upstream)
    await proxy.accept()
    return proxy
  }

  /** `http://localhost:<port>`; stays the same while the server is "down". */
  get url(): string {
    return `http://localhost:${this.#port}`
  }

  /** Adds a rule; the first one that matches counts. Returns how often it has been applied, and what takes it away. */
  fault(match: Match, fault: Fault): { readonly hits: number; end(): void } {
    const rule: Rule = { match, fault, seen: 0, hits: 0 }
    this.#rules.push(rule)
    return {
      get hits() { return rule.hits },
      end: () => { this.#rules = this.#rules.filter((each) => each !== rule) },
    }
  }

  /** No more faults; what stalls for ever is cut. */
  heal(): void {
    this.#rules = []
    this.messages = undefined
  }

  /** Connections are refused, and those that there are end. */
  async refuse(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }

  /** Undoes `refuse`. */
  async accept(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#port, '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Ends every connection, websockets included. */
  cut(): void {
    this.cutEvents()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Ends the websockets. */
  cutEvents(): void {
    for (const pipe of this.#pipes) pipe.end()
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.refuse()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#agent.destroy()
  }

  #faultFor(method: string, path: string): Fault {
    for (const rule of this.#rules) {
      const { match } = rule
      if (match.method !== undefined && match.method !== method) continue
      if (match.path !== undefined && !match.path.test(path)) continue
      if (match.times !== undefined && rule.hits >= match.times) continue
      if (rule.seen++ < (match.skip ?? 0)) continue
      rule.hits++
      return rule.fault
    }
    return {}
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const path = decoded(req.url ?? '/')
    this.requests.push(`${req.method ?? ''} ${path}`)
    const fault = this.#faultFor(req.method ?? '', path)
    // A client that goes away in the middle is no error here.
    req.on('error', () => {})
    res.on('error', () => {})
    if (fault.stall === 'forever') return
    if (fault.stall === undefined) this.#answer(fault, req, res)
    else this.#later(fault.stall, () => this.#answer(fault, req, res))
  }

  #answer(fault: Fault, req: IncomingMessage, res: ServerResponse): void {
    if (fault.reset === true) {
      req.socket.resetAndDestroy()
      return
    }
    if (fault.status !== undefined) {
      // The connection is kept only if nothing of the request is left in it.
      req.resume()
      const body = Buffer.from(fault.body ?? '')
      res.writeHead(fault.status, { 'Content-Length': body.length, ...fault.headers })
      res.end(body)
      return
    }
    const onward = httpRequest({
      agent: this.#agent, host: this.#upstream.hostname, port: this.#upstream.port, method: req.method, path: req.url, headers: req.headers,
    }, (answer) => this.#pass(fault, answer, req, res))
    onward.on('error', () => req.socket.destroy())
    res.on('close', () => { if (!res.writableFinished) onward.destroy() })
    req.pipe(onward)
  }

  #pass(fault: Fault, answer: IncomingMessage, req: IncomingMessage, res: ServerResponse): void {
    answer.on('error', () => req.socket.destroy())
    if (fault.loseAnswer === true) {
      answer.resume()
      answer.on('end', () => req.socket.destroy())
      return
    }
    const headers = { ...answer.headers }
    if (fault.etag !== undefined) headers['etag'] = fault.etag
    if (fault.shortBody !== undefined) headers['content-length'] = String(Math.min(fault.shortBody, Number(headers['content-length'] ?? Infinity)))
    if (fault.shortBody !== undefined) delete headers['transfer-encoding']
    if (fault.shortBody === undefined && fault.cutAfter === undefined && fault.drip === undefined) {
      res.writeHead(answer.statusCode ?? 502, headers)
      answer.pipe(res)
      return
    }
    const chunks: Buffer[] = []
    answer.on('data', (chunk: Buffer) => chunks.push(chunk))
    answer.on('end', () => {
      const body = Buffer.concat(chunks)
      const end = Math.min(fault.shortBody ?? fault.cutAfter ?? body.length, body.length)
      if (fault.shortBody !== undefined) headers['content-length'] = String(end)
      res.writeHead(answer.statusCode ?? 502, headers)
      res.flushHeaders()
      if (fault.drip !== undefined) this.#drip(res, body, fault.drip)
      else if (fault.shortBody !== undefined) res.end(body.subarray(0, end))
      else res.write(body.subarray(0, end), () => req.socket.destroy())
    })
  }

  #drip(res: ServerResponse, body: Buffer, drip: { bytes: number; everyMs: number }, at = 0): void {
    if (res.destroyed) return
    if (at >= body.length) {
      res.end()
      return
    }
    res.write(body.subarray(at, at + drip.bytes))
    this.#later(drip.everyMs, () => this.#drip(res, body, drip, at + drip.bytes))
  }

  #upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const path = decoded(req.url ?? '/')
    this.requests.push(`UPGRADE ${path}`)
    const fault = this.#faultFor('UPGRADE', path)
    socket.on('error', () => {})
    if (fault.stall === 'forever') return
    if (fault.reset === true || fault.status !== undefined) {
      socket.end(fault.status === undefined ? undefined : `HTTP/1.1 ${fault.status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    const pipe = new EventPipe(this.#upstream, req, socket, head, () => this.messages, () => this.#pipes.delete(pipe))
    this.#pipes.add(pipe)
  }

  #later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, ms)
    this.#timers.add(timer)
  }
}

function decoded(url: string): string {
  try {
    return decodeURIComponent(url)
  } catch {
    return url
  }
}
