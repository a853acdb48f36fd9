import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isPattern, liker } from './like.js'
import { Slots } from './slots.js'

/** The plain definition, character by character. */
function like(pattern: readonly string[], name: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return name.length === 0
  if (first === '%') return name.some((_, i) => like(rest, name.slice(i))) || like(rest, [])
  if (name.length === 0) return false
  if (first === '\\' && rest.length > 0) return rest[0] === name[0] && like(rest.slice(1), name.slice(1))
  return (first === '_' || first === name[0]) && like(rest, name.slice(1))
}

test('a pattern finds what SQL LIKE finds', () => {
  const text = fc.array(fc.constantFrom('a', 'b', '_', '%', '\\', '.', '*', '\u{1f600}'), { maxLength: 6 })
  fc.assert(fc.property(text, text, (pattern, name) => {
    fc.pre(pattern.at(-1) !== '\\')
    assert.equal(liker(pattern.join(''))(name.join('')), like(pattern, name))
  }), { numRuns: 2000 })
  assert.ok(!isPattern('a-b.c') && isPattern('a_b') && isPattern('a%') && isPattern('a\\b'))
})

test('a new child takes the lowest free place, and places are compared as text', () => {
  const slots = new Slots()
  for (let i = 1; i <= 11; i++) slots.give('folder', `n${i}`)
  assert.ok(slots.before('n1', 'n2') && slots.before('n10', 'n2') && !slots.before('n11', 'n10'))
  slots.take('folder', 'n2')
  slots.take('folder', 'n1')
  slots.give('folder', 'new')
  assert.ok(slots.before('new', 'n10'))
})
