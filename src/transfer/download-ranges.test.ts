/** Large files come in several ranges at a time. */
import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FakeServer } from './fake-server.testing.js'
import { MIB } from './parts.js'
import { fetchBig, noFailures } from './resume.testing.js'
import { withFolder } from './testing.js'

describe('download: ranges', () => {
  it('ranges come several at a time, pinned to the version, and never more than the budget', () => withFolder(async folder => {
    let inside = 0
    let most = 0
    const server = new FakeServer()
    server.seed('ws/big', randomBytes(64 * MIB))
    const original = server.get.bind(server)
    server.get = async (path, range, options) => {
      assert.notEqual(options?.ifMatch, undefined)
      most = Math.max(most, ++inside)
      await new Promise(resolve => setImmediate(resolve))
      inside--
      return original(path, range, options)
    }
    noFailures(await fetchBig(server, folder, { parts: { concurrency: 4 } }))
    assert.equal(server.calls.filter(call => call.startsWith('get ')).length, 8)
    assert.ok(most > 1 && most <= 4, `${most}`)
  }))

  it('a version that changes between two ranges starts again and is never mixed', () => withFolder(async folder => {
    const server = new FakeServer()
    server.seed('ws/big', randomBytes(40 * MIB))
    const content = randomBytes(40 * MIB)
    const original = server.get.bind(server)
    let gets = 0
    server.get = async (path, range, options) => {
      if (++gets === 3) server.seed('ws/big', content)
      return original(path, range, options)
    }
    noFailures(await fetchBig(server, folder))
    assert.ok((await readFile(join(folder, 'big'))).equals(content))
  }))
})
