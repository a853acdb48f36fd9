import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Deadline } from './deadline.js'
import { CellsError, type CellsErrorKind } from './errors.js'
import { noteRetryAfter, pauseBefore, retrying } from './retry.js'

async function attempts(error: CellsError, idempotent: boolean, timeoutMs = 60_000): Promise<number> {
  const deadline = new Deadline(timeoutMs, 'test', [])
  let calls = 0
  await assert.rejects(retrying(deadline, idempotent, () => {
    calls++
    // No real waiting: the server asks for the shortest pause.
    noteRetryAfter(error, new Date(1).toUTCString(), -1)
    return Promise.reject(error)
  }, { attempts: 3 }), (thrown) => thrown === error)
  deadline.end()
  return calls
}

describe('retries', () => {
  it('pause with full jitter within a growing, bounded range', () => {
    fc.assert(fc.property(fc.nat(40), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
      const pause = pauseBefore(attempt, () => random)
      return pause >= 0 && pause <= 4000 && (attempt > 4 || pause <= 150 * 2 ** attempt)
    }))
  })

  it('end, and leave alone what is final or unsafe', async () => {
    const failing = (kind: CellsErrorKind, detail = '', status = 0): CellsError => new CellsError(kind, 'x', { detail, status })
    assert.equal(await attempts(failing('unavailable'), true), 3)
    assert.equal(await attempts(failing('network', 'ECONNRESET'), true), 3)
    assert.equal(await attempts(failing('forbidden'), true), 1)
    assert.equal(await attempts(failing('not-found'), true), 1)
    assert.equal(await attempts(failing('unavailable'), false), 1)
    assert.equal(await attempts(failing('network', 'ECONNRESET'), false), 1)
    assert.equal(await attempts(failing('network', 'ECONNREFUSED'), false), 3)
    assert.equal(await attempts(failing('locked'), false), 3)
    assert.equal(await attempts(failing('unavailable', '', 429), false), 3)
    assert.equal(await attempts(failing('unavailable', 'Internal Server Error: none available - Request was'), false), 3)
  })

  it('do not wait longer than the call may last', async () => {
    const error = new CellsError('unavailable', 'x')
    noteRetryAfter(error, '3600')
    const deadline = new Deadline(1000, 'test', [])
    await assert.rejects(retrying(deadline, true, () => Promise.reject(error)), (thrown) => thrown === error)
    deadline.end()
  })
})

describe('a deadline', () => {
  it('says why it ended, also through another one', async () => {
    const outer = new Deadline(10, 'wait', [])
    const inner = new Deadline(60_000, 'look', [outer.signal])
    await assert.rejects(inner.sleep(60_000), (error: unknown) => error instanceof CellsError && error.kind === 'timeout')
    inner.end()
    outer.end()
  })

  it('takes the signal of its caller for a stop, and lets go of it', async () => {
    const controller = new AbortController()
    const deadline = new Deadline(60_000, 'wait', [controller.signal])
    const sleeping = assert.rejects(deadline.sleep(60_000), (error: unknown) => error instanceof CellsError && error.kind === 'aborted')
    controller.abort()
    await sleeping
    assert.equal(deadline.signal.aborted, true)
    deadline.end()
    const ended = new Deadline(60_000, 'wait', [])
    const waiting = assert.rejects(ended.sleep(60_000), CellsError)
    ended.end()
    await waiting
  })
})
