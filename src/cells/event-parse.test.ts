import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseEvent } from './event-parse.js'
import { touches } from './wait.js'

const node = (path: string): object => ({ Uuid: 'u', Path: path, Type: 'LEAF', Size: '3', MetaStore: { name: '"x"', EventWorkspaceId: '"w"' } })
const parse = (message: unknown): ReturnType<typeof parseEvent> => parseEvent(JSON.stringify(message))

describe('messages of the event stream', () => {
  it('takes a node event without a type for a creation', () => {
    const event = parse({ Target: node('ws/a') })
    assert.equal(event?.type, 'create')
    assert.equal(event?.type === 'create' && event.node.path, 'ws/a')
  })

  it('reads the other types', () => {
    assert.equal(parse({ Type: 'UPDATE_CONTENT', Target: node('ws/a') })?.type, 'content')
    assert.equal(parse({ Type: 'UPDATE_META', Target: node('ws/a') })?.type, 'meta')
    assert.equal(parse({ Type: 'UPDATE_USER_META', Target: node('ws/a') })?.type, 'meta')
    assert.equal(parse({ Type: 'UPDATE_PATH', Source: node('ws/a'), Target: node('ws/b') })?.type, 'path')
    assert.equal(parse({ Type: 'DELETE', Source: node('ws/a') })?.type, 'delete')
    assert.equal(parse({ '@type': 'idm', Type: 'UPDATE', Acl: {} })?.type, 'idm')
    assert.deepEqual(parse({ TaskUpdated: { ID: 't', JobID: 'j', Status: 'Finished', StatusMessage: 'Complete', Progress: 1 }, Job: {} }), {
      type: 'task', jobId: 'j', status: 'Finished', message: 'Complete', progress: 1,
    })
    assert.deepEqual(parse({ TaskUpdated: { JobID: 'j', Status: 'Nonsense', Progress: 'x' } }), { type: 'task', jobId: 'j', status: 'Unknown', message: '', progress: 0 })
  })

  it('ignores what says nothing', () => {
    for (const text of ['"dump"', '', 'x', '[]', '{}', 'null', '{"Type":"READ","Target":{"Path":"ws/a"}}', '{"TaskUpdated":{}}', '{"Target":{"Path":"ws/../a"}}']) assert.equal(parseEvent(text), undefined, text)
  })

  it('keeps what one readable end of a move says', () => {
    assert.equal(parse({ Type: 'UPDATE_PATH', Target: node('ws/b') })?.type, 'create')
    assert.equal(parse({ Type: 'UPDATE_PATH', Source: node('ws/b'), Target: {} })?.type, 'delete')
  })

  it('never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      parseEvent(text)
    }))
  })
})

describe('touches', () => {
  it('sees a moved or deleted ancestor', () => {
    const moved = parse({ Type: 'UPDATE_PATH', Source: node('ws/d'), Target: node('ws/e') })
    assert.ok(moved)
    assert.equal(touches(moved, 'ws/d/x'), true)
    assert.equal(touches(moved, 'ws/e/x'), true)
    assert.equal(touches(moved, 'ws/dx'), false)
    const created = parse({ Target: node('ws/d') })
    assert.ok(created)
    assert.equal(touches(created, 'ws/d'), true)
    assert.equal(touches(created, 'ws/d/x'), false)
  })
})
