/**
 * Memory for what a read returns, used again. A fresh piece of memory costs a page fault for each 4 KiB of it, which is more
 * than copying the content into it: 26 us for a read of 128 KiB, 8 us into memory that was used before.
 *
 * Whoever is done with a buffer may give it back, and must be the only one who has it; a buffer that nobody gives back is
 * collected like any other.
 */

/** Sizes are powers of two from here ... */
const SMALLEST = 4_096
/** ... to here; larger ones are not pooled. */
const LARGEST = 1_048_576
/** Bytes of idle memory that are kept. */
const IDLE_BYTES = 16 * 1_048_576

export class BufferPool {
  readonly #idle = new Map<number, Buffer[]>()
  /** Memory of ours that somebody has. */
  readonly #lent = new WeakSet<ArrayBufferLike>()
  #idleBytes = 0

  /** `size` bytes of any content. */
  take(size: number): Buffer {
    if (size > LARGEST || size === 0) return Buffer.allocUnsafe(size)
    const room = roomFor(size)
    const idle = this.#idle.get(room)?.pop()
    if (idle !== undefined) this.#idleBytes -= room
    const whole = idle ?? Buffer.allocUnsafeSlow(room)
    this.#lent.add(whole.buffer)
    return whole.length === size ? whole : whole.subarray(0, size)
  }

  /** `data` comes from `take`, or is a view of such a buffer, and nobody will read it any more. Other buffers are left alone. */
  give({ buffer }: Buffer): void {
    if (!this.#lent.delete(buffer)) return
    const room = buffer.byteLength
    if (this.#idleBytes + room > IDLE_BYTES) return
    const idle = this.#idle.get(room)
    if (idle === undefined) this.#idle.set(room, [Buffer.from(buffer)])
    else idle.push(Buffer.from(buffer))
    this.#idleBytes += room
  }
}

function roomFor(size: number): number {
  return size <= SMALLEST ? SMALLEST : 2 ** Math.ceil(Math.log2(size))
}

/** Content on its way from the caches to a driver, which gives it back (FileSystem.readDone). */
export const contentBuffers = new BufferPool()
