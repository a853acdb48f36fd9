/** A content whose way to the server is not straight: it fails in passing, or the answer is lost, and somebody else writes meanwhile. */
import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { RequestInfo } from '../demo/index.js'
import { CellsError } from '../cells/errors.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import { conflictName } from './conflict.js'
import { withWorld } from './engine.testing.js'
import { Site } from './model/site.testing.js'
import { MOUNT_HEADER } from './model/trouble.testing.js'
import { Sides, until } from './sides.testing.js'

const OURS = conflictName('f', hostname(), new Date(), 1)

describe('a content that is sent more than once', { timeout: 60_000, concurrency: true }, () => {
  for (const how of ['fails in passing', 'gets no answer'] as const) it(`S30: is compared again with what is there when it ${how}`, async () => {
    const site = await Site.open(4)
    const sides = await Sides.open(site)
    try {
      await sides.put('f', 'base')
      await sides.announced()
      // All that the mount sends fails until somebody else's is shown.
      let theirs: Promise<void> | undefined
      let shown = false
      site.demo.onRequest = (info: RequestInfo) => {
        if (shown || info.method !== 'PUT' || info.headers[MOUNT_HEADER] === undefined) return undefined
        const first = theirs === undefined
        theirs ??= sides.put('f', 'theirs').then(() => { shown = true })
        return first && how === 'gets no answer' ? { loseAnswer: true } : { status: 503, body: '' }
      }
      await sides.fs.writeFile('f', 'ours')
      await until('theirs to be there', () => shown)
      await theirs
      assert.deepEqual((await sides.engine.sync()).failed, [])
      await until('both to be there', async () => Object.keys(await sides.here()).length === 2)
      assert.deepEqual(await sides.there(), { f: 'theirs', [OURS]: 'ours' })
      assert.deepEqual(await sides.here(), { f: 'theirs', [OURS]: 'ours' })
    } finally {
      site.demo.onRequest = undefined
      await sides.close()
      await site.close()
    }
  })

  for (const how of ['deleted', 'replaced'] as const) it(`is ${how} here while a name for it is looked for beside theirs: it has none then`, withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('f', 'base')
    await fs.writeFile('g', 'other')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual((await fs.readdir('')).sort(), ['f', 'g'])
    world.passes = () => false
    await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
    await world.server.waitFor(world.path('f'), (node) => node?.size === 6 && node.etag !== ETAG_TEMPORARY)
    let change: Promise<void> | undefined
    world.before.stat = async (path) => {
      if (path !== world.path(OURS) || change !== undefined) return
      change = how === 'deleted' ? fs.unlink('f') : fs.rename('g', 'f')
      // It needs nobody's answer to get as far as this content, and then waits for it.
      for (let turns = 0; turns < 20; turns++) await turn()
    }
    await fs.writeFile('f', 'ours')
    await until('it is changed', () => change !== undefined)
    await change
    assert.deepEqual((await engine.sync()).failed, [])
    const names = how === 'deleted' ? ['f', 'g'] : ['f', OURS]
    await until('what is left', async () => (await fs.readdir('')).sort().join() === names.join()).catch(async () => assert.deepEqual((await fs.readdir('')).sort(), names))
    assert.equal((await fs.readFile('f')).toString(), 'theirs')
    if (how === 'replaced') assert.equal((await fs.readFile(OURS)).toString(), 'other')
  }))

  it('S30: is there once if the answer is lost and what came right before it is shown for a moment', withWorld({ serverVersion: 2, indexDelayMs: 1_500 }, async (world) => {
    const { engine, fs } = await world.open('a', undefined, { pace: 0.5 })
    await fs.writeFile('f', 'base')
    assert.deepEqual((await engine.sync()).failed, [])
    world.before.put = async () => {
      delete world.before.put
      await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
      await world.server.waitFor(world.path('f'), (node) => node?.size === 6 && node.etag !== 'temporary')
      await world.server.put(world.path('f'), Buffer.from('ours'), 4)
      throw new CellsError('network', 'the connection was reset')
    }
    await fs.writeFile('f', 'ours')
    await until('it is sent', () => world.before.put === undefined)
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await fs.readdir(''), ['f'])
    assert.equal((await fs.readFile('f')).toString(), 'ours')
    assert.deepEqual((await world.server.stat(world.path('f')))?.size, 4)
  }))
})
