import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BufferPool } from './buffer-pool.js'

describe('buffer pool', () => {
  it('uses again what was given back, once', () => {
    const pool = new BufferPool()
    const first = pool.take(5_000)
    assert.equal(first.length, 5_000)
    // A view is as good.
    pool.give(first.subarray(100, 200))
    pool.give(first)
    const [second, third] = [pool.take(8_192), pool.take(8_192)]
    assert.equal(second.buffer, first.buffer)
    assert.notEqual(third.buffer, first.buffer)
  })

  it('leaves memory alone that is not its own', () => {
    const pool = new BufferPool()
    const foreign = Buffer.alloc(4_096)
    pool.give(foreign)
    pool.give(Buffer.from('small'))
    assert.notEqual(pool.take(4_096).buffer, foreign.buffer)
  })

  it('keeps no more than its bound', () => {
    const pool = new BufferPool()
    const taken = Array.from({ length: 40 }, () => pool.take(1_048_576))
    for (const buffer of taken) pool.give(buffer)
    const known = new Set(taken.map(({ buffer }) => buffer))
    const again = Array.from({ length: 40 }, () => pool.take(1_048_576)).filter(({ buffer }) => known.has(buffer))
    assert.equal(again.length, 16)
  })

  it('gives any size', () => {
    const pool = new BufferPool()
    for (const size of [0, 1, 4_095, 4_097, 1_048_576, 1_048_577]) {
      const buffer = pool.take(size)
      assert.equal(buffer.length, size)
      pool.give(buffer)
    }
  })
})
