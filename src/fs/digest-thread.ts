/** The thread of hashing.ts: md5s of pieces of open files, one after the other. */
import { createHash } from 'node:crypto'
import { readSync } from 'node:fs'
import { answerTasks } from '../thread.js'
import type { DigestTask } from './hashing.js'

const buffer = Buffer.allocUnsafeSlow(1 << 20)

answerTasks(({ fd, size, piece }: DigestTask): string[] => {
  const md5s: string[] = []
  for (let start = 0; start < size || start === 0; start += piece) {
    const hash = createHash('md5')
    const end = Math.min(size, start + piece)
    for (let at = start; at < end;) {
      const wanted = Math.min(buffer.length, end - at)
      const got = readSync(fd, buffer, 0, wanted, at)
      // The end of a sparse file: the rest is a hole.
      if (got === 0) buffer.fill(0, 0, wanted)
      const length = got === 0 ? wanted : got
      hash.update(buffer.subarray(0, length))
      at += length
    }
    md5s.push(hash.digest('hex'))
  }
  return md5s
})
