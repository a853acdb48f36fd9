import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Troubles } from './desktop.js'

test('the desktop is told once, of many in one message, and not of what mends itself', () => {
  const troubles = new Troubles()
  const failure = { path: 'a.txt', reason: 'no room' }
  assert.equal(troubles.message([], [failure], 0), undefined, 'perhaps the next attempt does it')
  assert.equal(troubles.message([], [], 5_000), undefined)
  assert.equal(troubles.message([], [failure], 6_000), undefined, 'a new failure')
  assert.deepEqual(troubles.message([], [failure], 17_000), { title: 'cellsfs: a change needs you', body: 'Not sent: a.txt: no room' })
  assert.equal(troubles.message([], [failure], 60_000), undefined, 'told')
  assert.match(troubles.message(['ws/x', 'ws/y\u0007'], [failure], 61_000)?.body ?? '', /^Conflict: ws\/x holds your version.*\nand 1 more/)
  assert.equal(troubles.message(['ws/x', 'ws/y\u0007', 'ws/z'], [failure], 62_000), undefined, 'not so soon again')
  assert.match(troubles.message(['ws/z'], [], 95_000)?.body ?? '', /ws\/z/)
  assert.equal(troubles.message([], [], 96_000), undefined)
  assert.notEqual(troubles.message(['ws/z'], [], 200_000), undefined, 'it came back')
})
