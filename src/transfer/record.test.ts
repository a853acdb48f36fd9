import { strict as assert } from 'node:assert'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { WorkRecord } from './record.js'
import { asIfDied } from './resume.testing.js'
import { withFolder } from './testing.js'

it('a record has one owner; that of a dead one is taken by one', () => withFolder(async folder => {
  const path = join(folder, 'r.json')
  const first = await WorkRecord.claim(path, { a: 1 })
  assert.equal(await WorkRecord.claim(path, {}), undefined)
  await first?.save({ a: 2 })
  await asIfDied(folder)
  const takers = await Promise.all(Array.from({ length: 8 }, () => WorkRecord.claim(path, {})))
  assert.deepEqual(takers.filter(taker => taker !== undefined).map(taker => taker.found), [{ a: 2 }])
  await takers.find(taker => taker !== undefined)?.remove()
  assert.deepEqual(await readdir(folder), [])
}))
