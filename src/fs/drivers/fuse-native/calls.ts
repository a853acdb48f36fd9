/**
 * From a request of the kernel to exactly one reply, in bounded time.
 *
 * Every request has a deadline: a process that waits for an answer cannot even be killed. When it
 * passes, the engine's AbortSignal fires and the program gets ETIMEDOUT, whatever the engine does
 * then. These are backstops; the engine's own deadlines are shorter.
 */
import { constants } from 'node:os'
import type { Logger } from '../../../log.js'
import { FsError, errnoCode } from '../../errno.js'
import type { Caller } from '../driver.js'
import type { Binding, Handler, NativeOps, OpName, Thread } from './binding.js'

export { DEADLINES, saving } from '../deadlines.js'

const UID = process.getuid?.() ?? 0
const GID = process.getgid?.() ?? 0

/** libfuse 2 through fuse-native does not tell who asks: requests act as the owner of this process. */
export class Request implements Caller {
  readonly uid = UID
  readonly gid = GID
  readonly pid = 0
  #controller: AbortController | undefined
  #expired = false

  /** Made when somebody asks for it: most requests are answered at once. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#expired) this.#controller.abort()
    return this.#controller.signal
  }

  /** The program has its ETIMEDOUT: whatever comes now has no taker. */
  get expired(): boolean {
    return this.#expired
  }

  expire(): void {
    this.#expired = true
    this.#controller?.abort()
  }
}

/** Runs `work`, at most `ms` long. @throws FsError ETIMEDOUT */
export function withDeadline<T>(ms: number, work: (request: Request) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new Request()
    const timer = setTimeout(() => {
      request.expire()
      reject(new FsError('ETIMEDOUT', 'no answer within the deadline'))
    }, ms)
    work(request).then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** What an operation answers: a non-negative result (0 or a byte count) and the values its reply takes. */
export interface Answer<N extends OpName> {
  readonly result?: number
  readonly values: NativeOps[N]['reply']
}

export interface Operation<N extends OpName> {
  readonly deadline: number | ((...args: NativeOps[N]['args']) => number)
  run(request: Request, thread: Thread, ...args: NativeOps[N]['args']): Promise<Answer<N>>
  /** The values an error reply needs: the binding reads them in any case. */
  failed(...args: NativeOps[N]['args']): NativeOps[N]['reply']
}

export function createHandler<N extends OpName>(name: N, operation: Operation<N>, binding: Binding, log: Logger): Handler<N> {
  return (thread, ...args) => {
    const ms = typeof operation.deadline === 'number' ? operation.deadline : operation.deadline(...args)
    withDeadline(ms, (request) => operation.run(request, thread, ...args)).then(
      ({ result, values }) => binding.reply(name, thread, result ?? 0, ...values),
      (error: unknown) => {
        const code = errnoCode(error)
        report(log, name, code, args[0], error)
        binding.reply(name, thread, -(constants.errno[code] ?? constants.errno.EIO), ...operation.failed(...args))
      },
    )
    // A reply that throws would leave the caller waiting for ever and means that the binding is not what we think: let it crash.
      .catch((error: unknown) => { process.nextTick(() => { throw error }) })
  }
}

function report(log: Logger, op: string, code: string, path: unknown, error: unknown): void {
  // Ordinary answers of a filesystem are nobody's news.
  if (code === 'ENOENT' || code === 'ENODATA' || code === 'EEXIST' || code === 'EOPNOTSUPP') return
  const facts = { op, path, code, error }
  if (code === 'EIO' || code === 'ETIMEDOUT') log.warn('a request failed', facts)
  else log.debug('a request was refused', facts)
}
