import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'
import { withWorld, type World } from './engine.testing.js'
import type { PathFs } from './posix.testing.js'

const FILES = Array.from({ length: 12 }, (_, index) => `file-${index}`)

/** Counts the contents that are under way to the server, and lets none arrive before `open`. */
function gate(world: World): { begun: number; open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => { open = resolve })
  const counts = { begun: 0, open }
  world.before.put = () => {
    counts.begun++
    return opened
  }
  return counts
}

/** A program that asks for one thing after the other until `work` is done. */
async function whileAsking(fs: PathFs, work: () => Promise<void>): Promise<void> {
  let over = false
  const asking = (async () => {
    for (; !over; await turn()) await fs.stat('')
  })()
  await work().finally(() => { over = true })
  await asking
}

test('while a program goes on making files none is sent, and all when it rests', withWorld({}, async (world) => {
  const { fs } = await world.open('one')
  const gated = gate(world)
  const began = performance.now()
  await whileAsking(fs, async () => {
    for (const name of FILES) await fs.writeFile(name, name)
    // (On a machine on which this takes a second they are sent all the same, see below.)
    for (; performance.now() - began < 1_000; await pause(1)) assert.equal(gated.begun, 0)
  })
  while (gated.begun < FILES.length) await pause(5)
  gated.open()
}))

test('what a program saves now and then is sent while another one goes on asking', withWorld({}, async (world) => {
  // At this pace what is put off comes after more than 16 seconds.
  const { fs } = await world.open('one', undefined, { pace: 8 })
  const gated = gate(world)
  const began = performance.now()
  await whileAsking(fs, async () => {
    await fs.writeFile('saved', 'saved')
    while (gated.begun === 0) await pause(1)
  })
  assert.ok(performance.now() - began < 16_000)
  gated.open()
}))

test('a program that never rests puts nothing off for good', withWorld({}, async (world) => {
  const { fs } = await world.open('one')
  const gated = gate(world)
  await whileAsking(fs, async () => {
    for (const name of FILES) await fs.writeFile(name, name)
    while (gated.begun < FILES.length) await pause(5)
  })
  gated.open()
}))

test('a small content that the server has taken gets no file of its own, one that cannot be sent does', withWorld({}, async (world) => {
  const { engine, fs } = await world.open('one')
  // Taken, and not shown until the end.
  let show = (): void => {}
  const shown = new Promise<void>((resolve) => { show = resolve })
  world.passes = () => false
  world.before.statMany = () => shown
  await fs.writeFile('taken', 'taken')
  while (engine.status().unconfirmed === 0) await pause(5)
  world.before.stat = (path) => path === world.path('taken') ? shown : Promise.resolve()
  world.unreachable = true
  await fs.writeFile('kept', 'kept')
  const files = async (): Promise<string[]> => {
    const names = await readdir(world.draftsOf('one'))
    return Promise.all(names.map((name) => readFile(join(world.draftsOf('one'), name), 'utf8')))
  }
  while (!(await files()).includes('kept')) await pause(20)
  assert.equal(engine.status().unconfirmed, 1)
  assert.deepEqual(await files(), ['kept'])
  world.unreachable = false
  show()
}))
