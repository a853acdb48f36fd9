/**
 * One connection to the kernel: reads requests, hands them to the engine, sends exactly one reply to each.
 *
 * A burst of requests is read and begun before the event loop goes on, `BURST` at most, so that the network
 * gets its turn. Operations run side by side and reply in any order. What a reply gives to the
 * kernel (a lookup, an open file) is taken back when the kernel did not get it. At the end, all that the kernel
 * still had is given back to the engine.
 */
import { constants } from 'node:os'
import type { Logger } from '../../../log.js'
import { orLate } from '../../../signals.js'
import type { FileSystem } from '../driver.js'
import { Buffers } from './buffers.js'
import { Call } from './call.js'
import { isDying } from './callers.js'
import type { Device } from './device.js'
import { errnoName, ProtocolError, SystemError } from './errors.js'
import { negotiate, refusal, type Agreement, type Wishes } from './features.js'
import { DEFAULT_LIMITS, Inflight, type Limits } from './inflight.js'
import { InitOut } from './layouts.js'
import { NoticeQueue, attributesNotice } from './notices.js'
import { Context } from './operations/context.js'
import type { Answer, Operation } from './operations/operation.js'
import { OPERATIONS } from './operations/table.js'
import { IN_HEADER_BYTES, NAME_MAX_BYTES, type OpName } from './protocol.js'
import { emptyReply, reply, seal, type Parts } from './replies.js'
import { decodeArgs, decodeHeader, opName, type Args, type Header, type InitArgs, type Lengths } from './requests.js'

/** Requests begun before the event loop gets its turn. */
const BURST = 64
/**
 * How long to look for the next request without sleeping. A program that works file by file sends it as soon as it has its reply, and to be
 * woken costs more than most requests do: one client makes 1.7 times as many reads and creates. The event loop goes on meanwhile.
 */
const LINGER_MS = 0.1
/** In vain so often, because the machine is busy or the programs are slow, ... */
const VAIN = 8
/** ... and it is left out so often, before it is tried again: it takes the processor from the very program that is waited for. */
const LEFT_OUT = 64
/** Time for the engine to end what nobody waits for any more. */
const END_MS = 10_000

const { EEXIST, EIO, ENAMETOOLONG, ENODATA, ENOENT, ENOSYS, EPROTO, ETIMEDOUT } = constants.errno
/** Ordinary answers of a filesystem are nobody's news. */
const ORDINARY: ReadonlySet<number> = new Set([ENOENT, ENODATA, EEXIST, ENOSYS])

export interface SessionOptions {
  readonly device: Device
  readonly fs: FileSystem
  /** Positive errno of anything that the engine throws. */
  readonly errnoOf: (error: unknown) => number
  readonly log: Logger
  readonly writeback?: boolean
  /** uname(2)'s release of the kernel. */
  readonly release: string
  readonly limits?: Limits
  readonly isDying?: (pid: number) => boolean
}

export class Session {
  readonly #options: SessionOptions
  readonly #wishes: Wishes
  readonly #buffers = new Buffers()
  readonly #inflight: Inflight
  #context: Context | undefined
  #notices: NoticeQueue | undefined
  #unwatch: (() => void) | undefined
  #scheduled = false
  #lastRequest = 0
  #lingering = false
  #vain = 0
  #leftOut = 0
  #over = false
  /** Resolves when the kernel has agreed. */
  readonly ready: Promise<Agreement>
  /** Resolves when the connection is gone and everything has been given back. */
  readonly ended: Promise<void>
  #resolveReady!: (agreement: Agreement) => void
  #rejectReady!: (error: unknown) => void
  #resolveEnded!: () => void

  constructor(options: SessionOptions) {
    this.#options = options
    this.#wishes = { readdirplus: options.fs.hold !== undefined, writeback: options.writeback === true }
    this.#inflight = new Inflight({
      limits: options.limits ?? DEFAULT_LIMITS,
      isDying: options.isDying ?? isDying,
      give: (call, errno) => {
        if (errno === ETIMEDOUT) options.log.warn('a request was not answered in time', { op: call.op })
        this.#answerError(call, errno)
      },
    })
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ended = new Promise((resolve) => { this.#resolveEnded = resolve })
    this.ready.catch(() => {})
  }

  /** Requests that the engine works on. */
  get inflight(): number {
    return this.#inflight.size
  }

  /** @throws Error before `ready` */
  get notices(): NoticeQueue {
    if (this.#notices === undefined) throw new Error('the kernel has not agreed yet')
    return this.#notices
  }

  /** Lookups and handles that the kernel holds. */
  get held(): { readonly lookups: number; readonly handles: number } {
    return this.#context?.held ?? { lookups: 0, handles: 0 }
  }

  start(): void {
    this.#unwatch = this.#options.device.watch(() => this.#schedule())
  }

  /** On the event loop proper: promises and ticks run after it, which is not so in a callback of the poll handle. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (!this.#over) this.#drain()
    })
  }

  #drain(): void {
    try {
      for (let left = BURST; left > 0; left--) {
        if (this.#inflight.full) return this.#pause()
        const { current } = this.#buffers
        const received = this.#options.device.read(current)
        if (received === 'none') return this.#linger()
        if (typeof received === 'string') return this.#end()
        if (this.#lingering) this.#vain = 0
        this.#lingering = false
        this.#receive(current.subarray(0, received.length))
        this.#lastRequest = performance.now()
      }
      // More may wait: the poll handle says so in the next turn.
    } catch (error) {
      this.#options.log.error('the connection to the kernel is broken', { error })
      this.#end()
    }
  }

  /** No request now. One that comes soon finds this process awake. */
  #linger(): void {
    if (performance.now() - this.#lastRequest >= LINGER_MS) {
      if (this.#lingering) this.#vain++
      this.#lingering = false
    } else if (this.#vain < VAIN) {
      this.#lingering = true
      this.#schedule()
    } else if (++this.#leftOut >= LEFT_OUT) {
      this.#leftOut = 0
      this.#vain = VAIN - 1
    }
  }

  /** The bound is reached: what waits stays in the kernel until something is done. */
  #pause(): void {
    this.#unwatch?.()
    this.#unwatch = undefined
  }

  #resume(): void {
    if (this.#over || this.#unwatch !== undefined || this.#inflight.full) return
    this.start()
    this.#schedule()
  }

  #receive(message: Buffer): void {
    if (message.length < IN_HEADER_BYTES) {
      this.#options.log.warn('a request was shorter than its header', { bytes: message.length })
      return
    }
    const header = decodeHeader(message)
    const op = opName(header.opcode)
    try {
      if (op === undefined) this.#refuse(header, ENOSYS)
      else this.#begin(op, header, message)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#options.log.warn('a request was malformed', { op, error })
      // Nobody waits for a reply to these.
      if (op !== 'forget' && op !== 'batchForget' && op !== 'interrupt') this.#refuse(header, EIO)
    }
  }

  #begin(op: OpName, header: Header & Lengths, message: Buffer): void {
    if (op === 'init') this.#init(header, decodeArgs(op, message))
    else if (op === 'interrupt') this.#inflight.interrupt(decodeArgs(op, message).unique)
    else if (op === 'forget') this.#context?.forget(header.nodeid, decodeArgs(op, message).nlookup)
    else if (op === 'batchForget') for (const { nodeid, nlookup } of decodeArgs(op, message).items) this.#context?.forget(nodeid, nlookup)
    else if (op === 'destroy') this.#options.device.write(seal(emptyReply(), header.unique))
    else this.#run(op, header, message)
  }

  #init(header: Header, offer: InitArgs): void {
    const { device, release } = this.#options
    const problem = refusal(offer)
    if (problem !== undefined) {
      this.#refuse(header, EPROTO)
      this.#rejectReady(new ProtocolError(problem))
      return
    }
    const agreement = negotiate(offer, this.#wishes, release)
    // The kernel asks again with our major before anything else happens.
    const again = offer.major > agreement.reply.major
    if (!again) {
      this.#context = new Context({ ...this.#options, agreement, attributesChanged: (ino) => void device.write(attributesNotice(ino)) })
      this.#notices = new NoticeQueue({ send: (parts) => device.notify(parts), busy: (ino) => this.#inflight.busy(ino), reading: (ino) => this.#inflight.reading(ino), agreement })
    }
    device.write(seal(reply(InitOut, agreement.reply), header.unique))
    if (!again) this.#resolveReady(agreement)
  }

  #run<N extends OpName>(op: N, header: Header & Lengths, message: Buffer): void {
    const context = this.#context
    const operation: Operation<N> | undefined = OPERATIONS[op]
    if (context === undefined) return this.#refuse(header, EIO)
    if (operation === undefined) return this.#refuse(header, ENOSYS)
    const decoded = decodeArgs(op, message, header)
    if (isTooLong(decoded)) return this.#refuse(header, ENAMETOOLONG)
    const { args, bytes, done } = this.#keep(decoded)
    const { wait } = operation
    const ms = typeof wait === 'number' ? wait : wait(args, context)
    const call = new Call(op, header, bytes, performance.now() + ms)
    this.#inflight.add(call)
    void this.#serve(operation, args, call, context, done)
  }

  /** One promise for each request. Never rejects. */
  async #serve<N extends OpName>(operation: Operation<N>, args: Args<N>, call: Call, context: Context, done: (() => void) | undefined): Promise<void> {
    try {
      let answer: Answer
      try {
        answer = await operation.run(args, call, context)
      } catch (error) {
        this.#fail(call, error)
        return
      }
      this.#answer(call, answer)
    } catch (error) {
      // A reply that cannot be written would leave a program waiting for ever: let it crash.
      process.nextTick(() => { throw error })
    } finally {
      done?.()
      this.#inflight.remove(call)
      this.#notices?.wake()
      this.#resume()
    }
  }

  /** Content outlives the buffer of its message. `bytes`: memory for the content that comes or is asked for. */
  #keep<A>(args: A): { readonly args: A; readonly bytes: number; readonly done?: () => void } {
    const { data, size = 0 } = args as { readonly data?: Buffer; readonly size?: number }
    if (data === undefined) return { args, bytes: size }
    const kept = this.#buffers.keep(data)
    return { args: { ...args, data: kept.data }, bytes: kept.bytes, done: kept.done }
  }

  #answer(call: Call, { parts, undo, done }: Answer): void {
    if (call.answered || !this.#write(call, seal(parts, call.unique))) undo?.()
    done?.()
  }

  #fail(call: Call, error: unknown): void {
    const errno = error instanceof SystemError ? error.errno : error instanceof ProtocolError ? EIO : this.#options.errnoOf(error)
    if (!ORDINARY.has(errno)) {
      const facts = { op: call.op, ino: call.nodeid, code: errnoName(errno), error }
      if (errno === EIO || errno === ETIMEDOUT) this.#options.log.warn('a request failed', facts)
      else this.#options.log.debug('a request was refused', facts)
    }
    if (!call.answered) this.#answerError(call, errno)
  }

  #answerError(call: Call, errno: number): void {
    this.#write(call, seal(emptyReply(), call.unique, errno))
  }

  #write(call: Call, parts: Parts): boolean {
    call.answered = true
    return !this.#over && this.#options.device.write(parts)
  }

  #refuse({ unique }: Header, errno: number): void {
    this.#options.device.write(seal(emptyReply(), unique, errno))
  }

  /** The kernel has let go. Everything ends within `END_MS`, then nothing is held any more. */
  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#unwatch?.()
    this.#rejectReady(new ProtocolError('the connection ended before the kernel agreed'))
    this.#inflight.abort()
    void this.#finish()
  }

  async #finish(): Promise<void> {
    const { device, log } = this.#options
    await orLate(END_MS, this.#inflight.drained(), () => {})
    if (this.#inflight.size > 0) log.warn('requests were still running at the end of the mount', { count: this.#inflight.size })
    await this.#notices?.close()
    await this.#context?.close()
    device.close()
    this.#resolveEnded()
  }
}

/** Has the request a name that no Linux file system takes? */
function isTooLong(args: unknown): boolean {
  const { name = '', newname = '' } = args as { readonly name?: string; readonly newname?: string }
  // A character has three bytes at most; a pair of surrogates has four.
  return [name, newname].some((text) => text.length * 3 > NAME_MAX_BYTES && Buffer.byteLength(text) > NAME_MAX_BYTES)
}
