/**
 * Blocks go to the disk from a thread of their own, one after the other: checksum and file cost a millisecond for each MiB, in which
 * the main thread would answer nobody. Memory that threads share goes there as it is (block-memory.ts), other memory as a copy.
 */
import { Thread } from '../thread.js'
import type { BlockToWrite } from './block-file.js'
import { isShared } from './block-memory.js'

/** What the thread answers, in the order in which it was asked: nothing, or what the disk said. */
export type BlockAnswer = { readonly code: string | undefined; readonly message: string } | null

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const waiting: Waiting[] = []
const thread = new Thread<BlockToWrite, BlockAnswer>({
  program: new URL('./block-thread.js', import.meta.url),
  onAnswer: (answer) => {
    const next = waiting.shift()
    if (answer === null) next?.resolve()
    else next?.reject(Object.assign(new Error(answer.message), { code: answer.code }))
    thread.done()
  },
  onEnd: (error) => { for (const { reject } of waiting.splice(0)) reject(error) },
})

/** As writeBlock, in the thread. `data` must not change until it resolves. @throws errors of the disk */
export function writeBlockAside(block: BlockToWrite): Promise<void> {
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject })
    if (isShared(block.data)) return thread.begin(block)
    const data = new Uint8Array(block.data)
    thread.begin({ ...block, data }, [data.buffer])
  })
}
