/** The thread of file-digest.ts: reads on as far as it is told and answers when it has come to the end. */
import { readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { Digester } from '../cells/digest.js'
import type { DigestReply } from './file-digest.js'

const CHUNK = 1024 * 1024

const { fd, size, withBlocks } = workerData as { fd: number; size: number; withBlocks: boolean }
const digester = new Digester(withBlocks)
const buffer = Buffer.allocUnsafe(CHUNK)
let ended = false

function end(reply: DigestReply): void {
  ended = true
  parentPort?.postMessage(reply)
}

function readUpTo(limit: number): void {
  while (digester.size < limit) {
    const read = readSync(fd, buffer, 0, Math.min(CHUNK, limit - digester.size), digester.size)
    if (read === 0) {
      end({ short: digester.size })
      return
    }
    digester.update(buffer.subarray(0, read))
  }
  if (digester.size === size) end({ digest: digester.finish() })
}

parentPort?.on('message', (limit: number) => {
  if (ended) return
  try {
    readUpTo(Math.min(limit, size))
  } catch (error) {
    end({ error: error instanceof Error ? error.message : String(error) })
  }
})
