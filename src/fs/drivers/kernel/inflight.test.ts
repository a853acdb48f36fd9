import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import { Call } from './call.js'
import { Inflight, type InflightOptions } from './inflight.js'
import type { OpName } from './protocol.js'

const { EINTR, ETIMEDOUT } = constants.errno

function call(op: OpName, { unique = 1n, deadline = performance.now() + 60_000, bytes = 0, pid = 1 } = {}): Call {
  return new Call(op, { opcode: 0, unique, nodeid: Number(unique), uid: 0, gid: 0, pid }, bytes, deadline)
}

/** Given replies, and how to wait for the first. */
function world(options: Partial<InflightOptions> = {}): { readonly inflight: Inflight; readonly given: [Call, number][]; readonly first: Promise<void> } {
  const given: [Call, number][] = []
  let resolve!: () => void
  const first = new Promise<void>((done) => { resolve = done })
  const inflight = new Inflight({
    limits: { requests: 3, bytes: 1000 }, isDying: () => false,
    give: (one, errno) => {
      one.answered = true
      given.push([one, errno])
      resolve()
    },
    ...options,
  })
  return { inflight, given, first }
}

test('a request past its deadline is aborted and answered', async () => {
  const { inflight, given, first } = world()
  const [late, early] = [call('read', { deadline: performance.now() }), call('read', { unique: 2n })]
  inflight.add(late)
  inflight.add(early)
  const { signal } = late
  await first
  assert.deepEqual(given, [[late, ETIMEDOUT]])
  assert.deepEqual([signal.aborted, early.signal.aborted], [true, false])
  inflight.remove(late)
  inflight.remove(early)
})

test('an interrupt of a living caller is kept in mind; of a dying one it is obeyed; of nobody it is nothing', async () => {
  const dying = new Set<number>()
  const { inflight, given, first } = world({ isDying: (pid) => dying.has(pid) })
  const [one, two] = [call('read', { pid: 10 }), call('read', { unique: 2n, pid: 20 })]
  inflight.add(one)
  inflight.add(two)
  inflight.interrupt(99n)
  inflight.interrupt(1n)
  dying.add(20)
  assert.deepEqual(given, [])
  dying.add(10)
  await first
  assert.deepEqual(given, [[one, EINTR]])
  // Only where a signal was seen.
  assert.equal(two.answered, false)
  inflight.remove(one)
  inflight.remove(two)
})

test('saving goes on without the program that asked for it', () => {
  const { inflight, given } = world({ isDying: () => true })
  const save = call('flush')
  inflight.add(save)
  inflight.interrupt(1n)
  assert.deepEqual(given, [[save, EINTR]])
  assert.equal(save.signal.aborted, false)
  inflight.remove(save)
})

test('at the bound, callers are looked at without an interrupt', async () => {
  const { inflight, given, first } = world({ isDying: (pid) => pid === 3 })
  const calls = [1, 2, 3].map((pid) => call('read', { unique: BigInt(pid), pid }))
  for (const one of calls) inflight.add(one)
  assert.equal(inflight.full, true)
  await first
  assert.deepEqual(given, [[calls[2], EINTR]])
  for (const one of calls) inflight.remove(one)
  assert.equal(inflight.full, false)
})

test('content counts, and inodes are busy while a request works on them', async () => {
  const { inflight } = world()
  const [large, small] = [call('read', { bytes: 1000 }), call('lookup', { unique: 1n })]
  inflight.add(large)
  assert.deepEqual([inflight.full, inflight.busy(1), inflight.busy(2)], [true, true, false])
  inflight.add(small)
  inflight.remove(small)
  assert.equal(inflight.busy(1), true)
  const drained = inflight.drained()
  inflight.remove(large)
  await drained
  assert.deepEqual([inflight.full, inflight.busy(1), inflight.size], [false, false, 0])
})
