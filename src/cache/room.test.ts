import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { StoreRoom } from './room.js'

const MIB = 2 ** 20
const folder = mkdtempSync(join(tmpdir(), 'room-'))
writeFileSync(join(folder, 'probe'), '')
const able = spawnSync('fallocate', ['--length', '4096', join(folder, 'probe')]).status === 0
rmSync(folder, { recursive: true })

// What it does on a disk that is full: integration-tests/mount-full-disk.test.ts.
it('keeps the file larger than it is used, and never touches what is in it', { skip: !able && 'no fallocate here' }, async (test) => {
  const dir = mkdtempSync(join(tmpdir(), 'room-'))
  test.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'file')
  writeFileSync(file, 'content')
  let used = 7
  const room = new StoreRoom(file, () => used)
  const first = statSync(file)
  assert.ok(first.size > 5 * MIB && first.blocks * 512 >= first.size, 'allocated, not only long')
  assert.equal(room.full, false)
  used = 5 * MIB
  while (statSync(file).size < used + 6 * MIB) {
    room.look()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.equal(room.full, false)
  assert.equal(spawnSync('head', ['-c', '7', file], { encoding: 'utf8' }).stdout, 'content')
})

it('does without where nothing can be allocated', () => {
  const room = new StoreRoom('/dev/null', () => 0)
  assert.equal(room.full, false)
})
