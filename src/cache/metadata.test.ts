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

it('a node that is listed again as it was is the same object, which whoever holds it shares', () => {
  const cache = new MetadataCache(10, () => {}, () => 100)
  cache.streamConnected()
  cache.setAll(1, new Map([['f', node], ['g', node]]), 110)
  const before = cache.lookup(1, 'f')
  cache.setAll(1, new Map([['f', { ...node }], ['g', { ...node, etag: 'other' }]]), 120)
  assert.equal(cache.lookup(1, 'f'), before)
  assert.equal((cache.lookup(1, 'g') as CellsNode).etag, 'other')
})

it('what was asked for alone after a listing was begun stays when the listing comes', () => {
  const cache = new MetadataCache(10, () => {}, () => 100)
  cache.streamConnected()
  cache.set(1, 'f', node, 130)
  cache.set(1, 'gone', undefined, 130)
  cache.set(1, 'old', node, 110)
  cache.setAll(1, new Map([['gone', node], ['new', node]]), 120)
  assert.equal((cache.lookup(1, 'f') as CellsNode).uuid, 'u')
  assert.equal(cache.lookup(1, 'gone'), undefined)
  assert.equal(cache.lookup(1, 'old'), undefined)
  assert.equal((cache.lookup(1, 'new') as CellsNode).uuid, 'u')
  cache.doubtFolder(1)
  for (const name of ['f', 'gone', 'new', 'unheard']) assert.equal(cache.lookup(1, name), 'unknown')
  assert.equal((cache.stale(1, 'f') as CellsNode).uuid, 'u')
})
