import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { orLate, timeLimit, withinTime } from './signals.js'

test('a time limit that only a listener knows of survives the garbage collector', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const other = new AbortController()
  const fired = new Promise<void>((resolve) => timeLimit(100, other.signal, undefined).addEventListener('abort', () => resolve(), { once: true }))
  const collecting = setInterval(collect, 10)
  try {
    await fired
  } finally {
    clearInterval(collecting)
  }
})

test('whatever comes first ends it, with its reason', async () => {
  const [one, two] = [new AbortController(), new AbortController()]
  const limit = timeLimit(60_000, one.signal, two.signal)
  const ended = once(limit, 'abort')
  two.abort(new Error('two'))
  await ended
  one.abort(new Error('one'))
  assert.equal((limit.reason as Error).message, 'two')
  assert.equal((timeLimit(60_000, one.signal).reason as Error).message, 'one')
  const late = timeLimit(1)
  // The timer alone keeps nobody waiting.
  const alive = setInterval(() => {}, 1_000)
  if (!late.aborted) await once(late, 'abort')
  clearInterval(alive)
  assert.equal((late.reason as Error).name, 'TimeoutError')
})

test('a limit of some work ends with it: the timer, and the listening to others', async () => {
  const other = new AbortController()
  let limit: AbortSignal | undefined
  const result = await withinTime(60_000, other.signal, (signal) => {
    limit = signal
    assert.equal(getEventListeners(other.signal, 'abort').length, 1)
    return Promise.resolve('done')
  })
  assert.deepEqual([result, limit?.aborted, getEventListeners(other.signal, 'abort').length], ['done', true, 0])
  await assert.rejects(withinTime(60_000, other.signal, () => Promise.reject(new Error('failed'))), /failed/)
  assert.equal(getEventListeners(other.signal, 'abort').length, 0)
  const ended = withinTime(60_000, other.signal, async (signal) => {
    await once(signal, 'abort')
    throw signal.reason
  })
  other.abort(new Error('other'))
  await assert.rejects(ended, /other/)
})

test('what takes too long is answered for, and may fail afterwards unheard', async () => {
  assert.equal(await orLate(60_000, Promise.resolve('done'), () => 'late'), 'done')
  await assert.rejects(orLate(60_000, Promise.reject(new Error('failed')), () => 'late'), /failed/)
  let fail!: (error: Error) => void
  const work = new Promise<string>((_, reject) => { fail = reject })
  assert.equal(await orLate(1, work, () => 'late'), 'late')
  await assert.rejects(orLate(1, work, () => { throw new Error('too long') }), /too long/)
  fail(new Error('unheard'))
})
