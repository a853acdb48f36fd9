import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Store } from './store.js'

async function folder(t: { after(work: () => Promise<void>): void }): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'demo-store-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

test('what was committed is there after a new start, without a close', async t => {
  const dir = await folder(t)
  const first = await Store.open(dir)
  const table = first.table<{ n: number }>('things')
  table.set('a', { n: 1 })
  table.set('b', { n: 2 })
  table.delete('a')
  await first.commit()
  const second = await Store.open(dir)
  assert.deepEqual([...second.table('things').entries()], [['b', { n: 2 }]])
  await second.close()
  await first.close()
})

test('a torn last line is dropped whole, and later changes are kept', async t => {
  const dir = await folder(t)
  const first = await Store.open(dir)
  first.table('t').set('kept', 1)
  await first.close()
  await appendFile(join(dir, 'index.jsonl'), '[["t","half",1],["t","other"')
  const second = await Store.open(dir)
  assert.equal(second.table('t').has('half'), false)
  second.table('t').set('later', 2)
  await second.close()
  const third = await Store.open(dir)
  assert.deepEqual([...third.table('t').entries()], [['kept', 1], ['later', 2]])
  await third.close()
})

test('a log of mostly old values is rewritten at start', async t => {
  const dir = await folder(t)
  const first = await Store.open(dir)
  for (let i = 0; i < 3000; i++) first.table('t').set('same', i)
  await first.close()
  const before = (await readFile(join(dir, 'index.jsonl'))).length
  const second = await Store.open(dir)
  assert.equal(second.table('t').get('same'), 2999)
  await second.close()
  assert.ok((await readFile(join(dir, 'index.jsonl'))).length < before / 100)
})
