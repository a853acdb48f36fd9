/**
 * Watches the calls that go to the server and tells what they say about the connection, for `cellsfs status`: no call is
 * made for it.
 */
import { isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { crashPoint } from '../crashpoints.js'
import { saysNothing } from './patience.js'
import type { ConnectionState } from './status.js'

/** What changes something on the server. */
const CHANGES: ReadonlySet<string | symbol> = new Set([
  'put', 'multipartStart', 'multipartPart', 'multipartComplete', 'multipartAbort', 'mkdir', 'move', 'copy', 'remove', 'removeObject',
] satisfies (keyof CellsServer)[])

export class ConnectionWatch {
  /** Told of each change, with what caused it. */
  onChange: (state: ConnectionState, error?: unknown) => void = () => {}
  private now: ConnectionState = 'online'

  get state(): ConnectionState {
    return this.now
  }

  /** The server did not answer in time to somebody who would not wait. */
  away(error: unknown): void {
    if (this.now === 'online') this.become('offline', error)
  }

  private become(state: ConnectionState, error?: unknown): void {
    if (state === this.now) return
    this.now = state
    this.onChange(state, error)
  }

  /** The same server, watched. */
  watch(server: CellsServer): CellsServer {
    return new Proxy(server, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== 'function') return member
        const changes = CHANGES.has(name)
        return (...parameters: unknown[]) => {
          if (changes) crashPoint(`before ${String(name)}`)
          const result = (member as (...parameters: unknown[]) => unknown).apply(target, parameters)
          if (result instanceof Promise) result.then(() => {
            this.become('online')
            if (changes) crashPoint(`after ${String(name)}`)
          }, (error: unknown) => this.failed(error))
          return result
        }
      },
    })
  }

  private failed(error: unknown): void {
    if (isCellsError(error, 'login-needed') || (error as { wireKind?: string } | undefined)?.wireKind === 'login-needed') this.become('login-needed', error)
    // Without an answer nothing says that the sign-in is good again.
    else if (isCellsError(error) && saysNothing(error) && error.status === 0) this.become(this.now === 'login-needed' ? this.now : 'offline', error)
    // Any other answer is an answer.
    else if (isCellsError(error) && error.status > 0) this.become('online')
  }
}
