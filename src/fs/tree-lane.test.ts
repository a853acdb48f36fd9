/** Names that wait for each other, and contents in between: whatever a program has done, all of it gets to the server. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import { withWorld, type World } from './engine.testing.js'
import type { PathFs } from './posix.testing.js'

const CHANGES = ['put', 'mkdir', 'move', 'remove', 'removeObject'] as const
/** Nothing here takes a tenth of it. */
const LONG_MS = 40_000

/** What the server has below a folder: files with their contents, folders with a slash. */
async function there(world: World, folder = ''): Promise<string[]> {
  const found: string[] = []
  for await (const page of world.server.list(world.path(folder).replace(/\/$/, ''))) {
    for (const node of page) {
      const path = node.path.slice(world.path('').length)
      if (node.kind === 'folder') {
        found.push(`${path}/`, ...await there(world, path))
        continue
      }
      const parts: Buffer[] = []
      for await (const part of (await world.server.get(node.path)).stream) parts.push(Buffer.from(part))
      found.push(`${path}=${Buffer.concat(parts).toString()}`)
    }
  }
  return found.sort()
}

interface Case {
  readonly name: string
  /** Files (content: their name) and folders that the server has. */
  readonly before: readonly string[]
  /** While nothing can be sent. */
  readonly work: (fs: PathFs, world: World) => Promise<void>
  readonly after: readonly string[]
}

const cases: readonly Case[] = [
  {
    name: 'two files have each the old name of the other, whose old nodes wait for their contents',
    before: ['a', 'b', 'c', 'd'],
    work: async (fs) => {
      await fs.rename('a', 'c')
      await fs.rename('b', 'd')
      await fs.rename('d', 'a')
      await fs.rename('c', 'b')
    },
    after: ['a=b', 'b=a'],
  },
  {
    name: 'a file is in a folder that has its old name',
    before: ['a', 'b'],
    work: async (fs) => {
      await fs.rename('a', 'b')
      await fs.mkdir('a')
      await fs.rename('b', 'a/b')
    },
    after: ['a/', 'a/b=a'],
  },
  {
    name: 'a file left a folder in a folder, and both folders were deleted',
    before: ['d/', 'd/e/', 'd/e/f'],
    work: async (fs) => {
      await fs.rename('d/e/f', 'f')
      await fs.rmdir('d/e')
      await fs.rmdir('d')
    },
    after: ['f=d/e/f'],
  },
  {
    name: 'two folders were deleted, and what was in each has the name of the other one',
    before: ['d/', 'e/', 'd/f', 'e/g'],
    work: async (fs) => {
      await fs.rename('d/f', 'f')
      await fs.rename('e/g', 'g')
      await fs.rmdir('d')
      await fs.rmdir('e')
      await fs.rename('f', 'e')
      await fs.rename('g', 'd')
    },
    after: ['d=e/g', 'e=d/f'],
  },
  {
    name: 'a file was deleted, the folder around it left another one, and that was deleted',
    before: ['d/', 'd/e/', 'd/e/f', 'd/e/g'],
    work: async (fs) => {
      await fs.unlink('d/e/f')
      await fs.rename('d/e', 'e')
      await fs.rmdir('d')
    },
    after: ['e/', 'e/g=d/e/g'],
  },
  {
    name: 'a file and its folder were deleted in a folder that left another one, which was deleted, too',
    before: ['d/', 'd/e/', 'd/e/s/', 'd/e/s/f', 'd/e/g'],
    work: async (fs) => {
      await fs.unlink('d/e/s/f')
      await fs.rmdir('d/e/s')
      await fs.rename('d/e', 'e')
      await fs.rmdir('d')
    },
    after: ['e/', 'e/g=d/e/g'],
  },
  {
    name: 'more new files than are sent at once have the names of deleted folders, out of which files are to be moved',
    before: Array.from({ length: 8 }, (_, i) => [`d${i}/`, `d${i}/f`]).flat(),
    work: async (fs) => {
      for (let i = 0; i < 8; i++) {
        await fs.rename(`d${i}/f`, `f${i}`)
        await fs.rmdir(`d${i}`)
        await fs.writeFile(`d${i}`, 'new')
      }
      // The renames are younger than the contents that wait for them.
      for (let i = 0; i < 8; i++) await fs.rename(`f${i}`, `g${i}`)
    },
    after: [...Array.from({ length: 8 }, (_, i) => `d${i}=new`), ...Array.from({ length: 8 }, (_, i) => `g${i}=d${i}/f`)],
  },
]

describe('what waits for each other', { concurrency: true, timeout: 120_000 }, () => {
  for (const { name, before, work, after } of cases) {
    for (const restart of [false, true]) {
      it(`${name}${restart ? ', after a restart' : ''}`, withWorld({ indexDelayMs: 50 }, async (world) => {
        let { engine, fs } = await world.open('a')
        for (const path of before) {
          if (path.endsWith('/')) await fs.mkdir(path.slice(0, -1))
          else await fs.writeFile(path, path)
        }
        await engine.sync()
        for (const each of CHANGES) world.before[each] = () => Promise.reject(new CellsError('unavailable', 'not now'))
        await work(fs, world)
        if (restart) await engine.close(AbortSignal.timeout(50))
        for (const each of CHANGES) delete world.before[each]
        if (restart) {
          await world.dropCache('a')
          ;({ engine, fs } = await world.open('a'))
        } else engine.wake()
        assert.deepEqual(await engine.sync('', AbortSignal.timeout(LONG_MS)), { failed: [] })
        assert.deepEqual(await there(world), after)
        for (const line of after) if (!line.endsWith('/')) assert.equal((await fs.readFile(line.split('=')[0]!)).toString(), line.split('=')[1])
      }))
    }
  }
})

describe('a file that is moved into a new folder, right before it is sent, is not sent into the folder that still has that name there', { concurrency: true, timeout: 120_000 }, () => {
  for (const { what, work, after } of [
    { what: 'because it is still to be moved', work: (fs: PathFs) => fs.rename('d/s', 'e'), after: ['d/', 'd/s/', 'd/s/a=a', 'e/'] },
    { what: 'because it is still to be deleted', work: (fs: PathFs) => fs.rmdir('d/s'), after: ['d/', 'd/s/', 'd/s/a=a'] },
  ]) {
    it(what, withWorld({ serverVersion: 2, indexDelayMs: 50 }, async (world) => {
      const { engine, fs } = await world.open('a')
      await fs.mkdir('d')
      await fs.mkdir('d/s')
      await engine.sync()
      await fs.writeFile('d/a', 'a')
      let answer = (): void => {}
      const held = new Promise<void>((resolve) => { answer = resolve })
      await new Promise<void>((asked) => {
        world.before.stat = (path) => {
          if (path !== world.path('d/a')) return Promise.resolve()
          asked()
          return held
        }
      })
      await work(fs)
      await fs.mkdir('d/s')
      await fs.rename('d/a', 'd/s/a')
      answer()
      assert.deepEqual(await engine.sync('', AbortSignal.timeout(LONG_MS)), { failed: [] })
      assert.deepEqual(await there(world), after)
    }))
  }
})
