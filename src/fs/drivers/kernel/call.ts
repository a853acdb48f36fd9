/** One request of the kernel on its way through the engine: who asks, until when, and whether the reply is out. */
import type { Caller } from '../driver.js'
import type { OpName } from './protocol.js'
import type { Header } from './requests.js'

export class Call implements Caller {
  readonly op: OpName
  readonly unique: bigint
  readonly nodeid: number
  readonly uid: number
  readonly gid: number
  readonly pid: number
  /** Bytes of content that it holds or will hold in memory. */
  readonly bytes: number
  /** performance.now() after which the kernel gets ETIMEDOUT. */
  readonly deadline: number
  /** A signal has hit the caller. */
  interrupted = false
  /** The kernel has its reply: whatever the engine says now has no taker. */
  answered = false
  #controller: AbortController | undefined
  #aborted = false

  constructor(op: OpName, { unique, nodeid, uid, gid, pid }: Header, bytes: number, deadline: number) {
    this.op = op
    this.unique = unique
    this.nodeid = nodeid
    this.uid = uid
    this.gid = gid
    this.pid = pid
    this.bytes = bytes
    this.deadline = deadline
  }

  /** Made when somebody asks for it: most requests are answered at once. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#aborted) this.#controller.abort()
    return this.#controller.signal
  }

  abort(): void {
    this.#aborted = true
    this.#controller?.abort()
  }
}
