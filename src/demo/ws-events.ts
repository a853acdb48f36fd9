/**
 * `/ws/event`: the event stream (contract, section 7). Subscribing is one message without an acknowledgement; each event
 * is followed by the string `"dump"`; about 30 events a second and session; a bad token is answered with a close frame
 * that no strict client understands (trap 20). Rights are those of the moment of subscribing, the token is not looked at again.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { WebSocketServer } from 'ws'
import type { DemoUser } from './auth/types.js'
import type { Context } from './context.js'
import type { BusEvent, Snapshot } from './event-bus.js'
import { snapshotJson } from './render.js'
import type { NodeJson } from './render.js'

const MAX_MESSAGE = 2048
const PING_MS = 54_000
const PONG_WAIT_MS = 6_000
const EVENTS_PER_SECOND = 30
const BURST = 20

/** Gets a message that is about to leave, and what sends it: now, later, twice, out of turn or never. */
export type MessageHook = (message: string, send: (message: string) => void) => void

export class EventStream {
  /** Tests: what a bad network or a busy server does to events. */
  onMessage: MessageHook | undefined
  /** Events a second and session. */
  perSecond = EVENTS_PER_SECOND
  readonly #ctx: Context
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE })
  readonly #sessions = new Set<Session>()

  constructor(ctx: Context) {
    this.#ctx = ctx
  }

  /** Takes over an HTTP upgrade. */
  accept(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(req, socket, head, ws => {
      const session = new Session(this, this.#ctx, ws, socket, () => this.#sessions.delete(session))
      this.#sessions.add(session)
    })
  }

  /** Sessions that have subscribed. */
  get subscribed(): number {
    return [...this.#sessions].filter(session => session.subscribed).length
  }

  /** Cuts every connection without a word, as a dying network does. */
  drop(): void {
    for (const session of this.#sessions) session.drop()
  }

  close(): void {
    this.drop()
    this.#server.close()
  }
}

class Session {
  readonly #stream: EventStream
  readonly #ctx: Context
  readonly #ws: WebSocket
  readonly #socket: Duplex
  readonly #queue: string[] = []
  readonly #ping: NodeJS.Timeout
  #pongWait: NodeJS.Timeout | undefined
  #drain: NodeJS.Timeout | undefined
  #tokens = BURST
  #refilled = Date.now()
  #end: (() => void) | undefined

  constructor(stream: EventStream, ctx: Context, ws: WebSocket, socket: Duplex, onClose: () => void) {
    this.#stream = stream
    this.#ctx = ctx
    this.#ws = ws
    this.#socket = socket
    this.#ping = setInterval(() => this.#sendPing(), PING_MS)
    ws.on('message', data => void this.#onMessage((data as Buffer).toString('utf8')))
    ws.on('pong', () => clearTimeout(this.#pongWait))
    ws.on('error', () => {})
    ws.on('close', () => {
      this.#unsubscribe()
      clearInterval(this.#ping)
      clearTimeout(this.#pongWait)
      onClose()
    })
  }

  get subscribed(): boolean {
    return this.#end !== undefined
  }

  drop(): void {
    this.#socket.destroy()
  }

  async #onMessage(text: string): Promise<void> {
    let message: { '@type'?: unknown; jwt?: unknown }
    try {
      message = JSON.parse(text) as typeof message
    } catch {
      return this.#refuse('invalid message')
    }
    if (message['@type'] === 'unsubscribe') return this.#unsubscribe()
    if (message['@type'] !== 'subscribe') return
    const token = typeof message.jwt === 'string' ? message.jwt : ''
    const user = token === '' ? undefined : await this.#ctx.auth.verifyBearer(token)
    if (!user) return this.#refuse('empty idToken')
    this.#unsubscribe()
    this.#end = this.#ctx.bus.subscribe(event => this.#onEvent(user, event))
  }

  /** The server puts JSON where the two bytes of the close code belong. */
  #refuse(error: string): void {
    const payload = Buffer.from(JSON.stringify({ '@type': 'error', 'jwt': '', error })).subarray(0, 125)
    this.#socket.write(Buffer.concat([Buffer.from([0x88, payload.length]), payload]))
    this.#socket.end()
  }

  #unsubscribe(): void {
    this.#end?.()
    this.#end = undefined
    this.#queue.length = 0
    clearTimeout(this.#drain)
    this.#drain = undefined
  }

  #sendPing(): void {
    this.#ws.ping()
    clearTimeout(this.#pongWait)
    this.#pongWait = setTimeout(() => this.drop(), PONG_WAIT_MS)
  }

  #onEvent(user: DemoUser, event: BusEvent): void {
    if (event.kind === 'user') {
      if (event.login === user.login) this.#ws.send(JSON.stringify(event.message))
      return
    }
    if (event.kind === 'all') {
      this.#ws.send(JSON.stringify(event.message))
      return
    }
    for (const message of this.#translate(user, event)) this.#queue.push(JSON.stringify(message))
    this.#flush()
  }

  /** The event as this user sees it, once for each workspace it touches. */
  #translate(user: DemoUser, event: Extract<BusEvent, { kind: 'node' }>): { Type?: string; Source?: NodeJson; Target?: NodeJson }[] {
    const source = 'source' in event ? this.#seen(user, event.source) : new Map<string, NodeJson>()
    const target = 'target' in event ? this.#seen(user, event.target) : new Map<string, NodeJson>()
    const messages: { Type?: string; Source?: NodeJson; Target?: NodeJson }[] = []
    for (const [slug, node] of target) {
      const from = source.get(slug)
      // Moved into sight, or made: a CREATE has no Type (its value is zero).
      if (event.type === 'CREATE' || (event.type === 'UPDATE_PATH' && !from)) messages.push({ Target: node })
      else messages.push({ Type: event.type, ...(from ? { Source: from } : {}), Target: node })
    }
    for (const [slug, node] of source) if (!target.has(slug)) messages.push({ Type: 'DELETE', Source: node })
    return messages
  }

  #seen(user: DemoUser, snapshot: Snapshot): Map<string, NodeJson> {
    const { access, flat, metadata } = this.#ctx
    return new Map(access.pathsFor(user, snapshot.place).map(({ view, path }) => [view.row.slug, snapshotJson(snapshot, view, path, flat, flat ? metadata.shown(user, snapshot.node.uuid) : {})]))
  }

  #flush(): void {
    const now = Date.now()
    const { onMessage, perSecond } = this.#stream
    this.#tokens = Math.min(Math.max(BURST, perSecond / 10), this.#tokens + ((now - this.#refilled) * perSecond) / 1000)
    this.#refilled = now
    while (this.#tokens >= 1) {
      const message = this.#queue.shift()
      if (message === undefined) return
      this.#tokens--
      if (onMessage === undefined) this.#send(message)
      else onMessage(message, (it) => this.#send(it))
    }
    if (this.#queue.length > 0) {
      this.#drain ??= setTimeout(() => {
        this.#drain = undefined
        this.#flush()
      }, 1000 / perSecond)
    }
  }

  #send(message: string): void {
    this.#ws.send(message)
    this.#ws.send('"dump"')
  }
}
