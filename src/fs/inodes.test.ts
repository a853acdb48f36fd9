/** Inodes are dropped when nothing holds them, and not under the feet of somebody who has just been given one. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { InodeTable, inoOfUuid } from './inodes.js'

const OWNER = { mode: 0o644, uid: 0, gid: 0 }

describe('inode table', () => {
  it('drops what nothing holds, and its parents', async () => {
    const table = new InodeTable(OWNER, () => false)
    const folder = table.create('folder', table.root, 'folder', 'u-folder', undefined, OWNER)
    const file = table.create('file', folder, 'file', 'u-file', undefined, OWNER)
    file.lookups = 1
    table.release(file)
    await turn()
    assert.equal(table.get(file.ino), file)
    file.lookups = 0
    table.release(file)
    await turn()
    assert.deepEqual([table.get(file.ino), table.get(folder.ino), table.ofUuid('u-file')], [undefined, undefined, undefined])
  })

  it('keeps an inode that an awaited lookup has just given to somebody', async () => {
    const table = new InodeTable(OWNER, () => false)
    const file = table.create('file', table.root, 'file', 'u-file', undefined, OWNER)
    // eslint-disable-next-line @typescript-eslint/require-await -- the gap of an await is what is tested
    const lookup = async (): Promise<typeof file> => file
    const operation = lookup().then((found) => { found.lookups++ })
    table.release(file)
    await operation
    await turn()
    assert.equal(table.get(file.ino), file)
  })

  it('does not drop the successor of an inode that is gone already', async () => {
    const table = new InodeTable(OWNER, () => false)
    const file = table.create('file', table.root, 'file', 'u-file', undefined, OWNER)
    table.release(file)
    await turn()
    const successor = table.create('file', table.root, 'file', 'u-file', undefined, OWNER)
    successor.lookups = 1
    table.release(file)
    await turn()
    assert.equal(table.get(file.ino), successor)
  })

  it('numbers Uuids of all kinds, each differently, within 49 bits', () => {
    const uuids = [
      ...Array.from({ length: 1_000 }, () => randomUUID()), 'recycle_bin', 'u-1', '', 'DATASOURCE:personal', '00000000-0000-0000-0000-000000000001',
      '00000000-0000-4000-0000-000000000000', 'ffffffff-ffff-4fff-8fff-ffffffffffff', 'FFFFFFFF-FFFF-4FFF-8FFF-FFFFFFFFFFFF',
    ]
    const numbers = uuids.map(inoOfUuid)
    assert.equal(new Set(numbers).size, uuids.length)
    for (const number of numbers) assert.equal(Number.isSafeInteger(number) && number > 1 && number < 2 ** 49, true, String(number))
    assert.deepEqual(uuids.map(inoOfUuid), numbers)
  })
})
