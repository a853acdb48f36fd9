/**
 * Two sides change the same things: the sentences of SEMANTICS.md about it, each in two ways (while what the colleague does is seen here
 * before ours can be sent, and without any network) and against both generations of servers. Afterwards both sides show the
 * same, and nobody's content is gone.
 */
import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { CellsNode } from '../cells/types.js'
import { conflictName } from './conflict.js'
import { withWorld } from './engine.testing.js'
import { md5, Site } from './model/site.testing.js'
import { type Cut, Sides, type Shape, until } from './sides.testing.js'

interface Meeting {
  readonly before: Shape
  readonly ours: (s: Sides) => Promise<void>
  readonly theirs: (s: Sides) => Promise<void>
  /** What we do when we know of theirs. */
  readonly then?: (s: Sides) => Promise<void>
  /** On both sides afterwards. A name that ends with `!` stands for its conflict copy. */
  readonly after: Shape
  /** Instead of `after`: it depends on whether theirs was seen before ours was sent. */
  readonly or?: Shape
  /** Contents that the recycle bin has. */
  readonly bin?: readonly string[]
  /** With which cut; both by default. */
  readonly only?: Cut
}

const removeFolder = async ({ fs }: Sides, folder: string): Promise<void> => {
  for (const name of await fs.readdir(folder)) {
    const path = `${folder}/${name}`
    await ((await fs.stat(path)).type === 'folder' ? fs.rmdir(path) : fs.unlink(path))
  }
  await fs.rmdir(folder)
}

const swap = async (move: (from: string, to: string) => Promise<void>): Promise<void> => {
  await move('a', 't')
  await move('b', 'a')
  await move('t', 'b')
}

/** As vim does. */
const saveWithBackup = async ({ fs }: Sides, content: string): Promise<void> => {
  await fs.rename('f', 'f~')
  await fs.writeFile('f', content)
  await fs.unlink('f~')
}

const MEETINGS: Record<string, Meeting> = {
  'S30: both edited': {
    before: { f: 'base' }, ours: (s) => s.fs.writeFile('f', 'ours'), theirs: (s) => s.put('f', 'theirs'), after: { f: 'theirs', 'f!': 'ours' },
  },
  'S30: both edited, ours with a new file renamed over': {
    before: { f: 'base' }, ours: async ({ fs }) => { await fs.writeFile('new', 'ours'); await fs.rename('new', 'f') }, theirs: (s) => s.put('f', 'theirs'),
    after: { f: 'theirs', 'f!': 'ours' },
  },
  'S30: both edited, ours with the old one set aside': {
    before: { f: 'base' }, ours: (s) => saveWithBackup(s, 'ours'), theirs: (s) => s.put('f', 'theirs'), after: { f: 'theirs', 'f!': 'ours' },
  },
  'S30: edited here, replaced there': {
    before: { f: 'base' }, ours: (s) => s.fs.writeFile('f', 'ours'), theirs: async (s) => { await s.remove('f'); await s.put('f', 'theirs') },
    after: { f: 'theirs', 'f!': 'ours' },
  },
  'S31: both made the same edit': {
    before: { f: 'base' }, ours: (s) => s.fs.writeFile('f', 'same'), theirs: (s) => s.put('f', 'same'), after: { f: 'same' },
  },
  'S32: both created the same name': {
    before: {}, ours: (s) => s.fs.writeFile('f.txt', 'ours'), theirs: (s) => s.put('f.txt', 'theirs'), after: { 'f.txt': 'theirs', 'f.txt!': 'ours' },
  },
  'S33: edited here, deleted there': {
    before: { f: 'base' }, ours: (s) => s.fs.writeFile('f', 'ours'), theirs: (s) => s.remove('f'), after: { f: 'ours' }, bin: ['base'],
  },
  'S34: deleted here, edited there': {
    before: { f: 'base' }, ours: (s) => s.fs.unlink('f'), theirs: (s) => s.put('f', 'theirs'), after: { f: 'theirs' },
  },
  'S34: deleted here, replaced there': {
    before: { f: 'base' }, ours: (s) => s.fs.unlink('f'), theirs: async (s) => { await s.remove('f'); await s.put('f', 'theirs') }, after: { f: 'theirs' },
  },
  'S34: deleted here, a folder made of it there': {
    before: { f: 'base' }, ours: (s) => s.fs.unlink('f'), theirs: async (s) => { await s.remove('f'); await s.mkdir('f'); await s.put('f/g', 'theirs') },
    after: { f: null, 'f/g': 'theirs' },
  },
  'S35: both deleted': {
    before: { f: 'base' }, ours: (s) => s.fs.unlink('f'), theirs: (s) => s.remove('f'), after: {}, bin: ['base'],
  },
  'S36: both renamed': {
    before: { f: 'base' }, ours: (s) => s.fs.rename('f', 'ours'), theirs: (s) => s.move('f', 'theirs'), after: { theirs: 'base' },
  },
  'S36: both moved': {
    before: { d: null, e: null, f: 'base' }, ours: (s) => s.fs.rename('f', 'd/f'), theirs: (s) => s.move('f', 'e/f'), after: { d: null, e: null, 'e/f': 'base' },
  },
  'S36: both renamed a folder': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => s.fs.rename('d', 'ours'), theirs: (s) => s.move('d', 'theirs'), after: { theirs: null, 'theirs/a': 'a' },
  },
  'S36: both renamed to the same name': {
    before: { f: 'base' }, ours: (s) => s.fs.rename('f', 'new'), theirs: (s) => s.move('f', 'new'), after: { new: 'base' },
  },
  'S37: renamed here, edited there': {
    before: { f: 'base' }, ours: (s) => s.fs.rename('f', 'ours'), theirs: (s) => s.put('f', 'theirs'), after: { ours: 'theirs' },
  },
  'S37: renamed in case only here, edited there': {
    before: { file: 'base' }, ours: (s) => s.fs.rename('file', 'FILE'), theirs: (s) => s.put('file', 'theirs'), after: { FILE: 'theirs' },
  },
  'S37: folder renamed here, added to and edited below there': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => s.fs.rename('d', 'e'), theirs: async (s) => { await s.put('d/n', 'new'); await s.put('d/a', 'theirs') },
    after: { e: null, 'e/a': 'theirs', 'e/n': 'new' },
  },
  'S38: edited and renamed here, edited there': {
    before: { f: 'base' }, ours: async ({ fs }) => { await fs.writeFile('f', 'ours'); await fs.rename('f', 'g') }, theirs: (s) => s.put('f', 'theirs'),
    after: { g: 'theirs', 'g!': 'ours' },
  },
  'S39: edited here, renamed there': {
    before: { f: 'base' }, ours: (s) => s.fs.writeFile('f', 'ours'), theirs: (s) => s.move('f', 'theirs'), after: { theirs: 'ours' }, or: { f: 'ours', theirs: 'base' },
  },
  'S40: renamed here, deleted there': {
    before: { f: 'base' }, ours: (s) => s.fs.rename('f', 'ours'), theirs: (s) => s.remove('f'), after: {}, bin: ['base'],
  },
  'S40: renamed here, replaced there': {
    before: { f: 'base' }, ours: (s) => s.fs.rename('f', 'ours'), theirs: async (s) => { await s.remove('f'); await s.put('f', 'theirs') }, after: { f: 'theirs' }, bin: ['base'],
  },
  'S40: edited and renamed here, deleted there': {
    before: { f: 'base' }, ours: async ({ fs }) => { await fs.writeFile('f', 'ours'); await fs.rename('f', 'g') }, theirs: (s) => s.remove('f'), after: { g: 'ours' }, bin: ['base'],
  },
  'S41: deleted here, renamed there': {
    before: { f: 'base' }, ours: (s) => s.fs.unlink('f'), theirs: (s) => s.move('f', 'theirs'), after: { theirs: 'base' },
  },
  'S42: renamed here to a name that somebody has taken': {
    before: { f: 'base' }, ours: (s) => s.fs.rename('f', 'g'), theirs: (s) => s.put('g', 'theirs'), after: { g: 'theirs', 'g!': 'base' },
  },
  'S42: folder renamed here to a name that somebody has given to a file': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => s.fs.rename('d', 'e'), theirs: (s) => s.put('e', 'theirs'), after: { e: 'theirs', 'e!': null, 'e!/a': 'a' },
  },
  'S42: folder renamed here to the name of a new folder there': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => s.fs.rename('d', 'e'), theirs: async (s) => { await s.mkdir('e'); await s.put('e/t', 'theirs') },
    after: { e: null, 'e/t': 'theirs', 'e!': null, 'e!/a': 'a' },
  },
  'S43: renamed here over a file that somebody edits': {
    before: { f: 'new', g: 'old' }, ours: (s) => s.fs.rename('f', 'g'), theirs: (s) => s.put('g', 'theirs'), after: { g: 'theirs', 'g!': 'new' },
  },
  'S43: renamed here over a file, and its old name edited there': {
    before: { f: 'new', g: 'old' }, ours: (s) => s.fs.rename('f', 'g'), theirs: (s) => s.put('f', 'theirs'), after: { f: 'theirs', g: 'new' },
  },
  'S43: renamed here over a file that somebody deletes': {
    before: { f: 'new', g: 'old' }, ours: (s) => s.fs.rename('f', 'g'), theirs: (s) => s.remove('g'), after: { g: 'new' }, bin: ['old'],
  },
  'S43: renamed here over a file, and renamed there': {
    before: { f: 'new', g: 'old' }, ours: (s) => s.fs.rename('f', 'g'), theirs: (s) => s.move('f', 'h'), after: { g: 'new', h: 'new' },
  },
  'S44: folder deleted there, unsent files in it here': {
    before: { d: null, 'd/a': 'a', 'd/b': 'b' }, ours: async ({ fs }) => { await fs.writeFile('d/n', 'ours'); await fs.writeFile('d/a', 'edit'); await fs.mkdir('d/e'); await fs.writeFile('d/e/m', 'deep') },
    theirs: (s) => s.remove('d'), after: { d: null, 'd/a': 'edit', 'd/e': null, 'd/e/m': 'deep', 'd/n': 'ours' }, bin: ['a', 'b'],
  },
  'S48: folder deleted there and a file put in its place, something unsent in it here': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => s.fs.writeFile('d/n', 'ours'), theirs: async (s) => { await s.remove('d'); await s.put('d', 'theirs') },
    after: { d: 'theirs', 'd!': null, 'd!/n': 'ours' },
  },
  'S44: folder deleted there, a file moved into it here': {
    before: { d: null, f: 'base' }, ours: (s) => s.fs.rename('f', 'd/f'), theirs: (s) => s.remove('d'), after: { d: null, 'd/f': 'base' },
  },
  'S44: folder renamed here with something unsent in it, deleted there': {
    before: { d: null, 'd/a': 'a', 'd/s': null, 'd/s/b': 'b' }, theirs: (s) => s.remove('d'), ours: async ({ fs }) => { await fs.rename('d', 'e'); await fs.writeFile('e/n', 'ours') },
    after: { e: null, 'e/n': 'ours' }, bin: ['a', 'b'],
  },
  'S44: folder renamed here with unsent things deep in it, deleted there': {
    before: { d: null, 'd/s': null, 'd/s/a': 'a' }, theirs: (s) => s.remove('d'),
    ours: async ({ fs }) => { await fs.rename('d', 'e'); await fs.mkdir('e/s/n'); await fs.writeFile('e/s/n/f', 'ours'); await fs.writeFile('e/s/a', 'edit'); await fs.rename('e/s/a', 'e/s/b') },
    after: { e: null, 'e/s': null, 'e/s/b': 'edit', 'e/s/n': null, 'e/s/n/f': 'ours' }, bin: ['a'],
  },
  'S44: folder renamed here with an edit in it, deleted there': {
    before: { d: null, 'd/a': 'a' }, ours: async ({ fs }) => { await fs.rename('d', 'e'); await fs.writeFile('e/a', 'ours') }, theirs: (s) => s.remove('d'),
    after: { e: null, 'e/a': 'ours' }, bin: ['a'],
  },
  'S45: folder renamed there, unsent files in it here': {
    before: { d: null, 'd/a': 'a' }, ours: async ({ fs }) => { await fs.writeFile('d/n', 'ours'); await fs.writeFile('d/a', 'edit') }, theirs: (s) => s.move('d', 'e'),
    after: { e: null, 'e/a': 'edit', 'e/n': 'ours' }, or: { d: null, 'd/a': 'edit', 'd/n': 'ours', e: null, 'e/a': 'a' },
  },
  'S45: folder renamed there, renames and deletes in it here': {
    before: { d: null, 'd/a': 'a', 'd/b': 'b' }, ours: async ({ fs }) => { await fs.rename('d/a', 'd/c'); await fs.unlink('d/b') }, theirs: (s) => s.move('d', 'e'),
    after: { e: null, 'e/a': 'a', 'e/b': 'b' }, only: 'everything',
  },
  'S46: folder deleted here, added to there': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => removeFolder(s, 'd'), theirs: (s) => s.put('d/n', 'theirs'), after: { d: null, 'd/n': 'theirs' }, bin: ['a'],
  },
  'S46: folder deleted here, edited below there': {
    before: { d: null, 'd/a': 'a', 'd/b': 'b' }, ours: (s) => removeFolder(s, 'd'), theirs: (s) => s.put('d/a', 'theirs'), after: { d: null, 'd/a': 'theirs' }, bin: ['b'],
  },
  'S44: folder deleted and made anew there, added to here': {
    before: { d: null, 'd/s': null, 'd/s/a': 'a' }, ours: async ({ fs }) => { await fs.writeFile('d/n', 'ours'); await fs.mkdir('d/s/m'); await fs.writeFile('d/s/m/n', 'ours below') },
    theirs: async (s) => { await s.remove('d'); await s.make({ d: null, 'd/t': 'theirs' }) },
    after: { d: null, 'd/n': 'ours', 'd/s': null, 'd/s/m': null, 'd/s/m/n': 'ours below', 'd/t': 'theirs' },
  },
  'S46: folder deleted and made anew here, added to there': {
    before: { d: null, 'd/a': 'a' }, ours: async (s) => { await removeFolder(s, 'd'); await s.fs.mkdir('d') }, theirs: (s) => s.put('d/n', 'theirs'), after: { d: null, 'd/n': 'theirs' },
  },
  'S40: folder deleted and made anew there, moved out of it here': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => s.fs.rename('d/a', 'b'), theirs: async (s) => { await s.remove('d'); await s.make({ d: null, 'd/t': 'theirs' }) },
    after: { d: null, 'd/t': 'theirs' },
  },
  'S35: folder deleted and made anew there, deleted in it here': {
    before: { d: null, 'd/a': 'a', 'd/b': 'b' }, ours: (s) => s.fs.unlink('d/a'), theirs: async (s) => { await s.remove('d'); await s.make({ d: null, 'd/t': 'theirs' }) },
    after: { d: null, 'd/t': 'theirs' },
  },
  'S40: folder deleted there, made anew here, after something was moved out of it here': {
    before: { d: null, 'd/a': 'a' }, ours: (s) => s.fs.rename('d/a', 'b'), theirs: (s) => s.remove('d'), then: async ({ fs }) => { await fs.mkdir('d'); await fs.writeFile('d/n', 'new') },
    after: { d: null, 'd/n': 'new' }, only: 'changes',
  },
  'S47: both made the same folder': {
    before: {}, ours: async ({ fs }) => { await fs.mkdir('d'); await fs.mkdir('d/e'); await fs.writeFile('d/e/o', 'ours'); await fs.writeFile('d/f', 'our f') },
    theirs: async (s) => { await s.make({ d: null, 'd/e': null, 'd/e/t': 'theirs', 'd/f': 'their f' }) },
    after: { d: null, 'd/e': null, 'd/e/o': 'ours', 'd/e/t': 'theirs', 'd/f': 'their f', 'd/f!': 'our f' },
  },
  'S48: a folder here, a file there': {
    before: {}, ours: async ({ fs }) => { await fs.mkdir('x'); await fs.writeFile('x/o', 'ours') }, theirs: (s) => s.put('x', 'theirs'), after: { x: 'theirs', 'x!': null, 'x!/o': 'ours' },
  },
  'S48: a file here, a folder there': {
    before: {}, ours: (s) => s.fs.writeFile('x', 'ours'), theirs: (s) => s.make({ x: null, 'x/t': 'theirs' }), after: { x: null, 'x/t': 'theirs', 'x!': 'ours' },
  },
  'S48: edited here, a folder made of it there': {
    before: { x: 'base' }, ours: (s) => s.fs.writeFile('x', 'ours'), theirs: async (s) => { await s.remove('x'); await s.make({ x: null, 'x/t': 'theirs' }) },
    after: { x: null, 'x/t': 'theirs', 'x!': 'ours' }, bin: ['base'],
  },
  'S49: created in another case': {
    before: {}, ours: (s) => s.fs.writeFile('File', 'ours'), theirs: (s) => s.put('file', 'theirs'), after: { File: 'ours', file: 'theirs' },
  },
  'S49: renamed here to a name that somebody has taken in another case': {
    before: { a: 'base' }, ours: (s) => s.fs.rename('a', 'File'), theirs: (s) => s.put('file', 'theirs'), after: { 'File!': 'base', file: 'theirs' },
  },
  'S50: two names swapped here, one of them edited there': {
    before: { a: 'A', b: 'B' }, ours: ({ fs }) => swap((from, to) => fs.rename(from, to)), theirs: (s) => s.put('a', 'theirs'), after: { a: 'B', b: 'theirs' },
  },
  'S50: two names swapped there, one of them edited here': {
    before: { a: 'A', b: 'B' }, ours: (s) => s.fs.writeFile('a', 'ours'), theirs: (s) => swap((from, to) => s.move(from, to)), after: { a: 'B', 'a!': 'ours', b: 'A' }, only: 'everything',
  },
  'S51: each folder moved into the other': {
    before: { d: null, e: null, 'd/a': 'a', 'e/b': 'b' }, ours: (s) => s.fs.rename('d', 'e/d'), theirs: (s) => s.move('e', 'd/e'),
    after: { d: null, 'd/a': 'a', 'd/e': null, 'd/e/b': 'b' }, or: { e: null, 'e/d': null, 'e/d/a': 'a', 'e/d/e': null, 'e/d/e/b': 'b' },
  },
}

const copyOf = (path: string): string => path.split('/').map((name) => name.endsWith('!') ? conflictName(name.slice(0, -1), hostname(), new Date(), 1) : name).join('/')
const named = (shape: Shape): Shape => Object.fromEntries(Object.entries(shape).map(([path, content]) => [copyOf(path), content] as const).sort(([a], [b]) => a < b ? -1 : 1))

for (const version of [2, 4] as const) {
  describe(`conflicts, server ${version}`, { concurrency: 16, timeout: 120_000 }, () => {
    let site: Site
    before(async () => { site = await Site.open(version) })
    after(() => site.close())

    for (const [name, meeting] of Object.entries(MEETINGS)) {
      for (const cut of ['changes', 'everything'] as const) {
        if (meeting.only !== undefined && meeting.only !== cut) continue
        // Two cores have enough with one server of the two without network.
        if (process.env['CI'] !== undefined && version === 4 && cut === 'everything') continue
        it(`${name}${cut === 'everything' ? ', offline' : ''}`, async () => {
          const s = await Sides.open(site)
          try {
            await s.make(meeting.before)
            await until('the event stream', () => s.engine.status().live)
            await s.here()
            const binned = await Promise.all((meeting.bin ?? []).map((content) => s.inBin(content)))
            s.link.cut = cut
            await meeting.ours(s)
            await meeting.theirs(s)
            if (cut === 'changes') {
              await s.announced()
              await s.here()
              await meeting.then?.(s)
            }
            s.link.cut = 'nothing'
            await until('the event stream', () => s.engine.status().live)
            const report = await s.engine.sync()
            assert.deepEqual(report.failed, [])
            const expected = named(meeting.after)
            await until('both sides to show the same', async () => same(await s.here(), await s.there())).catch(async (error: unknown) => {
              assert.deepEqual(await s.here(), await s.there(), (error as Error).message)
            })
            const there = await s.there()
            assert.deepEqual(there, meeting.or !== undefined && same(there, named(meeting.or)) ? there : expected)
            assert.deepEqual(s.engine.status().conflicts.map((path) => path.slice(s.remote.length + 1)).sort(), Object.keys(meeting.after).filter((path) => path.endsWith('!')).map(copyOf).sort())
            for (const [i, content] of (meeting.bin ?? []).entries()) assert.ok(await s.inBin(content) > binned[i]!, `${content} in the bin`)
          } finally {
            await s.close()
          }
        })
      }
    }
  })
}

describe('what somebody sent at the time of ours', { timeout: 60_000, concurrency: true }, () => {
  it('S13: was sent right after ours, and announced before it: theirs is there', withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await until('the event stream', () => engine.status().live)
    world.passes = () => false
    assert.deepEqual(await fs.readdir(''), [])
    // Nobody asks: events have to tell.
    world.before.statMany = () => new Promise(() => {})
    const shown = (content: string): Promise<CellsNode | undefined> => world.server.waitFor(world.path('f'), (it) => it?.etag === md5(content))
    await fs.writeFile('f', 'ours')
    const ours = await shown('ours')
    await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
    const theirs = await shown('theirs')
    await until('ours to be sent', () => engine.status().pending.count === 0)
    world.tell({ type: 'content', node: theirs! })
    world.tell({ type: 'create', node: ours! })
    delete world.before.statMany
    await until('theirs to be there', async () => (await fs.stat('f')).size === 6)
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await fs.readdir(''), ['f'])
  }))

  for (const told of ['is told of', 'is long ago'] as const) it(`S30: came when the server had just been asked, which ${told} before ours is sent: ours goes beside it`, withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await until('the event stream', () => engine.status().live)
    assert.deepEqual(await fs.readdir(''), [])
    let heard = (): void => {}
    world.passes = (event) => {
      if (event.type === 'create' && event.node.path === world.path('f')) heard()
      return told === 'is told of'
    }
    world.after.stat = async (path) => {
      if (path !== world.path('f')) return
      delete world.after.stat
      const event = new Promise<void>((resolve) => { heard = resolve })
      await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
      await event
      if (told === 'is long ago') await pause(350)
    }
    await fs.writeFile('f', 'ours')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.equal((await world.server.stat(world.path('f')))?.etag, md5('theirs'))
    assert.equal(engine.status().conflicts.length, 1)
  }))

  for (const serverVersion of [2, 4] as const) it(`S30: came right before ours, and is shown after ours was sent, server ${serverVersion}: ours has the name, and no copy`, withWorld({ serverVersion, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('f', 'base')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await fs.readdir(''), ['f'])
    let theirs: CellsNode | undefined
    // When the engine has asked what is there.
    world.before.put = async () => {
      delete world.before.put
      world.passes = () => false
      await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
      theirs = await world.server.waitFor(world.path('f'), (it) => it?.etag === md5('theirs'))
    }
    await fs.writeFile('f', 'ours')
    await until('ours to be sent', () => engine.status().pending.count === 0)
    world.before.statMany = () => pause(300)
    world.tell({ type: 'content', node: theirs! })
    await until('ours to be confirmed', async () => (await engine.sync()).failed.length === 0 && engine.status().unconfirmed === 0)
    assert.deepEqual(await fs.readdir(''), ['f'])
    assert.equal((await fs.readFile('f')).toString(), 'ours')
    assert.deepEqual(engine.status().conflicts, [])
  }))
})

function same(a: Shape, b: Shape): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
