/** What a thread exchanges with a server that the test plays: bodies that it puts into memory, and whole answers. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Worker } from 'node:worker_threads'
import type { Dispatcher } from 'undici'
import { Incoming } from './incoming.js'
import { Network, type Whole } from './network.js'

const memory = (...lengths: number[]): Buffer[] => lengths.map((length) => Buffer.from(new SharedArrayBuffer(length)))

interface World {
  readonly network: Network
  readonly origin: string
  readonly ask: (into: readonly Buffer[]) => Incoming
}

async function world(t: TestContext, answer: (response: ServerResponse, request: IncomingMessage) => void): Promise<World> {
  const server = createServer((request, response) => answer(response, request))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const network = new Network({ url: url.href, skipVerify: false, sockets: { rest: 2, data: 2 } })
  t.after(() => {
    network.close()
    server.closeAllConnections()
    server.close()
  })
  const ask = (into: readonly Buffer[]): Incoming => {
    const body = new Incoming()
    network.dispatch('data', { origin: url.origin, path: '/', method: 'GET', headers: { range: 'bytes=0-' } }, into, body)
    return body
  }
  return { network, origin: url.origin, ask }
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
  const { ask, network } = await world(t, (response) => {
    if (silent) return
    response.writeHead(200, { 'content-length': 2 })
    response.end('ab')
  })
  const waiting = ask(memory(2))
  network.close()
  await assert.rejects(waiting.started, { code: 'UND_ERR_SOCKET' })
  silent = false
  const into = memory(2)
  await ask(into).each(() => {})
  assert.equal(into[0]!.toString(), 'ab')
})

test('memory that the thread cannot see is refused', async (t) => {
  const { ask } = await world(t, (response) => { response.end() })
  assert.throws(() => ask([...memory(2), Buffer.alloc(2)]), TypeError)
})

/** Asks for a whole answer. */
const whole = ({ network, origin }: World, options: Partial<Dispatcher.DispatchOptions> = {}, most = 1000): Whole =>
  network.ask('rest', { origin, path: '/', method: 'GET', headers: {}, ...options }, most)

test('a whole answer comes with its status, headers and content, an empty one without', async (t) => {
  const w = await world(t, (response, request) => {
    response.writeHead(request.url === '/none' ? 204 : 404, { 'x-one': ['first', 'second'], 'x-asked': `${request.method} ${String(request.headers['x-two'])}` })
    if (request.url !== '/none') response.write('ab')
    response.end(request.url === '/none' ? undefined : 'cd')
  })
  const { status, headers, content } = await whole(w, { headers: { 'x-two': 'two' } }).answer
  assert.deepEqual([status, headers['x-one'], headers['x-asked'], content.toString()], [404, ['first', 'second'], 'GET two', 'abcd'])
  const none = await whole(w, { path: '/none', method: 'DELETE' }).answer
  assert.deepEqual([none.status, none.content.length], [204, 0])
})

test('text and bytes are sent as they are, and stay with whoever sent them', async (t) => {
  const w = await world(t, (response, request) => { request.pipe(response) })
  const memory = Buffer.from('before content after')
  const body = memory.subarray(7, 14)
  for (let again = 0; again < 2; again++) assert.equal((await whole(w, { method: 'PUT', body }).answer).content.toString(), 'content')
  assert.equal(memory.toString(), 'before content after')
  assert.equal((await whole(w, { method: 'POST', body: 'täxt' }).answer).content.toString(), 'täxt')
})

test('what went wrong with a whole answer keeps its code', async (t) => {
  const w = await world(t, (response) => {
    response.writeHead(200, { 'content-length': 10 })
    response.write('abc', () => response.destroy())
  })
  await assert.rejects(whole(w).answer, { code: 'UND_ERR_SOCKET' })
  await assert.rejects(whole(w, {}, 2).answer, { code: 'UND_ERR_RES_EXCEEDED_MAX_SIZE' })
  await assert.rejects(whole({ ...w, origin: 'http://127.0.0.1:1' }).answer, { code: 'ECONNREFUSED' })
  await assert.rejects(whole(w, { headers: { 'x-bad': 'a\nb' } }).answer, { code: 'UND_ERR_INVALID_ARG' })
})

test('a question that is stopped ends at the server, with the reason, whether it has a connection or waits for one', async (t) => {
  const closed: Promise<void>[] = []
  const asked: (() => void)[] = []
  let silent = true
  const w = await world(t, (response) => {
    if (!silent) return response.end('ab')
    closed.push(new Promise((resolve) => { response.once('close', resolve) }))
    asked.shift()?.()
  })
  const twice = Promise.all([0, 1].map(() => new Promise<void>((resolve) => { asked.push(resolve) })))
  const questions = [whole(w), whole(w), whole(w)]
  await twice
  for (const each of questions) each.stop(new Error('enough'))
  for (const each of questions) await assert.rejects(each.answer, /enough/)
  await Promise.all(closed)
  assert.equal(closed.length, 2, 'the third was never sent')
  silent = false
  assert.equal((await whole(w).answer).content.toString(), 'ab')
})

test('when the thread dies, whoever waits hears of a broken connection, and the next one gets another thread', async (t) => {
  let thread: Worker | undefined
  const note = (worker: Worker): void => { thread = worker }
  process.on('worker', note)
  t.after(() => { process.off('worker', note) })
  let asked = (): void => {}
  const there = new Promise<void>((resolve) => { asked = resolve })
  let silent = true
  const w = await world(t, (response) => {
    if (silent) asked()
    else response.end('ab')
  })
  const [question, body] = [whole(w), w.ask(memory(2))]
  await there
  assert.equal(w.network.ready, true)
  const first = thread
  await Promise.all([thread?.terminate(), assert.rejects(question.answer, { code: 'UND_ERR_SOCKET' }), assert.rejects(body.started, { code: 'UND_ERR_SOCKET' })])
  assert.equal(w.network.ready, false)
  silent = false
  assert.equal((await whole(w).answer).content.toString(), 'ab')
  assert.notEqual(thread, first)
})
