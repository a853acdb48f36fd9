/**
 * The engine's side of the journal: which records the store keeps of an inode whose name, place or existence
 * the server does not know yet. (Of contents: durability.ts; of deletes: unlinks.ts and removals.ts.)
 *
 * A record says how things are, not what was done: it is written over when more is done, and removed when the server knows. So
 * what cancels itself out (create and delete, there and back) leaves nothing to send. Names of this side are paths below the mount;
 * those of the server are paths below the remote folder. Both change when a folder above is renamed, here or there.
 */
import { randomUUID } from 'node:crypto'
import { type Inode, isWithin, type Place } from './inodes.js'
import type { Tree } from './tree.js'

export class Journal {
  private readonly tree: Tree
  /** Keys of records, while there is one. */
  private readonly moves = new Map<Inode, string>()
  private readonly folders = new Map<Inode, string>()
  /** Told when names below a folder changed: here (`local`) or on the server. They keep records of their own. */
  readonly relocating: Array<(within: (inode: Inode) => boolean) => void> = []

  constructor(tree: Tree) {
    this.tree = tree
  }

  /** Keeps, or removes, the record that the server has the inode elsewhere. Durable with the next `flushed()`. */
  move(inode: Inode): void {
    const { store } = this.tree.deps
    const { heldAt, parent, movingTo } = inode
    const key = this.moves.get(inode)
    const { places } = this.tree
    const home = heldAt !== undefined && heldAt.folder === parent && heldAt.name === inode.name
    // (What went with its folder has nothing to rename.)
    if (heldAt === undefined || !places.hasPath(heldAt.folder) || parent === undefined || inode.unlinked || (home && movingTo === undefined)) {
      if (key === undefined) return
      this.moves.delete(inode)
      void store.moves.remove(key)
      return
    }
    const id = key ?? randomUUID()
    this.moves.set(inode, id)
    void store.moves.put(id, {
      uuid: inode.uuid, folder: inode.type === 'folder', from: this.serverPath(heldAt), ...(movingTo === undefined || !places.hasPath(movingTo.folder) ? {} : { also: this.serverPath(movingTo) }), to: places.localPath(inode), at: Date.now(), backup: inode.graceUntil > 0, sent: [...inode.sent],
    })
  }

  /** Keeps, or removes, the record of a folder that the server does not have, or does not show yet. */
  folder(inode: Inode): void {
    if (inode.type !== 'folder' || inode.parent === undefined) return
    const { store } = this.tree.deps
    const key = this.folders.get(inode)
    // On its way to the server it can still be lost; and what is in it is not found after a restart as long as the server does not show it (trap 12).
    if ((inode.uuid !== '' && !inode.unconfirmed) || inode.unlinked) {
      if (key === undefined) return
      this.folders.delete(inode)
      void store.folders.remove(key)
      return
    }
    const id = key ?? randomUUID()
    this.folders.set(inode, id)
    void store.folders.put(id, { path: this.tree.places.localPath(inode), at: Date.now(), facts: inode.facts() })
  }

  /** A record of an earlier process is this inode's. */
  recovered(kind: 'move' | 'folder', inode: Inode, key: string): void {
    (kind === 'move' ? this.moves : this.folders).set(inode, key)
  }

  /** Names in and below a folder changed, here or on the server: every record that contains one is written again. */
  relocated(folder: Inode): void {
    const { store } = this.tree.deps
    const within = (inode: Inode | undefined): boolean => isWithin(inode, folder)
    const withinServer = (inode: Inode | undefined): boolean => this.tree.places.isWithinThere(inode, folder)
    for (const inode of this.moves.keys()) if (within(inode) || withinServer(inode.heldAt?.folder)) this.move(inode)
    for (const inode of this.folders.keys()) if (within(inode)) this.folder(inode)
    for (const inode of this.tree.deps.inodes.all()) {
      if (inode.recordId === undefined || inode.unlinked || !within(inode)) continue
      const record = store.drafts.get(inode.recordId)
      if (record !== undefined) store.saveDraft({ ...record, path: this.tree.places.localPath(inode) })
    }
    for (const tell of this.relocating) tell((inode) => within(inode) || withinServer(inode))
  }

  /** Path below the remote folder of a place in the server's tree. */
  serverPath({ folder, name }: Place): string {
    const path = this.tree.places.pathAt(folder, name)
    const { remote } = this.tree.deps
    return remote === '' ? path : path.slice(remote.length + 1)
  }

  /** Resolves when everything recorded so far is on disk. */
  async flushed(): Promise<void> {
    await this.tree.deps.store.flushed()
  }
}
