import { strict as assert } from 'node:assert'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { ByteRanges } from './byte-ranges.js'

describe('byte ranges', () => {
  it('are a set of bytes', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(60), fc.nat(12))), fc.integer({ min: 1, max: 9 }), (adds, piece) => {
      const ranges = new ByteRanges()
      const model = new Set<number>()
      for (const [start, length] of adds) {
        ranges.add(start, start + length)
        for (let byte = start; byte < start + length; byte++) model.add(byte)
      }
      assert.equal(ranges.total, model.size)
      const missing = ranges.gaps(80, piece).flatMap(([start, end]) => {
        assert.ok(end > start && end - start <= piece)
        return Array.from({ length: end - start }, (_, index) => start + index)
      })
      assert.deepEqual(missing, Array.from({ length: 80 }, (_, byte) => byte).filter(byte => !model.has(byte)))
      assert.deepEqual(ByteRanges.parse(JSON.parse(JSON.stringify(ranges)), 80).toJSON(), ranges.toJSON())
    }))
  })

  for (const value of [null, 'x', [[1]], [[-1, 2]], [[0, 1e9]], [[0.5, 2]], [{}], [['0', '2']]]) {
    it(`from a file: ${JSON.stringify(value)} is nothing`, () => assert.equal(ByteRanges.parse(value, 100).total, 0))
  }
})
