/**
 * Watches the calls that go to the server and tells what they say about the connection, for `cellsfs status`: no call is
 * made for it. And ends them with the mount: whoever waits for an answer then, with a signal or without one, has waited long enough; what
 * the server makes of it is found out by the next mount, as after a crash.
 */
import { CellsError, isCellsError } from '../cells/errors.js'
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
  /** Told of each path at which the server is about to be told of a change. */
  onTelling: (path: string) => void = () => {}
  private now: ConnectionState = 'online'

  get state(): ConnectionState {
    return this.now
  }

  /** The server did not answer in time to somebody who would not wait. */
  away(error: unknown): void {
    if (this.now === 'online') this.become('offline', error)
  }

  private over = false
  private readonly waiting = new Set<() => void>()

  /** Nobody waits for the server any more: every call that is under way or to come fails with `aborted`. */
  end(): void {
    this.over = true
    for (const leave of [...this.waiting]) leave()
  }

  /** What `work` gives, or a rejection when the mount ends. */
  private untilEnd<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const leave = (): void => {
        this.waiting.delete(leave)
        reject(new CellsError('aborted', 'The mount has ended'))
      }
      this.waiting.add(leave)
      work.then(resolve, reject).finally(() => this.waiting.delete(leave))
      if (this.over) leave()
    })
  }

  /** A listing, page by page. */
  private async * pages<T>(pages: AsyncIterable<T>): AsyncGenerator<T> {
    const each = pages[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await this.untilEnd(each.next())
        if (next.done === true) return
        yield next.value
      }
    } finally {
      each.return?.()?.catch(() => {})
    }
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
          if (changes) {
            for (const path of changedBy(name, parameters)) this.onTelling(path)
            crashPoint(`before ${String(name)}`)
          }
          const result = (member as (...parameters: unknown[]) => unknown).apply(target, parameters)
          if (name === 'list') return this.pages(result as ReturnType<CellsServer['list']>)
          if (!(result instanceof Promise)) return result
          result.then(() => {
            this.become('online')
            if (changes) crashPoint(`after ${String(name)}`)
          }, (error: unknown) => this.failed(error))
          return name === 'close' ? result : this.untilEnd(result)
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

/** Paths of a call of CHANGES. */
function changedBy(name: string | symbol, [first, second]: readonly unknown[]): readonly string[] {
  return (Array.isArray(first) ? first : name === 'move' || name === 'copy' ? [first, second] : [first]) as string[]
}
