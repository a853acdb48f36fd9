import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withWorld } from './engine.testing.js'

test('the time of a folder in which a name has changed does not go back to what the server, or the store, has', withWorld({}, async (world) => {
  await world.server.mkdir([world.path('folder')])
  await world.server.waitFor(world.path('folder'), (node) => node !== undefined)
  const { fs } = await world.open('one')
  const before = (await fs.stat('folder')).mtime
  for (const name of ['a', 'b', 'c']) {
    await fs.writeFile(`folder/${name}`, name)
    const after = (await fs.stat('folder')).mtime
    assert.ok(after > before, `${after} after ${name}, ${before} before`)
    assert.equal((await fs.stat('folder')).mtime, after)
  }
}))
