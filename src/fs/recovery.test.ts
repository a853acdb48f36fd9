/** What an earlier process promised, after a restart: there for whoever looks, whether or not the server can be asked, and then on the server. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { CellsError, isCellsError } from '../cells/errors.js'
import { withWorld, type World } from './engine.testing.js'
import { saysNothing } from './patience.js'
import type { PathFs } from './posix.testing.js'
import { until } from './sides.testing.js'
import type { Engine } from './status.js'

const gone = (): Promise<void> => Promise.reject(new CellsError('unavailable', 'not now'))
const QUESTIONS = ['stat', 'statMany', 'put', 'mkdir', 'move', 'remove'] as const

/** Changes made while nothing can be sent; then the process ends, and its cache is lost. */
async function left(world: World, name: string, work: (fs: PathFs) => Promise<void>, before: (fs: PathFs) => Promise<void> = () => Promise.resolve()): Promise<void> {
  const first = await world.open(name)
  await before(first.fs)
  await first.engine.sync()
  for (const each of ['put', 'mkdir', 'move', 'remove'] as const) world.before[each] = gone
  await work(first.fs)
  await first.engine.close(AbortSignal.timeout(50))
  for (const each of QUESTIONS) delete world.before[each]
  await world.dropCache(name)
}

/** A start without a server that answers; it answers when `answer` is called. */
async function openUnanswered(world: World, name: string): Promise<{ engine: Engine; fs: PathFs; answer: () => void }> {
  let asked = 0
  // The folder that is mounted is found: it is the next question that takes too long.
  const silent = (): Promise<void> => asked++ === 0 ? Promise.resolve() : gone()
  for (const each of QUESTIONS) world.before[each] = silent
  world.answered = gone
  const { engine, fs } = await world.open(name)
  const answer = (): void => {
    for (const each of QUESTIONS) delete world.before[each]
    delete world.answered
  }
  return { engine, fs, answer }
}

describe('after a restart', { concurrency: 4, timeout: 120_000 }, () => {
  it('a file is in its folder, which the server has made and does not show yet', withWorld({ indexDelayMs: 1_500 }, async (world) => {
    const first = await world.open('lag')
    let sent = (): void => {}
    const made = new Promise<void>((resolve) => { sent = resolve })
    // Asked for when its folder was made.
    world.before.put = () => { sent(); return gone() }
    await first.fs.mkdir('d')
    await first.fs.writeFile('d/f', 'new')
    await made
    await first.engine.close(AbortSignal.timeout(50))
    delete world.before.put
    const { engine, fs } = await world.open('lag')
    assert.equal((await fs.readFile('d/f')).toString(), 'new')
    await engine.sync()
    assert.ok(await world.onServer('d/f'))
    assert.deepEqual(await readdir(join(dirname(world.draftsOf('lag')), 'lost+found')), [])
  }))

  it('new folders and files are there while the server does not answer', withWorld({ indexDelayMs: 20 }, async (world) => {
    await left(world, 'new', async (fs) => {
      await fs.mkdir('d')
      await fs.mkdir('d/e')
      await fs.writeFile('d/e/f', 'new')
      await fs.writeFile('old/g', 'beside')
    }, async (fs) => {
      await fs.mkdir('old')
      await fs.writeFile('old/a', 'a')
    })
    const { engine, fs, answer } = await openUnanswered(world, 'new')
    assert.equal((await fs.readFile('d/e/f')).toString(), 'new')
    assert.equal((await fs.readFile('old/g')).toString(), 'beside')
    // What else the folder has on the server is not known, which is not to say that it is not there.
    await assert.rejects(fs.readFile('old/a'), (error) => isCellsError(error, 'network'))
    // Sending may have been tried by now; nothing else has failed.
    assert.deepEqual(engine.status().failures.filter(({ reason }) => reason !== 'not now'), [])
    answer()
    engine.wake()
    await engine.sync()
    assert.ok(await world.onServer('d/e/f'))
    assert.ok(await world.onServer('old/g'))
    // One folder, with what the server had in it.
    assert.deepEqual((await fs.readdir('old')).sort(), ['a', 'g'])
    assert.deepEqual((await fs.readdir('')).sort(), ['d', 'old'])
    assert.equal((await fs.readFile('old/a')).toString(), 'a')
  }))

  it('what the server had just taken and shown before a crash is not said to be absent while the server does not answer', withWorld({ serverVersion: 4 }, async (world) => {
    const first = await world.open('killed')
    await first.fs.mkdir('d')
    await first.fs.writeFile('d/a', 'a')
    await first.fs.writeFile('d/c', 'before')
    // Also what is known of names is on disk then.
    await first.engine.sync()
    await first.fs.writeFile('d/b', 'b')
    await first.fs.writeFile('d/c', 'after')
    await until('the server has shown it', () => first.engine.status().pending.count + first.engine.status().unconfirmed === 0)
    await world.asKilled('killed', 'next')
    const { engine, fs, answer } = await openUnanswered(world, 'next')
    for (const name of ['d/b', 'd/c']) {
      const seen = await fs.readFile(name).then(String, (error: unknown) => saysNothing(error) ? 'nobody knows' : error)
      // (Or its content is still at hand.)
      assert.ok(seen === 'nobody knows' || seen === (name === 'd/c' ? 'after' : 'b'), String(seen))
    }
    answer()
    engine.wake()
    assert.deepEqual((await fs.readdir('d')).sort(), ['a', 'b', 'c'])
    assert.equal((await fs.readFile('d/c')).toString(), 'after')
  }))

  it('what is closed in the moment in which the server shows it is in its folder while the server does not answer', withWorld({ serverVersion: 4 }, async (world) => {
    const first = await world.open('closed')
    await first.fs.readdir('')
    await first.fs.writeFile('f', 'x'.repeat(2 ** 25))
    const open = await first.fs.open('f', 0)
    await until('the server has shown it', () => first.engine.status().pending.count + first.engine.status().unconfirmed === 0)
    await first.fs.close(open)
    await first.engine.close()
    const { fs } = await openUnanswered(world, 'closed')
    assert.deepEqual(await fs.readdir(''), ['f'])
    assert.equal((await fs.stat('f')).size, 2 ** 25)
  }))

  it('what somebody has in a folder that was to be made here is not said to be absent while the server does not answer', withWorld({ serverVersion: 4 }, async (world) => {
    await left(world, 'both-made', (fs) => fs.mkdir('d/e'), (fs) => fs.mkdir('d'))
    await world.server.put(world.path('d/e/b'), Buffer.from('theirs'), 6)
    const { fs } = await openUnanswered(world, 'both-made')
    await assert.rejects(fs.readFile('d/e/b'), saysNothing)
  }))

  it('a sync right after the server is back waits for what is being looked for again by then', withWorld({ indexDelayMs: 20 }, async (world) => {
    await left(world, 'back', (fs) => fs.rename('d/a', 'd/b'), async (fs) => {
      await fs.mkdir('d')
      await fs.writeFile('d/a', 'a')
    })
    const { engine, fs, answer } = await openUnanswered(world, 'back')
    assert.match(engine.status().failures.map(({ reason }) => reason).join(), /a change of an earlier run waits/)
    answer()
    engine.wake()
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await fs.readdir('d'), ['b'])
    assert.ok(await world.onServer('d/b'))
  }))

  it('a folder that was made while nothing could be sent, and was never listed, is shown while the server does not answer', withWorld({ serverVersion: 4 }, async (world) => {
    const first = await world.open('late')
    world.before.mkdir = gone
    await first.fs.mkdir('d')
    // What is known of it would have been on disk by then.
    await pause(700)
    delete world.before.mkdir
    await first.engine.sync()
    await first.engine.close()
    world.streams = false
    const { fs } = await openUnanswered(world, 'late')
    assert.deepEqual(await fs.readdir('d'), [])
  }))

  it('an edit is there while the server does not answer, and is the next content of its file', withWorld({ indexDelayMs: 20 }, async (world) => {
    await left(world, 'edit', (fs) => fs.writeFile('d/f', 'ours'), async (fs) => {
      await fs.mkdir('d')
      await fs.writeFile('d/f', 'before')
    })
    const { uuid } = (await world.server.stat(world.path('d/f')))!
    const { engine, fs, answer } = await openUnanswered(world, 'edit')
    assert.equal((await fs.readFile('d/f')).toString(), 'ours')
    answer()
    engine.wake()
    await engine.sync()
    assert.deepEqual(await fs.readdir('d'), ['f'])
    const node = await world.server.waitFor(world.path('d/f'), (it) => it?.size === 4)
    assert.equal(node?.uuid, uuid)
  }))

  it('S30: an edit that met one of somebody else becomes a conflict copy, as ever', withWorld({ indexDelayMs: 20 }, async (world) => {
    await left(world, 'both', (fs) => fs.writeFile('f', 'ours'), (fs) => fs.writeFile('f', 'before'))
    await world.server.put(world.path('f'), Buffer.from('theirs!'), 7)
    await world.server.waitFor(world.path('f'), (it) => it?.size === 7)
    const { engine, fs, answer } = await openUnanswered(world, 'both')
    assert.equal((await fs.readFile('f')).toString(), 'ours')
    answer()
    engine.wake()
    await engine.sync()
    const names = (await fs.readdir('')).sort()
    assert.equal(names.length, 2, names.join())
    assert.deepEqual(await Promise.all(names.map(async (name) => (await fs.readFile(name)).toString())), names[0] === 'f' ? ['theirs!', 'ours'] : ['ours', 'theirs!'])
  }))

  it('a file in a renamed folder waits for the rename, and makes no folder of its own', withWorld({ indexDelayMs: 20 }, async (world) => {
    await left(world, 'moved', async (fs) => {
      await fs.rename('d', 'e')
      await fs.writeFile('e/f', 'new')
      await fs.mkdir('e/deep')
    }, async (fs) => {
      await fs.mkdir('d')
      await fs.writeFile('d/a', 'a')
    })
    const { uuid } = (await world.server.stat(world.path('d')))!
    const { engine, fs, answer } = await openUnanswered(world, 'moved')
    answer()
    engine.wake()
    await world.server.waitFor(world.path('e/f'), (it) => it !== undefined)
    await engine.sync()
    assert.equal((await world.server.waitFor(world.path('e'), (it) => it !== undefined))?.uuid, uuid)
    assert.deepEqual(await fs.readdir(''), ['e'])
    assert.deepEqual((await fs.readdir('e')).sort(), ['a', 'deep', 'f'])
  }))

  it('a folder is deleted whose file was just being deleted when it was', withWorld({ indexDelayMs: 20 }, async (world) => {
    let ask = (): void => {}
    const asked = new Promise<void>((resolve) => { ask = resolve })
    await left(world, 'rm', async (fs) => {
      world.before.remove = () => {
        ask()
        return gone()
      }
      await fs.unlink('d/c')
      await asked
      await fs.rmdir('d')
    }, async (fs) => {
      await fs.mkdir('d')
      await fs.writeFile('d/c', 'c')
    })
    const { engine, fs } = await world.open('rm')
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.equal(await world.onServer('d'), false)
    assert.deepEqual(await fs.readdir(''), [])
  }))

  it('a file is deleted that the server had no content of yet when it was asked for', withWorld({ indexDelayMs: 2_500 }, async (world) => {
    const first = await world.open('early')
    await first.fs.writeFile('f', 'new')
    while (first.engine.status().unconfirmed === 0) await pause(10)
    world.before.remove = gone
    await first.fs.unlink('f')
    await first.engine.close(AbortSignal.timeout(50))
    delete world.before.remove
    await world.dropCache('early')
    const { engine, fs } = await world.open('early')
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.equal(await world.onServer('f'), false)
    assert.deepEqual(await fs.readdir(''), [])
  }))

  it('a file that was renamed over another one and deleted does not come back under its old name', withWorld({ indexDelayMs: 1_500 }, async (world) => {
    const first = await world.open('over')
    await first.fs.writeFile('doc', 'first')
    await first.engine.sync()
    await first.fs.writeFile('draft', 'second')
    // Sent, and not shown yet: nobody here knows its Uuid.
    while (first.engine.status().unconfirmed === 0) await pause(10)
    for (const each of ['put', 'mkdir', 'move', 'remove'] as const) world.before[each] = gone
    await first.fs.rename('draft', 'doc')
    await first.fs.unlink('doc')
    await first.engine.close(AbortSignal.timeout(50))
    for (const each of QUESTIONS) delete world.before[each]
    await world.dropCache('over')
    await world.server.waitFor(world.path('draft'), (it) => it?.size === 6)
    const { engine, fs } = await world.open('over')
    assert.deepEqual(await fs.readdir(''), [])
    assert.deepEqual((await engine.sync()).failed, [])
    assert.equal(await world.onServer('draft'), false)
    assert.equal(await world.onServer('doc'), false)
    assert.deepEqual(await fs.readdir(''), [])
  }))
})
