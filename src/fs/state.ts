/** How far the server has what is here: the word behind the attribute `user.cells.state`. */
import type { Confirmer } from './confirm.js'
import type { Conflicts } from './conflicts.js'
import type { Inode } from './inodes.js'
import { FILE_STATES, type FileState } from './status.js'
import type { Tree } from './tree.js'
import type { Unlinks } from './unlinks.js'
import type { Uploader } from './uploader.js'

export interface StateDeps {
  readonly tree: Tree
  readonly conflicts: Conflicts
  readonly confirmer: Confirmer
  readonly uploader: Uploader
  readonly unlinks: Unlinks
}

/** Is `path` the folder or in it? '' is everything. */
export function isBelow(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`)
}

/** What never leaves this machine has no state. */
export function hasState(inode: Inode): boolean {
  return !inode.localOnly && !inode.special && !inode.unlinked
}

export class States {
  private readonly deps: StateDeps

  constructor(deps: StateDeps) {
    this.deps = deps
  }

  /** Of a folder the worst of what is in and below it. */
  of(inode: Inode): string | undefined {
    if (!hasState(inode)) return undefined
    const [state, reason] = inode.type === 'folder' ? this.folder(inode) : this.file(inode)
    return reason === undefined ? state : `${state}: ${reason}`
  }

  private file(inode: Inode): readonly [FileState, string?] {
    const way = this.deps.uploader.stateOf(inode)
    if (way !== undefined) return [way.state, way.reason]
    if (inode.unconfirmed) return ['sending']
    return [this.deps.conflicts.all.includes(this.deps.tree.places.pathOf(inode)) ? 'conflict' : 'synced']
  }

  private folder(folder: Inode): readonly [FileState, string?] {
    const { tree, conflicts, confirmer, uploader, unlinks } = this.deps
    const here = tree.places.localPath(folder)
    let worst: readonly [FileState, string?] = ['synced']
    const found = (state: FileState, reason?: string): void => {
      if (FILE_STATES.indexOf(state) > FILE_STATES.indexOf(worst[0])) worst = [state, reason]
    }
    for (const inode of uploader.waitingInodes()) {
      const path = tree.places.localPath(inode)
      const way = isBelow(path, here) ? uploader.stateOf(inode) : undefined
      if (way !== undefined) found(way.state, way.reason === undefined ? undefined : inode === folder ? way.reason : `${path.slice(here === '' ? 0 : here.length + 1)}: ${way.reason}`)
    }
    for (const { path, state, failure } of unlinks.changes()) {
      if (isBelow(path, here)) found(state === 'waiting' ? 'pending' : state, failure === undefined ? undefined : `${path}: ${failure}`)
    }
    if (confirmer.awaits((inode) => inode === folder || isBelow(tree.places.localPath(inode), here))) found('sending')
    const remote = tree.places.pathOf(folder)
    if (conflicts.all.some((path) => isBelow(path, remote))) found('conflict')
    return worst
  }
}
