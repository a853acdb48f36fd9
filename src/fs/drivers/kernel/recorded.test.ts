import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../log.js'
import { FsError, toErrno } from '../../errno.js'
import { MemoryFs } from '../memory-fs.testing.js'
import { FakeKernel } from './fake-kernel.testing.js'
import { OUT_HEADER_BYTES } from './protocol.js'
import { RECORDED } from './recorded.testing.js'
import { decodeHeader, opName } from './requests.js'
import { Session } from './session.js'

test('messages of a real kernel are answered as when they were recorded', async () => {
  const kernel = new FakeKernel()
  const fs = new MemoryFs()
  // The engine of the recording made no fifos.
  fs.mknod = () => Promise.reject(new FsError('EPERM'))
  const session = new Session({ device: kernel, fs, errnoOf: toErrno, log: silentLogger, release: '6.18.44' })
  session.start()
  for (const [op, error, length, base64] of RECORDED) {
    const message = Buffer.from(base64, 'base64')
    const { opcode, unique } = decodeHeader(message)
    assert.equal(opName(opcode) ?? String(opcode), op)
    kernel.send(message)
    if (length === 0) continue
    while (!kernel.replies.has(unique)) await new Promise(setImmediate)
    const reply = kernel.replies.get(unique)!
    assert.deepEqual([op, reply.error, reply.body.length + OUT_HEADER_BYTES], [op, error, length])
  }
  kernel.end()
  await session.ended
  assert.deepEqual(fs.leaks(), [])
})
