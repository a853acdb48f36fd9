import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pageOf } from './listing.js'

const ORDER = ['10.txt', '9.txt', 'A3.txt', 'B2.txt', 'SUB-a', '_u.txt', 'a1.txt', 'aa', 'b10.txt', 'sub-b', 'z.txt', 'é1.txt']

test('pages of a structured source are the recorded ones', () => {
  assert.deepEqual(pageOf(ORDER, 0, 0, false), { names: ORDER })
  assert.deepEqual(pageOf(ORDER, 0, 5, false), { names: ['10.txt', '9.txt', 'A3.txt', 'B2.txt'], pagination: { Limit: 5, Total: 12, CurrentPage: 1, TotalPages: 3, NextOffset: 5 } })
  assert.deepEqual(pageOf(ORDER, 5, 5, false), { names: ['SUB-a', '_u.txt', 'a1.txt', 'aa', 'b10.txt'], pagination: { Limit: 5, CurrentOffset: 5, Total: 12, CurrentPage: 2, TotalPages: 3, NextOffset: 10 } })
  assert.deepEqual(pageOf(ORDER, 10, 5, false), { names: ['sub-b', 'z.txt', 'é1.txt'], pagination: { Limit: 5, CurrentOffset: 10, Total: 12, CurrentPage: 3, TotalPages: 3, PrevOffset: 5 } })
  assert.deepEqual(pageOf(ORDER, 20, 5, false), { names: [], pagination: { Limit: 5, CurrentOffset: 20, Total: 12, CurrentPage: 5, TotalPages: 3, PrevOffset: 15 } })
  // Limit == Total loses the last entry.
  assert.deepEqual(pageOf(ORDER, 0, 12, false), { names: ORDER.slice(0, 11), pagination: { Limit: 12, Total: 12, CurrentPage: 1, TotalPages: 1 } })
  assert.deepEqual(pageOf(ORDER, 0, 100, false), { names: ORDER })
})

test('paging to an empty page shows every name without a leading dot, on both kinds of source', () => {
  fc.assert(fc.property(fc.uniqueArray(fc.string({ unit: fc.constantFrom('.', 'a', 'b'), minLength: 1, maxLength: 6 })), fc.integer({ min: 1, max: 7 }), fc.boolean(), (names, limit, flat) => {
    const all = [...names].sort()
    const seen = new Set<string>()
    const rows = all.length + 1
    for (let offset = 0; offset <= rows; offset += limit) for (const name of pageOf(all, offset, limit, flat).names) seen.add(name)
    assert.deepEqual([...seen].sort(), all.filter(name => !name.startsWith('.')))
  }))
})

test('a newer server tops a page up that dot-names have shortened', () => {
  assert.deepEqual(pageOf(['.a', '.b', 'c', 'd', 'e'], 0, 3, true).names, ['c', 'd', 'e'])
  assert.deepEqual(pageOf(['.a', '.b', 'c', 'd', 'e'], 3, 3, true).names, ['d', 'e'])
})
