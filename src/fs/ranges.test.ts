import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RangeSet } from './ranges.js'

const SPACE = 64
const range = fc.tuple(fc.nat(SPACE), fc.nat(SPACE)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
const step = fc.oneof(
  fc.record({ op: fc.constant('add' as const), range }),
  fc.record({ op: fc.constant('truncate' as const), at: fc.nat(SPACE) }),
)

describe('RangeSet', () => {
  it('agrees with a set of positions', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), range, (steps, [from, to]) => {
        const set = new RangeSet()
        const model = new Set<number>()
        for (const it of steps) {
          if (it.op === 'add') {
            set.add(...it.range)
            for (let p = it.range[0]; p < it.range[1]; p++) model.add(p)
          } else {
            set.truncate(it.at)
            for (const p of [...model]) if (p >= it.at) model.delete(p)
          }
        }
        const ranges = set.ranges()
        const positions = ranges.flatMap(([a, b]) => Array.from({ length: b - a }, (_, i) => a + i))
        assert.deepEqual(positions, [...model].sort((a, b) => a - b))
        for (let i = 1; i < ranges.length; i++) assert.ok(ranges[i]![0] > ranges[i - 1]![1], 'ranges touch')
        const missing = set.gaps(from, to).flatMap(([a, b]) => Array.from({ length: b - a }, (_, i) => a + i))
        const expected = []
        for (let p = from; p < to; p++) if (!model.has(p)) expected.push(p)
        assert.deepEqual(missing, expected)
        assert.equal(set.covers(from, to), expected.length === 0)
      }),
    )
  })
})
