/**
 * rename(2), here. The server is told later (uploader.ts), and cannot replace: a rename onto an existing name gives `x-1` there
 * (contract, trap 4). So "write new, rename over" makes the source's content the next content of the *target's* node, which
 * keeps its Uuid, shares and versions; the source's own node, if there is one, goes. Any other rename leaves the node where it
 * is on the server, under another name here, until the uploader moves it.
 */
import type { Logger } from '../log.js'
import type { Confirmer } from './confirm.js'
import type { Contents } from './contents.js'
import { type Backups, GRACE_MS } from './backup.js'
import { knownOf } from './deleted.js'
import type { Caller } from './drivers/driver.js'
import type { Durability } from './durability.js'
import { FsError } from './errno.js'
import { type Inode, isWithin, type Place } from './inodes.js'
import type { Journal } from './journal.js'
import { isBackupName, isLocalOnly } from './localnames.js'
import { etagsOf, type FormerNode, part } from './parting.js'
import type { Removals } from './removals.js'
import type { Sender } from './sender.js'
import type { Specials } from './specials.js'
import { absent, type Tree } from './tree.js'
import { folderKey, foldersOf, nameKey, type TreeLock } from './treelock.js'
import type { Unlinks } from './unlinks.js'
import type { Uploader } from './uploader.js'

export interface RenameDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly durability: Durability
  readonly sender: Sender
  readonly confirmer: Confirmer
  readonly backups: Backups
  readonly journal: Journal
  readonly removals: Removals
  readonly unlinks: Unlinks
  readonly uploader: Uploader
  readonly specials: Specials
  /** Names here, held while an operation changes them. */
  readonly names: TreeLock
  readonly logger: Logger
}

export class Renamer {
  private readonly deps: RenameDeps

  constructor(deps: RenameDeps) {
    this.deps = deps
  }

  /** Resolves with the renamed inode when the rename is safe on disk. */
  async rename(from: Inode, name: string, to: Inode, newName: string, noReplace: boolean, caller: Caller): Promise<Inode | undefined> {
    const { tree } = this.deps
    const first = await tree.child(from, name, caller)
    if (first === undefined) throw absent(name)
    if (from === to && name === newName) return undefined
    if (isWithin(to, first)) throw new FsError('EINVAL', 'A folder cannot be moved into itself')
    return tree.deps.inodes.pinned([from, to, first], async () => {
      const known = await tree.child(to, newName, caller)
      return tree.deps.inodes.pinned([known], () => this.renameKnown(from, name, first, to, newName, known, noReplace, caller))
    })
  }

  private async renameKnown(from: Inode, name: string, first: Inode, to: Inode, newName: string, known: Inode | undefined, noReplace: boolean, caller: Caller): Promise<Inode | undefined> {
    const { tree, names } = this.deps
    const exclusive = new Set([nameKey(from, name), nameKey(to, newName)])
    if (first.type === 'folder') exclusive.add(folderKey(first))
    if (known?.type === 'folder' && !isWithin(from, known)) exclusive.add(folderKey(known))
    const shared = new Set([...foldersOf(from), ...foldersOf(to)])
    const release = await names.acquire({ shared: [...shared].filter((key) => !exclusive.has(key)), exclusive: [...exclusive] }, caller.signal)
    try {
      const source = await tree.child(from, name, caller)
      const target = await tree.child(to, newName, caller)
      if (source === undefined) throw absent(name)
      if (source !== first || target !== known) throw new FsError('EBUSY', 'The names changed while they were being renamed')
      if (source === target) return undefined
      if (target !== undefined && noReplace) throw new FsError('EEXIST', `${newName} exists`)
      if (source.readOnly || target?.readOnly === true) throw new FsError('EACCES', 'Read-only on the server')
      const thaw = [source, ...(target === undefined ? [] : [target])].map((it) => tree.transit.freeze(it))
      try {
        if (source.type === 'folder') await this.renameFolder(source, to, newName, target, caller)
        else await this.renameFile(source, to, newName, target, caller)
      } finally {
        for (const each of thaw) each()
      }
      await this.deps.journal.flushed()
      return source
    } finally {
      release()
    }
  }

  private async renameFolder(source: Inode, to: Inode, newName: string, target: Inode | undefined, caller: Caller): Promise<void> {
    const { tree } = this.deps
    if (target !== undefined) {
      if (target.type !== 'folder') throw new FsError('ENOTDIR', `${newName} is not a folder`)
      if ((await tree.listKnown(target, caller)).length > 0) throw new FsError('ENOTEMPTY', `${newName} is not empty`)
      await this.remove(target)
    }
    if (this.clashes(source, to, newName)) {
      throw new FsError('EEXIST', `A name that differs from ${newName} only in case exists, and the server cannot hold both`)
    }
    this.shift(source, to, newName)
    this.deps.journal.relocated(source)
  }

  private async renameFile(source: Inode, to: Inode, newName: string, target: Inode | undefined, caller: Caller): Promise<void> {
    const { tree, durability, uploader } = this.deps
    if (target?.type === 'folder') throw new FsError('EISDIR', `${newName} is a folder`)
    const [from, name] = [source.parent!, source.name]
    const localOnly = source.special || isLocalOnly(newName, tree.places.foldersAbove(to))
    const backup = from === to && source.onServer && !source.localOnly && isBackupName(name, newName)
    if (target !== undefined && !target.special && (target.onServer || target.localOnly !== localOnly) && !backup && !localOnly) {
      await this.adopt(source, target, caller)
      return
    }
    // Its name gives it a durability that it did not have.
    if (source.localOnly && !localOnly) await durability.secure(source, { lasting: true })
    // The node at the place is a backup's only for now: the source's content is to be the node's next.
    const inherits = this.deps.backups.at(to, newName) !== undefined
    if (source.onServer && !source.localOnly && !localOnly && (inherits || this.clashes(source, to, newName))) await this.becomeNew(source, caller)
    if (localOnly && source.onServer && !source.special) {
      // The server's node stays as it was deleted: a scratch name never reaches it.
      await this.leaveNode(source, caller)
    }
    // Last, so that the target goes with the rename or not at all.
    if (target !== undefined) await this.remove(target)
    const wasLocal = source.localOnly
    source.localOnly = localOnly
    source.graceUntil = backup ? tree.deps.metadata.now() + tree.pause(GRACE_MS) : 0
    this.shift(source, to, newName)
    if (source.special) {
      this.deps.specials.save(source)
      return
    }
    if (source.draft === undefined) {
      uploader.add(source, backup ? tree.pause(GRACE_MS) : undefined)
      return
    }
    durability.record(source, localOnly ? 'local' : wasLocal || durability.due(source) ? 'closed' : source.unconfirmed || !source.dirty ? 'sent' : 'open')
    if (wasLocal && !localOnly) {
      source.draft.generation++
      await durability.secure(source)
    }
    uploader.add(source, backup ? tree.pause(GRACE_MS) : undefined)
  }

  /** Another name here; on the server the node stays where it is until the uploader moves it. */
  private shift(source: Inode, to: Inode, newName: string): void {
    const { tree, journal, removals, uploader } = this.deps
    const [from, name] = [source.parent!, source.name]
    const place: Place = { folder: to, name: newName }
    if (source.onServer && !source.localOnly) {
      // A move that is under way may have taken it away from there.
      const home = source.heldAt?.folder === to && source.heldAt.name === newName && source.movingTo === undefined
      tree.places.hold(source, home ? undefined : source.heldAt ?? { folder: from, name })
    }
    tree.deps.inodes.move(source, place.folder, place.name)
    source.ctime = BigInt(Date.now()) * 1_000_000n
    from.local.delete(name)
    tree.leave(from, name)
    to.local.delete(newName)
    tree.overlay(source)
    journal.move(source)
    journal.folder(source)
    removals.renamed(source)
    uploader.add(source)
  }

  /** The source's content becomes the next content of the target's node. */
  private async adopt(source: Inode, target: Inode, caller: Caller): Promise<void> {
    const { tree, contents, durability, sender, journal, removals, uploader } = this.deps
    const { inodes } = tree.deps
    const [to, newName] = [target.parent!, target.name]
    do {
      await sender.stopSending(source)
      await sender.stopSending(target)
      await contents.keepForReaders(target, caller.signal)
      await contents.prepare(source, caller.signal)
    } while (sender.isSending(source) || sender.isSending(target))
    // From here on without a pause, so that nobody sees half of it.
    const [from, name] = [source.parent!, source.name]
    const old = part(source, this.deps)
    const node = part(target, this.deps)
    to.local.delete(newName)
    tree.deps.metadata.forget(target.ino)
    inodes.detach(target)
    uploader.forget(target)
    from.local.delete(name)
    inodes.move(source, to, newName)
    inodes.setUuid(source, node.uuid)
    source.base = node.base ?? node.version
    for (const md5 of node.sent) source.sent.add(md5)
    source.localOnly = false
    source.graceUntil = node.graceUntil
    tree.places.hold(source, node.heldAt)
    tree.places.aim(source, node.movingTo)
    source.ctime = BigInt(Date.now()) * 1_000_000n
    tree.overlay(source)
    journal.move(source)
    durability.recordSecured(source)
    removals.renamed(source)
    this.removeFormer(old, source)
    tree.leave(from, name)
    if (target.opens === 0) void contents.dropDraft(target)
    uploader.add(source)
  }

  /** A move would make `name-1` of it (trap 4), a new file can have the name: its node goes once the content is there. */
  private async becomeNew(source: Inode, caller: Caller): Promise<void> {
    await this.atRest(source, caller)
    const old = part(source, this.deps)
    this.deps.durability.recordSecured(source)
    this.removeFormer(old, source)
  }

  /** The node that an inode had is to go: not before its content, which counts as unsent only now, is there as the inode's next node. */
  private removeFormer(old: FormerNode, keeper: Inode): void {
    const { removals } = this.deps
    if (old.place === undefined) return
    // (In the order in which they were sent; none once the server shows the last.)
    const unshown = old.sent.at(-1)
    removals.add(old.place, old.uuid, etagsOf(old), keeper, unshown)
    if (old.movingTo !== undefined && old.uuid !== '') removals.add(old.movingTo, old.uuid, etagsOf(old), keeper, unshown)
  }

  /** The inode is a local file from now on; its node on the server is deleted. */
  private async leaveNode(source: Inode, caller: Caller): Promise<void> {
    const { durability, unlinks } = this.deps
    await this.atRest(source, caller)
    const [meant, unshown] = [knownOf(source), source.unconfirmed]
    unlinks.addFormer(part(source, this.deps), meant, unshown)
    source.localOnly = true
    durability.recordSecured(source)
  }

  /** All of the content is on this disk and nothing of the inode on its way to the server: what follows without a pause cannot be overtaken. */
  private async atRest(source: Inode, caller: Caller): Promise<void> {
    const { contents, sender } = this.deps
    do {
      await sender.stopSending(source)
      await contents.prepare(source, caller.signal)
    } while (sender.isSending(source))
  }

  /** A target that has to go: to the bin, or just away if the server never had it. */
  private async remove(target: Inode): Promise<void> {
    const { tree, contents, sender, confirmer, unlinks, journal, uploader } = this.deps
    await sender.stopSending(target)
    await contents.keepForReaders(target)
    const place = target.onServer && !target.localOnly ? target.serverPlace : undefined
    const { parent, name } = target
    if (place !== undefined) {
      unlinks.add(place, target, target.type === 'folder' ? unlinks.coverBelow(target) : undefined)
      if (target.type === 'folder') tree.places.hold(target, place)
      else tree.places.hold(target, undefined)
    }
    confirmer.drop(target)
    this.deps.specials.forget(target)
    if (target.type === 'folder') tree.succession.empty(target)
    parent?.local.delete(name)
    tree.deps.inodes.detach(target)
    journal.move(target)
    journal.folder(target)
    uploader.forget(target)
    if (parent !== undefined) tree.leave(parent, name)
    if (target.opens === 0) void contents.dropDraft(target)
  }

  /** Another node of the folder differs from the name only in case: the server would make `name-1` of it. */
  private clashes(source: Inode, to: Inode, newName: string): boolean {
    const lower = newName.toLowerCase()
    for (const [name, node] of this.deps.tree.deps.metadata.listing(to.ino)?.nodes ?? []) {
      if (node !== undefined && name !== newName && name.toLowerCase() === lower && node.uuid !== source.uuid && !to.local.has(name)) return true
    }
    return false
  }
}
