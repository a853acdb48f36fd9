import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { quickly } from './file-calls.js'

test('calls are made at once while that is quick, in threads while it is not, and tried again', async t => {
  let clock = 1000
  t.mock.method(performance, 'now', () => clock)
  /** One call that would take so many milliseconds here. */
  const call = (ms: number): Promise<string> => quickly(() => {
    clock += ms
    return 'here'
  }, () => Promise.resolve('thread'))
  for (let index = 0; index < 100; index++) assert.equal(await call(0.05), 'here')
  assert.equal(await call(500), 'here', 'one that was held up')
  assert.equal(await call(0.05), 'here', 'tells nothing about the disk')
  for (let index = 0; index < 3; index++) await call(2)
  assert.equal(await call(2), 'thread')
  clock += 150
  assert.equal(await call(2), 'thread')
  clock += 100
  assert.equal(await call(2), 'here', 'tried')
  assert.equal(await call(2), 'thread')
  clock += 250
  for (let index = 0; index < 10; index++) {
    await call(0.05)
    clock += 250
  }
  assert.equal(await call(0.05), 'here')
})

test('an error of the call is the error', async () => {
  await assert.rejects(quickly(() => { throw new Error('here') }, () => Promise.reject(new Error('here'))), /here/)
})
