/**
 * Saves that set the old content aside: vim and emacs rename `x` to `x~` and write a new `x`; others use
 * `x.bak` or a `.tmp`. Told to the server word by word, the node with its Uuid, shares and versions would walk away under the
 * backup's name. So the server is told of such a rename only after a while, and until then the node belongs to the
 * place: if a new `x` is to be sent, its content goes to that node, and the backup becomes a file of its own (or, deleted at once
 * as vim does, nothing at all).
 */
import type { VersionKey } from '../cache/blocks.js'
import type { Confirmer } from './confirm.js'
import type { Contents } from './contents.js'
import type { Durability } from './durability.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import { part } from './parting.js'
import type { Tree } from './tree.js'

/** How long an editor has for its next step, and how long a backup that became a file waits for its own deletion. */
export const GRACE_MS = 10_000

export interface BackupDeps {
  readonly tree: Tree
  readonly journal: Journal
  readonly confirmer: Confirmer
  readonly contents: Contents
  readonly durability: Durability
}

export class Backups {
  private readonly deps: BackupDeps

  constructor(deps: BackupDeps) {
    this.deps = deps
  }

  /** The backup whose node still belongs to a place. */
  at(folder: Inode, name: string): Inode | undefined {
    const inode = this.deps.tree.places.heldBy(folder, name)
    return inode !== undefined && inode.graceUntil > 0 && inode.type === 'file' && !inode.unlinked ? inode : undefined
  }

  /**
   * New content is about to be sent to a place. If the node there is a backup's, the backup's content first becomes a local file of
   * its own; the node is the newcomer's from then on. Returns the version the node has. (The newcomer can be the backup itself, set aside while its own
   * content was on its way: the node is its own as before.)
   */
  async secure({ folder, name }: Place, newcomer: Inode): Promise<VersionKey | undefined> {
    const backup = this.at(folder, name)
    if (backup === undefined || backup === newcomer) return undefined
    const { contents, durability } = this.deps
    const place = backup.heldAt
    await contents.prepare(backup)
    // Deleted meanwhile: the node, and its version, are the newcomer's already.
    if (backup.heldAt !== place) return undefined
    // Not before: what was sent of the backup may have been confirmed while we waited.
    const over = backup.version ?? backup.base
    this.letGo(backup)
    durability.recordSecured(backup)
    await this.deps.journal.flushed()
    // It waits for its own deletion: that is what most editors do next.
    await durability.secure(backup, { delayMs: this.deps.tree.pause(GRACE_MS) })
    return over
  }

  /**
   * A backup is about to be deleted. If a new file is at its place, unsent, the node is that one's and nothing is to be deleted.
   * True if so.
   */
  async deleted(backup: Inode): Promise<boolean> {
    const place = backup.heldAt
    if (place === undefined || this.at(place.folder, place.name) !== backup) return false
    const heir = place.folder.local.get(place.name)
    if (heir === undefined || heir === null || heir.type !== 'file' || heir.onServer || heir.localOnly) return false
    await this.deps.contents.keepForReaders(backup)
    this.letGo(backup)
    return true
  }

  /** The backup has no claim on the node any more; whoever lives at the place takes it over. */
  private letGo(backup: Inode): void {
    const { tree } = this.deps
    const { folder, name } = backup.heldAt!
    const { uuid, version, base, sent } = part(backup, this.deps)
    tree.overlay(backup)
    const heir = folder.local.get(name)
    if (heir === undefined || heir === null || heir.onServer || heir.localOnly) {
      tree.uncoverHidden(folder, name)
      return
    }
    tree.deps.inodes.setUuid(heir, uuid)
    heir.base = version ?? base
    for (const md5 of sent) heir.sent.add(md5)
    this.deps.durability.rebase(heir)
  }
}
