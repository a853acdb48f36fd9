/** For tests: an embedded server that goes away with the test, and a bare client without any cleverness. */
import { createHash } from 'node:crypto'
import { WebSocket } from 'ws'
import { SAMPLE_LOGINS, startDemoServer } from './index.js'
import type { DemoOptions, DemoServer } from './index.js'
import { canonicalRequest, expectedSignature } from './s3/sigv4.js'
import type { Claim } from './s3/sigv4.js'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Parsed body, undefined if it is not JSON. */
  readonly json: Record<string, unknown> | undefined
}

export interface TestClient {
  readonly token: string
  rest(method: string, path: string, body?: unknown): Promise<Answer>
  /** Unsigned S3 call with the token in X-Pydio-Bearer. */
  s3(method: string, key: string, options?: { body?: string | Buffer; headers?: Record<string, string>; query?: string }): Promise<Answer>
  /** Signed S3 call; `change` may spoil the request after it was signed. */
  signed(method: string, key: string, body: string, change?: { accessKey?: string; secret?: string; ageMs?: number; region?: string; payload?: string }): Promise<Answer>
  stat(path: string): Promise<Record<string, unknown> | undefined>
  names(path: string): Promise<string[]>
  move(source: string, target: string): Promise<Answer>
  /** All messages of the event stream from now on, `dump` included. */
  events(): Promise<{ messages: Record<string, unknown>[]; close(): void }>
}

/** A server with a short index delay, closed when the test ends. */
export async function openDemo(t: { after(work: () => Promise<void>): void }, options: DemoOptions = {}): Promise<DemoServer> {
  const server = await startDemoServer({ indexDelayMs: 120, ...options })
  t.after(() => server.close())
  return server
}

export async function signIn(server: Pick<DemoServer, 'url'>, login = 'alice', password = SAMPLE_LOGINS.find(each => each.login === login)?.password): Promise<TestClient> {
  const answer = await fetch(`${server.url}/a/frontend/session`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ AuthInfo: { type: 'credentials', login, password } }),
  })
  const { JWT: token } = (await answer.json()) as { JWT: string }
  return clientOf(server.url, token)
}

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text()
  let json: Record<string, unknown> | undefined
  try {
    json = JSON.parse(text) as Record<string, unknown>
  } catch {
    json = undefined
  }
  return { status: response.status, headers: response.headers, text, json }
}

function clientOf(url: string, token: string): TestClient {
  const encode = (path: string): string => path.split('/').map(encodeURIComponent).join('/')
  const client: TestClient = {
    token,
    async rest(method, path, body) {
      const headers = { 'Authorization': `Bearer ${token}`, 'Content-Type': 'application/json' }
      return answerOf(await fetch(`${url}/a${path}`, { method, headers, redirect: 'manual', ...(body === undefined ? {} : { body: JSON.stringify(body) }) }))
    },
    async s3(method, key, { body, headers = {}, query = '' } = {}) {
      return answerOf(await fetch(`${url}/io/${encode(key)}${query}`, { method, headers: { 'X-Pydio-Bearer': token, ...headers }, ...(body === undefined ? {} : { body }) }))
    },
    async signed(method, key, body, { accessKey = token, secret = 'gatewaysecret', ageMs = 0, region = 'us-east-1', payload } = {}) {
      const time = new Date(Date.now() - ageMs).toISOString().replace(/[-:]|\.\d{3}/g, '')
      const hash = payload ?? createHash('sha256').update(body).digest('hex')
      const path = `/io/${encode(key)}`
      const headers = { 'host': new URL(url).host, 'x-amz-content-sha256': hash, 'x-amz-date': time }
      const claim: Claim = { accessKey, date: time.slice(0, 8), region, service: 's3', signedHeaders: Object.keys(headers), signature: '', time, presigned: false, expires: 0 }
      const signature = expectedSignature(secret, claim, canonicalRequest({ method, url: path, headers }, claim, hash))
      const authorization = `AWS4-HMAC-SHA256 Credential=${accessKey}/${claim.date}/${region}/s3/aws4_request, SignedHeaders=${claim.signedHeaders.join(';')}, Signature=${signature}`
      return answerOf(await fetch(url + path, { method, headers: { 'x-amz-content-sha256': hash, 'x-amz-date': time, authorization }, ...(method === 'PUT' ? { body } : {}) }))
    },
    async stat(path) {
      const answer = await client.rest('GET', `/tree/stat/${encode(path)}`)
      return answer.status === 200 ? (answer.json?.['Node'] as Record<string, unknown>) : undefined
    },
    async names(path) {
      const answer = await client.rest('POST', '/meta/bulk/get', { NodePaths: [`${path}/*`] })
      return ((answer.json?.['Nodes'] ?? []) as { Path: string }[]).map(node => node.Path.slice(path.length + 1))
    },
    move: (source, target) => client.rest('PUT', '/jobs/user/move', { JobName: 'move', JsonParameters: JSON.stringify({ nodes: [source], target, targetParent: false }) }),
    async events() {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/ws/event`)
      const messages: Record<string, unknown>[] = []
      socket.on('message', data => messages.push(JSON.parse((data as Buffer).toString('utf8')) as Record<string, unknown>))
      await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
      socket.send(JSON.stringify({ '@type': 'subscribe', 'jwt': token }))
      return { messages, close: () => socket.terminate() }
    },
  }
  return client
}

/** Polls until `condition` holds. @throws Error after 10 s, saying what was awaited */
export async function until<T>(what: string, condition: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  for (const end = Date.now() + 10_000; Date.now() < end; ) {
    const value = await condition()
    if (value !== undefined && value !== false) return value
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`waited in vain for ${what}`)
}
