/** What a change of a part of a file needs of the rest, while somebody else replaces the file. */
import assert from 'node:assert/strict'
import { readdir, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import { code, withWorld, type World } from './engine.testing.js'
import { md5 } from './model/site.testing.js'
import { until } from './sides.testing.js'
import type { FailedChange } from './status.js'

const [O_WRONLY, O_RDWR, O_APPEND] = [1, 2, 0o2000]
const LARGE = 5 * 2 ** 20

/** Somebody else writes a file; resolves when the server shows it. */
async function put(world: World, name: string, text: string | Buffer): Promise<void> {
  const data = Buffer.from(text)
  await world.server.put(world.path(name), data, data.length)
  await world.server.waitFor(world.path(name), (it) => it?.etag === md5(data))
}

async function shown(world: World): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for await (const page of world.server.list(world.path('').slice(0, -1))) {
    for (const { path } of page) {
      const body = await world.server.get(path)
      const parts: Buffer[] = []
      for await (const part of body.stream) parts.push(part)
      found[path.slice(path.lastIndexOf('/') + 1).replace(/ \(conflict .*\)/, '!')] = Buffer.concat(parts).toString()
    }
  }
  return found
}

/** No content comes. */
const silent = (world: World): void => { world.before.get = () => Promise.reject(new CellsError('network', 'not reachable')) }

async function setAside(world: World, name: string): Promise<string[]> {
  const folder = join(world.draftsOf(name), '..', 'lost+found')
  return (await readdir(folder)).map((it) => join(folder, it))
}

describe('bases of drafts', () => {
  it('S59: what an append needs of a small file is here when it is answered', withWorld({ indexDelayMs: 50 }, async (world) => {
    await put(world, 'f', 'the base\n')
    const { engine, fs } = await world.open('a')
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => { open = resolve })
    world.before.get = () => gate
    const file = await fs.open('f', O_WRONLY | O_APPEND)
    let answered = false
    const write = fs.write(file, 0, 'ours\n').then(() => { answered = true })
    await world.server.stat(world.path('f'))
    assert.equal(answered, false)
    open()
    await write
    await put(world, 'f', 'theirs\n')
    await fs.close(file)
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await shown(world), { f: 'theirs\n', 'f!': 'the base\nours\n' })
  }))

  it('S59: what is written anew needs nothing of it', withWorld({ indexDelayMs: 50 }, async (world) => {
    await put(world, 'f', 'the base\n')
    const { engine, fs } = await world.open('a')
    world.before.get = () => Promise.reject(new Error('not needed'))
    await fs.writeFile('f', 'ours\n')
    await fs.truncate('f', 0)
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await shown(world), { f: '' })
  }))

  it('a file that is replaced while its first change waits for it is changed as it is then', withWorld({ indexDelayMs: 50 }, async (world) => {
    await put(world, 'f', 'the base\n')
    const { engine, fs } = await world.open('a')
    const file = await fs.open('f', O_WRONLY | O_APPEND)
    world.before.get = async () => {
      delete world.before.get
      await put(world, 'f', 'theirs\n')
    }
    await fs.write(file, 0, 'ours\n')
    await fs.close(file)
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await shown(world), { f: 'theirs\nours\n' })
  }))

  it('S59: what was written over a content that nobody has any more is set aside, and said so, over a new start too', withWorld({ indexDelayMs: 50 }, async (world) => {
    await put(world, 'f', 'the base\n')
    await put(world, 'g', 'another\n')
    const first = await world.open('a')
    silent(world)
    const file = await first.fs.open('f', O_WRONLY | O_APPEND)
    await first.fs.write(file, 0, 'ours\n')
    await first.fs.close(file)
    await put(world, 'f', 'theirs\n')
    delete world.before.get
    let failed: readonly FailedChange[] = []
    await until('it is set aside', async () => {
      failed = (await first.engine.sync()).failed
      return failed.some(({ advice }) => advice?.includes('lost+found'))
    })
    assert.deepEqual(failed.map(({ path }) => path), ['f'])
    const [lost, ...more] = await setAside(world, 'a')
    assert.deepEqual(more, [])
    assert.ok(failed[0]!.advice!.includes(lost!))
    assert.equal((await readFile(lost!)).toString(), '\0\0\0\0\0\0\0\0\0ours\n')
    assert.equal((await first.fs.readFile('f')).toString(), 'theirs\n')
    assert.deepEqual(await shown(world), { f: 'theirs\n', g: 'another\n' })
    await first.engine.close()
    const second = await world.open('a')
    assert.deepEqual(second.engine.status().failures, failed)
    assert.deepEqual((await second.engine.sync('g')).failed, [])
    assert.deepEqual((await second.engine.sync()).failed, failed)
    await unlink(lost!)
    assert.deepEqual(await second.engine.sync(), { failed: [] })
    assert.deepEqual(second.engine.status().failures, [])
  }))

  it('S59: so it is with a change of an earlier run', withWorld({ indexDelayMs: 50 }, async (world) => {
    await put(world, 'f', 'the base\n')
    const first = await world.open('a')
    silent(world)
    world.unreachable = true
    await first.fs.truncate('f', 3)
    await first.engine.close(AbortSignal.timeout(1))
    await put(world, 'f', 'theirs\n')
    delete world.before.get
    world.unreachable = false
    const second = await world.open('a')
    await until('it is set aside', async () => (await setAside(world, 'a')).length > 0)
    assert.equal((await readFile((await setAside(world, 'a'))[0]!)).toString(), '\0\0\0')
    await until('theirs is there', async () => (await second.fs.readFile('f')).toString() === 'theirs\n')
    assert.equal((await second.engine.sync()).failed.length, 1)
  }))

  for (const last of ['write', 'fsync', 'close', 'read'] as const) {
    it(`S59: who has it open gets ESTALE from ${last}`, withWorld({ indexDelayMs: 50 }, async (world) => {
      const base = Buffer.alloc(LARGE, 'b')
      await put(world, 'f', base)
      const { engine, fs } = await world.open('a')
      // The rest of a large file comes while it is being changed, and it is replaced meanwhile.
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => { open = resolve })
      world.before.get = () => gate
      const file = await fs.open('f', O_RDWR)
      await fs.write(file, 100, 'ours')
      await put(world, 'f', 'theirs')
      open()
      await until('it is set aside', () => Promise.resolve(engine.status().failures.length > 0))
      const act = { write: () => fs.write(file, 200, 'more'), fsync: () => fs.fsync(file), read: () => fs.read(file, 100, 4), close: () => fs.close(file) }
      await assert.rejects(act[last](), code('ESTALE'))
      if (last !== 'close') await assert.rejects(fs.close(file), code('ESTALE'))
      assert.deepEqual(await shown(world), { f: 'theirs' })
      const [lost] = await setAside(world, 'a')
      const kept = await readFile(lost!)
      assert.equal(kept.length, LARGE)
      assert.equal(kept.subarray(99, 105).toString(), '\0ours\0')
      assert.equal((await fs.readFile('f')).toString(), 'theirs')
    }))
  }
})
