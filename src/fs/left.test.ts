/** What somebody deletes, or renames, before the server has shown it to us. */
import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import { conflictName } from './conflict.js'
import { withWorld, type World } from './engine.testing.js'
import { md5 } from './model/site.testing.js'
import type { PathFs } from './posix.testing.js'
import { until } from './sides.testing.js'
import type { Engine } from './status.js'

/** Somebody has moved the node, which the engine has heard nothing of, and no event told of it. */
async function moved(world: World, name: string, target: string): Promise<CellsNode> {
  const node = await world.server.waitFor(world.path(name), (it) => it !== undefined && it.etag !== ETAG_TEMPORARY)
  await world.server.move(world.path(name), world.path(target))
  await world.server.waitFor(world.path(name), (it) => it === undefined)
  return node!
}

async function confirmed(engine: Engine): Promise<void> {
  for (const end = Date.now() + 15_000; engine.status().unconfirmed > 0 || engine.status().pending.count > 0; await pause(20)) assert.ok(Date.now() < end, 'still waited for')
}

/** Soon: what is sent is a draft for a moment yet. */
async function shows(fs: PathFs, names: readonly string[]): Promise<void> {
  for (const end = Date.now() + 5_000; (await fs.readdir('')).join() !== names.join(); await pause(20)) assert.ok(Date.now() < end, `${(await fs.readdir('')).join()} is still there`)
}

describe('what has left its place before the server showed it there', { timeout: 60_000, concurrency: true }, () => {
  for (const told of ['its content', 'no content yet'] as const) {
    for (const by of ['deleted', 'renamed'] as const) it(`is ${by}, with an event that tells of ${told}`, withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
      await world.server.mkdir([world.path('mount'), world.path('elsewhere')])
      await world.server.waitFor(world.path('elsewhere'), (it) => it !== undefined)
      const { engine, fs } = await world.open('a', world.path('mount'))
      world.passes = () => false
      await fs.writeFile('f', 'ours')
      const target = by === 'deleted' ? 'elsewhere/f' : 'mount/g'
      const node = await moved(world, 'mount/f', target)
      const etag = told === 'its content' ? node.etag : ETAG_TEMPORARY
      world.tell({ type: 'path', source: { ...node, etag }, target: { ...node, etag, path: world.path(target) } })
      await confirmed(engine)
      assert.deepEqual((await engine.sync()).failed, [])
      await shows(fs, by === 'deleted' ? [] : ['g'])
      assert.equal(await world.onServer('mount/f'), false)
    }))
  }

  for (const what of ['file', 'folder'] as const) it(`is deleted with the folder that the ${what} is in`, withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    await world.server.mkdir([world.path('mount/d'), world.path('elsewhere')])
    await world.server.waitFor(world.path('mount/d'), (it) => it !== undefined)
    const { engine, fs } = await world.open('a', world.path('mount'))
    await fs.readdir('d')
    world.passes = () => false
    if (what === 'file') await fs.writeFile('d/f', 'ours')
    else await fs.mkdir('d/f')
    await world.server.waitFor(world.path('mount/d/f'), (it) => it !== undefined && it.etag !== ETAG_TEMPORARY)
    while (engine.status().pending.count > 0) await pause(5)
    const node = await moved(world, 'mount/d', 'elsewhere/d')
    world.tell({ type: 'path', source: node, target: { ...node, path: world.path('elsewhere/d') } })
    await confirmed(engine)
    assert.deepEqual((await engine.sync()).failed, [])
    await shows(fs, [])
    assert.equal(await world.onServer('mount/d'), false)
  }))

  it('is deleted right after an event has shown it', withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await world.open('a')
    world.passes = () => false
    await fs.writeFile('f', 'ours')
    const node = await world.server.waitFor(world.path('f'), (it) => it !== undefined && it.etag !== ETAG_TEMPORARY)
    await world.server.remove([world.path('f')])
    await world.server.waitFor(world.path('f'), (it) => it === undefined)
    world.tell({ type: 'create', node: node! })
    world.tell({ type: 'path', source: node!, target: { ...node!, path: 'personal-files/recycle_bin/f' } })
    await confirmed(engine)
    assert.deepEqual((await engine.sync()).failed, [])
    await shows(fs, [])
  }))
})

describe('what somebody takes away before the server has shown it, and nobody tells of it', { timeout: 60_000, concurrency: true }, () => {
  const open = async (world: World): ReturnType<World['open']> => {
    world.passes = () => false
    return world.open('a', undefined, { pace: 0.1, resendMs: 500 })
  }
  /** Ours is sent, and taken away before anybody asks for it. */
  const taken = async (world: World, engine: Engine, name: string, meanwhile = async (): Promise<void> => {}, then = async (): Promise<void> => {}): Promise<void> => {
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => { go = resolve })
    for (; engine.status().pending.count > 0; await pause(1));
    world.before.statMany = () => gate
    await meanwhile()
    await world.server.waitFor(world.path(name), (it) => it !== undefined && it.etag !== ETAG_TEMPORARY)
    await world.server.remove([world.path(name)])
    await world.server.waitFor(world.path(name), (it) => it === undefined)
    await then()
    delete world.before.statMany
    go()
  }
  const synced = async (engine: Engine): Promise<void> => assert.deepEqual(await engine.sync('', AbortSignal.timeout(20_000)), { failed: [] })

  for (const before of ['a new', 'an edited']) it(`S33: ${before} file is sent again`, withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await open(world)
    if (before === 'an edited') {
      await fs.writeFile('f', 'base')
      await synced(engine)
    }
    await fs.writeFile('f', 'ours')
    await taken(world, engine, 'f')
    await synced(engine)
    assert.equal((await world.server.stat(world.path('f')))?.size, 4)
    assert.equal((await fs.readFile('f')).toString(), 'ours')
  }))

  it('S33: a file that has been written to and renamed since is sent as it is then', withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await open(world)
    await fs.writeFile('f', 'ours')
    await taken(world, engine, 'f', async () => {
      await fs.writeFile('f', 'newer')
      await fs.rename('f', 'g')
    })
    await synced(engine)
    assert.equal((await world.server.stat(world.path('g')))?.size, 5)
    assert.equal((await fs.readFile('g')).toString(), 'newer')
    assert.equal(await world.onServer('f'), false)
  }))

  it('a content that the server has taken, and whose node stays without one, is sent again', withWorld({ serverVersion: 2, indexDelayMs: 4_000 }, async (world) => {
    world.passes = () => false
    const { engine, fs } = await world.open('a', undefined, { pace: 0.1, resendMs: 100 })
    let puts = 0
    world.before.put = () => {
      puts++
      return Promise.resolve()
    }
    await fs.writeFile('f', 'ours')
    await until('it was sent again', () => puts > 1)
    assert.equal((await world.server.stat(world.path('f')))?.etag, ETAG_TEMPORARY)
    await synced(engine)
    assert.equal((await fs.readFile('f')).toString(), 'ours')
    await shows(fs, ['f'])
  }))

  it('S48: a file in whose place there is a folder goes beside it', withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await open(world)
    await fs.writeFile('f', 'ours')
    await taken(world, engine, 'f')
    await world.server.mkdir([world.path('f')])
    await synced(engine)
    await shows(fs, ['f', conflictName('f', hostname(), new Date(), 1)])
    assert.equal((await fs.stat('f')).type, 'folder')
  }))

  it('a folder of ours in whose place somebody has made another one has what is in that one', withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await open(world)
    await fs.mkdir('d')
    await taken(world, engine, 'd', async () => {
      await world.server.put(world.path('d/x'), Buffer.from('theirs'), 6)
      const node = await world.server.waitFor(world.path('d/x'), (it) => it !== undefined && it.etag !== ETAG_TEMPORARY)
      world.tell({ type: 'create', node: node! })
      await fs.stat('d/x')
    }, async () => {
      await world.server.mkdir([world.path('d')])
      await world.server.waitFor(world.path('d'), (it) => it !== undefined)
    })
    await synced(engine)
    await shows(fs, ['d'])
    assert.deepEqual(await fs.readdir('d'), [])
    await assert.rejects(fs.stat('d/x'), { code: 'ENOENT' })
  }))

  it('a folder is gone, after a new start too', withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await open(world)
    await fs.mkdir('d')
    await taken(world, engine, 'd')
    await synced(engine)
    await shows(fs, [])
    await engine.close()
    const again = await open(world)
    await synced(again.engine)
    await shows(again.fs, [])
    assert.equal(await world.onServer('d'), false)
  }))

  it('a folder with a file in it is there again', withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await open(world)
    await fs.mkdir('d')
    await fs.writeFile('d/f', 'ours')
    await taken(world, engine, 'd')
    await synced(engine)
    assert.equal((await world.server.stat(world.path('d/f')))?.size, 4)
    assert.equal((await fs.readFile('d/f')).toString(), 'ours')
  }))
})

describe('what is asked for in a folder that somebody has just renamed', { timeout: 60_000, concurrency: true }, () => {
  for (const how of ['by name', 'with others']) it(`is there under the new name of the folder, asked for ${how}`, withWorld({ serverVersion: 2, indexDelayMs: 20 }, async (world) => {
    await world.server.mkdir([world.path('e/s')])
    for (const path of ['e/f', 'e/s/f', 'e/s/g']) await world.server.put(world.path(path), Buffer.from('text'), 4)
    await world.server.waitFor(world.path('e/s/g'), (it) => it !== undefined && it.etag !== ETAG_TEMPORARY)
    const { engine, fs } = await world.open('a')
    for (const folder of ['', 'e', 'e/s']) await fs.readdir(folder)
    await until('events', () => engine.status().live)
    world.passes = () => false
    const folder = await world.server.stat(world.path('e'))
    // Something has happened to them: they are asked for again.
    for (const path of ['e/f', 'e/s/f']) {
      const node = await world.server.stat(world.path(path))
      world.tell({ type: 'content', node: { ...node!, etag: md5('other') } })
    }
    await world.server.move(world.path('e'), world.path('x'))
    if (how === 'by name') assert.deepEqual([await fs.exists('e/f'), await fs.exists('e/s/f')], [false, false])
    else for (const path of ['e', 'e/s']) await fs.readdir(path).catch(() => {})
    world.tell({ type: 'path', source: folder!, target: { ...folder!, path: world.path('x') } })
    assert.deepEqual([await fs.readdir(''), (await fs.readdir('x')).sort(), (await fs.readdir('x/s')).sort()], [['x'], ['f', 's'], ['f', 'g']])
    assert.equal((await fs.readFile('x/s/f')).toString(), 'text')
  }))
})
