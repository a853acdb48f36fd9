/**
 * Watches the calls that go to the server and tells what they say about the connection, for `cellsfs status`: no call is
 * made for it.
 */
import { isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { ConnectionState } from './status.js'

export class ConnectionWatch {
  state: ConnectionState = 'online'

  /** The same server, watched. */
  watch(server: CellsServer): CellsServer {
    return new Proxy(server, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== 'function') return member
        return (...parameters: unknown[]) => {
          const result = (member as (...parameters: unknown[]) => unknown).apply(target, parameters)
          if (result instanceof Promise) result.then(() => { this.state = 'online' }, (error: unknown) => this.failed(error))
          return result
        }
      },
    })
  }

  private failed(error: unknown): void {
    if (isCellsError(error, 'network', 'timeout')) this.state = 'offline'
    else if (isCellsError(error, 'login-needed') || (error as { wireKind?: string } | undefined)?.wireKind === 'login-needed') this.state = 'login-needed'
    // Any other answer is an answer.
    else if (isCellsError(error) && error.status > 0) this.state = 'online'
  }
}
