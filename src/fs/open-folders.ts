/** The operations on open folders. A listing is a snapshot per opendir(3), as POSIX has it; rewinddir(3) takes another. */
import type { DotNames } from './dotnames.js'
import type { Caller, DirEntry, OpenFolderResult } from './drivers/driver.js'
import { HandleTable } from './handles.js'
import type { Inode } from './inodes.js'
import type { Listed, Tree } from './tree.js'
import type { WalkAhead } from './walkahead.js'

interface FolderHandle {
  readonly inode: Inode
  snapshot: Listed[] | undefined
}

export interface OpenFoldersDeps {
  readonly tree: Tree
  readonly ahead: WalkAhead
  readonly dotNames: DotNames
}

export class OpenFolders {
  private readonly deps: OpenFoldersDeps
  private readonly handles = new HandleTable<FolderHandle>()

  constructor(deps: OpenFoldersDeps) {
    this.deps = deps
  }

  /** From now on no handle is good for anything but being closed. */
  shut(): void {
    this.handles.shut()
  }

  open(inode: Inode): OpenFolderResult {
    const { kernel } = this.deps.tree
    this.deps.dotNames.used(inode)
    const fh = this.handles.add({ inode, snapshot: undefined })
    if (!kernel.live) return { fh }
    const keepCache = kernel.mayKeepListing(inode) && inode.listingKept === inode.listingChanges
    inode.listingKept = inode.listingChanges
    return { fh, cacheable: true, keepCache }
  }

  /** At most `max` entries after the cookie `offset`; 0: from the start of a new snapshot. */
  async read(fh: number, offset: number, max: number, caller: Caller): Promise<DirEntry[]> {
    const handle = this.handles.get(fh)
    if (offset === 0 || handle.snapshot === undefined) {
      const { inode } = handle
      const above = inode.parent ?? inode
      const entries = await this.deps.tree.list(inode, caller)
      this.deps.ahead.listed(inode)
      handle.snapshot = [{ name: '.', attr: inode.attr() }, { name: '..', attr: above.attr() }, ...entries]
    }
    return handle.snapshot.slice(offset, offset + max).map(({ name, attr }, index) => ({ name, attr, next: offset + index + 1 }))
  }

  release(fh: number): void {
    const handle = this.handles.remove(fh)
    if (handle !== undefined) this.deps.tree.deps.inodes.release(handle.inode)
  }
}
