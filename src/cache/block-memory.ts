/**
 * Memory of whole blocks, which threads share and which is used again: fresh memory costs a page fault for each 4 KiB, and the collector,
 * which does not count shared memory, lets it grow. Several may have a block (who fills it and reads from it, the cache, who writes it
 * to the disk); it is used again when the last one has given it back.
 */
import { BLOCK_SIZE } from './block-file.js'

/** Idle blocks that are kept. */
const IDLE_BLOCKS = 16
/** A block shorter than this comes from ordinary memory: a whole one would be wasted on it, and it is cheap to copy. */
const SHARED_BYTES = 65_536

const idle: SharedArrayBuffer[] = []
/** How many have it. */
const owners = new WeakMap<Buffer, number>()

export const blockMemory = {
  /** `length` bytes of any content, a block at most; shared if it is not short. Whoever takes it has it until he gives it back. */
  take(length: number): Buffer {
    if (length < SHARED_BYTES) return Buffer.allocUnsafe(length)
    const block = Buffer.from(idle.pop() ?? new SharedArrayBuffer(BLOCK_SIZE), 0, length)
    owners.set(block, 1)
    return block
  },

  /** One more has what was taken here; other buffers are left alone. */
  share(block: Buffer): void {
    const count = owners.get(block)
    if (count !== undefined) owners.set(block, count + 1)
  },

  /** One less has it. When it was the last one it is used again: nobody may have a view of it. What a thread may still write to is never given. */
  give(block: Buffer): void {
    const count = owners.get(block)
    if (count === undefined) return
    if (count > 1) {
      owners.set(block, count - 1)
      return
    }
    owners.delete(block)
    if (idle.length < IDLE_BLOCKS) idle.push(block.buffer as unknown as SharedArrayBuffer)
  },
}

/** Do threads see it as it is? */
export function isShared({ buffer }: Uint8Array): boolean {
  return buffer instanceof SharedArrayBuffer
}
