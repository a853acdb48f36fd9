/** A file keeps its number, mode, owner and type through everything that happens to the node that holds it on the server. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Attr } from './drivers/driver.js'
import { withWorld } from './engine.testing.js'
import type { PathFs } from './posix.testing.js'

const identity = ({ ino, type, mode, uid, size }: Attr): unknown => ({ ino, type, mode, uid, size })

/** What the kernel would be told when it has forgotten all. */
async function seen(fs: PathFs, path: string): Promise<unknown> {
  fs.forgetAll()
  return identity(await fs.stat(path))
}

for (const serverVersion of [2, 4] as const) describe(`identity of files, server ${serverVersion}`, { timeout: 60_000, concurrency: true }, () => {
  it('of one that replaces a symbolic link, whose node it takes', withWorld({ serverVersion }, async (world) => {
    const { engine, fs } = await world.open('a')
    await fs.symlink('elsewhere', 'link')
    await engine.sync()
    await fs.writeFile('file', 'content')
    await fs.chmod('file', 0o750)
    const before = identity(await fs.stat('file'))
    await fs.rename('file', 'link')
    await engine.sync()
    assert.deepEqual(await seen(fs, 'link'), before)
    assert.equal((await fs.readFile('link')).toString(), 'content')
    await engine.close()
    const again = await world.open('a')
    assert.deepEqual(identity(await again.fs.stat('link')), before)
    assert.equal((await again.fs.readFile('link')).toString(), 'content')
  }))

  it('of one made under the name, and with the content, of one just deleted, whose events come late', withWorld({ serverVersion }, async (world) => {
    const { engine, fs } = await world.open('b')
    await fs.writeFile('program', 'the same each time')
    await engine.sync()
    const old = await world.server.stat(world.path('program'))
    assert.ok(old)
    await fs.unlink('program')
    await engine.sync()
    await fs.writeFile('program', 'the same each time')
    await fs.chmod('program', 0o750)
    const made = identity(await fs.stat('program'))
    world.tell({ type: 'create', node: old })
    await engine.sync()
    assert.deepEqual(await seen(fs, 'program'), made)
    const { uuid } = (await world.server.stat(world.path('program')))!
    assert.equal(await fs.xattr('program', 'user.cells.uuid'), uuid)
    assert.deepEqual(await seen(fs, 'program'), made)
  }))
})

it('a name stays gone whose new file was deleted before the server was told of the old one', { timeout: 60_000 }, withWorld({ serverVersion: 4 }, async (world) => {
  const { engine, fs } = await world.open('a')
  await fs.writeFile('name', 'on the server')
  await engine.sync()
  await fs.unlink('name')
  for (const again of [() => fs.writeFile('name', ''), () => fs.mknod('name', 'fifo', 0o600)]) {
    await again()
    await fs.unlink('name')
    assert.equal(await fs.exists('name'), false)
    assert.deepEqual(await fs.readdir(''), [])
  }
  await fs.writeFile('name', '')
  await fs.rename('name', '.#name')
  assert.deepEqual(await fs.readdir(''), ['.#name'])
  await engine.sync()
  assert.deepEqual(await fs.readdir(''), ['.#name'])
  assert.equal(await world.onServer('name'), false)
}))

it('a symbolic link that could not be sent is one after a restart, too', { timeout: 60_000 }, withWorld({ serverVersion: 4 }, async (world) => {
  const first = await world.open('a')
  world.unreachable = true
  await first.fs.symlink('target', 'link')
  await first.engine.close()
  world.unreachable = false
  const { engine, fs } = await world.open('a')
  assert.equal(await fs.readlink('link'), 'target')
  assert.deepEqual((await engine.sync()).failed, [])
  assert.equal(await world.onServer('link'), true)
  fs.forgetAll()
  assert.equal((await fs.stat('link')).type, 'symlink')
  assert.equal(await fs.readlink('link'), 'target')
}))
