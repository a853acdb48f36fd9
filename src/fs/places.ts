/**
 * Where things are: an inode's name here, its place on the server, and the paths of both. The two trees differ while a rename waits to be sent (`heldAt`:
 * the server has the node elsewhere) and while the server is being told of it (`movingTo`: nobody knows yet). Nothing is asked here, and
 * the server's answers are not looked at: places follow from what this side has done.
 */
import { LRUCache } from 'lru-cache'
import { FsError } from './errno.js'
import type { Inode, InodeTable, Place } from './inodes.js'
import { folderKey } from './treelock.js'

/** An event can be this late on a busy server. */
const FORMER_MS = 120_000
const MAX_FORMER = 1_000

export class Places {
  private readonly inodes: InodeTable
  private readonly remote: string

  /** `remote`: the folder of the server that is the mount's root; '' for all workspaces. */
  constructor(inodes: InodeTable, remote: string) {
    this.inodes = inodes
    this.remote = remote
  }

  /** The node's path on the server. @throws FsError ESTALE for an inode that has no name any more */
  pathOf(inode: Inode): string {
    if (inode === this.inodes.root) return this.remote
    if (inode.heldAt !== undefined) return this.pathAt(inode.heldAt.folder, inode.heldAt.name)
    if (inode.unlinked || inode.parent === undefined) throw new FsError('ESTALE', 'The file has been deleted')
    return this.pathAt(inode.parent, inode.name)
  }

  /** Is the folder anywhere on the server, as far as is known here? */
  hasPath(folder: Inode): boolean {
    for (let at: Inode | undefined = folder; at !== this.inodes.root; at = at.serverPlace?.folder) if (at?.serverPlace === undefined) return false
    return true
  }

  /** The path on the server of a name in a folder, as the server has that one now. @throws FsError ESTALE */
  pathAt(folder: Inode, name: string): string {
    const above = this.pathOf(folder)
    return above === '' ? name : `${above}/${name}`
  }

  /** Path below the mount, for people and for records. */
  localPath(inode: Inode): string {
    const names: string[] = []
    for (let at: Inode | undefined = inode; at?.parent !== undefined; at = at.parent) names.unshift(at.name)
    return names.join('/')
  }

  /** The names of all folders from the server's root down to this one, as they are here. */
  foldersAbove(folder: Inode): string[] {
    return [...this.remote.split('/'), ...this.localPath(folder).split('/')]
  }

  private readonly held = new Map<string, Inode>()

  /** The server has the node at another name than its own here; undefined: no longer. */
  hold(inode: Inode, place: Place | undefined): void {
    if (inode.heldAt !== undefined && this.held.get(placeKey(inode.heldAt)) === inode) this.held.delete(placeKey(inode.heldAt))
    inode.heldAt = place
    if (place === undefined) return
    this.held.set(placeKey(place), inode)
    this.hide(inode, place)
  }

  /** The inode that the server has at a place which is not its own here. */
  heldBy(folder: Inode, name: string): Inode | undefined {
    return this.held.get(placeKey({ folder, name }))
  }

  private readonly aims = new Map<string, Inode>()

  /** The server is being told to move the node there, and has not answered; undefined: that is over. */
  aim(inode: Inode, place: Place | undefined): void {
    const { movingTo } = inode
    if (movingTo !== undefined && this.aims.get(placeKey(movingTo)) === inode) this.aims.delete(placeKey(movingTo))
    inode.movingTo = place
    if (place === undefined) return
    this.aims.set(placeKey(place), inode)
    this.hide(inode, place)
  }

  /** What the server has at the place does not show there, because it is elsewhere here. */
  private hide(inode: Inode, { folder, name }: Place): void {
    if (!folder.local.has(name) && !(inode.parent === folder && inode.name === name && !inode.unlinked)) folder.local.set(name, null)
  }

  /** The inode that the server may have at a place, or may be about to, which is not its own here. */
  elsewhereHere(folder: Inode, name: string): Inode | undefined {
    const held = this.heldBy(folder, name)
    if (held !== undefined) return held
    const aimed = this.aims.get(placeKey({ folder, name }))
    return aimed === undefined || (aimed.parent === folder && aimed.name === name && !aimed.unlinked) ? undefined : aimed
  }

  /** Whoever is still to leave a place of the server for `inode`. A backup's node stays there: the newcomer takes it over (backup.ts). */
  toLeave(folder: Inode, name: string, inode: Inode): Inode | undefined {
    const holder = this.elsewhereHere(folder, name)
    return holder === undefined || holder === inode || holder.unlinked || holder.graceUntil > 0 ? undefined : holder
  }

  /** All that the server has somewhere below a folder of its own tree and that is elsewhere here, not deleted. */
  heldBelow(folder: Inode): Inode[] {
    return [...this.held.values()].filter((it) => !it.unlinked && this.isWithinThere(it.heldAt?.folder, folder))
  }

  /** The folders above an inode in the server's tree, innermost first, the root last. */
  serverFolders(folder: Inode): Inode[] {
    const found: Inode[] = []
    for (let at: Inode | undefined = folder; at !== undefined; at = at.serverPlace?.folder) found.push(at)
    return found
  }

  /** Their lock keys, this one's included. (Here: foldersOf, treelock.ts.) */
  folderKeys(folder: Inode): string[] {
    return this.serverFolders(folder).map(folderKey)
  }

  /** Is the inode a folder, or somewhere below it, in the server's tree? (Here: isWithin.) */
  isWithinThere(inode: Inode | undefined, folder: Inode): boolean {
    for (let at = inode; at !== undefined; at = at.serverPlace?.folder) if (at === folder) return true
    return false
  }

  /** Does the server have this folder, or is being told of it? */
  there(folder: Inode): boolean {
    return folder === this.inodes.root || folder.onServer
  }

  /** The live inode that the server has at a name of its own tree. */
  atServerPlace(folder: Inode, name: string): Inode | undefined {
    const held = this.heldBy(folder, name)
    if (held !== undefined) return held
    const child = folder.children.get(name)
    return child?.heldAt === undefined ? child : undefined
  }

  private readonly former = new LRUCache<string, Inode>({ max: MAX_FORMER, ttl: FORMER_MS })

  /** The server has moved a folder of ours away from a place. */
  movedFrom(place: Place, folder: Inode): void {
    this.former.set(placeKey(place), folder)
  }

  /** The live folder and the name that a server path stands for, if that folder is known here. */
  locate(path: string): { folder: Inode; name: string } | undefined {
    return this.walk(path, (folder, name) => this.atServerPlace(folder, name))
  }

  /** As `locate`, of a path in an event: the server can tell of a folder that it moves for us at its new place before it answers, and at the old one after that. */
  locateTold(path: string): { folder: Inode; name: string } | undefined {
    return this.walk(path, (folder, name) => {
      const key = placeKey({ folder, name })
      return this.atServerPlace(folder, name) ?? this.aims.get(key) ?? this.former.get(key)
    })
  }

  /** As `locateTold`, of a path in an event that can be older than a move of ours: the folder that was there, although another one has its name by now. */
  locateFormer(path: string): { folder: Inode; name: string } | undefined {
    if (this.former.size === 0) return undefined
    let met = false
    const found = this.walk(path, (folder, name) => {
      const former = this.former.get(placeKey({ folder, name }))
      const now = this.atServerPlace(folder, name)
      if (former === undefined || former === now || former.unlinked) return now
      met = true
      return former
    })
    return met ? found : undefined
  }

  private walk(path: string, step: (folder: Inode, name: string) => Inode | undefined): { folder: Inode; name: string } | undefined {
    const { remote, inodes } = this
    if (remote !== '' && !path.startsWith(`${remote}/`)) return undefined
    const names = (remote === '' ? path : path.slice(remote.length + 1)).split('/')
    const name = names.pop()!
    let folder: Inode | undefined = inodes.root
    for (const each of names) folder = folder === undefined ? undefined : step(folder, each)
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }
}

/** Of the server's tree, which may differ from ours while a rename is on its way. */
export function placeKey({ folder, name }: Place): string {
  return `n${folder.ino}/${name}`
}
