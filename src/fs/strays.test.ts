/** Somebody moves a file, or the folder around it, and it is heard of only after ours was sent to the old path. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ETAG_TEMPORARY } from '../cells/types.js'
import { withWorld, type World } from './engine.testing.js'
import { until } from './sides.testing.js'

/** What somebody moves, what is saved here, and what there is afterwards. */
interface Case {
  readonly moved: readonly [from: string, to: string]
  readonly saved: string
  readonly after: Readonly<Record<string, string>>
}

const CASES: Readonly<Record<string, Case>> = {
  'S39: a file': { moved: ['d/f', 'd/g'], saved: 'd/f', after: { 'd/f': 'ours', 'd/g': 'base' } },
  'S39: a file, to another folder': { moved: ['d/f', 'g'], saved: 'd/f', after: { 'd/f': 'ours', g: 'base' } },
  'S45: the folder of an edited file': { moved: ['d', 'e'], saved: 'd/f', after: { 'd/f': 'ours', 'e/f': 'base' } },
  'S45: the folder of a new file': { moved: ['d', 'e'], saved: 'd/n', after: { 'd/n': 'ours', 'e/f': 'base' } },
  'S45: a folder further above': { moved: ['c', 'e'], saved: 'c/d/f', after: { 'c/d/f': 'ours', 'e/d/f': 'base' } },
}

async function contents(list: (path: string) => Promise<readonly string[]>, read: (path: string) => Promise<string>): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const walk = async (folder: string): Promise<void> => {
    for (const name of [...await list(folder)].sort()) {
      const path = folder === '' ? name : `${folder}/${name}`
      if (name.length === 1 && 'cde'.includes(name)) await walk(path)
      else found[path] = await read(path)
    }
  }
  await walk('')
  return found
}

async function there(world: World): Promise<Record<string, string>> {
  return contents(async (folder) => {
    const names: string[] = []
    const path = world.path(folder).replace(/\/$/, '')
    for await (const page of world.server.list(path)) names.push(...page.map((it) => it.path.slice(path.length + 1)))
    return names
  }, async (path) => {
    const parts: Uint8Array[] = []
    for await (const part of (await world.server.get(world.path(path))).stream) parts.push(part)
    return Buffer.concat(parts).toString()
  })
}

describe('ours is sent to a path from which somebody has just moved something', { timeout: 60_000, concurrency: true }, () => {
  for (const [name, { moved: [from, to], saved, after }] of Object.entries(CASES)) {
    for (const [when, serverVersion] of [['before we ask', 4], ['after we have asked', 2]] as const) it(`${name}, ${when}: it is there once`, withWorld({ serverVersion, indexDelayMs: 20 }, async (world) => {
      const { engine, fs } = await world.open('a', undefined, { pace: 0.1, resendMs: 300 })
      await until('events', () => engine.status().live)
      const base = from === 'c' ? 'c/d/f' : 'd/f'
      for (const folder of from === 'c' ? ['c', 'c/d'] : ['d']) await fs.mkdir(folder)
      await fs.writeFile(base, 'base')
      assert.deepEqual((await engine.sync()).failed, [])
      assert.equal((await fs.readFile(base)).toString(), 'base')
      world.passes = () => false
      const node = (await world.server.stat(world.path(from)))!
      const move = async (): Promise<void> => {
        await world.server.move(world.path(from), world.path(to))
        await world.server.waitFor(world.path(from), (it) => it === undefined)
      }
      if (when === 'before we ask') await move()
      else {
        world.before.put = () => {
          delete world.before.put
          return move()
        }
      }
      let go = (): void => {}
      const gate = new Promise<void>((resolve) => { go = resolve })
      world.before.statMany = () => gate
      // A program goes on with it.
      const file = await fs.open(saved, 0o102)
      await fs.write(file, 0, Buffer.from('ours'))
      await fs.fsync(file)
      await until('ours to be sent', () => engine.status().pending.count === 0)
      await world.server.waitFor(world.path(saved), (it) => it !== undefined && it.etag !== ETAG_TEMPORARY)
      world.tell({ type: 'path', source: node, target: { ...node, path: world.path(to) } })
      await until('the move to be seen', () => fs.exists(to))
      delete world.before.statMany
      go()
      assert.deepEqual((await engine.sync('', AbortSignal.timeout(20_000))).failed, [])
      assert.deepEqual(await there(world), after)
      const here = (): Promise<Record<string, string>> => contents((folder) => fs.readdir(folder), async (path) => (await fs.readFile(path)).toString())
      assert.deepEqual(await here(), after)
      await fs.write(file, 0, Buffer.from('more'))
      await fs.close(file)
      assert.deepEqual((await engine.sync('', AbortSignal.timeout(20_000))).failed, [])
      assert.deepEqual(await there(world), { ...after, [saved]: 'more' })
      assert.deepEqual(await here(), { ...after, [saved]: 'more' })
    }))
  }
})
