/** Names that a listing does not show any more: gone only when a second question says so, and never with what was not sent. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { type CellsEvent, ETAG_TEMPORARY } from '../cells/types.js'
import { code, withWorld, World } from './engine.testing.js'
import { until } from './sides.testing.js'

describe('absence', { timeout: 120_000 }, () => {
  let world: World
  before(async () => { world = await World.start({ indexDelayMs: 20 }) })
  after(() => world.close())

  /** An engine ends with a rename in `folder`, of `a` to `b`, that it could not send; what it may lose is lost. */
  const leftRename = async (name: string, folder: string): Promise<void> => {
    const { engine, fs } = await world.open(name)
    await fs.mkdir(folder)
    await fs.writeFile(`${folder}/a`, 'a')
    await engine.sync()
    world.before.move = () => Promise.reject(new CellsError('unavailable', 'not now'))
    await fs.rename(`${folder}/a`, `${folder}/b`)
    await engine.close(AbortSignal.timeout(100))
    delete world.before.move
    await world.dropCache(name)
  }

  it('an empty listing of a folder that had names is not believed while they can be asked for', async () => {
    const first = await world.open('lies')
    await first.fs.mkdir('d')
    await first.fs.writeFile('d/a', 'a')
    await first.fs.writeFile('d/b', 'b')
    await first.engine.sync()
    assert.deepEqual((await first.fs.readdir('d')).sort(), ['a', 'b'])
    await first.engine.close()
    world.emptyListings = true
    // Of an earlier process: asked for anew.
    const second = await world.open('lies')
    try {
      assert.deepEqual((await second.fs.readdir('d')).sort(), ['a', 'b'])
      assert.equal((await second.fs.readFile('d/a')).toString(), 'a')
    } finally {
      world.emptyListings = false
      await second.engine.close()
    }
    // A folder that was really emptied is empty.
    await world.server.remove([world.path('d/a'), world.path('d/b')], { permanently: true })
    await world.server.waitFor(world.path('d/a'), (node) => node === undefined)
    await world.server.waitFor(world.path('d/b'), (node) => node === undefined)
    const third = await world.open('lies')
    assert.deepEqual(await third.fs.readdir('d'), [])
    await assert.rejects(third.fs.readFile('d/a'), code('ENOENT'))
  })

  it('a folder in which somebody makes the only name again while it is listed is listed', async () => {
    const { engine, fs } = await world.open('again')
    await fs.mkdir('again')
    await fs.mkdir('again/x')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await fs.readdir('again'), ['x'])
    world.passes = () => false
    try {
      await world.server.remove([world.path('again/x')])
      await world.server.waitFor(world.path('again/x'), (node) => node === undefined)
      world.tellState({ state: 'disconnected', reason: 'test' })
      world.answered = async () => {
        world.answered = undefined
        await world.server.mkdir([world.path('again/x')])
        await world.server.waitFor(world.path('again/x'), (node) => node !== undefined)
      }
      for (let n = 0; world.answered !== undefined; n++) assert.equal(await fs.exists(`again/y${n}`), false)
    } finally {
      world.answered = undefined
      world.passes = () => true
    }
  })

  it('what somebody has deleted in a folder that is renamed, and of which is heard when another one has its name, is gone', withWorld({ serverVersion: 4 }, async (own) => {
    const { engine, fs } = await own.open('a')
    await until('the event stream', () => engine.status().live)
    await fs.mkdir('d')
    await fs.writeFile('d/f', 'f')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await fs.readdir('d'), ['f'])
    const was = await own.server.stat(own.path('d/f'))
    own.passes = () => false
    await own.server.remove([own.path('d/f')])
    await fs.rename('d', 'e')
    await fs.mkdir('d')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.equal(await fs.exists('e/f'), true)
    own.tell({ type: 'path', source: was!, target: { ...was!, path: 'personal-files/recycle_bin/f' } })
    assert.equal(await fs.exists('e/f'), false)
  }))

  it('a folder that somebody moves, and what somebody makes in its old place, are two folders, also where no event has told of it', withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (own) => {
    own.streams = false
    own.passes = () => false
    const { engine, fs } = await own.open('a')
    await fs.mkdir('e')
    await fs.mkdir('e/f')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await fs.readdir(''), ['e'])
    const moved = await own.server.move(own.path('e'), own.path('g'))
    await own.server.mkdir([own.path('e'), own.path('e/x')])
    await own.server.waitFor(own.path('e/x'), (node) => node !== undefined)
    own.tell({ type: 'create', node: moved! })
    assert.deepEqual(await fs.readdir('g'), ['f'])
    await fs.writeFile('e/n', 'ours')
    assert.deepEqual(await fs.readdir('g'), ['f'])
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual((await fs.readdir('e')).sort(), ['n', 'x'])
    assert.ok(await own.onServer('e/n'))
  }))

  it('what somebody makes in a folder that they have moved is there, also when its old name was given to another one', withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (own) => {
    const { engine, fs } = await own.open('a')
    await until('the event stream', () => engine.status().live)
    await fs.mkdir('e')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await fs.readdir(''), await fs.readdir('e')], [['e'], []])
    fs.forgetAll()
    own.passes = () => false
    const was = await own.server.stat(own.path('e'))
    const now = await own.server.move(own.path('e'), own.path('g'))
    await own.server.mkdir([own.path('g/t'), own.path('e')])
    const [made, other] = await Promise.all(['g/t', 'e'].map((name) => own.server.waitFor(own.path(name), (node) => node !== undefined)))
    own.tell({ type: 'path', source: was!, target: now! })
    own.tell({ type: 'create', node: made! })
    own.tell({ type: 'create', node: other! })
    assert.deepEqual(await fs.readdir('e'), [])
    assert.deepEqual(await fs.readdir('g'), ['t'])
  }))

  it('what somebody has put in a folder that is being made here, and deleted with that, is gone', withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (own) => {
    const { engine, fs } = await own.open('a', undefined, { pace: 0.1, resendMs: 300 })
    await until('the event stream', () => engine.status().live)
    own.before.mkdir = async () => {
      delete own.before.mkdir
      await own.server.put(own.path('d/a'), Buffer.from('theirs'), 6)
      await fs.writeFile('d/a', 'ours')
      await until('their file to be here', async () => (await fs.readdir('d')).length === 2)
      own.passes = () => false
      await own.server.remove([own.path('d')])
    }
    await fs.mkdir('d')
    await until('all to be there', async () => (await engine.sync()).failed.length === 0)
    assert.equal(await own.server.stat(own.path('d/a')), undefined)
    assert.equal(await fs.exists('d/a'), false)
    assert.match((await fs.readdir('d')).join(), /^a \(conflict [^,]*$/)
  }))

  it('what somebody has deleted unheard, and is renamed here, is at neither place', withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (own) => {
    own.passes = () => false
    for (const name of ['a', 'b']) {
      await own.server.put(own.path(name), Buffer.from(name), name.length)
      await own.server.waitFor(own.path(name), (node) => node !== undefined && node.etag !== ETAG_TEMPORARY)
    }
    const { engine, fs } = await own.open('a')
    await until('the event stream', () => engine.status().live)
    assert.deepEqual((await fs.readdir('')).sort(), ['a', 'b'])
    await own.server.remove([own.path('a'), own.path('b')])
    for (const name of ['a', 'b']) await own.server.waitFor(own.path(name), (node) => node === undefined)
    await fs.rename('a', 'a2')
    await fs.rename('b', 'b2')
    await fs.writeFile('b2', 'changed')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await fs.exists('a'), await fs.exists('b')], [false, false])
    assert.deepEqual(await fs.readdir(''), ['b2'])
  }))

  it('workspaces that are not listed are asked for, too', async () => {
    const first = await world.open('roots', '')
    const names = (await first.fs.readdir('')).sort()
    assert.ok(names.includes('personal-files'))
    await first.engine.close()
    world.emptyListings = true
    try {
      const second = await world.open('roots', '')
      assert.deepEqual((await second.fs.readdir('')).sort(), names)
    } finally {
      world.emptyListings = false
    }
  })

  it('what an earlier process left and cannot be looked for at the start is looked for again', async () => {
    await leftRename('left', 'f')
    let questions = 0
    let answers = false
    const unavailable = (): Promise<void> => (questions++ === 0 || answers ? Promise.resolve() : Promise.reject(new CellsError('unavailable', 'not now')))
    world.before.stat = world.before.statMany = unavailable
    try {
      const second = await world.open('left')
      assert.match(second.engine.status().failures.map(({ path, reason }) => `${path}: ${reason}`).join(), /f\/a: a change of an earlier run waits/)
      answers = true
      await world.server.waitFor(world.path('f/b'), (node) => node !== undefined && node.etag !== 'temporary')
      assert.equal((await second.fs.readFile('f/b')).toString(), 'a')
      assert.deepEqual(second.engine.status().failures, [])
    } finally {
      delete world.before.stat
      delete world.before.statMany
    }
  })

  it('what an earlier process left is looked for by a sync, also right after the server was seen to be gone', async () => {
    await leftRename('left-gone', 'g')
    world.streams = false
    let questions = 0
    // (A mount begins with one that is answered.)
    world.before.stat = world.before.statMany = world.answered = () => questions++ === 0 ? Promise.resolve() : Promise.reject(new CellsError('network', 'gone'))
    try {
      const second = await world.open('left-gone')
      assert.equal(second.engine.status().connection, 'offline')
      await assert.rejects(second.fs.readFile('g/b'), (error) => isCellsError(error, 'network'))
      delete world.before.stat
      delete world.before.statMany
      delete world.answered
      assert.deepEqual((await second.engine.sync()).failed, [])
      assert.equal((await second.fs.readFile('g/b')).toString(), 'a')
    } finally {
      world.streams = true
      delete world.before.stat
      delete world.before.statMany
      delete world.answered
    }
  })

  it('a folder that is gone stays here as long as something in it is not sent', async () => {
    const { engine, fs } = await world.open('unsent')
    await fs.mkdir('e')
    await fs.mkdir('e/deep')
    await fs.writeFile('e/deep/old', 'old')
    await engine.sync()
    world.unreachable = true
    try {
      await fs.writeFile('e/deep/new', 'new')
      await world.server.remove([world.path('e')], { permanently: true })
      await world.server.waitFor(world.path('e'), (node) => node === undefined)
      world.tell({ type: 'idm' } as never)
      assert.ok((await fs.readdir('')).includes('e'))
      assert.equal((await fs.readFile('e/deep/new')).toString(), 'new')
      assert.deepEqual(await fs.readdir('e'), ['deep'])
    } finally {
      world.unreachable = false
    }
    await engine.sync()
    assert.ok(await world.onServer('e/deep/new'), JSON.stringify(engine.status().failures))
    assert.equal((await fs.readFile('e/deep/new')).toString(), 'new')
  })

  it('a listing that was begun before somebody made a name does not say that it is absent', async () => {
    await world.server.mkdir([world.path('joined')])
    await world.server.waitFor(world.path('joined'), (node) => node !== undefined)
    const { fs } = await world.open('joined')
    // The second question about a folder lists it.
    assert.equal(await fs.exists('joined/x'), false)
    let handOn = (): void => {}
    const released = new Promise<void>((resolve) => { handOn = resolve })
    const told = new Promise<void>((resolve) => {
      world.passes = (event) => {
        if (event.type === 'create' && event.node.path.endsWith('joined/new')) setImmediate(resolve)
        return true
      }
    })
    const answered = new Promise<void>((resolve) => {
      world.answered = () => {
        resolve()
        return released
      }
    })
    try {
      const earlier = fs.exists('joined/y')
      await answered
      delete world.answered
      await world.server.mkdir([world.path('joined/new')])
      await world.server.waitFor(world.path('joined/new'), (node) => node !== undefined)
      await told
      // Asked by name, while the folder is being listed; the next question waits for the listing.
      assert.equal(await fs.exists('joined/z'), false)
      const asked = fs.exists('joined/new')
      handOn()
      assert.deepEqual([await earlier, await asked], [false, true])
    } finally {
      delete world.answered
      world.passes = () => true
    }
  })

  for (const [number, change] of [['S34', 'deleted'], ['S43', 'renamed']] as const) it(`${number}: what somebody puts in the place of a file that is being ${change} is there`, async () => {
    const name = `taken-${change}`
    const path = world.path(name)
    let tell: ((event: CellsEvent) => void) | undefined
    // The server answers when somebody has the name.
    const taken = async <T>(answer: T): Promise<T> => {
      await world.server.put(path, Buffer.from('theirs'), 6)
      tell?.({ type: 'create', node: (await world.server.waitFor(path, (node) => node?.size === 6 && node.etag !== ETAG_TEMPORARY))! })
      return answer
    }
    const server: CellsServer = {
      ...world.server,
      events: (listener) => {
        tell = (event) => listener.onEvent(event)
        return world.server.events({ ...listener, onEvent: () => {} })
      },
      remove: async (...call) => taken(await world.server.remove(...call)),
      move: async (...call) => taken(await world.server.move(...call)),
    }
    const { engine, fs } = await world.open(name, undefined, { server })
    await until('the event stream', () => engine.status().live)
    await fs.writeFile(name, 'ours')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.ok((await fs.readdir('')).includes(name))
    if (change === 'deleted') await fs.unlink(name)
    else await fs.rename(name, `${name}-on`)
    assert.deepEqual((await engine.sync()).failed, [])
    assert.ok((await fs.readdir('')).includes(name))
    assert.equal((await fs.readFile(name)).toString(), 'theirs')
    if (change === 'renamed') assert.equal((await fs.readFile(`${name}-on`)).toString(), 'ours')
    await engine.close()
  })

  it('an old node goes, too, if somebody writes to its name just when it is removed: a 2.x server takes no notice of the two then', withWorld({ serverVersion: 2, indexDelayMs: 200 }, async (own) => {
    const { engine, fs } = await own.open('a', undefined, { pace: 0.1, resendMs: 1_000 })
    await fs.writeFile('f', 'old')
    await fs.writeFile('g', 'new')
    assert.deepEqual((await engine.sync()).failed, [])
    let written = false
    own.before.removeObject = async () => {
      if (written) return
      written = true
      await own.server.put(own.path('g'), Buffer.from('theirs'), 6)
    }
    await fs.rename('g', 'f')
    assert.deepEqual((await engine.sync('', AbortSignal.timeout(40_000))).failed, [])
    assert.equal(written, true)
    assert.deepEqual(await fs.readdir(''), ['f'])
    assert.equal(await own.onServer('g'), false)
  }))

  it('what is not known while the server is gone is asked for now and then, not each time: a walk does not wait at every folder', async () => {
    for (const name of ['one', 'two', 'three']) {
      await world.server.mkdir([world.path(`away/${name}`)])
      await world.server.waitFor(world.path(`away/${name}`), (node) => node !== undefined)
    }
    const { fs, engine } = await world.open('away', world.path('').slice(0, -1), { pace: 1e-5 })
    assert.deepEqual((await fs.readdir('away')).sort(), ['one', 'three', 'two'])
    const isGone = (error: unknown): boolean => isCellsError(error, 'network')
    let asked = 0
    const gone = (): Promise<never> => {
      asked++
      return Promise.reject(new CellsError('network', 'gone'))
    }
    world.answered = world.before.stat = world.before.statMany = gone
    try {
      world.tellState({ state: 'disconnected', reason: 'gone' })
      await assert.rejects(fs.readdir('away/one'), isGone)
      const before = asked
      for (const name of ['one', 'two', 'three']) {
        await assert.rejects(fs.readdir(`away/${name}`), isGone)
        await assert.rejects(fs.stat(`away/${name}/x`), isGone)
      }
      assert.equal(asked, before)
      assert.equal(engine.status().connection, 'offline')
    } finally {
      delete world.answered
      delete world.before.stat
      delete world.before.statMany
    }
    world.tellState({ state: 'connected' })
    assert.deepEqual(await fs.readdir('away/two'), [])
  })

  it('a folder that was empty is shown as that by the first who finds the server gone, too', async () => {
    await world.server.mkdir([world.path('hollow')])
    await world.server.waitFor(world.path('hollow'), (node) => node !== undefined)
    const { fs } = await world.open('hollow')
    assert.deepEqual(await fs.readdir('hollow'), [])
    world.answered = world.before.statMany = () => Promise.reject(new CellsError('network', 'gone'))
    try {
      // Something is said to be there, and cannot be asked for.
      world.tell({ type: 'create', node: { ...(await world.server.stat(world.path('hollow')))!, uuid: 'x', path: world.path('hollow/x') } })
      world.tellState({ state: 'disconnected', reason: 'gone' })
      assert.deepEqual(await fs.readdir('hollow'), [])
    } finally {
      delete world.answered
      delete world.before.statMany
    }
  })

  it('S23: the file that the server keeps in each folder is not there, and nobody can write over it', async () => {
    const { fs } = await world.open('marker')
    await world.server.mkdir([world.path('marked')])
    await world.server.waitFor(world.path('marked/.pydio'), (node) => node !== undefined)
    assert.equal(await fs.exists('marked/.pydio'), false)
    await assert.rejects(fs.writeFile('marked/.pydio', 'ours'), code('EINVAL'))
    assert.deepEqual(await fs.readdir('marked'), [])
  })
})
