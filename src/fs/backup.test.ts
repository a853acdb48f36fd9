/** What the newcomer's content is compared with when a backup gives up the node. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { VersionKey } from '../cache/blocks.js'
import { Backups, type BackupDeps } from './backup.js'
import { Inode } from './inodes.js'

const [first, second] = ['first', 'second'].map((etag) => ({ uuid: 'u', etag, size: 5 })) as [VersionKey, VersionKey]

/** `doc~`, which was `doc` and has been sent as `second`; `prepare` runs while its content is being made safe. */
function world(prepare: (backup: Inode) => void): { backups: Backups; folder: Inode; backup: Inode; heir: Inode } {
  const folder = new Inode(1, 'folder', undefined, '', { mode: 0o755, uid: 0, gid: 0 })
  const file = (ino: number, name: string): Inode => new Inode(ino, 'file', folder, name, { mode: 0o644, uid: 0, gid: 0 })
  const [backup, heir] = [file(2, 'doc~'), file(3, 'doc')]
  backup.uuid = 'u'
  backup.base = first
  backup.sent.add('second')
  backup.graceUntil = 1
  backup.heldAt = { folder, name: 'doc' }
  const backups = new Backups({
    tree: { pause: (ms: number) => ms, places: { heldBy: () => backup, hold: (inode: Inode) => { inode.heldAt = undefined }, aim: () => {} }, overlay: () => {}, uncoverHidden: () => {}, deps: { inodes: { setUuid: (inode: Inode, uuid: string) => { inode.uuid = uuid } } } },
    journal: { move: () => {}, flushed: () => Promise.resolve() },
    confirmer: { drop: () => {} },
    contents: { prepare: () => Promise.resolve(prepare(backup)) },
    durability: { recordSecured: () => {}, secure: () => Promise.resolve(), rebase: () => {} },
  } as unknown as BackupDeps)
  return { backups, folder, backup, heir }
}

it('takes the version of the backup that is confirmed while its content is being made safe', async () => {
  const { backups, folder, heir } = world((backup) => {
    // The event comes in between.
    backup.version = second
    backup.sent.clear()
  })
  folder.local.set('doc', heir)
  assert.deepEqual(await backups.secure({ folder, name: 'doc' }, heir), second)
  assert.deepEqual([heir.uuid, heir.base], ['u', second])
})

it('is set aside while its own content is on its way: the node stays for the file that comes', async () => {
  const { backups, folder, backup, heir } = world(() => {})
  assert.equal(await backups.secure({ folder, name: 'doc' }, backup), undefined)
  assert.deepEqual([backup.uuid, backup.base, [...backup.sent]], ['u', first, ['second']])
  // It comes.
  folder.local.set('doc', heir)
  assert.deepEqual(await backups.secure({ folder, name: 'doc' }, heir), first)
  assert.deepEqual([heir.uuid, heir.base, [...heir.sent]], ['u', first, ['second']])
})
