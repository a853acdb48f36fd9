/** The thread of block-writer.ts. */
import { parentPort } from 'node:worker_threads'
import { type BlockToWrite, writeBlock } from './block-file.js'
import type { BlockAnswer } from './block-writer.js'

function answerTo(block: BlockToWrite): BlockAnswer {
  try {
    writeBlock(block)
    return null
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code, message: (error as Error).message }
  }
}

parentPort?.on('message', (block: BlockToWrite) => parentPort?.postMessage(answerTo(block)))
