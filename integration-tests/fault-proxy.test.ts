/** The fault proxy itself: each fault does what it says, and everything else passes unchanged. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, describe, it } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { FAULTS, FaultProxy } from './helpers/fault-proxy.js'

describe('fault proxy', { timeout: 60_000 }, () => {
  const arrived: string[] = []
  const upstream = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      arrived.push(`${req.method ?? ''} ${req.url ?? ''} ${Buffer.concat(chunks).toString()}`)
      const body = '0123456789'.repeat(10)
      res.writeHead(200, { 'ETag': '"real"', 'Content-Length': body.length, 'X-Host': req.headers.host })
      res.end(body)
    })
  })
  const sockets = new WebSocketServer({ server: upstream })
  let proxy: FaultProxy

  before(async () => {
    sockets.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => { for (const word of data.toString().split(' ')) socket.send(word) })
    })
    await new Promise<void>((resolve) => { upstream.listen(0, '127.0.0.1', resolve) })
    proxy = await FaultProxy.start(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`)
  })
  afterEach(() => proxy.heal())
  after(async () => {
    await proxy.close()
    sockets.close()
    upstream.closeAllConnections()
    await new Promise((resolve) => upstream.close(resolve))
  })

  const get = (path = '/x', init: RequestInit = {}): Promise<Response> => fetch(proxy.url + path, init)

  it('passes requests and answers as they are', async () => {
    const answer = await get('/a%20b?c=d', { method: 'PUT', body: 'sent' })
    assert.deepEqual([answer.status, answer.headers.get('etag'), (await answer.text()).length], [200, '"real"', 100])
    assert.equal(answer.headers.get('x-host'), new URL(proxy.url).host)
    assert.equal(arrived.at(-1), 'PUT /a%20b?c=d sent')
    assert.equal(proxy.requests.at(-1), 'PUT /a b?c=d')
  })

  it('answers in place of the server, to the requests that match', async () => {
    const rule = proxy.fault({ method: 'GET', path: /^\/x/, skip: 1, times: 2 }, FAULTS.badGateway)
    const statuses: number[] = []
    for (let i = 0; i < 4; i++) statuses.push((await get()).status)
    assert.deepEqual([...statuses, (await get('/y')).status, rule.hits], [200, 502, 502, 200, 200, 2])
    const all = proxy.fault({}, FAULTS.emptyListing)
    assert.deepEqual(await (await get()).json(), {})
    all.end()
    assert.equal((await (await get()).text()).length, 100)
  })

  it('spoils answers', async () => {
    proxy.fault({ times: 1 }, { etag: '"wrong"' })
    assert.equal((await get()).headers.get('etag'), '"wrong"')
    proxy.fault({ times: 1 }, { shortBody: 7 })
    const short = await get()
    assert.deepEqual([short.headers.get('content-length'), await short.text()], ['7', '0123456'])
    proxy.fault({ times: 1 }, { cutAfter: 7 })
    const cut = await get()
    assert.equal(cut.headers.get('content-length'), '100')
    await assert.rejects(cut.text())
    proxy.fault({ times: 1 }, { drip: { bytes: 30, everyMs: 5 } })
    assert.equal((await (await get()).text()).length, 100)
  })

  it('breaks connections, before or after the server did its work', async () => {
    proxy.fault({ times: 1 }, { reset: true })
    const before = arrived.length
    await assert.rejects(get())
    assert.equal(arrived.length, before)
    proxy.fault({ times: 1 }, { loseAnswer: true })
    await assert.rejects(get())
    assert.equal(arrived.length, before + 1)
  })

  it('stalls, for a while or until the client gives up', async () => {
    proxy.fault({ times: 1 }, { stall: 50, status: 503 })
    assert.equal((await get()).status, 503)
    proxy.fault({ times: 1 }, { stall: 'forever' })
    const before = arrived.length
    await assert.rejects(get('/x', { signal: AbortSignal.timeout(100) }), { name: 'TimeoutError' })
    assert.equal(arrived.length, before)
  })

  it('refuses connections and accepts them again at the same address', async () => {
    const { url } = proxy
    await proxy.refuse()
    const connecting = connect(Number(new URL(url).port), '127.0.0.1')
    await assert.rejects(new Promise((resolve, reject) => { connecting.on('connect', resolve).on('error', reject) }), { code: 'ECONNREFUSED' })
    await assert.rejects(get())
    await proxy.accept()
    assert.equal(proxy.url, url)
    assert.equal((await get()).status, 200)
  })

  it('passes websockets, and loses, repeats and reorders what the server says', async () => {
    const socket = new WebSocket(proxy.url.replace('http', 'ws'))
    const heard: string[] = []
    let wake = (): void => {}
    socket.on('message', (data: Buffer) => {
      heard.push(data.toString())
      wake()
    })
    const until = async (count: number): Promise<string[]> => {
      while (heard.length < count) await new Promise<void>((resolve) => { wake = resolve })
      return heard.splice(0)
    }
    await new Promise((resolve) => socket.once('open', resolve))
    const pong = new Promise((resolve) => socket.once('pong', resolve))
    socket.send('a b c')
    socket.ping()
    await pong
    assert.deepEqual(await until(3), ['a', 'b', 'c'])
    proxy.messages = (message, send) => {
      if (message !== 'b') send(message)
      if (message === 'c') send(message)
    }
    socket.send('a b c')
    assert.deepEqual(await until(3), ['a', 'c', 'c'])
    const held: string[] = []
    proxy.messages = (message, send) => {
      held.unshift(message)
      if (held.length === 3) held.forEach(send)
    }
    socket.send('a b c')
    assert.deepEqual(await until(3), ['c', 'b', 'a'])
    const closed = new Promise((resolve) => socket.once('close', resolve))
    proxy.cutEvents()
    await closed
    proxy.fault({ method: 'UPGRADE' }, { status: 503 })
    const refused = new WebSocket(proxy.url.replace('http', 'ws'))
    await assert.rejects(new Promise((resolve, reject) => { refused.once('open', resolve); refused.once('error', reject) }), /503/)
  })
})
