/** Events about what is known already: of a file of ours without content, of a folder of ours with something in it. What of them is believed. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type CellsEvent, type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import { withWorld, type World } from './engine.testing.js'
import type { PathFs } from './posix.testing.js'

const isBirth = (event: CellsEvent): boolean => event.type === 'create' && event.node.etag === ETAG_TEMPORARY

interface Ours {
  readonly fs: PathFs
  /** Is the kernel told to forget `name` when an event says that its node is there, a file's without content? */
  readonly isNews: (name: string, told?: Partial<CellsNode>) => Promise<boolean>
  /** Resolves when the last event about the name has come. */
  readonly settled: (name: string) => Promise<void>
}

/** A file `f` and a folder `d` of ours that the server shows, whose own events of birth have not come. */
async function ours(world: World): Promise<Ours> {
  world.passes = (event) => !isBirth(event)
  const { engine, fs } = await world.open('one')
  let forgotten: string[] = []
  const nothing = (): void => {}
  engine.attachNotices({
    invalidateInode: nothing, invalidateAttributes: nothing, removed: nothing, invalidateAll: nothing, stillHolds: () => false,
    invalidateEntry: (_folder, name) => { forgotten.push(name) },
  })
  const forgot = async (name: string, work: () => void | Promise<void>): Promise<boolean> => {
    await fs.stat(name)
    forgotten = []
    await work()
    return forgotten.includes(name)
  }
  const settled = async (name: string): Promise<void> => {
    for (let quiet = 0; quiet < 3;) quiet = await forgot(name, () => new Promise((resolve) => setTimeout(resolve, 150))) ? 0 : quiet + 1
  }
  for (const end = Date.now() + 20_000; !engine.status().live;) {
    assert.ok(Date.now() < end, 'the event stream')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await fs.writeFile('f', 'text')
  await fs.mkdir('d')
  await engine.sync()
  await settled('f')
  await settled('d')
  return {
    fs, settled,
    isNews: async (name, told = {}) => {
      const node = await world.server.stat(world.path(name))
      assert.ok(node !== undefined)
      return forgot(name, () => world.tell({ type: 'create', node: { ...node, ...(node.kind === 'file' && { etag: ETAG_TEMPORARY }), ...told } }))
    },
  }
}

it('the first word that a file of ours has no content is old news, the next one is not', withWorld({ indexDelayMs: 50 }, async (world) => {
  const { isNews } = await ours(world)
  assert.equal(await isNews('f'), false)
  assert.equal(await isNews('f'), true)
}))

it('one of another size is news', withWorld({ indexDelayMs: 50 }, async (world) => {
  const { isNews } = await ours(world)
  assert.equal(await isNews('f', { size: 3 }), true)
}))

it('that there is more in a folder by now is no news, that it is another one or another right to it is', withWorld({ indexDelayMs: 50 }, async (world) => {
  const { isNews } = await ours(world)
  assert.equal(await isNews('d', { size: 530 }), false)
  assert.equal(await isNews('d', { etag: '-1' }), false)
  assert.equal(await isNews('d', { readOnly: true }), true)
  assert.equal(await isNews('d', { uuid: 'a0000000-0000-4000-8000-000000000000' }), true)
}))

it('one about another node at its name is news', withWorld({ indexDelayMs: 50 }, async (world) => {
  const { isNews } = await ours(world)
  assert.equal(await isNews('f', { uuid: 'a0000000-0000-4000-8000-000000000000' }), true)
}))

it('one about a file that somebody has written over ours is news', withWorld({ indexDelayMs: 50 }, async (world) => {
  const { fs, settled, isNews } = await ours(world)
  await world.server.put(world.path('f'), Buffer.from('more'), 4)
  for (const end = Date.now() + 20_000; (await fs.readFile('f')).toString() !== 'more';) {
    assert.ok(Date.now() < end, 'their content is seen')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await settled('f')
  assert.equal(await isNews('f'), true)
}))

it('one about a file of theirs is news', withWorld({ indexDelayMs: 50 }, async (world) => {
  const { fs, settled, isNews } = await ours(world)
  await world.server.put(world.path('g'), Buffer.from('theirs'), 6)
  await world.server.waitFor(world.path('g'), (node) => node !== undefined && node.etag !== ETAG_TEMPORARY)
  await fs.stat('g')
  await settled('g')
  assert.equal(await isNews('g'), true)
}))
