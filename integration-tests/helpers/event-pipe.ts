/**
 * One websocket through the fault proxy, message by message. Pings and pongs pass, too: the client takes the server's pong for the
 * acknowledgement of its subscription (src/cells/events.ts).
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'

/** Gets a message of the server, and what sends it on to the client. */
export type MessageHook = (message: string, send: (message: string) => void) => void

const accepting = new WebSocketServer({ noServer: true, autoPong: false })

export class EventPipe {
  readonly #up: WebSocket
  #down: WebSocket | undefined
  /** What the client said before the server was connected. */
  #early: (() => void)[] = []

  constructor(upstream: URL, req: IncomingMessage, socket: Duplex, head: Buffer, hook: () => MessageHook | undefined, onEnd: () => void) {
    this.#up = new WebSocket(new URL(req.url ?? '/', upstream.href.replace(/^http/, 'ws')), { autoPong: false })
    const end = (): void => {
      this.end()
      onEnd()
    }
    this.#up.on('error', end)
    this.#up.on('close', end)
    accepting.handleUpgrade(req, socket, head, (down) => {
      this.#down = down
      down.on('error', end)
      down.on('close', end)
      down.on('message', (data: Buffer, binary) => this.#send(() => this.#up.send(data, { binary })))
      down.on('ping', (data: Buffer) => this.#send(() => this.#up.ping(data)))
      down.on('pong', (data: Buffer) => this.#send(() => this.#up.pong(data)))
    })
    this.#up.on('open', () => {
      for (const send of this.#early) send()
      this.#early = []
    })
    const toClient = (message: string): void => {
      if (this.#down?.readyState === WebSocket.OPEN) this.#down.send(message)
    }
    this.#up.on('message', (data: Buffer) => {
      const message = data.toString('utf8')
      const change = hook()
      if (change === undefined) toClient(message)
      else change(message, toClient)
    })
    this.#up.on('ping', (data: Buffer) => this.#down?.ping(data))
    this.#up.on('pong', (data: Buffer) => this.#down?.pong(data))
  }

  end(): void {
    this.#up.terminate()
    this.#down?.terminate()
  }

  #send(work: () => void): void {
    if (this.#up.readyState === WebSocket.OPEN) work()
    else if (this.#up.readyState === WebSocket.CONNECTING) this.#early.push(work)
  }
}
