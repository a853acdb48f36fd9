/** The client against small scripted servers: what the wire can do wrong and no well-behaved server shows. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { after, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { AuthError } from '../auth/errors.js'
import type { TokenSource } from '../auth/types.js'
import { connect } from './client.js'
import { CellsError, type CellsErrorKind } from './errors.js'
import type { CellsServer } from './server.js'

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void

const cleanups: (() => Promise<unknown>)[] = []
after(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function serve(handler: Handler): Promise<string> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString('latin1') })
    request.on('end', () => handler(request, response, body))
  })
  cleanups.push(() => new Promise((resolve) => {
    server.closeAllConnections()
    server.close(resolve)
  }))
  return listen(server)
}

class Tokens implements TokenSource {
  readonly rejected: string[] = []
  readonly list: string[]

  constructor(...list: string[]) {
    this.list = list
  }

  get(): Promise<string> {
    const token = this.list.find((each) => !this.rejected.includes(each))
    return token === undefined ? Promise.reject(new AuthError('login-needed', 'sign in again')) : Promise.resolve(token)
  }

  reject(token: string): void {
    this.rejected.push(token)
  }
}

function client(url: string, tokens: TokenSource = new Tokens('t1')): CellsServer {
  const server = connect({ url, tokens, skipVerify: false, customHeaders: { 'X-Extra': 'yes' }, accountId: '', authType: 'session' })
  cleanups.push(() => server.close())
  return server
}

const json = (response: ServerResponse, value: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}
const kind = (...kinds: CellsErrorKind[]) => (error: unknown): boolean => error instanceof CellsError && kinds.includes(error.kind)
const MISSING = { Title: 'rpc error: code = NotFound desc = {"code":404,"detail":"Could not retrieve node"}' }
const FILE = { Node: { Path: 'ws/x', Type: 'LEAF', Size: '5', Etag: 'abc', MetaStore: { name: '"x"' } } }

async function text(body: AsyncIterable<Buffer>): Promise<string> {
  let all = ''
  for await (const chunk of body) all += chunk.toString()
  return all
}

describe('REST', () => {
  it('renews a refused token once, sends custom headers, reads gzip', async () => {
    const seen: string[] = []
    const url = await serve((request, response) => {
      seen.push(`${request.headers.authorization ?? ''} ${String(request.headers['x-extra'])}`)
      if (request.headers.authorization !== 'Bearer t2') return void response.writeHead(401, { 'content-type': 'text/plain' }).end('Unauthorized.\n')
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify(FILE)))
    })
    const tokens = new Tokens('t1', 't2')
    const node = await client(url, tokens).stat('ws/x')
    assert.equal(node?.size, 5)
    assert.deepEqual(seen, ['Bearer t1 yes', 'Bearer t2 yes'])
    assert.deepEqual(tokens.rejected, ['t1'])
  })

  it('ends in login-needed when no token helps', async () => {
    const url = await serve((_request, response) => void response.writeHead(401).end('Unauthorized.\n'))
    await assert.rejects(client(url).stat('ws/x'), kind('login-needed'))
    await assert.rejects(client(url, new Tokens('t1', 't2')).stat('ws/x'), kind('login-needed'))
  })

  it('repeats what is transient, and stops', async () => {
    let calls = 0
    const url = await serve((_request, response) => {
      calls++
      if (calls < 3) return void response.writeHead(502).end()
      json(response, FILE)
    })
    assert.equal((await client(url).stat('ws/x'))?.path, 'ws/x')
    assert.equal(calls, 3)
  })

  it('does not repeat what may have been carried out', async () => {
    let calls = 0
    const url = await serve((_request, response) => {
      calls++
      response.destroy()
    })
    await assert.rejects(client(url).startJob('move', ['ws/a'], 'ws/b', false), kind('network'))
    assert.equal(calls, 1)
  })

  it('takes a 404 without the right words for no proof', async () => {
    const url = await serve((request, response) => json(response, request.url?.endsWith('gone') ? MISSING : { Title: 'rpc error: code = Unknown desc = connection refused' }, 404))
    const server = client(url)
    assert.equal(await server.stat('ws/gone'), undefined)
    await assert.rejects(server.stat('ws/x'), kind('unavailable'))
  })

  it('answers for damaged, foreign and missing servers', async () => {
    const damaged = await serve((_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('{"Node":'))
    await assert.rejects(client(damaged).stat('ws/x'), kind('protocol'))
    const nodeless = await serve((_request, response) => json(response, { Node: { Path: '../../etc/passwd' } }))
    await assert.rejects(client(nodeless).stat('ws/x'), kind('protocol'))
    const page = await serve((_request, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>'))
    await assert.rejects(client(page).stat('ws/x'), kind('not-cells'))
    const none = createTcpServer()
    const gone = await listen(none)
    await new Promise((resolve) => none.close(resolve))
    await assert.rejects(client(gone).stat('ws/x'), kind('network'))
    await assert.rejects(client(gone.replace('http:', 'https:')).stat('ws/x'), kind('network'))
    const plain = await serve((_request, response) => json(response, FILE))
    await assert.rejects(client(plain.replace('http:', 'https:')).stat('ws/x'), kind('tls'))
  })

  it('ends a call that is never answered, or stopped by its caller or by close()', async () => {
    const url = await serve(() => {})
    const server = client(url)
    await assert.rejects(server.stat('ws/x', { timeoutMs: 100 }), kind('timeout'))
    const controller = new AbortController()
    const stopped = assert.rejects(server.stat('ws/x', { signal: controller.signal }), kind('aborted'))
    controller.abort()
    await stopped
    const closed = assert.rejects(server.stat('ws/x'), kind('aborted'))
    await server.close()
    await closed
  })

  it('tells a workspace that is none from one that may not be seen', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/a/meta/bulk/get') return json(response, { Nodes: [{ Path: 'ws', Type: 'COLLECTION', MetaStore: { ws_slug: '"ws"' } }] })
      json(response, { Title: 'Workspace nope is not accessible', Detail: 'Forbidden: Workspace nope is not accessible' }, 404)
    })
    assert.equal(await client(url).stat('nope'), undefined)
    await assert.rejects(client(url).stat('nope/x'), kind('forbidden'))
  })

  it('refuses names before anything is sent', async () => {
    let calls = 0
    const url = await serve((_request, response) => {
      calls++
      json(response, {})
    })
    const server = client(url)
    await assert.rejects(server.mkdir(['ws/a\\b']), kind('invalid'))
    await assert.rejects(server.put('ws/.pydio', () => [] as unknown as AsyncIterable<Uint8Array>, 0), kind('invalid'))
    await assert.rejects(server.move('ws/a', 'ws/a/b'), kind('invalid'))
    await assert.rejects(server.remove(['ws']), kind('forbidden'))
    await server.move('ws/a', 'ws/a')
    assert.equal(calls, 0)
  })
})

describe('listing', () => {
  const child = (name: string): unknown => ({ Path: `ws/d/${name}`, Type: 'LEAF', Uuid: name })
  const folder = (count: number): unknown => ({ Path: 'ws/d', Type: 'COLLECTION', MetaStore: { name: '"d"', ChildrenCount: String(count) } })

  async function names(server: CellsServer): Promise<string[]> {
    const all: string[] = []
    for await (const page of server.list('ws/d')) all.push(...page.map((node) => node.path.slice(5)))
    return all.sort()
  }

  it('costs one request where nothing is hidden', async () => {
    const seen: string[] = []
    const url = await serve((request, response) => {
      seen.push(request.url ?? '')
      json(response, { Nodes: [folder(2), child('a'), child('b')] })
    })
    assert.deepEqual(await names(client(url)), ['a', 'b'])
    assert.deepEqual(seen, ['/a/meta/bulk/get'])
  })

  it('drops what cannot be trusted and finds what is hidden, over several pages that overlap', async () => {
    const rows = ['.env', '.pydio', ...Array.from({ length: 1200 }, (_, i) => `f${String(i).padStart(4, '0')}`)]
    const url = await serve((request, response, body) => {
      if (request.url?.startsWith('/io/')) {
        const keys = rows.map((name) => `<Contents><Key>ws/d/${name}</Key></Contents>`).join('')
        return void response.writeHead(200, { 'content-type': 'application/xml' }).end(`<ListBucketResult><Prefix>ws/d/</Prefix><IsTruncated>false</IsTruncated>${keys}<CommonPrefixes><Prefix>ws/d/</Prefix></CommonPrefixes></ListBucketResult>`)
      }
      if (request.url?.startsWith('/a/tree/stat/')) return json(response, { Node: child('.env') })
      const asked = JSON.parse(body) as { Offset: number; Limit: number }
      const page = rows.slice(Math.max(0, asked.Offset - 5), asked.Offset + asked.Limit).filter((name) => !name.startsWith('.'))
      json(response, { Nodes: [folder(1201), ...page.map(child), { Path: 'ws/d/../evil' }, { Path: 'ws/other/x' }, { Path: 'ws/d/deep/x' }] })
    })
    assert.deepEqual(await names(client(url)), rows.filter((name) => name !== '.pydio').sort())
  })

  it('lists again when the server counts more than it sends', async () => {
    let calls = 0
    const url = await serve((request, response) => {
      if (request.url?.startsWith('/io/')) return void response.writeHead(200, { 'content-type': 'application/xml' }).end('<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>')
      json(response, { Nodes: [folder(2), child('a'), ...(++calls > 1 ? [child('b')] : [])] })
    })
    assert.deepEqual(await names(client(url)), ['a', 'b'])
  })

  it('ends when some entries may not be seen', async () => {
    const url = await serve((request, response) => {
      if (request.url?.startsWith('/io/')) return void response.writeHead(200, { 'content-type': 'application/xml' }).end('<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>')
      json(response, { Nodes: [folder(7), child('a')] })
    })
    assert.deepEqual(await names(client(url)), ['a'])
  })

  it('throws rather than calling an unproven folder empty', async () => {
    const nothing = await serve((_request, response) => json(response, {}))
    await assert.rejects(names(client(nothing)), kind('unavailable'))
    const missing = await serve((_request, response) => json(response, MISSING, 404))
    await assert.rejects(names(client(missing)), kind('not-found'))
  })
})

describe('objects', () => {
  it('turns a short body into an error', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '100', etag: '"abc"' })
      response.write('short')
      setImmediate(() => response.destroy())
    })
    const body = await client(url).get('ws/x')
    assert.equal(body.length, 100)
    await assert.rejects(text(body.stream), kind('protocol'))
  })

  it('checks the range and the version of the answer', async () => {
    const url = await serve((request, response) => {
      if (request.headers.range === 'bytes=2-3') return void response.writeHead(206, { 'content-range': 'bytes 2-3/5', 'content-length': '2', etag: '"abc"' }).end('ll')
      if (request.headers.range === 'bytes=0-9') return void response.writeHead(200, { 'content-length': '5', etag: '"abc"' }).end('hello')
      if (request.headers.range === 'bytes=1-1') return void response.writeHead(206, { 'content-range': 'bytes 0-0/5', 'content-length': '1', etag: '"abc"' }).end('h')
      if (request.headers.range !== undefined) return void response.writeHead(416).end('<Error><Code>InvalidRange</Code></Error>')
      response.writeHead(200, { 'content-length': '5', etag: '"other"' }).end('hello')
    })
    const server = client(url)
    const part = await server.get('ws/x', { start: 2, end: 3 }, { ifMatch: 'abc' })
    assert.deepEqual([part.totalSize, part.length, part.etag], [5, 2, 'abc'])
    assert.equal(await text(part.stream), 'll')
    assert.equal(await text((await server.get('ws/x', { start: 0, end: 9 })).stream), 'hello')
    await assert.rejects(server.get('ws/x', { start: 1, end: 1 }), kind('protocol'))
    await assert.rejects(server.get('ws/x', { start: 9, end: 9 }), kind('range'))
    await assert.rejects(server.get('ws/x', undefined, { ifMatch: 'abc' }), kind('precondition'))
  })

  it('asks REST what an unclear failure means, and renews a dead token', async () => {
    const tokens = new Tokens('dead', 'good')
    const url = await serve((request, response) => {
      if (request.url?.startsWith('/a/')) {
        if (request.headers.authorization === 'Bearer dead') return void response.writeHead(401).end()
        return request.url.endsWith('none') ? json(response, MISSING, 404) : json(response, FILE)
      }
      if (request.headers.authorization?.includes('Credential=dead/')) return void response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>')
      if (request.url?.endsWith('none')) return void response.writeHead(500).end('<Error><Code>InternalError</Code></Error>')
      response.writeHead(200, { 'content-length': '5', etag: '"abc"' }).end('hello')
    })
    const server = client(url, tokens)
    assert.equal(await text((await server.get('ws/x')).stream), 'hello')
    assert.deepEqual(tokens.rejected, ['dead'])
    await assert.rejects(server.get('ws/none'), kind('not-found'))
  })

  it('sends a body again from its start, with its length and digest', async () => {
    const bodies: string[] = []
    const heads: IncomingMessage['headers'][] = []
    const url = await serve((request, response, body) => {
      if (request.method !== 'PUT') return json(response, FILE)
      bodies.push(body)
      heads.push(request.headers)
      response.writeHead(bodies.length === 1 ? 503 : 200).end()
    })
    const content = randomBytes(200_000)
    let opened = 0
    const progress: number[] = []
    // eslint-disable-next-line @typescript-eslint/require-await
    const source = async function* (): AsyncGenerator<Uint8Array> {
      opened++
      for (let at = 0; at < content.length; at += 65_536) yield content.subarray(at, at + 65_536)
    }
    const md5 = createHash('md5').update(content).digest('hex')
    await client(url).put('ws/x', source, content.length, { md5, onProgress: (sent) => progress.push(sent) })
    assert.equal(opened, 2)
    assert.equal(bodies[1], content.toString('latin1'))
    assert.equal(heads[1]?.['content-length'], String(content.length))
    assert.equal(heads[1]?.['content-md5'], Buffer.from(md5, 'hex').toString('base64'))
    assert.equal(heads[1]?.['x-amz-content-sha256'], 'UNSIGNED-PAYLOAD')
    assert.equal(progress.at(-1), content.length)
    await assert.rejects(client(url).put('ws/x', source, content.length - 1), kind('invalid'))
    await assert.rejects(client(url).put('ws/x', source, content.length + 1), kind('invalid'))
  })

  it('notices a damaged part', async () => {
    const url = await serve((_request, response) => void response.writeHead(200, { etag: `"${'0'.repeat(32)}"` }).end())
    await assert.rejects(client(url).multipartPart('ws/x', 'u', 1, () => [Buffer.from('a')] as unknown as AsyncIterable<Uint8Array>, 1, { md5: '1'.repeat(32) }), kind('protocol'))
  })

  it('waits with a PUT until the deletion of the same key is through', async () => {
    const log: string[] = []
    let looks = 0
    const url = await serve((request, response) => {
      log.push(`${request.method ?? ''} ${request.url ?? ''}`)
      if (request.method === 'DELETE') return void response.writeHead(204).end()
      if (request.method === 'PUT') return void response.writeHead(200).end()
      if (++looks < 3) return json(response, FILE)
      json(response, MISSING, 404)
    })
    const server = client(url)
    await server.removeObject('ws/x')
    await server.put('ws/x', () => [] as unknown as AsyncIterable<Uint8Array>, 0)
    assert.deepEqual(log, ['DELETE /io/ws/x', 'GET /a/tree/stat/ws/x', 'GET /a/tree/stat/ws/x', 'GET /a/tree/stat/ws/x', 'PUT /io/ws/x'])
  })
})

describe('the event stream', () => {
  /** A websocket server by hand, because it must break the protocol: a subscription with a bad token gets JSON where a close code belongs. */
  async function websocket(good: string): Promise<{ url: string; sockets: Set<Socket>; subscribed: string[] }> {
    const sockets = new Set<Socket>()
    const subscribed: string[] = []
    const frame = (opcode: number, payload: Buffer): Buffer => Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload])
    const server = createServer((request, response) => {
      request.resume()
      // The client asks REST whether a token is still good.
      request.on('end', () => (request.headers.authorization === `Bearer ${good}` ? json(response, {}) : void response.writeHead(401).end()))
    })
    server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      const accept = createHash('sha1').update(`${request.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
      let buffered = Buffer.alloc(0)
      socket.on('data', (chunk: Buffer) => {
        buffered = Buffer.concat([buffered, chunk])
        for (;;) {
          const length = (buffered[1] ?? 0) & 0x7f
          if (buffered.length < 6 + length) return
          const mask = buffered.subarray(2, 6)
          const payload = Buffer.from(buffered.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0)))
          const opcode = (buffered[0] ?? 0) & 0x0f
          buffered = buffered.subarray(6 + length)
          if (opcode === 9) socket.write(frame(10, payload))
          if (opcode !== 1) continue
          const { jwt } = JSON.parse(payload.toString()) as { jwt: string }
          subscribed.push(jwt)
          if (jwt !== good) return void socket.end(frame(8, Buffer.from('{"@type":"error","jwt":"","error":"x"}')))
          socket.write(frame(1, Buffer.from('{"Target":{"Path":"ws/new","Type":"LEAF"}}')))
          socket.write(frame(1, Buffer.from('"dump"')))
        }
      })
    })
    cleanups.push(() => new Promise((resolve) => {
      for (const socket of sockets) socket.destroy()
      server.closeAllConnections()
      server.close(resolve)
    }))
    return { url: await listen(server), sockets, subscribed }
  }

  it('replaces a refused token, delivers events, comes back after a cut, and stops', async () => {
    const { url, sockets, subscribed } = await websocket('good')
    const tokens = new Tokens('bad', 'good')
    const server = client(url, tokens)
    const log: string[] = []
    let wake = (): void => {}
    const until = async (done: () => boolean): Promise<void> => {
      while (!done()) await new Promise<void>((resolve) => { wake = resolve })
    }
    const subscription = server.events({
      onEvent: (event) => {
        log.push(event.type)
        wake()
        throw new Error('a listener that fails must not matter')
      },
      onState: (state) => {
        log.push(state.state)
        wake()
      },
    })
    await until(() => log.includes('create') && log.includes('connected'))
    assert.deepEqual(tokens.rejected, ['bad'])
    assert.deepEqual(subscribed, ['bad', 'good'])
    assert.equal(log[0], 'disconnected')
    for (const socket of sockets) socket.destroy()
    await until(() => log.filter((each) => each === 'connected').length === 2)
    assert.deepEqual(subscribed, ['bad', 'good', 'good'])
    subscription.close()
    await server.close()
  })
})
