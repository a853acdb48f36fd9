/** The thread of hashing.ts: digests of open files, one after the other. */
import { readSync } from 'node:fs'
import { type ContentDigest, Digester } from '../cells/digest.js'
import { answerTasks } from '../thread.js'
import type { DigestTask } from './hashing.js'

const buffer = Buffer.allocUnsafeSlow(1 << 20)

answerTasks(({ fd, size }: DigestTask): ContentDigest => {
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
  return digester.finish()
})
