import assert from 'node:assert/strict'
import { it } from 'node:test'
import { CellsError } from './errors.js'
import { Tombstones } from './tombstones.js'

it('waits until a deleted path is empty, unless another node has come there or it is long ago', async () => {
  let now = 0
  const asked: string[] = []
  const tombstones = new Tombstones((path) => {
    asked.push(path)
    return path === 'ws/full' ? Promise.reject(new CellsError('timeout', 'not empty')) : Promise.resolve()
  }, () => now)
  for (const path of ['ws/a', 'ws/full', 'ws/moved', 'ws/old']) tombstones.add(path)
  await tombstones.settle('ws/other')
  await tombstones.settle('ws/a')
  await tombstones.settle('ws/a')
  await assert.rejects(tombstones.settle('ws/full'), (error: CellsError) => error.kind === 'locked')
  tombstones.taken('ws/moved')
  await tombstones.settle('ws/moved')
  assert.deepEqual(asked, ['ws/a', 'ws/full'])
  now = 60_000
  await tombstones.settle('ws/old')
  assert.deepEqual(asked, ['ws/a', 'ws/full'])
})
