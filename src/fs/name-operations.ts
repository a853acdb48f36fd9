/**
 * The operations on names: what makes, renames and deletes files and folders. Each holds its names under the lock of names here, so
 * that two operations on one name follow each other, takes effect in the tree, and is recorded on disk before it is answered; the
 * server is told afterwards (uploader.ts, unlinks.ts). With `writeThrough` the answer waits for the server.
 */
import type { Caller, RenameFlags, SpecialType } from './drivers/driver.js'
import { FsError } from './errno.js'
import type { FolderTimes } from './folder-times.js'
import type { Inode } from './inodes.js'
import { isLocalOnly } from './localnames.js'
import { cleanName, type NameRules } from './name-rules.js'
import type { Asker } from './questions.js'
import { type RenameDeps, Renamer } from './rename.js'
import { absent } from './tree.js'
import { folderKey, foldersOf, nameKey } from './treelock.js'

export interface NameOperationsDeps extends RenameDeps {
  readonly rules: NameRules
  readonly times: FolderTimes
  /** A change is answered when the server has it, not when it is safe on this disk. */
  readonly writeThrough: boolean
}

export class NameOperations {
  private readonly deps: NameOperationsDeps
  private readonly renamer: Renamer

  constructor(deps: NameOperationsDeps) {
    this.deps = deps
    this.renamer = new Renamer(deps)
  }

  // -- new names

  async mkdir(folder: Inode, name: string, mode: number, caller: Caller): Promise<Inode> {
    const { tree, journal, uploader, rules } = this.deps
    const clean = rules.checkNew(folder, name)
    const inode = await this.withNewName(folder, clean, caller, async () => {
      const made = tree.deps.inodes.create('folder', folder, clean, '', undefined, tree.attributes.ownership('folder'))
      made.mode = mode & 0o7777
      own(made, caller)
      folder.local.set(clean, made)
      // Made by us just now: empty, and known to be.
      tree.deps.metadata.setAll(made.ino, new Map(), tree.deps.metadata.now())
      journal.folder(made)
      await journal.flushed()
      uploader.add(made)
      return made
    })
    await this.through(inode)
    return inode
  }

  async mknod(folder: Inode, name: string, type: SpecialType, mode: number, caller: Caller): Promise<Inode> {
    const { tree, specials, rules } = this.deps
    const clean = rules.checkNew(folder, name)
    return this.withNewName(folder, clean, caller, async () => {
      const inode = specials.create(type, folder, clean, mode & 0o7777)
      own(inode, caller)
      specials.save(inode)
      await tree.deps.store.flushed()
      return inode
    })
  }

  async symlink(folder: Inode, name: string, target: string, caller: Caller): Promise<Inode> {
    const { contents, durability, rules } = this.deps
    const clean = rules.checkNew(folder, name)
    const inode = await this.withNewName(folder, clean, caller, async () => {
      const made = this.newFile('symlink', folder, clean, 0o777, caller)
      // On the server a link is a small file that holds its target; that it is a link is a local fact.
      await contents.change(made, undefined, (draft) => draft.write(0, Buffer.from(target)))
      made.symlink = target
      return made
    })
    await durability.secure(inode)
    await this.through(inode)
    return inode
  }

  /** The file of that name, made if there is none. @throws FsError EEXIST if there is one, and `exclusive` */
  async create(folder: Inode, name: string, mode: number, exclusive: boolean, caller: Caller): Promise<{ inode: Inode; made: boolean }> {
    const { tree, rules } = this.deps
    const clean = rules.checkNew(folder, name)
    const existing = await tree.child(folder, clean, caller)
    if (existing !== undefined && !exclusive) return { inode: existing, made: false }
    const inode = await this.withNewName(folder, clean, caller, () => Promise.resolve(this.newFile('file', folder, clean, mode & 0o7777, caller)))
    return { inode, made: true }
  }

  private newFile(type: 'file' | 'symlink', folder: Inode, name: string, mode: number, caller: Caller): Inode {
    const { tree, contents } = this.deps
    const inode = tree.deps.inodes.create(type, folder, name, '', undefined, tree.attributes.ownership(type))
    inode.mode = mode
    inode.localOnly = isLocalOnly(name, tree.places.foldersAbove(folder))
    own(inode, caller)
    folder.local.set(name, inode)
    contents.beginNew(inode)
    return inode
  }

  /** Runs `make` with the name held and proven free. @throws FsError EEXIST */
  private async withNewName(folder: Inode, name: string, caller: Caller, make: () => Promise<Inode>): Promise<Inode> {
    const made = await this.changing([[folder, name]], () => this.withHeldName(folder, name, caller, make))
    this.deps.tree.kernel.otherSpellings(folder, name)
    return made
  }

  private async withHeldName(folder: Inode, name: string, caller: Caller, make: () => Promise<Inode>): Promise<Inode> {
    const { tree, names, times } = this.deps
    const release = await names.acquire({ shared: foldersOf(folder), exclusive: [nameKey(folder, name)] }, caller.signal)
    try {
      if (await tree.child(folder, name, caller) !== undefined) throw new FsError('EEXIST', `${name} exists`)
      const stale = folder.children.get(name)
      if (stale !== undefined) tree.deps.inodes.detach(stale)
      const made = await make()
      if (stale !== undefined) tree.succession.succeed(stale, made)
      times.touch(folder)
      return made
    } finally {
      release()
    }
  }

  // -- deletes

  async unlink(folder: Inode, name: string, caller: Caller): Promise<void> {
    this.deps.rules.checkWritable(folder)
    const clean = cleanName(name)
    await this.changing([[folder, clean]], () => this.unlinkAt(folder, clean, name, caller))
    if (this.deps.writeThrough) await this.deps.unlinks.settled()
  }

  private async unlinkAt(folder: Inode, clean: string, name: string, caller: Caller): Promise<void> {
    const { tree, contents, sender, backups, unlinks, specials, names, journal, times } = this.deps
    const release = await names.acquire({ shared: foldersOf(folder), exclusive: [nameKey(folder, clean)] }, caller.signal)
    try {
      const inode = await tree.child(folder, clean, caller)
      if (inode === undefined) throw absent(name)
      if (inode.type === 'folder') throw new FsError('EISDIR', `${name} is a folder`)
      if (inode.readOnly) throw new FsError('EACCES', `${name} is read-only on the server`)
      const thaw = tree.transit.freeze(inode)
      try {
        await sender.stopSending(inode)
        if (inode.onServer && !inode.localOnly && !await backups.deleted(inode)) {
          await contents.keepForReaders(inode, caller.signal)
          unlinks.add(inode.serverPlace!, inode)
        }
        specials.forget(inode)
        // What was being sent may have met somebody else's content and have become a conflict copy of it: that is what is deleted.
        if (inode.parent === undefined || inode.unlinked) this.gone(folder, clean, inode)
        else this.gone(inode.parent, inode.name, inode)
      } finally {
        thaw()
      }
      if (inode.opens === 0) await contents.dropDraft(inode)
      await journal.flushed()
      times.touch(folder)
    } finally {
      release()
    }
  }

  async rmdir(folder: Inode, name: string, caller: Caller): Promise<void> {
    this.deps.rules.checkWritable(folder)
    const clean = cleanName(name)
    await this.changing([[folder, clean]], () => this.rmdirAt(folder, clean, name, caller))
    if (this.deps.writeThrough) await this.deps.unlinks.settled()
  }

  private async rmdirAt(folder: Inode, clean: string, name: string, caller: Caller): Promise<void> {
    const { tree, sender, unlinks, names, journal, times } = this.deps
    const inode = await tree.child(folder, clean, caller)
    if (inode === undefined) throw absent(name)
    if (inode.type !== 'folder') throw new FsError('ENOTDIR', `${name} is not a folder`)
    const release = await names.acquire({ shared: foldersOf(folder), exclusive: [nameKey(folder, clean), folderKey(inode)] }, caller.signal)
    const thaw = tree.transit.freeze(inode)
    try {
      if (inode.parent !== folder || inode.unlinked) throw absent(name)
      if (inode.readOnly) throw new FsError('EACCES', `${name} is read-only on the server`)
      await this.provenEmpty(inode, caller)
      await sender.stopSending(inode)
      this.refuseFilled(inode)
      const place = inode.onServer ? inode.serverPlace : undefined
      if (place !== undefined) {
        unlinks.add(place, inode, unlinks.coverBelow(inode))
        // What is still to be moved out of it finds its path.
        tree.places.hold(inode, place)
      }
      tree.succession.empty(inode)
      this.gone(folder, clean, inode)
      await journal.flushed()
      times.touch(folder)
    } finally {
      thaw()
      release()
    }
  }

  private async provenEmpty(inode: Inode, asker: Asker): Promise<void> {
    const { tree } = this.deps
    this.refuseFilled(inode)
    // The server deletes a folder with all that is in it: what somebody adds meanwhile is looked for again before it is told (deleted.ts).
    if ((await tree.listKnown(inode, asker)).length > 0) throw new FsError('ENOTEMPTY', `${inode.name} is not empty`)
  }

  /** @throws FsError ENOTEMPTY when there is something of ours in it */
  private refuseFilled(inode: Inode): void {
    if ([...inode.local.values()].some((it) => it !== null)) throw new FsError('ENOTEMPTY', `${inode.name} is not empty`)
  }

  /** After a delete: the name leads nowhere. */
  private gone(folder: Inode, name: string, inode: Inode): void {
    const { tree, confirmer, journal } = this.deps
    confirmer.drop(inode)
    if (inode.type !== 'folder') tree.places.hold(inode, undefined)
    folder.local.delete(name)
    tree.deps.inodes.detach(inode)
    tree.leave(folder, name)
    journal.move(inode)
    journal.folder(inode)
    this.deps.uploader.forget(inode)
    inode.ctime = BigInt(Date.now()) * 1_000_000n
  }

  // -- renames

  async rename(from: Inode, name: string, to: Inode, newName: string, flags: RenameFlags, caller: Caller): Promise<void> {
    const { tree, rules, times } = this.deps
    rules.checkWritable(from)
    const clean = cleanName(name)
    const target = rules.checkNew(to, newName)
    // Three moves through a third name could do it, but not at once: others would see either file missing for seconds, and a crash in between
    // would leave a document under a name that nobody chose. Programs that exchange know what to do without.
    if (flags.exchange === true) throw new FsError('EINVAL', 'The server cannot exchange two names')
    const renamed = await this.changing([[from, clean], [to, target]], () => this.renamer.rename(from, clean, to, target, flags.noReplace === true, caller))
    tree.kernel.otherSpellings(to, target)
    times.touch(from)
    if (to !== from) times.touch(to)
    // A backup's rename stays ours for a while in any case.
    if (renamed !== undefined && renamed.graceUntil === 0) await this.through(renamed)
  }

  // -- helpers

  /** Runs a change of names. When it fails the kernel goes on believing what it did, and that may be why it failed. */
  private async changing<T>(places: ReadonlyArray<readonly [Inode, string]>, change: () => Promise<T>): Promise<T> {
    try {
      return await change()
    } catch (error) {
      for (const [folder, name] of places) this.deps.tree.kernel.name(folder, name)
      throw error
    }
  }

  /** With `writeThrough`, waits until the server has what the inode has. */
  private async through(inode: Inode): Promise<void> {
    if (this.deps.writeThrough) await this.deps.uploader.settle(inode)
  }
}

/** A new inode is its maker's, and of this moment. */
function own(inode: Inode, caller: Caller): void {
  inode.uid = caller.uid
  inode.gid = caller.gid
  inode.atime = inode.mtime = inode.ctime = BigInt(Date.now()) * 1_000_000n
}
