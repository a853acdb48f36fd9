import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { Pauses } from './pauses.js'

const LONG_MS = 10 * 60_000

test('a pause ends by itself', async () => {
  await new Pauses().wait(1)
})

test('all who wait go on when the pauses are cut short, and the next one is a pause again', async () => {
  const pauses = new Pauses()
  const both = Promise.all([pauses.wait(LONG_MS), pauses.wait(LONG_MS)])
  pauses.cutShort()
  await both
  let over = false
  const next = pauses.wait(LONG_MS).then(() => { over = true })
  await new Promise(setImmediate)
  assert.equal(over, false)
  pauses.cutShort()
  await next
})

test('a signal ends its own pause only, and nothing stays with it', async () => {
  const pauses = new Pauses()
  const [mine, others] = [new AbortController(), new AbortController()]
  let over = false
  const other = pauses.wait(LONG_MS, others.signal).then(() => { over = true })
  const own = pauses.wait(LONG_MS, mine.signal)
  mine.abort()
  await own
  assert.equal(over, false)
  assert.equal(getEventListeners(mine.signal, 'abort').length, 0)
  await pauses.wait(LONG_MS, mine.signal)
  pauses.cutShort()
  await other
  assert.equal(getEventListeners(others.signal, 'abort').length, 0)
})
