/**
 * The event stream: one websocket however many listen, kept up with backoff and jitter while
 * anybody does.
 *
 * The server never acknowledges a subscription; a refused one is a malformed close frame (contract, trap 20)
 * or a plain drop (newer-servers 2 #20). So a ping follows the subscription at once: messages are
 * handled in order, hence its pong says that the subscription stands. A stream that ends before that
 * is suspected of a dead token, and the suspicion is put to REST, which renews dead tokens by itself: so
 * a server that is just going down costs nobody a good token.
 *
 * There is no resume: after each `connected` the holder must assume missed events.
 */
import type { WebSocket } from 'ws'
import { CellsError } from './errors.js'
import { parseEvent } from './event-parse.js'
import { sentence, transportFault } from './faults.js'
import { proxyTunnel } from './proxy-tunnel.js'
import { getToken, type Rest } from './rest.js'
import type { ConnectionSettings } from '../auth/types.js'
import { TIMEOUTS } from './timeouts.js'
import type { CellsEvent, StreamState } from './types.js'
import type { WakeUps } from './wait.js'

export interface EventListener {
  onEvent(event: CellsEvent): void
  onState(state: StreamState): void
}

const FIRST_BACKOFF_MS = 500
const LONGEST_BACKOFF_MS = 30_000
/** A stream that held this long was a good one: the next failure starts the backoff anew. */
const GOOD_STREAM_MS = 20_000
const PING_EVERY_MS = 20_000
/** The server pings every 54 s by itself; ours come more often, so silence of two is a dead peer. */
const SILENCE_MS = 45_000
const LARGEST_MESSAGE = 4 * 1024 * 1024

export class EventStream implements WakeUps {
  readonly #rest: Rest
  readonly #settings: ConnectionSettings
  readonly #listeners = new Set<EventListener>()
  readonly #watchers = new Set<(event: CellsEvent) => void>()
  #connected = false
  #running: AbortController | undefined

  constructor(rest: Rest, settings: ConnectionSettings) {
    this.#rest = rest
    this.#settings = settings
  }

  get connected(): boolean {
    return this.#connected
  }

  watch(listener: (event: CellsEvent) => void): () => void {
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }

  listen(listener: EventListener): { close(): void } {
    this.#listeners.add(listener)
    if (this.#connected) queueMicrotask(() => { if (this.#connected && this.#listeners.has(listener)) this.#guard(() => listener.onState({ state: 'connected' })) })
    if (this.#running === undefined) {
      this.#running = new AbortController()
      void this.#keepUp(this.#running.signal)
    }
    return {
      close: () => {
        this.#listeners.delete(listener)
        if (this.#listeners.size === 0) this.stop()
      },
    }
  }

  stop(): void {
    this.#running?.abort()
    this.#running = undefined
    this.#connected = false
  }

  async #keepUp(stop: AbortSignal): Promise<void> {
    let failures = 0
    while (!stop.aborted && !this.#rest.http.closed.aborted) {
      const started = Date.now()
      const reason = await this.#session(stop).then(() => 'closed', (error: unknown) => (error instanceof Error ? error.message : String(error)))
      if (stop.aborted) return
      failures = Date.now() - started > GOOD_STREAM_MS ? 0 : failures + 1
      this.#setState({ state: 'disconnected', reason })
      const pause = this.#rest.http.deadline(LONGEST_BACKOFF_MS * 2, 'connect to the event stream', stop)
      await pause.sleep(Math.random() * Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10))).catch(() => {})
      pause.end()
    }
  }

  /** One connection from start to end; always ends in a throw unless `stop` fires. */
  async #session(stop: AbortSignal): Promise<void> {
    const doing = 'connect to the event stream'
    const deadline = this.#rest.http.deadline(TIMEOUTS.probe * 2, doing, stop)
    let subscribed = false
    try {
      const token = await getToken(this.#rest.tokens, deadline)
      const socket = await this.#open(deadline.signal)
      try {
        const acknowledged = await this.#talk(socket, token, stop, () => deadline.stopClock(), () => { subscribed = true })
        if (acknowledged) return
      } finally {
        socket.on('error', () => {})
        socket.terminate()
      }
    } catch (error) {
      if (deadline.signal.aborted) throw deadline.signal.reason
      throw transportFault(error, doing)
    } finally {
      deadline.end()
    }
    if (subscribed && !stop.aborted) {
      await this.#rest.call({ method: 'POST', path: '/a/meta/bulk/get', json: {}, doing, timeoutMs: TIMEOUTS.probe, signal: stop, attempts: 1 })
      throw new CellsError('unavailable', 'the server refused the subscription')
    }
  }

  async #open(signal: AbortSignal): Promise<WebSocket> {
    const { WebSocket } = await import('ws')
    const url = new URL('/ws/event', this.#rest.http.url)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    const tunnel = await proxyTunnel(url, signal, !this.#settings.skipVerify)
    const socket = new WebSocket(url, {
      headers: { ...this.#settings.customHeaders },
      rejectUnauthorized: !this.#settings.skipVerify,
      handshakeTimeout: TIMEOUTS.connect,
      maxPayload: LARGEST_MESSAGE,
      perMessageDeflate: false,
      ...tunnel,
    })
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        socket.terminate()
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      socket.once('open', () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      })
      socket.once('unexpected-response', (_request, response) => {
        response.destroy()
        reject(new CellsError(response.statusCode === 503 ? 'unavailable' : 'not-cells', `could not connect to the event stream: status ${response.statusCode ?? 0}`))
      })
      socket.on('error', reject)
    })
    return socket
  }

  /** Subscribes and passes events on until the socket ends. Resolves with whether the subscription stood. */
  #talk(socket: WebSocket, token: string, stop: AbortSignal, onUp: () => void, onSubscribed: () => void): Promise<boolean> {
    return new Promise((resolve, reject) => {
      let up = false
      let lastHeard = Date.now()
      const heard = (): void => {
        lastHeard = Date.now()
        if (up || stop.aborted) return
        up = true
        onUp()
        this.#setState({ state: 'connected' })
      }
      const timer = setInterval(() => {
        if (Date.now() - lastHeard > SILENCE_MS) finish(new CellsError('timeout', sentence('timeout', 'hear from the event stream')))
        else socket.ping()
      }, PING_EVERY_MS)
      const finish = (error?: Error): void => {
        clearInterval(timer)
        stop.removeEventListener('abort', onStop)
        this.#connected = false
        if (!up && error === undefined) resolve(false)
        else if (error !== undefined && up) reject(error)
        else resolve(up)
      }
      const onStop = (): void => {
        socket.terminate()
        finish()
      }
      stop.addEventListener('abort', onStop, { once: true })
      socket.on('pong', heard)
      socket.on('ping', () => { lastHeard = Date.now() })
      socket.on('message', (data, isBinary) => {
        lastHeard = Date.now()
        if (isBinary) return
        const event = parseEvent((data as Buffer).toString('utf8'))
        if (event === undefined) return
        heard()
        this.#deliver(event)
      })
      // A malformed close frame comes as an error, before `close`.
      socket.on('error', (error) => (up ? finish(transportFault(error, 'hear from the event stream')) : finish()))
      socket.on('close', (code) => finish(up ? new CellsError('network', `the event stream was closed (${code})`) : undefined))
      socket.send(JSON.stringify({ '@type': 'subscribe', jwt: token }), (error) => {
        if (error) return finish(error)
        onSubscribed()
        if (socket.readyState === socket.OPEN) socket.ping()
      })
    })
  }

  #setState(state: StreamState): void {
    this.#connected = state.state === 'connected'
    this.#rest.http.logger.info('event stream', { ...state })
    for (const listener of [...this.#listeners]) this.#guard(() => listener.onState(state))
  }

  #deliver(event: CellsEvent): void {
    for (const listener of [...this.#listeners]) this.#guard(() => listener.onEvent(event))
    for (const watcher of [...this.#watchers]) this.#guard(() => watcher(event))
  }

  #guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#rest.http.logger.error('an event listener failed', { error })
    }
  }
}
