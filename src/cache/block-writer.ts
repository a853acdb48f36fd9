/**
 * Blocks go to the disk from a thread of their own, one after the other: checksum and file cost a millisecond for each MiB, in which
 * the main thread would answer nobody. Memory that threads share goes there as it is (block-memory.ts), other memory as a copy.
 */
import { TaskThread } from '../thread.js'
import type { BlockToWrite } from './block-file.js'
import { isShared } from './block-memory.js'

const thread = new TaskThread<BlockToWrite, void>(new URL('./block-thread.js', import.meta.url))

/** As writeBlock, in the thread. `data` must not change until it resolves. @throws errors of the disk */
export function writeBlockAside(block: BlockToWrite): Promise<void> {
  if (isShared(block.data)) return thread.ask(block)
  const data = new Uint8Array(block.data)
  return thread.ask({ ...block, data }, [data.buffer])
}
