/**
 * rename(2) over a server that never replaces: a rename onto an existing name gives `x-1` there (contract,
 * trap 4). So "write new, rename over" becomes new content for the *target's* node, which keeps its Uuid, shares
 * and versions; the source's node goes. What the server can do itself (a free name) is one move.
 */
import { randomUUID } from 'node:crypto'
import type { CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { BackupMoves } from './backup.js'
import type { Confirmer } from './confirm.js'
import { type Contents, foldersOf, nameKey, type Place } from './contents.js'
import type { Caller } from './drivers/driver.js'
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import { isBackupName, isLocalOnly } from './localnames.js'
import type { Removals } from './removals.js'
import type { Specials } from './specials.js'
import type { Unlinks } from './unlinks.js'
import { absent, type Tree } from './tree.js'
import type { TreeLock } from './treelock.js'

/** How long setting a file aside waits for the server's index, which lags 1 to 2.5 s, and far more when the server is busy: giving up costs the Uuid. */
const CONFIRM_MS = 45_000

export interface RenameDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly confirmer: Confirmer
  readonly backups: BackupMoves
  readonly removals: Removals
  readonly unlinks: Unlinks
  readonly specials: Specials
  readonly locks: TreeLock
  readonly logger: Logger
}

export class Renamer {
  private readonly deps: RenameDeps

  constructor(deps: RenameDeps) {
    this.deps = deps
  }

  async rename(from: Inode, name: string, to: Inode, newName: string, noReplace: boolean, caller: Caller): Promise<void> {
    const { tree } = this.deps
    const first = await tree.child(from, name, caller.signal)
    if (first === undefined) throw absent(name)
    if (from === to && name === newName) return
    if (within(to, first)) throw new FsError('EINVAL', 'A folder cannot be moved into itself')
    await tree.deps.inodes.pinned([from, to, first], async () => {
      // Renames put off earlier take locks of their own: they go first.
      await this.deps.backups.settle(first)
      const known = await tree.child(to, newName, caller.signal)
      await tree.deps.inodes.pinned([known], () => this.renameKnown(from, name, first, to, newName, known, noReplace, caller))
    })
  }

  private async renameKnown(from: Inode, name: string, first: Inode, to: Inode, newName: string, known: Inode | undefined, noReplace: boolean, caller: Caller): Promise<void> {
    const { tree, backups, locks } = this.deps
    if (known !== undefined) await backups.settle(known)
    if (first.type === 'folder' || first.special) await backups.settlePlace(to, newName)
    const exclusive = new Set([nameKey(from, name), nameKey(to, newName)])
    if (first.type === 'folder') exclusive.add(`d${first.ino}`)
    if (known?.type === 'folder' && !within(from, known)) exclusive.add(`d${known.ino}`)
    const shared = new Set([...foldersOf(from), ...foldersOf(to)])
    const release = await locks.acquire({ shared: [...shared].filter((key) => !exclusive.has(key)), exclusive: [...exclusive] }, caller.signal)
    try {
      const source = await tree.child(from, name, caller.signal)
      const target = await tree.child(to, newName, caller.signal)
      if (source === undefined) throw absent(name)
      if (source !== first || target !== known) throw new FsError('EBUSY', 'The names changed while they were being renamed')
      if (source === target) return
      if (target !== undefined && noReplace) throw new FsError('EEXIST', `${newName} exists`)
      if (source.readOnly || target?.readOnly === true) throw new FsError('EACCES', 'Read-only on the server')
      if (source.type === 'folder') await this.renameFolder(source, to, newName, target, caller)
      else await this.renameFile(source, to, newName, target, noReplace, caller)
    } finally {
      release()
    }
  }

  private async renameFolder(source: Inode, to: Inode, newName: string, target: Inode | undefined, caller: Caller): Promise<void> {
    const { tree, confirmer, backups } = this.deps
    const { server } = tree.deps
    if (target !== undefined) {
      if (target.type !== 'folder') throw new FsError('ENOTDIR', `${newName} is not a folder`)
      if (!target.unconfirmed) await tree.load(target)
      if ((await tree.list(target, caller.signal)).length > 0) throw new FsError('ENOTEMPTY', `${newName} is not empty`)
    }
    // What the index does not show yet may be lost in a move (trap 8).
    await this.deps.unlinks.settledBelow(source)
    await this.deps.removals.settledBelow(source)
    await confirmer.confirmedBelow(source, caller.signal)
    await backups.flush()
    if (target !== undefined) {
      await confirmer.confirmed(target, caller.signal)
      await server.remove([tree.pathAt(to, newName)], { signal: caller.signal })
      this.detachTarget(target, to, newName)
    }
    if (!await this.move(source, to, newName, caller)) throw new FsError('ENOTEMPTY', `${newName} exists`)
  }

  private async renameFile(source: Inode, to: Inode, newName: string, target: Inode | undefined, noReplace: boolean, caller: Caller): Promise<void> {
    const { tree, backups } = this.deps
    if (target?.type === 'folder') throw new FsError('EISDIR', `${newName} is a folder`)
    const [from, name] = [source.parent!, source.name]
    const localOnly = source.special || isLocalOnly(newName, tree.foldersAbove(to))
    const backup = from === to && source.onServer && isBackupName(name, newName)
    if (backup && !source.dirty) await this.known(source, caller)
    const setAside = backup && source.uuid !== '' && !source.unconfirmed && source.draft === undefined
    if (setAside && (target === undefined || !target.onServer || target.draft === undefined)) {
      if (target !== undefined) await this.removeTarget(target, to, newName, caller)
      await backups.defer(source, to, newName)
      return
    }
    // Only the mount has it: the rename itself takes its name away.
    const over = target?.special === true ? undefined : target
    if (!source.onServer) {
      if (source.special) await this.settlePlace(to, newName)
      await this.renameUnsent(source, to, newName, over, localOnly, caller)
    } else if (over !== undefined || this.clashes(source, to, newName) || backups.holds(to, newName)) {
      if (over !== undefined && !over.onServer) this.dropUnsent(over, to, newName)
      await this.replace(source, to, newName, over?.onServer === true ? over : undefined, caller)
    } else if (!await this.move(source, to, newName, caller)) {
      const taken = await tree.child(to, newName, caller.signal)
      if (noReplace) throw new FsError('EEXIST', `${newName} exists`)
      if (taken?.type === 'folder') throw new FsError('EISDIR', `${newName} is a folder`)
      await this.replace(source, to, newName, taken, caller)
    }
  }

  /** A save right after a save: waits a little until the server shows the first one, because only then its node can be given the next content. */
  private async known(source: Inode, caller: Caller): Promise<void> {
    const { confirmer } = this.deps
    const deadline = AbortSignal.timeout(CONFIRM_MS)
    try {
      await confirmer.confirmed(source, caller.signal === undefined ? deadline : AbortSignal.any([caller.signal, deadline]))
      await confirmer.retired()
    } catch {
      this.deps.logger.debug('the server does not show a content that is set aside', { name: source.name })
    }
  }

  /** The server has never had the source: the rename itself is only ours; an ordinary name then gets the content. */
  private async renameUnsent(source: Inode, to: Inode, newName: string, target: Inode | undefined, localOnly: boolean, caller: Caller): Promise<void> {
    const { tree, contents } = this.deps
    const wasLocal = source.localOnly
    if (target !== undefined && target.onServer && !localOnly) {
      await this.replace(source, to, newName, target, caller)
      return
    }
    if (target !== undefined && target.onServer) await this.removeTarget(target, to, newName, caller)
    else if (target !== undefined) this.dropUnsent(target, to, newName)
    const old: Place = { folder: source.parent!, name: source.name }
    this.rename_(source, to, newName)
    source.localOnly = localOnly
    this.deps.specials.save(source)
    contents.record(source, localOnly ? 'local' : wasLocal || source.emptyKept ? 'closed' : 'open')
    await tree.deps.store.flushed()
    if (localOnly || !wasLocal) return
    source.draft!.generation++
    try {
      await contents.commitLocked(source, caller.signal)
    } catch (error) {
      this.rename_(source, old.folder, old.name)
      source.localOnly = true
      contents.record(source, 'local')
      throw error
    }
  }

  /** The source's content becomes new content of the node at the target. */
  private async replace(source: Inode, to: Inode, newName: string, target: Inode | undefined, caller: Caller): Promise<void> {
    const { tree, contents, confirmer, removals } = this.deps
    const [from, name] = [source.parent!, source.name]
    const { inodes } = tree.deps
    const hadNode = source.onServer
    const sentToSource = new Set(source.sent)
    // Not the content of now, which may never have been there.
    const there = source.expected?.md5 ?? source.base?.etag ?? source.version?.etag ?? ''
    if (target !== undefined) await contents.keepForReaders(target, caller.signal)
    let place: Place
    try {
      place = await contents.sendOver(source, to, newName, target, caller.signal)
    } catch (error) {
      await contents.dropIdleDraft(source)
      throw error
    }
    const taken = place.name === newName
    const uuid = taken ? source.base?.uuid ?? target?.uuid ?? '' : ''
    const expected = source.expected!
    if (taken && target !== undefined) this.detachTarget(target, to, newName)
    confirmer.drop(source)
    this.rename_(source, place.folder, place.name)
    inodes.setUuid(source, uuid)
    source.localOnly = false
    source.version = undefined
    source.expected = expected
    contents.awaitConfirmation(source, expected)
    if (!taken) {
      // The program was told that its file is at the target; somebody else's is.
      tree.kernel.name(to, newName)
      tree.kernel.name(place.folder, place.name)
    }
    if (!hadNode) return
    // The content is safe under its new name; the old node holds nothing that is not there. Past the bin: nothing was deleted.
    await removals.add(from, name, source, there === '' ? expected.md5 : there, sentToSource)
  }

  /** A move on the server to a free name. False if somebody else has taken the name meanwhile. */
  private async move(source: Inode, to: Inode, newName: string, caller: Caller): Promise<boolean> {
    const { tree, confirmer, logger } = this.deps
    const [from, name] = [source.parent!, source.name]
    const { metadata } = tree.deps
    await this.settlePlace(to, newName)
    await confirmer.nameFree(to, newName, caller.signal)
    if (source.type === 'folder' && this.clashes(source, to, newName)) {
      throw new FsError('EEXIST', `A name that differs from ${newName} only in case exists, and the server cannot hold both`)
    }
    const [oldPath, newPath] = [tree.pathOf(source), tree.pathAt(to, newName)]
    // Onto a taken name the server would make another one of it, and say nothing (trap 4): ask it, whatever is known here.
    const asked = metadata.now()
    const theirs = await tree.deps.server.stat(newPath, { signal: caller.signal })
    if (theirs !== undefined && theirs.uuid !== source.uuid && tree.deps.inodes.ofUuid(theirs.uuid) === undefined) {
      tree.learn(to, newName, theirs, asked)
      return false
    }
    try {
      await this.moveOnServer(oldPath, newPath, caller)
    } catch (error) {
      // It may have happened all the same.
      tree.doubt(from, name)
      tree.doubt(to, newName)
      throw error
    }
    logger.info('renamed', { from: oldPath, to: newPath })
    const at = metadata.now()
    const node = metadata.listing(from.ino)?.answers.get(name)?.node ?? nodeOf(source, newPath)
    metadata.ours(from.ino, name, undefined, at)
    if (node !== undefined) metadata.ours(to.ino, newName, { ...node, path: newPath }, at)
    this.rename_(source, to, newName)
    source.ctime = BigInt(Date.now()) * 1_000_000n
    if (this.keepRecords(source)) await tree.deps.store.flushed()
    return true
  }

  /** What was put off for a name happens before something else takes it. */
  private async settlePlace(folder: Inode, name: string): Promise<void> {
    await this.deps.unlinks.settledAt(folder, name)
    await this.deps.removals.settledAt(folder, name)
  }

  /** Records of contents in and below a moved node name its new place. False if there are none. */
  private keepRecords(source: Inode): boolean {
    const { tree } = this.deps
    const { store, inodes } = tree.deps
    let found = false
    for (const inode of source.type === 'folder' ? inodes.all() : [source]) {
      if (inode.recordId === undefined || inode.unlinked || !within(inode, source)) continue
      found = true
      if (inode.special) {
        this.deps.specials.save(inode)
        continue
      }
      const record = store.drafts.get(inode.recordId)
      if (record !== undefined) store.saveDraft({ ...record, path: tree.localPath(inode) })
    }
    return found
  }

  private async moveOnServer(oldPath: string, newPath: string, caller: Caller): Promise<void> {
    const { server } = this.deps.tree.deps
    if (oldPath.toLowerCase() !== newPath.toLowerCase()) {
      await server.move(oldPath, newPath, { signal: caller.signal })
      return
    }
    // The server takes a change of case for a collision: two steps (trap 4).
    const between = `${newPath.slice(0, newPath.lastIndexOf('/'))}/${randomUUID()}.renaming`
    await server.move(oldPath, between, { signal: caller.signal })
    try {
      await server.move(between, newPath)
    } catch (error) {
      await server.move(between, oldPath)
      throw error
    }
  }

  /** Only the names here, in one step. */
  private rename_(source: Inode, to: Inode, newName: string): void {
    const [from, name] = [source.parent!, source.name]
    if (from === to && name === newName) return
    const covered = to.local.get(newName)
    if (covered?.special === true) this.detachTarget(covered, to, newName)
    const overlay = from.local.get(name) === source
    if (source.onServer) this.deps.tree.vacate(from, name)
    this.deps.tree.leave(from, name)
    this.deps.tree.deps.inodes.move(source, to, newName)
    to.local.delete(newName)
    if (overlay) to.local.set(newName, source)
  }

  private detachTarget(target: Inode, to: Inode, name: string): void {
    const { tree, confirmer, contents } = this.deps
    confirmer.drop(target)
    this.deps.specials.forget(target)
    to.local.delete(name)
    tree.deps.metadata.forget(target.ino)
    tree.deps.inodes.detach(target)
    if (target.opens === 0) void contents.dropDraft(target)
  }

  private dropUnsent(target: Inode, to: Inode, name: string): void {
    this.detachTarget(target, to, name)
  }

  private async removeTarget(target: Inode, to: Inode, name: string, caller: Caller): Promise<void> {
    const { tree, contents } = this.deps
    await contents.keepForReaders(target, caller.signal)
    if (target.onServer) {
      await tree.deps.server.remove([tree.pathAt(to, name)], { signal: caller.signal })
      tree.deps.metadata.ours(to.ino, name, undefined, tree.deps.metadata.now())
      tree.vacate(to, name)
    }
    this.detachTarget(target, to, name)
  }

  /** Another node of the folder differs from the name only in case: the server would make `name-1` of it. */
  private clashes(source: Inode, to: Inode, newName: string): boolean {
    const lower = newName.toLowerCase()
    for (const [name, { node }] of this.deps.tree.deps.metadata.listing(to.ino)?.answers ?? []) {
      if (node !== undefined && name !== newName && name.toLowerCase() === lower && node.uuid !== source.uuid && !to.local.has(name)) return true
    }
    return false
  }
}

function within(folder: Inode, ancestor: Inode): boolean {
  for (let at: Inode | undefined = folder; at !== undefined; at = at.parent) if (at === ancestor) return true
  return false
}

/** A node as the server would show it, from what the inode knows; undefined while it has no Uuid. */
function nodeOf(inode: Inode, path: string): CellsNode | undefined {
  if (inode.uuid === '') return undefined
  return {
    uuid: inode.uuid,
    path,
    kind: inode.type === 'folder' ? 'folder' : 'file',
    size: inode.version?.size ?? 0,
    mtime: Number(inode.mtime / 1_000_000_000n),
    etag: inode.version?.etag ?? '',
    hash: '',
    readOnly: inode.readOnly,
    meta: {},
  }
}
