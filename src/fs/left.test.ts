/** What somebody deletes, or renames, before the server has shown it to us. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import { withWorld, type World } from './engine.testing.js'
import type { PathFs } from './posix.testing.js'
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
