/** Bodies that a thread puts into memory, from a server that the test plays. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { Incoming } from './incoming.js'
import { Receiver } from './receiver.js'

const memory = (...lengths: number[]): Buffer[] => lengths.map((length) => Buffer.from(new SharedArrayBuffer(length)))

interface World {
  readonly receiver: Receiver
  readonly ask: (into: readonly Buffer[]) => Incoming
}

async function world(t: TestContext, answer: (response: ServerResponse, request: IncomingMessage) => void): Promise<World> {
  const server = createServer((request, response) => answer(response, request))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const receiver = new Receiver(url, 2, false)
  t.after(() => {
    receiver.close()
    server.closeAllConnections()
    server.close()
  })
  const ask = (into: readonly Buffer[]): Incoming => {
    const body = new Incoming()
    receiver.dispatch({ origin: url.origin, path: '/', method: 'GET', headers: { range: 'bytes=0-' } }, into, body)
    return body
  }
  return { receiver, ask }
}

test('a body comes straight into its memory, over the bounds of its parts, and is handed on as views of it', async (t) => {
  const content = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index * 7 % 251))
  const { ask } = await world(t, (response, request) => {
    assert.equal(request.headers.range, 'bytes=0-')
    response.writeHead(206, { 'content-length': content.length, 'x-one': 'first' })
    for (let at = 0; at < content.length; at += 7001) response.write(content.subarray(at, at + 7001))
    response.end()
  })
  const many = await Promise.all(Array.from({ length: 5 }, async () => {
    const into = memory(1, 99_999, 150_000, 50_000)
    const body = ask(into)
    const { status, headers } = await body.started
    assert.deepEqual([status, headers['x-one']], [206, 'first'])
    const pieces: Buffer[] = []
    await body.each((piece) => {
      assert.ok(into.some(({ buffer }) => buffer === piece.buffer), 'a view')
      pieces.push(piece)
    })
    assert.ok(Buffer.concat(pieces).equals(content), 'handed on in order')
    return Buffer.concat(into).equals(content)
  }))
  assert.deepEqual(many, [true, true, true, true, true])
})

test('first bytes are handed on before the last ones are there', async (t) => {
  let goOn = (): void => {}
  const { ask } = await world(t, (response) => {
    response.writeHead(200, { 'content-length': 6 })
    response.write('abc')
    goOn = () => response.end('def')
  })
  let got = ''
  await ask(memory(6)).each((piece) => {
    got += piece.toString()
    if (got === 'abc') goOn()
  })
  assert.equal(got, 'abcdef')
})

test('an answer that is something else comes as it is, and the memory stays as it was', async (t) => {
  const { ask } = await world(t, (response) => {
    response.writeHead(403, { 'content-length': 8 })
    response.end('<Error/>')
  })
  const into = memory(8)
  const body = ask(into)
  assert.equal((await body.started).status, 403)
  let text = ''
  for await (const piece of body) text += piece.toString()
  assert.equal(text, '<Error/>')
  assert.equal(into[0]!.toString(), '\0'.repeat(8))
})

test('a body of another length than the memory never goes beyond it', async (t) => {
  const { ask } = await world(t, (response) => {
    response.writeHead(200, { 'content-length': 10 })
    response.end('0123456789')
  })
  const into = memory(4)
  const body = ask(into)
  let text = ''
  for await (const piece of body) text += piece.toString()
  assert.equal(text, '0123456789')
  assert.equal(into[0]!.toString(), '\0'.repeat(4))
})

test('a connection that breaks is an error with its code, after what came before', async (t) => {
  const { ask } = await world(t, (response) => {
    response.writeHead(200, { 'content-length': 6 })
    response.write('abc', () => response.destroy())
  })
  let got = ''
  await assert.rejects(ask(memory(6)).each((piece) => { got += piece.toString() }), { code: 'UND_ERR_SOCKET' })
  assert.equal(got, 'abc')
})

test('what is given up ends at the server, and the thread goes on', async (t) => {
  let closed = (): void => {}
  const gone = new Promise<void>((resolve) => { closed = resolve })
  let endless = true
  const { ask } = await world(t, (response) => {
    response.writeHead(200, { 'content-length': 6 })
    if (!endless) return response.end('abcdef')
    response.write('abc')
    response.once('close', closed)
  })
  const body = ask(memory(6))
  await body.started
  body.destroy()
  await gone
  endless = false
  const into = memory(6)
  await ask(into).each(() => {})
  assert.equal(into[0]!.toString(), 'abcdef')
})

test('when the thread ends, whoever waits hears of it, and the next one gets another', async (t) => {
  let silent = true
  const { ask, receiver } = await world(t, (response) => {
    if (silent) return
    response.writeHead(200, { 'content-length': 2 })
    response.end('ab')
  })
  const waiting = ask(memory(2))
  receiver.close()
  await assert.rejects(waiting.started, { code: 'UND_ERR_SOCKET' })
  silent = false
  const into = memory(2)
  await ask(into).each(() => {})
  assert.equal(into[0]!.toString(), 'ab')
})

test('when the thread dies, whoever waits hears of it, and the next one gets another', async (t) => {
  let thread: Worker | undefined
  const note = (worker: Worker): void => { thread = worker }
  process.on('worker', note)
  t.after(() => { process.off('worker', note) })
  let asked = (): void => {}
  const there = new Promise<void>((resolve) => { asked = resolve })
  let silent = true
  const { ask } = await world(t, (response) => {
    if (silent) return asked()
    response.writeHead(200, { 'content-length': 2 })
    response.end('ab')
  })
  const waiting = ask(memory(2))
  await there
  await Promise.all([thread?.terminate(), assert.rejects(waiting.started, { code: 'UND_ERR_SOCKET' })])
  silent = false
  const into = memory(2)
  await ask(into).each(() => {})
  assert.equal(into[0]!.toString(), 'ab')
})

test('memory that the thread cannot see is refused', async (t) => {
  const { ask } = await world(t, (response) => { response.end() })
  assert.throws(() => ask([...memory(2), Buffer.alloc(2)]), TypeError)
})
