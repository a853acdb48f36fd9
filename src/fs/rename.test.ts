/** Renames that meet what the uploader is doing with the same node at that moment. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CellsServer } from '../cells/server.js'
import { World } from './engine.testing.js'

/** Holds the next request of a kind back: `reached` resolves when it is about to go out, `go` lets it. */
function hold(world: World, kind: keyof CellsServer): { reached: Promise<void>; go: () => void } {
  let [arrive, go] = [(): void => {}, (): void => {}]
  const reached = new Promise<void>((resolve) => { arrive = resolve })
  const gate = new Promise<void>((resolve) => { go = resolve })
  world.before[kind] = async () => {
    arrive()
    await gate
    delete world.before[kind]
  }
  return { reached, go }
}

async function names(world: World): Promise<string[]> {
  const found: string[] = []
  for await (const page of world.server.list(world.path('').slice(0, -1))) found.push(...page.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)))
  return found.sort()
}

describe('renames over what is being moved', { timeout: 60_000, concurrency: true }, () => {
  for (const kind of ['statMany', 'move'] as const) it(`leaves nothing beside it while its ${kind} is under way`, async () => {
    const world = await World.start({ serverVersion: 4 })
    try {
      const { engine, fs } = await world.open('a')
      await fs.writeFile('text.tmp', 'first')
      await engine.sync()
      const held = hold(world, kind)
      await fs.rename('text.tmp', 'text')
      await held.reached
      await fs.writeFile('text.tmp', 'second')
      const renamed = fs.rename('text.tmp', 'text')
      setImmediate(held.go)
      await renamed
      assert.deepEqual((await engine.sync()).failed, [])
      assert.deepEqual(await names(world), ['text'])
      assert.equal((await fs.readFile('text')).toString(), 'second')
      assert.equal((await world.server.stat(world.path('text')))?.size, 6)
      await fs.unlink('text')
      assert.deepEqual((await engine.sync()).failed, [])
      assert.deepEqual(await names(world), [])
    } finally {
      await world.close()
    }
  })

  it('deletes what is being moved where it has been moved to', async () => {
    const world = await World.start({ serverVersion: 4 })
    try {
      const { engine, fs } = await world.open('a')
      await fs.writeFile('old', 'text')
      await engine.sync()
      const held = hold(world, 'move')
      await fs.rename('old', 'new')
      await held.reached
      const gone = fs.unlink('new')
      setImmediate(held.go)
      await gone
      assert.deepEqual((await engine.sync()).failed, [])
      assert.deepEqual(await names(world), [])
    } finally {
      await world.close()
    }
  })
})
