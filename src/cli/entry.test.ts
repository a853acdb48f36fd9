import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNode } from '../cells/node.js'
import { entryJson, rawPath, typeOf } from './entry.js'

const node = (raw: Record<string, unknown>): NonNullable<ReturnType<typeof parseNode>> => {
  const parsed = parseNode({ Uuid: 'u', Path: 'a/b', Type: 'LEAF', Size: '5', MTime: '1700000000', ...raw })
  assert.ok(parsed !== undefined)
  return parsed
}

test('L1 L2 the four kinds of entries: a scope of ROOM is a cell, any other a workspace', () => {
  for (const [raw, kind] of [
    [{ Type: 'COLLECTION', MetaStore: { ws_scope: '"ROOM"' } }, 'Cell'], [{ Type: 'COLLECTION', MetaStore: { ws_scope: '"ADMIN"' } }, 'Workspace'],
    [{ Type: 'COLLECTION' }, 'Folder'], [{}, 'File'],
  ] as const) {
    assert.equal(typeOf(node(raw)), kind)
    assert.equal(entryJson(node(raw)).type, kind.toLowerCase())
    assert.equal(rawPath(node(raw)), kind === 'File' ? 'a/b' : 'a/b/')
  }
})
