import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nameFate } from './names.js'

test('names meet the fate that the contract recorded', () => {
  assert.equal(nameFate('a b%#?.txt', false, 's3'), 'fine')
  assert.equal(nameFate('x\\y', false, 's3'), 'hang')
  assert.equal(nameFate('x\ny', false, 's3'), 'refuse')
  assert.equal(nameFate('x\ny', false, 'mkdir'), 'hang')
  assert.equal(nameFate('😀', false, 'mkdir'), 'astral')
  assert.equal(nameFate('😀', true, 'mkdir'), 'fine')
  assert.equal(nameFate('.DS_Store', false, 's3'), 'lost')
  assert.equal(nameFate('é'.repeat(128), false, 's3'), 'refuse')
  assert.equal(nameFate('a'.repeat(255), false, 's3'), 'fine')
  assert.equal(nameFate('notes.pydio', true, 's3'), 'refuse')
  assert.equal(nameFate('..', true, 'mkdir'), 'refuse')
})
