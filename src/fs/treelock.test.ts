import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { TreeLock } from './treelock.js'

const key = fc.constantFrom('a', 'b', 'c', 'd')
const request = fc.record({ shared: fc.uniqueArray(key, { maxLength: 3 }), exclusive: fc.uniqueArray(key, { maxLength: 2 }) })
  .map((it) => ({ exclusive: it.exclusive, shared: it.shared.filter((k) => !it.exclusive.includes(k)) }))

describe('TreeLock', () => {
  it('never grants conflicting requests together and grants all in the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 20 }), fc.scheduler(), async (requests, scheduler) => {
        const lock = new TreeLock()
        const readers = new Map<string, number>()
        const writers = new Set<string>()
        let done = 0
        const all = requests.map(async (it) => {
          const release = await lock.acquire(it)
          for (const k of it.exclusive) {
            assert.ok(!writers.has(k) && !readers.get(k))
            writers.add(k)
          }
          for (const k of it.shared) {
            assert.ok(!writers.has(k))
            readers.set(k, (readers.get(k) ?? 0) + 1)
          }
          await scheduler.schedule(Promise.resolve())
          for (const k of it.exclusive) writers.delete(k)
          for (const k of it.shared) readers.set(k, readers.get(k)! - 1)
          release()
          done++
        })
        await scheduler.waitFor(Promise.all(all))
        assert.equal(done, requests.length)
        assert.ok(lock.idle)
      }),
      { numRuns: 200 },
    )
  })

  it('does not let later shared requests overtake a waiting exclusive one', async () => {
    const lock = new TreeLock()
    const order: string[] = []
    const first = await lock.acquire({ shared: ['x'], exclusive: [] })
    const writer = lock.acquire({ shared: [], exclusive: ['x'] }).then((release) => { order.push('writer'); release() })
    const reader = lock.acquire({ shared: ['x'], exclusive: [] }).then((release) => { order.push('reader'); release() })
    first()
    await Promise.all([writer, reader])
    assert.deepEqual(order, ['writer', 'reader'])
  })
})
