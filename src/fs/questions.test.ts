import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withWorld } from './engine.testing.js'

const NAMES = Array.from({ length: 40 }, (_, index) => `n-${index}`)

test('names of a folder whose listing is too old are asked for one by one only as long as that costs less than to list it', withWorld({ indexDelayMs: 50 }, async (world) => {
  const { engine, fs } = await world.open('one')
  await fs.mkdir('d')
  for (const name of NAMES) await fs.writeFile(`d/${name}`, name)
  await engine.sync()
  await fs.readdir('d')
  while (!engine.status().live) await new Promise((resolve) => setTimeout(resolve, 10))
  // What was known before is not covered by the event stream any more.
  world.tell({ type: 'idm' } as never)
  const asked: string[] = []
  world.before.stat = (path) => {
    if ((path as string).startsWith(world.path('d/'))) asked.push(path as string)
    return Promise.resolve()
  }
  // For a while it does all the same.
  while (asked.length === 0) await fs.stat(`d/${NAMES[0]}`)
  for (const name of NAMES) {
    await fs.stat(`d/${name}`)
    await assert.rejects(fs.stat(`d/${name}-absent`), { code: 'ENOENT' })
  }
  assert.ok(asked.length < 20, `${asked.length} questions`)
  // One name in doubt is asked for alone, however often.
  const list = world.answered = (): Promise<void> => Promise.reject(new Error('listed'))
  const node = (await world.server.stat(world.path('d/n-1')))!
  for (let i = 0; i < 30; i++) {
    world.tell({ type: 'content', node: { ...node, etag: `${i}`.padStart(32, 'a') } })
    await fs.stat('d/n-1')
  }
  assert.equal(world.answered, list)
}))
