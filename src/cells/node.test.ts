import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseBare, parseNode, parseWorkspace } from './node.js'

describe('nodes from JSON', () => {
  it('reads a file as a 2.x server sends it', () => {
    const node = parseNode({
      Uuid: 'u', Path: 'ws/d/x.txt', Type: 'LEAF', Size: '11', MTime: '1795340086', Mode: 511, Etag: '5eb6', MetaStore: { name: '"x.txt"', node_readonly: '"true"', 'x-cells-hash': '"abc"', odd: '{not json' },
    })
    assert.deepEqual({ ...node, meta: { ...node?.meta } }, {
      uuid: 'u', path: 'ws/d/x.txt', kind: 'file', size: 11, mtime: 1795340086, etag: '5eb6', hash: 'abc', readOnly: true,
      meta: { name: 'x.txt', node_readonly: 'true', 'x-cells-hash': 'abc', odd: '{not json' },
    })
  })

  it('leaves meta out where it is not wanted, and nothing else', () => {
    const raw = { Uuid: 'u', Path: 'ws/d', Type: 'COLLECTION', MTime: '7', MetaStore: { name: '"d"', level_readonly: '"true"', 'x-cells-hash': '"abc"' } }
    assert.deepEqual(parseBare(raw, ['ws/other']), { ...parseNode(raw), meta: {} })
    assert.deepEqual(parseBare(raw, ['ws/other', 'ws/d']), parseNode(raw))
    assert.equal(parseBare({ ...raw, Path: 'ws/../d' }, []), undefined)
  })

  it('takes the root of a workspace and fields that are left out', () => {
    assert.deepEqual({ ...parseNode({ Path: 'personal-files/', Type: 'COLLECTION', Size: '-1' }), meta: {} }, {
      uuid: '', path: 'personal-files', kind: 'folder', size: 0, mtime: 0, etag: '', hash: '', readOnly: false, meta: {},
    })
  })

  it('never throws and never gives a field of the wrong type or a dangerous path', () => {
    const field = fc.oneof(fc.string(), fc.integer(), fc.bigInt().map(String), fc.constantFrom('LEAF', 'COLLECTION', 'ws/a', 'ws/../a', '-5', '1e99', '99999999999999999999'), fc.anything())
    const raw = fc.record({ Path: field, Uuid: field, Type: field, Size: field, MTime: field, Etag: field, MetaStore: fc.oneof(fc.dictionary(fc.string(), field), fc.anything()) }, { requiredKeys: [] })
    fc.assert(fc.property(fc.oneof(raw, fc.anything()), (value) => {
      const node = parseNode(value)
      if (node === undefined) return true
      return typeof node.uuid === 'string' && typeof node.etag === 'string' && Number.isSafeInteger(node.size) && node.size >= 0
        && Number.isSafeInteger(node.mtime) && node.mtime >= 0 && !node.path.split('/').some((name) => name === '' || name === '..' || name === '.')
    }))
  })

  it('is not fooled by a __proto__ key', () => {
    const node = parseNode(JSON.parse('{"Path":"ws/a","MetaStore":{"__proto__":"{\\"node_readonly\\":true}"}}'))
    assert.equal(node?.readOnly, false)
    assert.equal(({} as { node_readonly?: boolean }).node_readonly, undefined)
  })
})

describe('workspaces', () => {
  it('reads the roots listing', () => {
    const raw = { Uuid: 'my-files', Path: 'personal-files', Type: 'COLLECTION', MetaStore: { ws_label: '"Personal"', ws_slug: '"personal-files"', ws_permissions: '"read,write"', ws_uuid: '"w"', ws_scope: '"ADMIN"', ws_quota: '"1000"', ws_quota_usage: '"10"' } }
    const workspace = parseWorkspace(raw)
    assert.equal(workspace?.uuid, '')
    assert.equal(workspace?.label, 'Personal')
    assert.equal(workspace?.readOnly, false)
    assert.equal(workspace?.quota, 1000)
    assert.equal(workspace?.quotaUsage, 10)
  })

  it('is read-only without the write permission', () => {
    const workspace = parseWorkspace({ Path: 'ro', MetaStore: { ws_permissions: '"read"' } })
    assert.equal(workspace?.readOnly, true)
    assert.equal(workspace?.node.readOnly, true)
    assert.equal(workspace?.node.kind, 'folder')
    assert.equal(workspace?.quota, undefined)
  })
})
