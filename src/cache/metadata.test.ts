/** Which of two answers about a name is believed. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { CellsNode } from '../cells/types.js'
import { MetadataCache } from './metadata.js'

const node = { uuid: 'u', path: 'w/f', kind: 'file', size: 1, mtime: 0, etag: 'e', hash: '', readOnly: false, meta: {} } satisfies CellsNode

it('an answer that comes after a listing which was asked for later does not bring a name back', () => {
  const cache = new MetadataCache(10, () => {}, () => 100)
  cache.streamConnected()
  cache.setAll(1, new Map(), 120)
  cache.set(1, 'f', node, 110)
  assert.equal(cache.lookup(1, 'f'), undefined)
  cache.shown(1, 'f', node, 110)
  assert.equal(cache.lookup(1, 'f'), undefined)
  cache.set(1, 'f', node, 130)
  assert.equal((cache.lookup(1, 'f') as CellsNode).uuid, 'u')
})

it('that a name is not there is not believed for long when it was asked for alone: a busy 2.x server says so of what it has announced', () => {
  let now = 100
  const cache = new MetadataCache(10, () => {}, () => now)
  cache.streamConnected()
  cache.set(1, 'absent', undefined, now)
  cache.set(1, 'f', node, now)
  now += 19_000
  assert.equal(cache.lookup(1, 'absent'), undefined)
  now += 2_000
  assert.equal(cache.lookup(1, 'absent'), 'unknown')
  assert.equal((cache.lookup(1, 'f') as CellsNode).uuid, 'u')
  cache.setAll(1, new Map(), now)
  now += 100_000
  assert.equal(cache.lookup(1, 'absent'), undefined)
})

it('an event that comes while a name is asked for the first time is not forgotten', () => {
  let now = 100
  const cache = new MetadataCache(10, () => {}, () => now)
  cache.streamConnected()
  now = 120
  cache.doubt(1, 'f')
  cache.doubt(2, 'f')
  cache.set(1, 'f', node, 110)
  cache.setAll(2, new Map(), 110)
  assert.equal(cache.lookup(1, 'f'), 'unknown')
  assert.equal(cache.lookup(2, 'f'), 'unknown')
  assert.equal(cache.complete(2), undefined)
  cache.setAll(2, new Map([['f', node]]), 130)
  assert.equal((cache.lookup(2, 'f') as CellsNode).uuid, 'u')
})
