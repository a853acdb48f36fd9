/**
 * The times of folders in which names change. They take effect at once and go to the store together, a little later: a record for each file that
 * is made in a folder would double the work of its close. A crash in between costs a folder's time, nothing else.
 */
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

/** A folder's new time is recorded this much later, milliseconds. */
const TOUCH_MS = 250

export class FolderTimes {
  private readonly tree: Tree
  /** Folders whose time has changed and is not in the store yet. */
  private touched: Inode[] = []
  private timer: NodeJS.Timeout | undefined

  constructor(tree: Tree) {
    this.tree = tree
  }

  /** A name in the folder has changed just now. */
  touch(folder: Inode): void {
    const now = BigInt(Date.now()) * 1_000_000n
    folder.mtime = now
    folder.ctime = now
    if (folder.uuid === '' || folder.touched) return
    folder.touched = true
    folder.pins++
    this.touched.push(folder)
    this.timer ??= setTimeout(() => this.keep(), TOUCH_MS).unref()
  }

  /** Records what has changed so far; durable with the next flush of the store. */
  keep(): void {
    const { store, inodes } = this.tree.deps
    clearTimeout(this.timer)
    this.timer = undefined
    for (const folder of this.touched) {
      store.updateFacts(folder.uuid, folder.facts())
      folder.touched = false
      folder.pins--
      inodes.release(folder)
    }
    this.touched = []
  }
}
