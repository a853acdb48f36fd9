/** A program that walks a tree finds it fetched: listings of the folders it comes to, contents of the small files it opens. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { World } from './engine.testing.js'

const FOLDERS = 6
const FILES = 12

it('a walk asks ahead, a look at one folder or file does not', { timeout: 60_000 }, async () => {
  const world = await World.start({ serverVersion: 4 })
  try {
    const first = await world.open('a')
    for (let d = 0; d < FOLDERS; d++) {
      await first.fs.mkdir(`d${d}`)
      for (let f = 0; f < FILES; f++) await first.fs.writeFile(`d${d}/f${f}`, `content ${d} ${f}`)
    }
    assert.deepEqual((await first.engine.sync()).failed, [])
    const { engine, fs } = await world.open('b')
    const kept = (): number => engine.status().cache.bytes

    await fs.readdir('d3')
    await fs.readFile('d3/f5')
    await pause(100)
    const alone = kept()
    assert.ok(alone < 2 * 100, `${alone} bytes for one small file`)

    await fs.readdir('')
    await fs.readdir('d0')
    for (let f = 0; f < 4; f++) await fs.readFile(`d0/f${f}`)
    // Nobody has opened the others.
    for (let tries = 0; kept() < alone + (FILES - 1) * 50; tries++) {
      assert.ok(tries < 500, `only ${kept() - alone} bytes were fetched ahead`)
      await pause(20)
    }
    assert.equal((await fs.readFile('d0/f11')).toString(), 'content 0 11')
  } finally {
    await world.close()
  }
})
