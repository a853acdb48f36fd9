/**
 * Saves that set the old content aside: vim and emacs rename `x` to `x~` and write a new `x`; others use
 * `x.bak` or a `.tmp`. Told to the server word by word, the node with its Uuid, shares and versions would walk away under the
 * backup's name. So such a rename is put off, durably: the server keeps the node at `x`. If a new
 * `x` is written soon, its content goes to that node and the backup becomes a file of its own (or, deleted at once as vim does,
 * nothing at all). If not, the rename is told to the server after a few seconds.
 */
import type { VersionKey } from '../cache/blocks.js'
import type { Logger } from '../log.js'
import type { Contents, Place } from './contents.js'
import { foldersOf, nameKey } from './contents.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'
import type { TreeLock } from './treelock.js'

/** How long an editor has for its next step, and how long a backup that became a file waits for its own deletion. */
const GRACE_MS = 10_000

export interface BackupDeps {
  readonly tree: Tree
  readonly locks: TreeLock
  readonly contents: () => Contents
  readonly logger: Logger
}

export class BackupMoves {
  private readonly deps: BackupDeps
  private readonly held = new Map<Inode, NodeJS.Timeout>()
  /** Backups that became files of their own and are to be sent. */
  private readonly later = new Map<Inode, NodeJS.Timeout>()

  constructor(deps: BackupDeps) {
    this.deps = deps
  }

  get pending(): number {
    return this.held.size + this.later.size
  }

  /** Gives the inode its new name here, and lets the server keep the old one for now. The caller holds the locks. */
  async defer(inode: Inode, to: Inode, newName: string): Promise<void> {
    const { tree } = this.deps
    const [from, name] = [inode.parent!, inode.name]
    const { store, inodes } = tree.deps
    const old = tree.localPath(inode)
    await store.moves.put(inode.uuid, { uuid: inode.uuid, from: old, to: joined(tree.localPath(to), newName), at: Date.now() })
    await store.flushed()
    inode.heldAt = { parent: from, name }
    inodes.move(inode, to, newName)
    from.local.set(name, null)
    to.local.set(newName, inode)
    this.held.set(inode, this.timer(() => this.settle(inode)))
  }

  /** Does the server still hold a node at a place that is free here? */
  holds(folder: Inode, name: string): boolean {
    return this.heldBy(folder, name) !== undefined
  }

  private heldBy(folder: Inode, name: string): Inode | undefined {
    for (const inode of this.held.keys()) if (inode.heldAt?.parent === folder && inode.heldAt.name === name) return inode
    return undefined
  }

  /**
   * New content is about to be sent to a place. If a node is held there, its content first becomes a local file of the backup's
   * own; the node is the newcomer's from then on. Returns the version the node has.
   */
  async secure(folder: Inode, name: string): Promise<VersionKey | undefined> {
    const backup = this.heldBy(folder, name)
    if (backup === undefined) return undefined
    const { tree } = this.deps
    const contents = this.deps.contents()
    const { version } = backup
    await contents.onDraft(backup, undefined, async (draft) => {
      await draft.fill()
      await draft.sync()
    })
    backup.draft!.generation++
    backup.base = undefined
    contents.record(backup, 'closed')
    await tree.deps.store.flushed()
    this.letGo(backup, folder, name)
    await tree.deps.store.moves.remove(version!.uuid)
    this.later.set(backup, this.timer(() => this.sendLater(backup)))
    return version
  }

  /** The backup has no claim on the node any more; whoever lives at the place takes it over. */
  private letGo(backup: Inode, folder: Inode, name: string): void {
    const { inodes } = this.deps.tree.deps
    const { uuid, version } = backup
    clearTimeout(this.held.get(backup))
    this.held.delete(backup)
    backup.heldAt = undefined
    inodes.setUuid(backup, '')
    backup.version = undefined
    const heir = folder.local.get(name)
    if (heir !== undefined && heir !== null && heir.uuid === '') {
      inodes.setUuid(heir, uuid)
      heir.base = version
    }
  }

  private async sendLater(backup: Inode): Promise<void> {
    clearTimeout(this.later.get(backup))
    this.later.delete(backup)
    if (!backup.unlinked) await this.deps.contents().commit(backup)
  }

  /** A name is about to be deleted that may be a held backup's. */
  async beforeUnlink(inode: Inode): Promise<void> {
    clearTimeout(this.later.get(inode))
    this.later.delete(inode)
    if (inode.heldAt === undefined) return
    const { parent, name } = inode.heldAt
    const { uuid } = inode
    const heir = parent.local.get(name)
    if (heir === undefined || heir === null) {
      await this.settle(inode)
      return
    }
    // The new file is there, unsent: the node is its own, and nothing is to be deleted. Readers of the backup keep their content.
    await this.deps.contents().keepForReaders(inode)
    this.letGo(inode, parent, name)
    await this.deps.tree.deps.store.moves.remove(uuid)
  }

  /** Something other than a file's content is about to take a place on the server. */
  async settlePlace(folder: Inode, name: string): Promise<void> {
    const inode = this.heldBy(folder, name)
    if (inode !== undefined) await this.settle(inode)
  }

  /** Tells the server the rename that was put off. Must not be called with locks of these names held. */
  async settle(inode: Inode): Promise<void> {
    const { tree, locks, logger } = this.deps
    if (inode.heldAt === undefined || inode.parent === undefined) return
    const { parent, name } = inode.heldAt
    const release = await locks.acquire({
      shared: [...new Set([...foldersOf(parent), ...foldersOf(inode.parent)])],
      exclusive: [...new Set([nameKey(parent, name), nameKey(inode.parent, inode.name)])],
    })
    try {
      if (inode.heldAt === undefined) return
      const heir = parent.local.get(name)
      if (heir !== undefined && heir !== null) {
        // The new file exists and is not closed yet: the backup becomes a file of its own when it is sent.
        this.held.set(inode, this.timer(() => this.settle(inode)))
        return
      }
      const target = tree.pathAt(inode.parent, inode.name)
      await tree.deps.server.move(tree.pathOf(inode), target)
      logger.info('renamed', { to: target })
      clearTimeout(this.held.get(inode))
      this.held.delete(inode)
      const { metadata, store } = tree.deps
      const node = metadata.listing(parent.ino)?.answers.get(name)?.node
      inode.heldAt = undefined
      parent.local.delete(name)
      if (inode.draft === undefined) inode.parent.local.delete(inode.name)
      metadata.ours(parent.ino, name, undefined, metadata.now())
      if (node !== undefined) metadata.ours(inode.parent.ino, inode.name, { ...node, path: target }, metadata.now())
      else metadata.doubt(inode.parent.ino, inode.name)
      await store.moves.remove(inode.uuid)
    } finally {
      release()
    }
  }

  /** Tells the server everything that was put off. @throws the first failure, after trying all */
  async flush(): Promise<void> {
    const work = [...[...this.held.keys()].map((it) => this.settle(it)), ...[...this.later.keys()].map((it) => this.sendLater(it))]
    const failed = (await Promise.allSettled(work)).find((it) => it.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** Renames that an earlier process put off and did not come to tell. */
  async recover(place: (path: string) => Promise<Place | undefined>): Promise<void> {
    const { tree, logger } = this.deps
    const { store, server } = tree.deps
    const drafts = new Set([...store.drafts.getRange()].map(({ value }) => value.path))
    for (const { key, value } of [...store.moves.getRange()]) {
      const [from, to] = [await place(value.from), await place(value.to)]
      if (from !== undefined && to !== undefined && !drafts.has(value.to)) {
        const [source, target] = [tree.pathAt(from.folder, from.name), tree.pathAt(to.folder, to.name)]
        const node = await server.stat(source)
        if (node?.uuid === value.uuid && await server.stat(target) === undefined) {
          await server.move(source, target)
          logger.info('renamed, as an earlier run was asked to', { to: target })
        }
      }
      await store.moves.remove(key)
    }
  }

  close(): void {
    for (const timer of [...this.held.values(), ...this.later.values()]) clearTimeout(timer)
  }

  private timer(work: () => Promise<void>): NodeJS.Timeout {
    const timer = setTimeout(() => {
      work().catch((error: unknown) => this.deps.logger.warn('a backup rename could not be sent yet', { error }))
    }, GRACE_MS)
    timer.unref()
    return timer
  }
}

function joined(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}
