/**
 * The server shows what was sent, or what somebody has written over it: its node is the inode's from now on, and a draft that has done its work goes,
 * after its content is kept as blocks.
 */
import type { BlockCache } from '../cache/blocks.js'
import type { KnownNode } from '../cache/known.js'
import type { Logger } from '../log.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

export interface SettlingDeps {
  readonly tree: Tree
  readonly blocks: BlockCache
  /** The server has told the inode's Uuid: records of a rename name it from now on. */
  readonly onIdentified: (inode: Inode) => void
  readonly logger: Logger
}

export class Settling {
  private readonly deps: SettlingDeps
  private readonly retiring = new Set<Promise<void>>()

  constructor(deps: SettlingDeps) {
    this.deps = deps
  }

  /** Resolves when what was settled is held as the server's version, and no longer as a draft of ours. */
  async done(): Promise<void> {
    await Promise.all(this.retiring)
  }

  /** The server shows a new folder of ours. */
  folder(inode: Inode, node: KnownNode): void {
    const { tree } = this.deps
    // Somebody has deleted it and made another one.
    if (inode.uuid !== '' && inode.uuid !== node.uuid) tree.succession.becomes(inode, node.uuid)
    else tree.deps.inodes.setUuid(inode, node.uuid)
    this.deps.onIdentified(inode)
    this.takeRights(inode, node)
    tree.deps.store.updateFacts(node.uuid, inode.facts())
    this.dropOverlay(inode, node, tree.deps.metadata.now())
  }

  /** The server shows a content at a file of ours: the one that was sent (`ours`), or what somebody has written over it. */
  file(inode: Inode, node: KnownNode, ours: boolean): void {
    const { tree } = this.deps
    const at = inode.versionAt = tree.deps.metadata.now()
    if (inode.base !== undefined) {
      tree.echoes.remember(node.uuid, inode.base.etag)
    }
    for (const md5 of inode.sent) tree.echoes.remember(node.uuid, md5)
    inode.sent.clear()
    if (inode.uuid !== node.uuid) {
      tree.deps.inodes.setUuid(inode, node.uuid)
      this.deps.onIdentified(inode)
    }
    this.takeRights(inode, node)
    const version = { uuid: node.uuid, etag: node.etag, size: node.size }
    if (ours) tree.deps.store.updateFacts(node.uuid, { ...inode.facts(), version: node.etag })
    if (inode.draft === undefined) {
      if (ours) inode.version = version
      else tree.takeTheirs(inode, node)
      this.dropOverlay(inode, node, at)
      return
    }
    inode.base = version
    // The draft may be let go before its content is among the blocks.
    inode.version = version
    const work = this.retireDraft(inode, node, ours, at)
      .catch((error: unknown) => this.deps.logger.warn('a sent draft could not be retired', { path: tree.places.localPath(inode), error }))
      .finally(() => this.retiring.delete(work))
    this.retiring.add(work)
  }

  private takeRights(inode: Inode, { readOnly }: KnownNode): void {
    if (inode.readOnly === readOnly) return
    inode.readOnly = readOnly
    this.deps.tree.kernel.attributes(inode)
  }

  /** The draft's content is the server's version now: keep it as blocks, then let the draft go. */
  private async retireDraft(inode: Inode, node: KnownNode, ours: boolean, at: number): Promise<void> {
    const { tree, blocks } = this.deps
    const { draft } = inode
    if (draft === undefined) return
    const version = { uuid: node.uuid, etag: node.etag, size: node.size }
    const { generation } = draft
    if (ours && !draft.dirty) {
      const snapshot = await draft.snapshot()
      if (snapshot !== undefined) {
        if (snapshot.generation === generation) await blocks.adopt(version, snapshot.handle)
        await snapshot.done()
      }
    }
    // Let go of meanwhile, at a close: what it had to say of the name is to be said all the same.
    if (inode.draft === undefined && !inode.unconfirmed && !inode.localOnly && inode.version?.uuid === version.uuid && inode.version.etag === version.etag) {
      if (!ours) tree.takeTheirs(inode, node)
      this.dropOverlay(inode, node, at)
      return
    }
    // Written to meanwhile, or even sent and confirmed again: the draft stays, over the version it was settled with.
    if (inode.draft !== draft || draft.generation !== generation || draft.dirty || inode.writing > 0 || inode.unconfirmed || inode.localOnly) return
    inode.draft = undefined
    inode.base = undefined
    inode.version = version
    inode.reader = undefined
    if (!ours) tree.takeTheirs(inode, node)
    if (inode.recordId !== undefined && inode.recordId !== draft.id) await tree.deps.store.drafts.remove(inode.recordId)
    inode.recordId = undefined
    await tree.deps.store.drafts.remove(draft.id)
    await draft.discard()
    this.dropOverlay(inode, node, at)
  }

  /** `at`: when the server showed it. What has been heard of the name since is newer. */
  private dropOverlay(inode: Inode, node: KnownNode, at: number): void {
    const { metadata, inodes } = this.deps.tree.deps
    const place = inode.serverPlace
    // The kernel has known it all along.
    if (place !== undefined) metadata.shown(place.folder.ino, place.name, node, at)
    this.deps.tree.overlay(inode)
    // What was heard of the name while ours stood there was not told to the kernel.
    if (place !== undefined && metadata.listing(place.folder.ino)?.doubted.has(place.name) === true) this.deps.tree.kernel.attributes(inode)
    inodes.release(inode)
  }
}
