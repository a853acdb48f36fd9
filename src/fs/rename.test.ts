/** Renames that meet what the uploader is doing with the same node at that moment. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { CellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import { withWorld, type World } from './engine.testing.js'
import type { PathFs } from './posix.testing.js'
import { until } from './sides.testing.js'

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

/** A file of this content that the server is being told to move from `old` to `new`; `held` lets it. */
async function moving(world: World, content: string): Promise<Awaited<ReturnType<World['open']>> & { held: ReturnType<typeof hold> }> {
  const opened = await world.open('a')
  await opened.fs.writeFile('old', content)
  await opened.engine.sync()
  const held = hold(world, 'move')
  await opened.fs.rename('old', 'new')
  await held.reached
  return { ...opened, held }
}

async function names(world: World, folder = ''): Promise<string[]> {
  const found: string[] = []
  for await (const page of world.server.list(world.path(folder).replace(/\/$/, ''))) found.push(...page.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)))
  return found.sort()
}

/** The server moves, and nobody hears of it. */
function loseMoveAnswer(world: World): void {
  world.before.move = async (...call) => {
    await world.server.move(...call as Parameters<CellsServer['move']>)
    delete world.before.move
    world.before.stat = () => Promise.reject(new CellsError('network', 'not reachable'))
    world.before.statMany = world.before.stat
    throw new CellsError('network', 'not reachable')
  }
}

/** `old` was renamed to `new`, which the server has done, and cannot be asked about. */
async function movedUnanswered(world: World, make = (fs: PathFs): Promise<unknown> => fs.writeFile('old', 'content')): ReturnType<World['open']> {
  const opened = await world.open('a')
  await make(opened.fs)
  await opened.engine.sync()
  loseMoveAnswer(world)
  await opened.fs.rename('old', 'new')
  await until('it was moved', () => world.before.stat !== undefined)
  return opened
}

describe('renames to a name that is never sent', { timeout: 60_000, concurrency: true }, () => {
  it('a node whose move was not answered goes from where it is', withWorld({ indexDelayMs: 50 }, async (world) => {
    const { engine, fs } = await movedUnanswered(world)
    await fs.rename('new', '.new.swp')
    delete world.before.stat
    delete world.before.statMany
    await engine.sync()
    assert.deepEqual(await names(world), [])
    assert.deepEqual((await fs.readdir('')).filter((it) => !it.startsWith('recycle')), ['.new.swp'])
    assert.equal((await fs.readFile('.new.swp')).toString(), 'content')
  }))

  it('a file that is deleted after a move that was not answered goes from where it is', withWorld({ indexDelayMs: 50 }, async (world) => {
    const { engine, fs } = await movedUnanswered(world)
    await fs.unlink('new')
    delete world.before.stat
    delete world.before.statMany
    engine.wake()
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await fs.readdir('')], [[], []])
  }))

  it('what is saved in a folder whose move was not answered is sent to where the folder is', withWorld({ indexDelayMs: 50 }, async (world) => {
    const { engine, fs } = await movedUnanswered(world, (made) => made.mkdir('old'))
    delete world.before.stat
    delete world.before.statMany
    await fs.writeFile('new/f', 'content')
    await until('it to be sent', () => engine.status().pending.count === 0)
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await names(world, 'new'), await fs.readdir(''), await fs.readdir('new')], [['new'], ['f'], ['new'], ['f']])
  }))

  it('... also when it waited for the move', withWorld({ indexDelayMs: 50 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.mkdir('old')
    assert.deepEqual((await engine.sync()).failed, [])
    const held = hold(world, 'move')
    world.after.move = async () => {
      delete world.after.move
      await Promise.reject(new CellsError('network', 'not reachable'))
    }
    await fs.rename('old', 'new')
    await held.reached
    await fs.writeFile('new/f', 'content')
    await until('it to wait for the folder', () => engine.status({ verbose: true }).changes?.some(({ path, state }) => path === 'new/f' && state === 'sending') === true)
    held.go()
    await until('it to be sent', () => engine.status().pending.count === 0)
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await names(world, 'new')], [['new'], ['f']])
  }))

  it('what somebody else has put where it was to be moved to stays', withWorld({ indexDelayMs: 50 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('old', 'content')
    await engine.sync()
    world.before.move = () => Promise.reject(new CellsError('network', 'not reachable'))
    await fs.rename('old', 'new')
    await until('it is to be moved', () => engine.status({ verbose: true }).changes?.some(({ state }) => state === 'failed') === true)
    await world.server.put(world.path('new'), Buffer.from('content'), 7)
    await world.server.waitFor(world.path('new'), (it) => it?.size === 7 && it.etag !== 'temporary')
    await fs.rename('new', '.new.swp')
    await engine.sync()
    assert.deepEqual(await names(world), ['new'])
  }))

  it('S34: what somebody else has written meanwhile stays', withWorld({ indexDelayMs: 50 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('f', 'content')
    await engine.sync()
    const held = hold(world, 'statMany')
    await fs.rename('f', '.f.swp')
    await held.reached
    await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
    await world.server.waitFor(world.path('f'), (it) => it?.size === 6 && it.etag !== 'temporary')
    held.go()
    await engine.sync()
    assert.equal((await fs.readFile('.f.swp')).toString(), 'content')
    assert.deepEqual(await names(world), ['f'])
    assert.equal((await fs.readFile('f')).toString(), 'theirs')
    assert.equal((await fs.readFile('.f.swp')).toString(), 'content')
  }))

  it('what was just sent goes when the server shows it', withWorld({ indexDelayMs: 2_000 }, async (world) => {
    const { engine, fs } = await world.open('a')
    world.passes = () => false
    await fs.writeFile('f', 'content')
    await until('it was sent', () => engine.status().unconfirmed > 0)
    await fs.rename('f', '.f.swp')
    await engine.sync()
    await world.server.waitFor(world.path('f'), (it) => it === undefined)
    assert.equal((await fs.readFile('.f.swp')).toString(), 'content')
  }))
})

it('what somebody has only just put, and the server does not know the content of, leaves its old name when it is renamed over a file', withWorld({ serverVersion: 2, indexDelayMs: 1_500 }, async (world) => {
  const { engine, fs } = await world.open('a')
  await fs.writeFile('f', 'old')
  await engine.sync()
  await world.server.put(world.path('theirs'), Buffer.from('content'), 7)
  await until('its name is shown', () => fs.stat('theirs').then(() => true, () => false))
  assert.equal((await world.server.stat(world.path('theirs')))?.etag, ETAG_TEMPORARY)
  await fs.rename('theirs', 'f')
  assert.deepEqual((await engine.sync()).failed, [])
  assert.deepEqual(await names(world), ['f'])
  assert.deepEqual(await fs.readdir(''), ['f'])
  assert.equal((await fs.readFile('f')).toString(), 'content')
}))

describe('renames over what is being moved', { timeout: 60_000, concurrency: true }, () => {
  it('goes on when the folder in which the old node of a file is to be removed is no more', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.mkdir('d')
    await fs.writeFile('d/a', 'new')
    await fs.writeFile('b', 'old')
    await engine.sync()
    world.unreachable = true
    await fs.rename('d/a', 'b')
    await world.server.remove([world.path('d')])
    await world.server.mkdir([world.path('d')])
    await world.server.put(world.path('d/c'), Buffer.from('theirs'), 6)
    for (let names: string[] = []; names.join() !== 'c'; names = await fs.readdir('d')) await pause(20)
    world.unreachable = false
    engine.wake()
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await names(world, 'd')], [['b', 'd'], ['c']])
  }))

  it('S34: a file that becomes a conflict copy while it is being deleted is deleted, and theirs is there', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    let [arrive, go] = [(): void => {}, (): void => {}]
    const reached = new Promise<void>((resolve) => { arrive = resolve })
    const gate = new Promise<void>((resolve) => { go = resolve })
    world.before.stat = async (path) => {
      if (!String(path).includes('conflict')) return
      arrive()
      await gate
    }
    await fs.readdir('')
    await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
    await fs.writeFile('f', 'ours')
    await reached
    const deleted = fs.unlink('f')
    await pause(20)
    go()
    await deleted
    assert.deepEqual((await engine.sync()).failed, [])
    for (let here: string[] = []; here.length === 0; here = await fs.readdir('')) await pause(20)
    assert.deepEqual([await fs.readdir(''), await names(world)], [['f'], ['f']])
    assert.equal((await fs.readFile('f')).toString(), 'theirs')
  }))

  for (const order of ['before', 'after'] as const) it(`deletes a folder in which there is still the old node of a file that was renamed over another one ${order} that`, withWorld({ serverVersion: 4, indexDelayMs: 300 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('b', 'old')
    await fs.mkdir('d')
    await engine.sync()
    await fs.writeFile('d/a', 'new')
    // Sent, and its Uuid not told yet.
    while (engine.status().pending.count > 0) await pause(5)
    await fs.rename('d/a', order === 'before' ? 'b' : 'c')
    await fs.rmdir('d')
    if (order === 'after') await fs.rename('c', 'b')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await fs.readdir('')], [['b'], ['b']])
    assert.equal((await fs.readFile('b')).toString(), 'new')
  }))

  it('moves a file out of folders that are deleted, one in the other, before the server is told', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.mkdir('d')
    await fs.mkdir('d/s')
    await fs.writeFile('d/s/a', 'text')
    await engine.sync()
    await fs.rename('d/s/a', 'b')
    await fs.rmdir('d/s')
    await fs.rmdir('d')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await fs.readdir('')], [['b'], ['b']])
    assert.equal((await fs.readFile('b')).toString(), 'text')
  }))

  for (const how of ['deleted', 'renamed over another one'] as const) it(`a new file under the name of one that is ${how} while it is being moved away is no conflict`, withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    for (const name of ['a', 'c']) await fs.writeFile(name, name)
    await engine.sync()
    const held = hold(world, 'statMany')
    await fs.rename('a', 'b')
    await held.reached
    await fs.writeFile('a', 'new')
    while (engine.status({ verbose: true }).changes?.some(({ path, state }) => path === 'a' && state === 'sending') !== true) await pause(5)
    const away = how === 'deleted' ? fs.unlink('b') : fs.rename('b', 'c')
    setImmediate(held.go)
    await away
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), (await fs.readdir('')).sort()], [['a', 'c'], ['a', 'c']])
    assert.deepEqual([(await fs.readFile('a')).toString(), (await fs.readFile('c')).toString()], ['new', how === 'deleted' ? 'c' : 'a'])
  }))

  it('deletes a file that was moved out of a folder with the folder', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await world.server.mkdir([world.path('d')])
    await world.server.put(world.path('d/a'), Buffer.from('text'), 4)
    await world.server.waitFor(world.path('d/a'), (node) => node?.size === 4 && node.etag !== 'temporary')
    for (let here: string[] = []; here.length === 0; here = await fs.readdir('d').catch(() => [])) await pause(20)
    await fs.rename('d/a', 'b')
    await fs.rmdir('d')
    await fs.unlink('b')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await fs.readdir('')], [[], []])
  }))

  it('deletes a folder when the server has stopped showing what has just been removed in it', withWorld({ serverVersion: 2, indexDelayMs: 200 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('b', 'old')
    await fs.mkdir('d')
    await fs.mkdir('d/s')
    await fs.writeFile('d/s/a', 'new')
    await engine.sync()
    const removed = hold(world, 'removeObject')
    await fs.rename('d/s/a', 'b')
    await removed.reached
    await fs.rmdir('d/s')
    await fs.rmdir('d')
    removed.go()
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await fs.readdir('')], [['b'], ['b']])
  }))

  it('S42: a name that somebody takes in the moment of a rename is theirs, and both contents are there', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('old', 'ours')
    await engine.sync()
    world.before.move = async () => {
      delete world.before.move
      await world.server.put(world.path('new'), Buffer.from('theirs'), 6)
      await world.server.waitFor(world.path('new'), (node) => node?.size === 6 && node.etag !== 'temporary')
    }
    await fs.rename('old', 'new')
    assert.deepEqual((await engine.sync()).failed, [])
    for (let here: string[] = []; here.join() !== 'new,new-1'; here = (await fs.readdir('')).sort()) await pause(20)
    assert.deepEqual(await names(world), ['new', 'new-1'])
    assert.deepEqual([(await fs.readFile('new')).toString(), (await fs.readFile('new-1')).toString()], ['theirs', 'ours'])
  }))

  for (const next of ['f', 'g']) it(`the old node of a file goes also if the one that is to be written over it is renamed to ${next} just then`, withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('f', 'old')
    await fs.writeFile('f.new', 'first')
    await engine.sync()
    let [marking, go] = [false, (): void => {}]
    const gate = new Promise<void>((resolve) => { go = resolve })
    // The content without a double that the old node gets before it goes.
    world.before.put = async (path) => {
      if (path !== world.path('f.new')) return
      delete world.before.put
      marking = true
      await gate
    }
    await fs.rename('f.new', 'f')
    await until('the old node is about to go', () => marking)
    await fs.writeFile('f.new', 'second')
    await until('the next content waits for it', () => engine.status({ verbose: true }).changes?.some(({ path, state }) => path === 'f.new' && state === 'sending') === true)
    await pause(50)
    await fs.rename('f.new', next)
    go()
    assert.deepEqual(await engine.sync('', AbortSignal.timeout(20_000)), { failed: [] })
    assert.deepEqual(await names(world), [...new Set(['f', next])])
    assert.equal((await fs.readFile(next)).toString(), 'second')
  }))

  it('what somebody puts under the old name of a file, right after its old node has gone, is theirs and is shown', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('a', 'ours')
    await fs.writeFile('b', 'old')
    await engine.sync()
    let removed = false
    world.before.removeObject = () => {
      removed = true
      return Promise.resolve()
    }
    // Asked whether the old node is gone.
    world.before.statMany = async () => {
      if (!removed) return
      delete world.before.statMany
      await world.server.waitFor(world.path('a'), (node) => node === undefined)
      await world.server.put(world.path('a'), Buffer.from('theirs'), 6)
      await world.server.waitFor(world.path('a'), (node) => node?.size === 6 && node.etag !== 'temporary')
    }
    await fs.rename('a', 'b')
    assert.deepEqual(await engine.sync('', AbortSignal.timeout(20_000)), { failed: [] })
    assert.deepEqual(await names(world), ['a', 'b'])
    assert.deepEqual([(await fs.readFile('a')).toString(), (await fs.readFile('b')).toString()], ['theirs', 'ours'])
  }))

  it('what somebody puts under the old name of a file, when its old node has gone, is shown', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('a', 'ours')
    await fs.writeFile('b', 'old')
    await engine.sync()
    await fs.rename('a', 'b')
    assert.deepEqual(await engine.sync(), { failed: [] })
    await world.server.put(world.path('a'), Buffer.from('theirs'), 6)
    for (let here: string[] = []; here.length < 2; here = await fs.readdir('')) await pause(20)
    assert.equal((await fs.readFile('a')).toString(), 'theirs')
  }))

  it('a new folder that is renamed over another one while it is being made does not become the one that is deleted for it', withWorld({ serverVersion: 2 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.mkdir('d')
    await fs.mkdir('d/s')
    await engine.sync()
    const held = hold(world, 'statMany')
    await fs.mkdir('e')
    await fs.writeFile('e/a', 'content')
    await held.reached
    await fs.rename('e', 'd/s')
    held.go()
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual([await names(world), await names(world, 'd'), await names(world, 'd/s')], [['d'], ['s'], ['a']])
    assert.equal((await fs.readFile('d/s/a')).toString(), 'content')
  }))

  for (const change of ['renamed', 'deleted'] as const) for (const told of [true, false]) it(`a new folder that is ${change} while it is being made, and the answer is lost, is not at its old name, ${told ? '' : 'not '}told of by an event`, withWorld({ serverVersion: 4, indexDelayMs: 20 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await until('the event stream', () => engine.status().live)
    world.passes = () => false
    world.after.mkdir = async () => {
      delete world.after.mkdir
      await (change === 'renamed' ? fs.rename('old', 'new') : fs.rmdir('old'))
      if (told) world.tell({ type: 'create', node: (await world.server.waitFor(world.path('old'), (node) => node !== undefined))! })
      await Promise.reject(new CellsError('network', 'not reachable'))
    }
    await fs.mkdir('old')
    await until('all to be there', async () => world.after.mkdir === undefined && (await engine.sync()).failed.length === 0)
    const expected = change === 'renamed' ? ['new'] : []
    assert.deepEqual([await names(world), await fs.readdir('')], [expected, expected])
  }))

  for (const kind of ['statMany', 'move'] as const) it(`leaves nothing beside it while its ${kind} is under way`, withWorld({ serverVersion: 4 }, async (world) => {
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
  }))

  it('sends nothing of what a program has only begun to write over it', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs, held } = await moving(world, 'the text')
    const file = await fs.open('new', constants.O_WRONLY | constants.O_TRUNC)
    held.go()
    await world.server.waitFor(world.path('new'), (node) => node !== undefined)
    // What is sent after the move has come.
    await fs.writeFile('later', 'x')
    await world.server.waitFor(world.path('later'), (node) => node !== undefined)
    assert.equal((await world.server.stat(world.path('new')))?.size, 8)
    await fs.write(file, 0, 'new text')
    await fs.close(file)
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await names(world), ['later', 'new'])
    assert.equal((await fs.readFile('new')).toString(), 'new text')
    assert.equal((await world.server.stat(world.path('new')))?.etag, createHash('md5').update('new text').digest('hex'))
  }))

  it('lists a folder that is being moved with all that is in it', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.mkdir('old')
    for (const name of ['a', 'b']) await fs.writeFile(`old/${name}`, name)
    await engine.sync()
    await fs.readdir('old')
    const held = hold(world, 'move')
    await fs.rename('old', 'new')
    await held.reached
    // What is known of one name is not to be believed any more: it is asked for by name.
    const node = await world.server.stat(world.path('old/a'))
    world.tell({ type: 'content', node: { ...node!, etag: 'other' } })
    const listed = fs.readdir('new')
    setImmediate(held.go)
    assert.deepEqual((await listed).sort(), ['a', 'b'])
  }))

  for (const told of ['before', 'after'] as const) it(`S37: what somebody writes to a file that is being moved is seen under its new name, announced ${told} the move`, withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs, held } = await moving(world, 'ours')
    let put = false
    world.passes = (event) => told === 'before' || !put || event.type !== 'content'
    put = true
    await world.server.put(world.path('old'), Buffer.from('theirs'), 6)
    const node = await world.server.waitFor(world.path('old'), (it) => it?.size === 6 && it.etag !== 'temporary')
    if (told === 'before') world.tell({ type: 'content', node: node! })
    world.passes = () => false
    held.go()
    if (told === 'after') {
      await until('it is at its new place', () => world.onServer('new'))
      world.tell({ type: 'content', node: { ...node!, path: world.path('new') } })
    }
    assert.deepEqual((await engine.sync()).failed, [])
    assert.equal((await fs.readFile('new')).toString(), 'theirs')
    assert.deepEqual(await names(world), ['new'])
  }))

  for (const told of ['by its new path before the answer', 'by its old path after it'] as const) it(`S37: what somebody adds to a folder that is being moved is seen, announced ${told}`, withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.mkdir('old')
    await fs.mkdir('old/s')
    await fs.writeFile('old/s/a', 'a')
    await engine.sync()
    await fs.readdir('old/s')
    const held = hold(world, 'move')
    await fs.rename('old', 'new')
    await held.reached
    world.passes = () => false
    await world.server.put(world.path('old/s/x'), Buffer.from('theirs'), 6)
    const node = await world.server.waitFor(world.path('old/s/x'), (it) => it?.size === 6 && it.etag !== 'temporary')
    if (told === 'by its new path before the answer') world.tell({ type: 'create', node: { ...node!, path: world.path('new/s/x') } })
    held.go()
    assert.deepEqual((await engine.sync()).failed, [])
    if (told === 'by its old path after it') world.tell({ type: 'create', node: node! })
    assert.deepEqual([await names(world), (await fs.readdir('new/s')).sort()], [['new'], ['a', 'x']])
    assert.equal((await fs.readFile('new/s/x')).toString(), 'theirs')
  }))

  it('deletes what is being moved where it has been moved to', withWorld({ serverVersion: 4 }, async (world) => {
    const { engine, fs, held } = await moving(world, 'text')
    const gone = fs.unlink('new')
    setImmediate(held.go)
    await gone
    assert.deepEqual((await engine.sync()).failed, [])
    assert.deepEqual(await names(world), [])
  }))
})

it('makes no conflict of saves that set the old file aside, at any moment of the index delay', { timeout: 120_000 }, withWorld({ serverVersion: 2, indexDelayMs: 150 }, async (world) => {
  const { engine, fs } = await world.open('a')
  const corners = Array.from({ length: 24 }, (_, index) => `c${index}`)
  for (const at of corners) await fs.mkdir(at)
  for (const at of corners) await fs.writeFile(`${at}/doc.txt`, 'first')
  await engine.sync()
  await Promise.all(corners.map(async (at, index) => {
    for (const [n, text] of ['second', 'third', 'fourth'].entries()) {
      await fs.writeFile(`${at}/3F2A1B00`, text)
      // Long enough for the new file to be sent on its own, sometimes.
      if (n === 0 && index % 2 === 0) await pause(200)
      await fs.rename(`${at}/doc.txt`, `${at}/5C4D.tmp`)
      await fs.rename(`${at}/3F2A1B00`, `${at}/doc.txt`)
      await fs.unlink(`${at}/5C4D.tmp`)
      if (n === 0) await pause(150 + 25 * index)
    }
  }))
  assert.deepEqual((await engine.sync()).failed, [])
  for (const at of corners) {
    assert.deepEqual(await names(world, at), ['doc.txt'])
    assert.equal((await fs.readFile(`${at}/doc.txt`)).toString(), 'fourth')
  }
}))

describe('renames of what becomes a conflict copy at that moment', { timeout: 60_000, concurrency: true }, () => {
  it('theirs is seen under the name that ours has left here', withWorld({ indexDelayMs: 50 }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.writeFile('f', 'base')
    await engine.sync()
    world.passes = () => false
    const held = hold(world, 'stat')
    await fs.writeFile('f', 'ours')
    await held.reached
    await world.server.put(world.path('f'), Buffer.from('theirs'), 6)
    await world.server.waitFor(world.path('f'), (it) => it?.size === 6 && it.etag !== 'temporary')
    await fs.rename('f', 'g')
    held.go()
    await engine.sync()
    const seen: Record<string, string> = {}
    for (const name of await fs.readdir('')) seen[name] = (await fs.readFile(name)).toString()
    assert.deepEqual(seen, { f: 'theirs', g: 'ours' })
    assert.deepEqual(await names(world), ['f', 'g'])
  }))
})
