/** What was sent is confirmed in few questions, and one that never agrees keeps nobody else waiting. */
import { strict as assert } from 'node:assert'
import { describe, it } from 'node:test'
import { isCellsError } from '../cells/errors.js'
import { Confirmer } from './confirm.js'
import { FakeServer } from './fake-server.testing.js'

const FILES = 3000
const paths = Array.from({ length: FILES }, (_, index) => `ws/folder-${index % 20}/f${index}`)
const exists = (node: unknown): boolean => node !== undefined

function serverWith(files: readonly string[], before?: (operation: string) => void): FakeServer {
  const server = new FakeServer(before === undefined ? {} : { before })
  for (const path of files) server.seed(path, 'content')
  return server
}

describe('confirming', () => {
  it('an index that shows everything at once is asked for everything once', async () => {
    const server = serverWith([])
    const confirmer = new Confirmer(server, new AbortController().signal)
    const all = Promise.all(paths.map(path => confirmer.confirm(path, exists, 60_000)))
    for (const path of paths) server.seed(path, 'content')
    assert.equal((await all).length, FILES)
    const listings = server.calls.filter(call => call.startsWith('list ')).length
    // Three batches of a thousand, each with all twenty folders.
    assert.ok(listings <= 60, `${listings} listings`)
    assert.equal(confirmer.size, 0)
  })

  it('nobody is kept waiting by those that never agree, and those fail', async () => {
    const server = serverWith(paths.slice(0, 100))
    const confirmer = new Confirmer(server, new AbortController().signal)
    const stuck = [0, 1, 2, 3].map(index => confirmer.confirm(`ws/never-${index}`, exists, 3000).then(() => 'agreed', (error: unknown) => (isCellsError(error, 'timeout') ? 'timeout' : error)))
    const order: string[] = []
    await Promise.all([
      ...paths.slice(0, 100).map(path => confirmer.confirm(path, exists, 60_000).then(() => order.push('agreed'))),
      ...stuck.map(each => each.then(result => { order.push(String(result)) })),
    ])
    assert.deepEqual(order, [...Array.from({ length: 100 }, () => 'agreed'), 'timeout', 'timeout', 'timeout', 'timeout'])
  })

  it('the time to wait begins anew with each that is handed over', async () => {
    const server = serverWith([])
    const confirmer = new Confirmer(server, new AbortController().signal)
    const first = confirmer.confirm('ws/first', exists, 2000)
    // Longer than the first may take, in steps that are shorter: an index stands still while somebody writes.
    for (let step = 0; step < 8; step++) {
      const path = `ws/later-${step}`
      server.seed(path, 'content')
      const confirmed = confirmer.confirm(path, exists, 60_000)
      await new Promise(resolve => setTimeout(resolve, 300))
      await confirmed
    }
    server.seed('ws/first', 'content')
    await first
  })

  it('ends with the transfer', async () => {
    const stop = new AbortController()
    const waiting = new Confirmer(serverWith([]), stop.signal).confirm('ws/never', exists, 60_000)
    stop.abort()
    await assert.rejects(waiting, (error: unknown) => isCellsError(error, 'aborted'))
  })
})
