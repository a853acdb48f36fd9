import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openDemo, signIn, until } from './test-client.js'

type Message = Record<string, unknown> & { Type?: string; Source?: { Path: string }; Target?: { Path: string; Etag?: string } }

const brief = (messages: readonly unknown[]): string[] => messages.filter((each): each is Message => typeof each === 'object' && each !== null && ('Target' in each || 'Source' in each))
  .map(({ Type = 'CREATE', Source, Target }) => [Type, Source?.Path, Target?.Path].filter(Boolean).join(' '))

test('the event stream tells of files, folders, moves and jobs as recorded', async t => {
  const alice = await signIn(await openDemo(t))
  const stream = await alice.events()
  t.after(() => Promise.resolve(stream.close()))
  await alice.s3('PUT', 'personal-files/a.txt', { body: 'x' })
  await until('two CREATE', () => brief(stream.messages).length === 2)
  assert.deepEqual(brief(stream.messages), ['CREATE personal-files/a.txt', 'CREATE personal-files/a.txt'])
  const events = stream.messages.filter((each): each is Message => 'Target' in Object(each))
  assert.deepEqual(events.map(({ Target }) => Target?.Etag), ['temporary', '9dd4e461268c8034f5c8564e155c67a6'])
  assert.ok(!('Type' in (events[0] ?? {})))
  assert.equal(stream.messages.filter(each => (each as unknown) === 'dump').length, 2)
  stream.messages.length = 0
  await alice.move('personal-files/a.txt', 'personal-files/b.txt')
  await until('UPDATE_META', () => brief(stream.messages).some(each => each.startsWith('UPDATE_META')))
  const path = 'UPDATE_PATH personal-files/a.txt personal-files/b.txt'
  assert.deepEqual(brief(stream.messages), [path, path, path, 'UPDATE_META personal-files/b.txt'])
  const states = stream.messages.filter(each => 'TaskUpdated' in Object(each)).map(each => (each['TaskUpdated'] as { Status: string }).Status)
  assert.deepEqual([states[0], states.at(-1)], ['Running', 'Finished'])
  stream.messages.length = 0
  await alice.move('personal-files/b.txt', 'common-files/b.txt')
  await until('both sides', () => brief(stream.messages).length >= 6)
  assert.deepEqual(new Set(brief(stream.messages).slice(0, 6)), new Set(['CREATE common-files/b.txt', 'DELETE personal-files/b.txt']))
})

test('nobody hears of what they may not see; events go on after the token is refused elsewhere', async t => {
  const server = await openDemo(t)
  const [alice, bob] = await Promise.all([signIn(server), signIn(server, 'bob')])
  const stream = await bob.events()
  t.after(() => Promise.resolve(stream.close()))
  await until('the subscription', () => server.events.subscribed === 1)
  await alice.s3('PUT', 'personal-files/secret.txt', { body: 'x' })
  await alice.s3('PUT', 'common-files/open.txt', { body: 'x' })
  await until('the open one', () => brief(stream.messages).length >= 2)
  assert.deepEqual(new Set(brief(stream.messages)), new Set(['CREATE common-files/open.txt']))
})

test('a burst arrives whole, and a bad token gets the malformed close', async t => {
  const server = await openDemo(t, { serverVersion: 4, indexDelayMs: 20 })
  const alice = await signIn(server)
  const stream = await alice.events()
  t.after(() => Promise.resolve(stream.close()))
  await Promise.all(Array.from({ length: 40 }, (_, i) => alice.s3('PUT', `personal-files/burst/${i}`, { body: 'x' })))
  await until('all of them', () => brief(stream.messages).length >= 41)
  const { WebSocket } = await import('ws')
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws/event`)
  const error = new Promise<Error>(resolve => socket.once('error', resolve))
  await new Promise(resolve => socket.once('open', resolve))
  socket.send('{"@type":"subscribe","jwt":"bad"}')
  assert.match((await error).message, /invalid status code/i)
})
