/** Exchanges on this thread's connections and on those of another one: to whoever asks they are the same. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { CellsError } from './errors.js'
import { Http, type Exchange, type TextReply } from './http.js'

interface World {
  readonly http: Http
  readonly ask: (path?: string, more?: Partial<Exchange> & { readonly timeoutMs?: number; readonly signal?: AbortSignal }) => Promise<TextReply>
  /** Connections that the server has seen. This thread has one at most. */
  readonly sockets: Set<Socket>
  readonly threads: Worker[]
  /** Resolves when exchanges go to the other thread. */
  readonly threaded: () => Promise<void>
}

async function world(t: TestContext, answer: (response: ServerResponse, request: IncomingMessage) => void, threaded = true): Promise<World> {
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    sockets.add(request.socket)
    if (request.url === '/quick') response.end('quick')
    else answer(response, request)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const threads: Worker[] = []
  const note = (worker: Worker): void => { threads.push(worker) }
  process.on('worker', note)
  const http = new Http(
    { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tokens: { get: () => Promise.resolve(''), reject: () => {} }, skipVerify: false, customHeaders: { 'X-Custom': 'mine' }, accountId: 'a', authType: 'session' },
    { threaded, restConnections: 1, dataConnections: 1 },
  )
  t.after(async () => {
    process.off('worker', note)
    await http.close()
    server.closeAllConnections()
    server.close()
  })
  const ask: World['ask'] = async (path = '/quick', { timeoutMs = 60_000, signal, ...more } = {}) => {
    const deadline = http.deadline(timeoutMs, 'ask', signal)
    try {
      return await http.text({ method: 'GET', path, headers: {}, pool: 'rest', deadline, ...more })
    } finally {
      deadline.end()
    }
  }
  return {
    http, ask, sockets, threads,
    threaded: async () => {
      for (const end = Date.now() + 20_000; sockets.size < 2;) {
        assert.ok(Date.now() < end, 'the thread')
        await Promise.all(Array.from({ length: 8 }, () => ask()))
      }
    },
  }
}

test('a few exchanges, one after the other, are no reason for a thread, many of a process that lives shortly neither', async (t) => {
  const long = await world(t, () => {})
  for (let n = 0; n < 8; n++) await long.ask()
  const short = await world(t, () => {}, false)
  await Promise.all(Array.from({ length: 8 }, () => short.ask()))
  assert.deepEqual([long.threads.length, short.threads.length, long.sockets.size, short.sockets.size], [0, 0, 1, 1])
})

test('when many are under way at a time they go to a thread, with all that they have', async (t) => {
  const w = await world(t, (response, request) => {
    response.writeHead(403, { 'x-path': request.url, 'content-type': 'text/plain' })
    request.setEncoding('utf8')
    let body = ''
    request.on('data', (piece: string) => { body += piece })
    request.on('end', () => response.end(`${request.method} ${String(request.headers['x-custom'])} ${String(request.headers['x-own'])} ${body}`))
  })
  await w.threaded()
  const before = w.sockets.size
  const reply = await w.ask('/a?b=c', { method: 'POST', headers: { 'x-own': 'yes' }, body: 'text' })
  assert.deepEqual([reply.status, reply.contentType, reply.header('x-path'), reply.body], [403, 'text/plain', '/a?b=c', 'POST mine yes text'])
  assert.deepEqual([w.sockets.size, w.threads.length], [before, 1])
  // A body that is still to be read is read by the thread that has it.
  // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
  const stream = await w.ask('/', { method: 'PUT', headers: { 'content-length': '6' }, body: (async function * () { yield Buffer.from('stream') })() })
  assert.equal(stream.body, 'PUT mine undefined stream')
})

test('deadlines, signals and the end of the connection end an exchange on the thread as they do here', async (t) => {
  let closed = 0
  const w = await world(t, (response) => { response.once('close', () => { closed++ }) })
  await w.threaded()
  await assert.rejects(w.ask('/never', { timeoutMs: 50 }), (error) => error instanceof CellsError && error.kind === 'timeout')
  const stop = new AbortController()
  const stopped = w.ask('/never', { signal: stop.signal })
  stop.abort()
  await assert.rejects(stopped, (error) => error instanceof CellsError && error.kind === 'aborted')
  assert.equal((await w.ask()).body, 'quick')
  const last = [w.ask('/never'), w.ask('/never', { pool: 'data' })].map((each) => assert.rejects(each, (error) => error instanceof CellsError && error.kind === 'aborted'))
  await Promise.all([w.http.close(), ...last])
  for (const end = Date.now() + 20_000; closed < 1 && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.ok(closed >= 1, 'the server hears of it')
})

test('an exchange that breaks on the thread is a fault of the network, as it is here', async (t) => {
  const w = await world(t, (response) => { response.destroy() })
  await w.threaded()
  await assert.rejects(w.ask('/broken'), (error) => error instanceof CellsError && error.kind === 'network' && /UND_ERR_SOCKET|ECONNRESET/.test(error.detail) && error.transient)
})

test('when the thread dies, what was under way is a fault of the network, and what comes next goes on here', async (t) => {
  let asked = (): void => {}
  const there = new Promise<void>((resolve) => { asked = resolve })
  const w = await world(t, () => { asked() })
  await w.threaded()
  const lost = w.ask('/never')
  await there
  await Promise.all([w.threads[0]?.terminate(), assert.rejects(lost, (error) => error instanceof CellsError && error.kind === 'network' && error.transient)])
  assert.equal((await w.ask()).body, 'quick')
  assert.equal(w.threads.length, 1)
})

test('a thread that cannot be started is not tried for again and again: all goes on here', async (t) => {
  const w = await world(t, () => {})
  const kill = (worker: Worker): void => { void worker.terminate() }
  process.on('worker', kill)
  t.after(() => { process.off('worker', kill) })
  const burst = async (): Promise<string[]> => (await Promise.all(Array.from({ length: 8 }, () => w.ask()))).map(({ body }) => body)
  const ended = new Promise<void>((resolve) => process.once('worker', (worker: Worker) => worker.once('exit', () => resolve())))
  assert.deepEqual(await burst(), Array<string>(8).fill('quick'))
  await ended
  assert.deepEqual([...await burst(), ...await burst()], Array<string>(16).fill('quick'))
  assert.deepEqual([w.threads.length, w.sockets.size], [1, 1])
})
