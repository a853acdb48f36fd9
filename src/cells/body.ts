/**
 * Bodies on the way: an upload that counts and may not stall, a download that must be whole. A
 * 2.x server cuts bodies short or announces the length of another version (contract, trap 1), so
 * the count is checked here, once, for everybody.
 */
import type { Deadline } from './deadline.js'
import { CellsError } from './errors.js'
import { sentence, transportFault } from './faults.js'
import type { ReplyBody } from './http.js'
import type { BodySource } from './server.js'
import type { ObjectBody } from './types.js'
import { TIMEOUTS } from './timeouts.js'

/** Rate at which a server is expected to store what it has received, bytes per second. */
const STORE_RATE = 4 * 1024 * 1024

/**
 * The body of an upload: exactly `size` bytes or an error. Ends `deadline` when nobody takes a byte for
 * {@link TIMEOUTS.stall}, or when the answer is late after the last one.
 */
export async function* upload(source: BodySource, size: number, deadline: Deadline, onProgress?: (sent: number) => void): AsyncGenerator<Uint8Array> {
  let sent = 0
  let timer: NodeJS.Timeout | undefined
  const within = (ms: number): void => {
    clearTimeout(timer)
    timer = setTimeout(() => deadline.fail(new CellsError('timeout', sentence('timeout', deadline.doing))), ms)
    timer.unref()
  }
  const onEnd = (): void => clearTimeout(timer)
  deadline.signal.addEventListener('abort', onEnd, { once: true })
  let complete = false
  try {
    within(TIMEOUTS.stall)
    for await (const chunk of source()) {
      if (sent + chunk.length > size) throw new CellsError('invalid', `could not ${deadline.doing}: the content is longer than announced`)
      if (chunk.length === 0) continue
      sent += chunk.length
      yield chunk
      onProgress?.(sent)
      within(TIMEOUTS.stall)
    }
    if (sent !== size) throw new CellsError('invalid', `could not ${deadline.doing}: the content is shorter than announced`)
    complete = true
  } finally {
    clearTimeout(timer)
    if (complete) {
      within(TIMEOUTS.putAnswer + (size / STORE_RATE) * 1000)
      deadline.onEnd(onEnd)
    }
    deadline.signal.removeEventListener('abort', onEnd)
  }
}

/** The body of a download. Owns `deadline`, whose clock must be stopped: undici's stall timer bounds it from here on. */
export class DownloadStream implements AsyncIterable<Buffer> {
  readonly #body: ReplyBody
  readonly #length: number
  readonly #deadline: Deadline

  constructor(body: ReplyBody, length: number, deadline: Deadline) {
    this.#body = body
    this.#length = length
    this.#deadline = deadline
    body.onClose(() => deadline.end())
  }

  destroy(error?: Error): void {
    this.#deadline.end()
    this.#body.destroy(error)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    const count = this.#counter()
    try {
      for await (const chunk of this.#body) {
        count.add(chunk)
        yield chunk
      }
      count.end()
    } catch (error) {
      throw count.fault(error)
    } finally {
      this.destroy()
    }
  }

  /** Hands every piece to `take` the moment it comes; resolves after the last one. Errors of `take` are thrown as they are. */
  async each(take: (chunk: Buffer) => void): Promise<void> {
    const count = this.#counter()
    let own: unknown
    try {
      await this.#body.each((chunk) => {
        count.add(chunk)
        try {
          take(chunk)
        } catch (error) {
          own = error
          throw error
        }
      })
      count.end()
    } catch (error) {
      throw error === own ? error : count.fault(error)
    } finally {
      this.destroy()
    }
  }

  #counter(): { add: (chunk: Buffer) => void; end: () => void; fault: (error: unknown) => CellsError } {
    let got = 0
    const bad = (what: string, cause?: unknown): CellsError => new CellsError('protocol', `could not ${this.#deadline.doing}: the server sent ${what}`, { cause })
    const short = (cause?: unknown): CellsError => bad(`${got} of ${this.#length} bytes`, cause)
    return {
      add: (chunk) => {
        got += chunk.length
        if (got > this.#length) throw bad('more than it announced')
      },
      end: () => { if (got !== this.#length) throw short() },
      fault: (error) => {
        if (this.#deadline.reason !== undefined) return this.#deadline.reason
        const fault = transportFault(error, this.#deadline.doing)
        return fault.kind === 'timeout' || error instanceof CellsError ? fault : short(error)
      },
    }
  }
}

/** Etag without quotes and weak mark. */
export function bareEtag(header: string): string {
  return header.replace(/^W\//, '').replace(/^"|"$/g, '')
}

/**
 * What an answer's headers promise.
 *
 * @throws CellsError `protocol` when they do not fit the range that was asked for
 */
export function bodyFacts(
  status: number, header: (name: string) => string, range: { start: number; end: number } | undefined, doing: string,
): Pick<ObjectBody, 'totalSize' | 'length' | 'etag'> {
  const bad = (why: string): CellsError => new CellsError('protocol', `could not ${doing}: ${why}`, { status })
  const length = /^\d{1,15}$/.test(header('content-length')) ? Number(header('content-length')) : undefined
  if (length === undefined) throw bad('the server does not say how long the body is')
  const etag = bareEtag(header('etag'))
  if (status === 206) {
    const [, from, to, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header('content-range')) ?? []
    if (total === undefined || Number(to) - Number(from) + 1 !== length) throw bad('the range of the answer is damaged')
    if (range !== undefined && (Number(from) !== range.start || Number(to) > range.end)) throw bad('the server sent another range')
    return { totalSize: Number(total), length, etag }
  }
  if (range !== undefined && (range.start !== 0 || length > range.end + 1)) throw bad('the server ignored the range')
  return { totalSize: length, length, etag }
}
