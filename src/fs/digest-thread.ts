/** The thread of hashing.ts: digests of open files, one after the other. */
import { readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { Digester } from '../cells/digest.js'
import type { DigestAnswer, DigestTask } from './hashing.js'

const buffer = Buffer.allocUnsafeSlow(1 << 20)

function answerTo({ fd, size }: DigestTask): DigestAnswer {
  try {
    const digester = new Digester()
    for (let at = 0; at < size;) {
      const wanted = Math.min(buffer.length, size - at)
      const got = readSync(fd, buffer, 0, wanted, at)
      // The end of a sparse file: the rest is a hole.
      if (got === 0) buffer.fill(0, 0, wanted)
      const length = got === 0 ? wanted : got
      digester.update(buffer.subarray(0, length))
      at += length
    }
    return { digest: digester.finish() }
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code, message: (error as Error).message }
  }
}

parentPort?.on('message', (task: DigestTask) => parentPort?.postMessage(answerTo(task)))
