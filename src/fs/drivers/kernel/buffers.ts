/**
 * Buffers that requests are read into. Almost all requests are decoded at once and leave the buffer for the next one; a large
 * WRITE keeps it until the engine is done, so that its content is never copied.
 */
import { READ_BUFFER_BYTES } from './protocol.js'

/** Content below this is copied out: a small write must not hold a whole buffer. */
const COPY_BYTES = 65_536
/** Free buffers that are kept. */
const SPARE = 8

export class Buffers {
  readonly #spare: Buffer[] = []
  #current: Buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)

  /** Where the next request goes. */
  get current(): Buffer {
    return this.#current
  }

  /** `data`, a view into the current buffer, made to last until `done` is called; `bytes` is the memory that this takes. */
  keep(data: Buffer): { readonly data: Buffer; readonly bytes: number; readonly done: () => void } {
    if (data.length < COPY_BYTES) return { data: Buffer.from(data), bytes: data.length, done: () => {} }
    const kept = this.#current
    this.#current = this.#spare.pop() ?? Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
    return { data, bytes: kept.length, done: () => { if (this.#spare.length < SPARE) this.#spare.push(kept) } }
  }
}
