/** Inodes are dropped when nothing holds them, and not under the feet of somebody who has just been given one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { InodeTable } from './inodes.js'

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
})
