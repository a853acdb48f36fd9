/** A small content is in its record: what the disk had not yet written of its file when the power went is there again. */
import assert from 'node:assert/strict'
import { readdir, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { World } from './engine.testing.js'
import type { PathFs } from './posix.testing.js'

/** All that was acknowledged; then the power goes, and takes the files in `drafts/` with it. */
async function afterPowerCut(work: (fs: PathFs) => Promise<void>, lose: (file: string) => Promise<void>, then: (fs: PathFs, world: World) => Promise<void>): Promise<void> {
  const world = await World.start({ serverVersion: 4 })
  try {
    const first = await world.open('a')
    world.unreachable = true
    await work(first.fs)
    await first.engine.close()
    for (const name of await readdir(world.draftsOf('a'))) await lose(join(world.draftsOf('a'), name))
    world.unreachable = false
    const { engine, fs } = await world.open('a')
    assert.deepEqual((await engine.sync()).failed, [])
    await then(fs, world)
  } finally {
    await world.close()
  }
}

const LOSSES = { 'an empty file': (file: string) => truncate(file, 0), 'no file': unlink, 'other bytes': (file: string) => writeFile(file, 'rubbish') }

for (const [what, lose] of Object.entries(LOSSES)) {
  it(`closed, renamed and written over, with ${what} left`, { timeout: 60_000 }, () => afterPowerCut(async (fs) => {
    await fs.writeFile('closed', 'a small content')
    await fs.writeFile('old', 'renamed')
    await fs.rename('old', 'new')
    await fs.writeFile('target', 'first')
    await fs.writeFile('target.tmp', 'second')
    await fs.rename('target.tmp', 'target')
    await fs.writeFile('over', 'long, long ago')
    await fs.writeFile('over', 'now')
    await fs.symlink('closed', 'link')
    await fs.chmod('closed', 0o600)
  }, lose, async (fs, world) => {
    for (const [name, content] of [['closed', 'a small content'], ['new', 'renamed'], ['target', 'second'], ['over', 'now']] as const) {
      assert.equal((await fs.readFile(name)).toString(), content)
      assert.equal((await world.server.stat(world.path(name)))?.size, content.length)
    }
    assert.equal(await fs.readlink('link'), 'closed')
    assert.equal(await fs.exists('old'), false)
    assert.equal(await fs.exists('target.tmp'), false)
  }))
}

it('a lock file that becomes an ordinary one', { timeout: 60_000 }, () => afterPowerCut(async (fs) => {
  await fs.writeFile('.~lock.x#', 'content')
  await fs.rename('.~lock.x#', 'x')
}, (file) => truncate(file, 0), async (fs) => {
  assert.equal((await fs.readFile('x')).toString(), 'content')
}))

it('what is too large for a record is in its file', { timeout: 60_000 }, async () => {
  const content = Buffer.alloc(100_000, 'x')
  await assert.rejects(afterPowerCut((fs) => fs.writeFile('large', content), (file) => truncate(file, 0), async (fs) => {
    assert.deepEqual(await fs.readFile('large'), content)
  }))
})
