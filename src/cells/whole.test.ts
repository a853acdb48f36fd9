import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { AddressInfo } from 'node:net'
import { agentClass } from '../undici.js'
import { Gathering } from './whole.js'

type Handler = Parameters<typeof createServer>[1]

async function ask(t: TestContext, handler: Handler, most: number): Promise<{ gathering: Gathering; agent: InstanceType<ReturnType<typeof agentClass>> }> {
  const server = createServer(handler as NonNullable<Handler>)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const agent = new (agentClass())({ connections: 1 })
  t.after(async () => {
    await agent.destroy()
    server.closeAllConnections()
    server.close()
  })
  const gathering = new Gathering(most, () => new Error('too long'))
  agent.dispatch({ origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, path: '/', method: 'GET' }, gathering)
  return { gathering, agent }
}

test('an answer in pieces is gathered', async (t) => {
  const { gathering } = await ask(t, (_request, response) => {
    response.writeHead(206, { 'x-one': 'first' })
    response.write('ab')
    setImmediate(() => response.end('cd'))
  }, 4)
  const { status, headers, content } = await gathering.answer
  assert.deepEqual([status, headers['x-one'], content.toString()], [206, 'first', 'abcd'])
})

test('a longer one than was asked for is an error', async (t) => {
  const { gathering } = await ask(t, (_request, response) => { response.end('abcde') }, 4)
  await assert.rejects(gathering.answer, /too long/)
})

test('a broken one is an error', async (t) => {
  const { gathering } = await ask(t, (_request, response) => {
    response.writeHead(200, { 'content-length': '10' })
    response.write('ab', () => response.destroy())
  }, 100)
  await assert.rejects(gathering.answer)
})

test('it can be stopped while nothing answers, and before it has a connection', async (t) => {
  const { gathering, agent } = await ask(t, () => {}, 100)
  const queued = new Gathering(100, () => new Error('too long'))
  agent.dispatch({ origin: 'http://127.0.0.1:1', path: '/', method: 'GET' }, queued)
  for (const each of [gathering, queued]) {
    each.stop(new Error('enough'))
    await assert.rejects(each.answer, /enough/)
  }
})
