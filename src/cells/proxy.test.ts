import assert from 'node:assert/strict'
import { createServer as createHttpServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, connect as tcpConnect, Socket } from 'node:net'
import { it } from 'node:test'
import { proxyFor } from './proxy.js'
import { proxyTunnel } from './proxy-tunnel.js'

it('reads the variables of the environment as other programs do', () => {
  const env = { HTTPS_PROXY: 'http://p:1', http_proxy: 'http://q:2', NO_PROXY: 'intern.example, .corp.example,other.example:8443' }
  const proxy = (url: string, variables: Record<string, string> = env): string | undefined => proxyFor(new URL(url), variables)
  assert.equal(proxy('https://cells.example'), 'http://p:1')
  assert.equal(proxy('wss://cells.example'), 'http://p:1')
  assert.equal(proxy('http://cells.example'), 'http://q:2')
  assert.equal(proxy('https://intern.example'), undefined)
  assert.equal(proxy('https://a.intern.example'), undefined)
  assert.equal(proxy('https://x.corp.example'), undefined)
  assert.equal(proxy('https://notintern.example'), 'http://p:1')
  assert.equal(proxy('https://other.example:8443'), undefined)
  assert.equal(proxy('https://other.example'), 'http://p:1')
  assert.equal(proxy('http://localhost:8080'), undefined)
  for (const here of ['127.0.0.1:8080', '127.1', '127.255.0.3', '[::1]', 'cells.localhost']) assert.equal(proxy(`http://${here}`), undefined, here)
  for (const elsewhere of ['127.example.com', '127.0.0.1.example', 'localhost.example', '128.0.0.1', '[::2]']) assert.equal(proxy(`http://${elsewhere}`), 'http://q:2', elsewhere)
  assert.equal(proxy('https://cells.example', { HTTPS_PROXY: 'http://p:1', NO_PROXY: '*' }), undefined)
  assert.equal(proxy('https://cells.example', {}), undefined)
})

it('opens a tunnel through the proxy for the websocket', async () => {
  const asked: (string | undefined)[] = []
  const proxy = createHttpServer()
  proxy.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(request.url, request.headers['proxy-authorization'])
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    socket.once('data', (data: Buffer) => socket.end(`echo ${data.toString()}`))
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as AddressInfo
  const before = process.env['http_proxy']
  process.env['http_proxy'] = `http://me:pass@127.0.0.1:${port}`
  try {
    const options = await proxyTunnel(new URL('ws://cells.example/ws/event'), new AbortController().signal, true)
    const socket = (options.createConnection as unknown as typeof tcpConnect)({ port: 0 })
    socket.write('hello')
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    assert.equal(text, 'echo hello')
    assert.deepEqual(asked, ['cells.example:80', `Basic ${Buffer.from('me:pass').toString('base64')}`])
  } finally {
    if (before === undefined) delete process.env['http_proxy']
    else process.env['http_proxy'] = before
    await new Promise((resolve) => proxy.close(resolve))
  }
})
