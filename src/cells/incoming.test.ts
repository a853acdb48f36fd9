/** Bodies that are handed on as they come, from a server that the test plays. */
import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { agentClass } from '../undici.js'
import { Incoming } from './incoming.js'

interface World {
  readonly body: Incoming
  readonly response: Promise<ServerResponse>
  /** Another request over the same single connection. */
  readonly next: () => Incoming
  /** The answer to the next request that nobody has asked for yet. */
  readonly answers: () => Promise<ServerResponse>
}

async function ask(t: TestContext): Promise<World> {
  const waiting: Array<(response: ServerResponse) => void> = []
  const server = createServer((_request, response) => { waiting.shift()?.(response) })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const agent = new (agentClass())({ connections: 1, pipelining: 1 })
  t.after(async () => {
    await agent.destroy()
    server.closeAllConnections()
    server.close()
  })
  const next = (): Incoming => {
    const body = new Incoming()
    agent.dispatch({ origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, path: '/', method: 'GET' }, body)
    return body
  }
  const answers = (): Promise<ServerResponse> => new Promise((resolve) => { waiting.push(resolve) })
  const response = answers()
  return { body: next(), response, next, answers }
}

async function text(body: AsyncIterable<Buffer>): Promise<string> {
  let all = ''
  for await (const chunk of body) all += chunk.toString()
  return all
}

test('every piece is handed over as it comes, in order', async (t) => {
  const { body, response } = await ask(t)
  const server = await response
  server.writeHead(206, { 'x-one': 'first' })
  server.write('ab')
  const { status, headers } = await body.started
  assert.deepEqual([status, headers['x-one']], [206, 'first'])
  let got = ''
  const whole = body.each((chunk) => {
    got += chunk.toString()
    if (got === 'ab') server.write('cd')
    if (got === 'abcd') server.end('ef')
  })
  await whole
  assert.equal(got, 'abcdef')
})

test('what comes before somebody takes it is kept, and no more than a little of it', async (t) => {
  const { body, response } = await ask(t)
  const server = await response
  const content = Buffer.alloc(64 * 2 ** 20, 'x')
  let sent = false
  server.end(content, () => { sent = true })
  await body.started
  for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate)
  assert.equal(sent, false, 'the server has to wait')
  let length = 0
  await body.each((chunk) => { length += chunk.length })
  assert.equal(length, content.length)
})

test('can be iterated, slowly', async (t) => {
  const { body, response } = await ask(t)
  const server = await response
  server.end(Buffer.alloc(4 * 2 ** 20, 'x'))
  await body.started
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    await new Promise(setImmediate)
  }
  assert.equal(length, 4 * 2 ** 20)
})

test('a body that breaks off is an error, whoever reads it', async (t) => {
  for (const read of [(body: Incoming) => body.each(() => {}), text]) {
    const { body, response } = await ask(t)
    const server = await response
    server.writeHead(200, { 'content-length': '10' })
    server.write('ab', () => server.destroy())
    await body.started
    await assert.rejects(read(body))
  }
})

test('one that nobody reads may break off', async (t) => {
  const { body, response } = await ask(t)
  const server = await response
  server.writeHead(200, { 'content-length': '10' })
  server.write('ab')
  await body.started
  const closed = new Promise<void>((resolve) => body.onClose(resolve))
  server.destroy()
  await closed
})

test('an error of the taker ends it, and is told', async (t) => {
  const { body, response } = await ask(t)
  const server = await response
  server.write('ab')
  await body.started
  await assert.rejects(body.each(() => { throw new Error('enough') }), /enough/)
})

test('can be given up at any time', async (t) => {
  const { body, response, next } = await ask(t)
  const queued = next()
  queued.destroy(new Error('not any more'))
  await assert.rejects(queued.started, /not any more/)
  await response
  body.destroy(new Error('too late'))
  await assert.rejects(body.started, /too late/)

  const { body: running, response: answer } = await ask(t)
  const server = await answer
  server.write('ab')
  await running.started
  const reading = running.each(() => {})
  running.destroy(new Error('stop'))
  await assert.rejects(reading, /stop/)
  running.destroy()
})

test('is over when it has ended: giving it up then does not hurt the connection', async (t) => {
  const { body, response, next, answers } = await ask(t)
  const server = await response
  server.end('ab')
  await body.started
  assert.equal(await text(body), 'ab')
  let closed = false
  body.onClose(() => { closed = true })
  assert.ok(closed)
  body.destroy()
  const answered = answers()
  const again = next();
  (await answered).end('cd')
  await again.started
  assert.equal(await text(again), 'cd')
})
