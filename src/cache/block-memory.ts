/**
 * Memory of whole blocks, which threads share and which is used again: fresh memory costs a page fault for each 4 KiB, and the collector,
 * which does not count shared memory, lets it grow. Who takes a block owns it and passes it on; the last owner gives it back, when nobody
 * has a view of it any more.
 */
import { BLOCK_SIZE } from './block-file.js'

/** Idle blocks that are kept. */
const IDLE_BLOCKS = 16
/** A block shorter than this comes from ordinary memory: a whole one would be wasted on it, and it is cheap to copy. */
const SHARED_BYTES = 65_536

const idle: SharedArrayBuffer[] = []
const lent = new WeakSet<Buffer>()

export const blockMemory = {
  /** `length` bytes of any content, a block at most; shared if it is not short. */
  take(length: number): Buffer {
    if (length < SHARED_BYTES) return Buffer.allocUnsafe(length)
    const block = Buffer.from(idle.pop() ?? new SharedArrayBuffer(BLOCK_SIZE), 0, length)
    lent.add(block)
    return block
  },

  /** What was taken here; other buffers are left alone. */
  give(block: Buffer): void {
    if (lent.delete(block) && idle.length < IDLE_BLOCKS) idle.push(block.buffer as unknown as SharedArrayBuffer)
  },
}

/** Do threads see it as it is? */
export function isShared({ buffer }: Uint8Array): boolean {
  return buffer instanceof SharedArrayBuffer
}
