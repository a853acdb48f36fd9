/** What the newcomer's content is compared with when a backup gives up the node. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Backups, type BackupDeps } from './backup.js'
import { Inode } from './inodes.js'

it('takes the version of the backup that is confirmed while its content is being made safe', async () => {
  const folder = new Inode(1, 'folder', undefined, '', { mode: 0o755, uid: 0, gid: 0 })
  const file = (ino: number, name: string): Inode => new Inode(ino, 'file', folder, name, { mode: 0o644, uid: 0, gid: 0 })
  const [backup, heir] = [file(2, 'doc~'), file(3, 'doc')]
  const [first, second] = ['first', 'second'].map((etag) => ({ uuid: 'u', etag, size: 5 }))
  backup.uuid = 'u'
  backup.base = first
  backup.sent.add('second')
  backup.graceUntil = 1
  backup.heldAt = { folder, name: 'doc' }
  folder.local.set('doc', heir)
  const backups = new Backups({
    tree: { pause: (ms: number) => ms, places: { heldBy: () => backup, hold: (inode: Inode) => { inode.heldAt = undefined }, aim: () => {} }, overlay: () => {}, uncoverHidden: () => {}, deps: { inodes: { setUuid: (inode: Inode, uuid: string) => { inode.uuid = uuid } } } },
    journal: { move: () => {}, flushed: () => Promise.resolve() },
    confirmer: { drop: () => {} },
    contents: {
      // The event comes in between.
      prepare: () => {
        backup.version = second
        backup.sent.clear()
        return Promise.resolve()
      },
    },
    durability: { recordSecured: () => {}, secure: () => Promise.resolve(), rebase: () => {} },
  } as unknown as BackupDeps)
  assert.deepEqual(await backups.secure(folder, 'doc'), second)
  assert.deepEqual([heir.uuid, heir.base], ['u', second])
})
