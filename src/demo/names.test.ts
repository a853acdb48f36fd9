import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freeName, nameFate } from './names.js'

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

test('a taken name gets a number before its extension, whatever its case', () => {
  assert.equal(freeName(['a.txt'], 'b.txt', false), 'b.txt')
  assert.equal(freeName(['exists.txt'], 'exists.txt', false), 'exists-1.txt')
  assert.equal(freeName(['case.txt'], 'CASE.txt', false), 'CASE-1.txt')
  assert.equal(freeName(['x.tar.gz', 'X.tar-1.gz'], 'x.tar.gz', false), 'x.tar-2.gz')
  assert.equal(freeName(['v1.2'], 'v1.2', true), 'v1.2-1')
})
