/**
 * copy_file_range(2) of a whole file: the server copies it, and its content never comes here. That is what `cp` does first
 * with every file. Taken only where it wins and is certain:
 * - from the first byte to the last, of a file that the server has as we show it, into a new file that the server does not have yet (an
 *   empty file is not sent at once: open-files.ts);
 * - above `LEAST` bytes: a copy shows after a second, in which smaller contents have been read and sent.
 * Everything else is EOPNOTSUPP, and the program copies through read and write, from our blocks where they are.
 *
 * A copy job onto a taken name makes `x-1` of it and says nothing (contract, trap 4): the server is asked for the name first,
 * under the lock of the name. When the copy is answered, the server shows it (CellsServer.copy): it is as safe as an upload.
 */
import type { Logger } from '../log.js'
import type { Confirmer } from './confirm.js'
import type { Contents, Handle } from './contents.js'
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import type { Removals } from './removals.js'
import type { Sender } from './sender.js'
import { placeKey } from './places.js'
import type { Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import type { Unlinks } from './unlinks.js'

/** Smallest file that is copied by the server, bytes. */
const LEAST = 4 * 2 ** 20
const PLAIN_MD5 = /^[0-9a-f]{32}$/

export interface CopyDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly sender: Sender
  readonly confirmer: Confirmer
  readonly removals: Removals
  readonly unlinks: Unlinks
  readonly locks: TreeLock
  readonly logger: Logger
}

export class Copies {
  private readonly deps: CopyDeps

  constructor(deps: CopyDeps) {
    this.deps = deps
  }

  /**
   * Gives `to` the content of `from`, if the server can do it. Returns the bytes copied, all of them.
   * @throws FsError EOPNOTSUPP when the program has to do it itself
   */
  async copy(from: Handle, to: Handle, length: number, signal?: AbortSignal): Promise<number> {
    const [source, target] = [from.inode, to.inode]
    if (this.deps.contents.sizeBehind(from) !== undefined || !this.fits(source, target, length)) throw no('The content has to be copied here')
    const { tree, sender, locks, unlinks, removals, confirmer } = this.deps
    await sender.stopSending(target)
    if (!this.fits(source, target, length)) throw no('The files have changed')
    const [folder, above] = [target.parent!, source.parent!]
    await unlinks.settledAt(folder, target.name)
    await removals.settledAt(folder, target.name)
    await confirmer.nameFree(folder, target.name, signal)
    if (!tree.places.there(folder)) throw no('The server does not have the folder yet')
    const release = await locks.acquire({
      shared: [...new Set([...tree.places.folderKeys(folder), ...tree.places.folderKeys(above)])],
      exclusive: [...new Set([placeKey({ folder, name: target.name }), placeKey({ folder: above, name: source.name })])],
    }, signal)
    try {
      if (!this.fits(source, target, length) || target.parent !== folder || source.parent !== above) throw no('The files have changed')
      return await this.copyLocked(source, target, signal)
    } finally {
      release()
    }
  }

  private fits(source: Inode, target: Inode, length: number): boolean {
    const { version } = source
    if (version === undefined || source.draft !== undefined || source.unlinked || source.heldAt !== undefined || source.unconfirmed || source.symlink !== undefined) return false
    if (version.size < LEAST || length < version.size || !PLAIN_MD5.test(version.etag)) return false
    return source !== target && target.draft?.size === 0 && target.writing === 0 && !target.onServer && !target.localOnly && !target.unlinked && target.base === undefined
      && target.parent !== undefined && this.deps.tree.places.heldBy(target.parent, target.name) === undefined
  }

  private async copyLocked(source: Inode, target: Inode, signal: AbortSignal | undefined): Promise<number> {
    const { tree, contents, logger } = this.deps
    const { server, metadata, inodes, store } = tree.deps
    const [folder, { name }, draft] = [target.parent!, target, target.draft!]
    const version = source.version!
    const [fromPath, toPath] = [tree.places.pathOf(source), tree.places.pathAt(folder, name)]
    const now = await server.statMany([fromPath, toPath], { signal })
    if (now.get(fromPath)?.etag !== version.etag || now.has(toPath)) throw no('The server has other files there')
    const started = performance.now()
    await server.copy(fromPath, toPath, { signal })
    const node = await server.stat(toPath, { signal })
    if (node?.kind !== 'file' || node.etag !== version.etag || node.size !== version.size || target.unlinked || target.draft !== draft || draft.size > 0) {
      // What comes through the handle now is sent over it, as over an earlier content of ours.
      if (node !== undefined) target.sent.add(node.etag)
      throw no('The server made another file')
    }
    logger.info('copied on the server', { from: fromPath, to: toPath, bytes: node.size, ms: Math.round(performance.now() - started) })
    const time = BigInt(Date.now()) * 1_000_000n
    target.version = { uuid: node.uuid, etag: node.etag, size: node.size }
    target.mtime = target.ctime = time
    inodes.setUuid(target, node.uuid)
    store.updateFacts(node.uuid, { ...target.facts(), version: node.etag })
    metadata.ours(folder.ino, name, node, metadata.now())
    await contents.dropDraft(target)
    tree.overlay(target)
    return node.size
  }
}

function no(why: string): FsError {
  return new FsError('EOPNOTSUPP', why)
}
