/** A mount that is told to end does so, whatever the server does (S56). */
import { describe, it } from 'node:test'
import type { CellsServer } from '../cells/server.js'
import { withWorld, type World } from './engine.testing.js'
import { until } from './sides.testing.js'

/** Calls of these kinds are never answered, and do not listen to a signal. Returns how many there were. */
function mute(world: World, kinds: readonly (keyof CellsServer)[]): () => number {
  let calls = 0
  for (const kind of kinds) {
    world.before[kind] = () => {
      calls++
      return new Promise(() => {})
    }
  }
  return () => calls
}

const KINDS = ['put', 'mkdir', 'move', 'remove', 'stat', 'statMany', 'waitFor', 'dotNames', 'get'] as const

describe('the end of a mount', { timeout: 300_000, concurrency: 4 }, () => {
  for (const kind of KINDS) {
    it(`S56: ends while there is no answer to ${kind}`, { timeout: 20_000 }, withWorld({ indexDelayMs: 50 }, async (world) => {
      for (const name of ['f', 'g', 'd/h', '.dot']) await world.server.put(world.path(name), Buffer.from(name), name.length)
      for (const name of ['f', 'g', 'd/h', '.dot']) await world.server.waitFor(world.path(name), (it) => it?.size === name.length && it.etag !== 'temporary')
      const { engine, fs } = await world.open('a')
      for (const folder of ['', 'd']) await fs.readdir(folder)
      if (kind === 'statMany') world.passes = () => false
      const calls = mute(world, [kind])
      await fs.writeFile('n', 'new')
      await fs.mkdir('e')
      await fs.writeFile('e/large', Buffer.alloc(11_000_000))
      if (kind !== 'stat' && kind !== 'get') await fs.writeFile('f', 'changed')
      await fs.rename('d/h', 'd/i')
      await fs.unlink('g')
      if (kind === 'get') void fs.readFile('f').catch(() => {})
      if (kind === 'dotNames' || kind === 'waitFor') await new Promise((resolve) => setTimeout(resolve, 200))
      else await until(`a call of ${kind}`, () => calls() > 0)
      await engine.close(AbortSignal.timeout(100))
    }))
  }

  it('S56: ends while what an earlier run left is looked for', { timeout: 20_000 }, withWorld({ indexDelayMs: 50 }, async (world) => {
    await world.server.mkdir([world.path('d')])
    await world.server.waitFor(world.path('d'), (it) => it !== undefined)
    const first = await world.open('a')
    world.unreachable = true
    await first.fs.readdir('')
    await first.fs.writeFile('d/f', 'content')
    await first.fs.mkdir('e')
    await first.engine.close(AbortSignal.timeout(100))
    const calls = mute(world, ['stat', 'statMany', 'mkdir', 'list'])
    const second = await world.open('a')
    await until('it is looked for', () => calls() > 0)
    await second.engine.close(AbortSignal.timeout(100))
  }))
})
