/**
 * FIFOs and Unix sockets: names that live in the mount only. What passes through them is the kernel's affair and never comes here; the
 * server has nothing to hold them with, and could serve them to nobody. So they are kept as records of the store, like files that are never sent (localnames.ts),
 * and are there again after a restart, as on a disk. ssh, gpg and git put their control sockets beside their files, build scripts
 * call mkfifo.
 *
 * A name on the server that came into being under one is not shown while it is there.
 */
import { randomUUID } from 'node:crypto'
import type { SpecialRecord } from '../cache/store.js'
import type { Logger } from '../log.js'
import { fromPair, type Inode, type Place, toPair } from './inodes.js'
import type { Tree } from './tree.js'

export interface SpecialsDeps {
  readonly tree: Tree
  readonly logger: Logger
}

export class Specials {
  private readonly deps: SpecialsDeps

  constructor(deps: SpecialsDeps) {
    this.deps = deps
  }

  /** A new one at a name that is free. The caller gives it owner and times, then saves it. */
  create(type: SpecialRecord['type'], folder: Inode, name: string, mode: number, ino?: number): Inode {
    const { tree } = this.deps
    const inode = tree.deps.inodes.create(type, folder, name, '', ino, { ...tree.attributes.ownership('file'), mode })
    inode.localOnly = true
    inode.recordId = randomUUID()
    folder.local.set(name, inode)
    return inode
  }

  /** Keeps what is known of it; durable with the next flush of the store. */
  save(inode: Inode): void {
    const { type, mode, uid, gid, ino, atime, mtime, recordId } = inode
    if ((type !== 'fifo' && type !== 'socket') || recordId === undefined || inode.unlinked) return
    const { store } = this.deps.tree.deps
    store.saveSpecial(recordId, { path: this.deps.tree.places.localPath(inode), type, mode, uid, gid, ino, mtime: toPair(mtime), atime: toPair(atime) })
  }

  /** It is gone, or is not a special file any more. */
  forget(inode: Inode): void {
    const { recordId } = inode
    if (!inode.special || recordId === undefined) return
    inode.recordId = undefined
    void this.deps.tree.deps.store.specials.remove(recordId)
  }

  /** What earlier processes left. `place` finds a path's folder, if it is still there. */
  async recover(place: (path: string) => Promise<Place | undefined>): Promise<void> {
    const { tree, logger } = this.deps
    const { store } = tree.deps
    for (const { key, value } of [...store.specials.getRange()]) {
      try {
        const found = await place(value.path)
        if (found === undefined || await tree.child(found.folder, found.name) !== undefined) {
          logger.info('a fifo or socket of an earlier run has no place any more', { path: value.path })
          await store.specials.remove(key)
          continue
        }
        const inode = this.create(value.type, found.folder, found.name, value.mode, value.ino)
        inode.recordId = key
        inode.uid = value.uid
        inode.gid = value.gid
        inode.atime = fromPair(value.atime)
        inode.mtime = inode.ctime = fromPair(value.mtime)
      } catch (error) {
        // Still recorded; the next start tries again.
        logger.warn('a fifo or socket of an earlier run waits', { path: value.path, error })
      }
    }
  }
}
