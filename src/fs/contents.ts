/**
 * The content of a file as programs see it: which source a read goes to, when a draft begins, and when one is let go. Uses durability.ts, which makes
 * drafts safe on disk. How they get to the server (sender.ts) is nothing that has to be known here, and the sender needs no handles.
 */
import type { BlockCache, VersionKey } from '../cache/blocks.js'
import type { CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import { Bases, MAX_KEPT } from './bases.js'
import type { Budget } from './budget.js'
import { type Content, Draft } from './drafts.js'
import type { Durability } from './durability.js'
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import { hasNewer } from './next-version.js'
import { checkUsable, type Handle, Pages } from './pages.js'
import { newReadPattern, VersionReader } from './reader.js'
import type { SetAside } from './set-aside.js'
import type { Tree } from './tree.js'
import { abandonUpload } from './upload.js'

export type { Handle } from './pages.js'

export interface ContentsDeps {
  readonly tree: Tree
  readonly durability: Durability
  readonly setAside: SetAside
  readonly blocks: BlockCache
  readonly budget: Budget
  /** Told of bytes as they come from the server. */
  readonly received: (bytes: number) => void
  readonly logger: Logger
}

export class Contents {
  private readonly deps: ContentsDeps
  readonly bases: Bases
  private readonly pages: Pages
  private closed = false

  constructor(deps: ContentsDeps) {
    this.deps = deps
    this.pages = new Pages(deps.tree.kernel)
    this.bases = new Bases({ tree: deps.tree, logger: deps.logger, giveUp: (...all) => this.giveUp(...all) })
  }

  /** A new handle, and what the kernel is to do with the pages it has of the file. */
  open(inode: Inode, access: { write: boolean; append: boolean }): { handle: Handle; keepCache: boolean; directIo?: boolean } {
    inode.opens++
    if (access.write) inode.writers++
    const reader = inode.draft === undefined && inode.version !== undefined && inode.symlink === undefined ? this.reader(inode) : undefined
    const handle: Handle = { inode, ...access, pattern: newReadPattern({ mayBringMore: true }), reader, content: inode.content, direct: false, fed: false, lost: false }
    return { handle, ...this.pages.opened(handle) }
  }

  /** The size of the file as the handle shows it, where that is not the file's present one. */
  sizeBehind(handle: Handle): number | undefined {
    return this.pages.isBehind(handle) && this.pages.fed(handle) ? handle.reader?.key.size : undefined
  }

  /** The shared reader of the inode's present version. */
  reader(inode: Inode): VersionReader {
    const { version } = inode
    if (version === undefined) throw new FsError('EIO', 'The file has no content on the server')
    if (inode.reader === undefined || inode.reader.key !== version) {
      inode.reader = this.newReader(version, () => this.deps.tree.places.pathOf(inode))
    }
    return inode.reader
  }

  /** A reader of one version that nobody else uses. `path`: on the server, at the moment of a request. */
  newReader(version: VersionKey, path: () => string): VersionReader {
    const { tree, blocks, budget, received, logger } = this.deps
    return new VersionReader({ server: tree.deps.server, blocks, budget, received, logger }, version, path)
  }

  /** The bytes as the handle shows the file. @throws FsError ESTALE when the content that it shows is gone */
  async read(handle: Handle, offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const { inode } = handle
    checkUsable(handle)
    if (inode.symlink !== undefined) return Buffer.from(inode.symlink).subarray(offset, offset + length)
    this.pages.beforeRead(handle, offset)
    const data = await this.readContent(handle, offset, length, signal)
    this.pages.served(handle, data.length < length)
    return data
  }

  private async readContent(handle: Handle, offset: number, length: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const { inode } = handle
    if (inode.draft !== undefined && !this.pages.isBehind(handle)) return inode.draft.read(offset, length, signal)
    try {
      return await this.readerOf(handle).read(offset, length, handle.pattern, signal)
    } catch (error) {
      // Nothing of the old version was handed out through this handle: it may begin with the new one.
      if (!(error instanceof FsError && error.code === 'ESTALE') || this.pages.fed(handle) || inode.unlinked) throw error
      if (!await hasNewer(this.deps.tree, inode, handle.reader?.key, signal) || !this.pages.replace(handle)) throw error
      return this.readerOf(handle).read(offset, length, handle.pattern, signal)
    }
  }

  /** @throws FsError ESTALE when the content that the handle shows is gone */
  private readerOf(handle: Handle): VersionReader {
    if (!this.pages.isBehind(handle)) handle.reader = this.reader(handle.inode)
    if (handle.reader === undefined) throw new FsError('ESTALE', 'The file has changed on the server')
    return handle.reader
  }

  /** The content of one version as the base of a draft. */
  baseOf(inode: Inode, version: VersionKey): Content {
    const reader = this.newReader(version, () => this.deps.tree.places.pathOf(inode))
    const pattern = newReadPattern()
    return { size: version.size, read: (offset, length, signal) => reader.read(offset, length, pattern, signal) }
  }

  /** Runs a change of the inode's content on its draft, made first if there is none. `needsBase`: something of the content stays. */
  async change(inode: Inode, handle: Handle | undefined, work: (draft: Draft) => Promise<void>, { needsBase = true } = {}): Promise<void> {
    if (handle !== undefined) checkUsable(handle)
    await this.onDraft(inode, handle, async (draft) => {
      await work(draft)
      this.bases.fetchAhead(inode, draft)
      const now = BigInt(Date.now()) * 1_000_000n
      inode.mtime = now
      inode.ctime = now
    }, needsBase)
  }

  /** As `change`, for work that leaves the content as it is: no time changes. */
  async onDraft(inode: Inode, handle: Handle | undefined, work: (draft: Draft) => Promise<void>, needsBase = false): Promise<void> {
    if (inode.symlink !== undefined) throw new FsError('EINVAL', 'A symbolic link has no content to change')
    inode.writing++
    try {
      const draft = inode.draft ?? await this.beginDraft(inode, handle, needsBase)
      await work(draft)
    } finally {
      inode.writing--
    }
  }

  private readonly beginning = new Map<Inode, Promise<Draft>>()

  private beginDraft(inode: Inode, handle: Handle | undefined, needsBase: boolean): Promise<Draft> {
    let begun = this.beginning.get(inode)
    if (begun === undefined) {
      begun = this.newDraft(inode, handle, needsBase).finally(() => this.beginning.delete(inode))
      this.beginning.set(inode, begun)
    }
    return begun
  }

  private async newDraft(inode: Inode, handle: Handle | undefined, needsBase: boolean): Promise<Draft> {
    const { tree } = this.deps
    const behind = (): boolean => handle !== undefined && this.pages.isBehind(handle) && this.pages.fed(handle)
    const reader = inode.version === undefined ? undefined : behind() ? this.readerOf(handle!) : this.reader(inode)
    const pattern = newReadPattern()
    const base: Content | undefined = reader && { size: reader.key.size, read: (offset, length, signal) => reader.read(offset, length, pattern, signal) }
    const draft = Draft.create((id) => tree.deps.store.draftFile(id), base)
    if (needsBase && reader !== undefined && !await this.bringBase(inode, handle, draft, reader.key)) return this.newDraft(inode, handle, needsBase)
    inode.base = reader?.key
    inode.draft = draft
    // Ours over an older version than the one others see: whoever shows that one does not show ours.
    if (behind()) {
      tree.kernel.content(inode)
      handle!.content = inode.content
    }
    this.pages.forgetReaders(inode)
    if (!inode.unlinked) inode.parent?.local.set(inode.name, inode)
    this.deps.durability.recordSoon(inode)
    return draft
  }

  /** False, and the draft is dropped, if somebody replaced the file meanwhile, and no program was given a byte of it: there is a newer version to begin with. */
  private async bringBase(inode: Inode, handle: Handle | undefined, draft: Draft, base: VersionKey): Promise<boolean> {
    const bound = (): boolean => inode.unlinked || (handle !== undefined && this.pages.fed(handle))
    try {
      await this.bases.bring(draft)
      if (bound() || sameVersion(inode.version, base)) return true
    } catch (error) {
      const newer = !bound() && error instanceof FsError && error.code === 'ESTALE' && await hasNewer(this.deps.tree, inode, base).catch(() => false)
      if (!newer || bound()) {
        await draft.discard()
        throw error
      }
    }
    await draft.discard()
    return false
  }

  /** What is on the server is not what the draft was made over, and that is nowhere any more: what was written goes aside, who has it open hears of it. */
  private async giveUp(inode: Inode, draft: Draft, theirs: CellsNode | undefined, askedAt: number): Promise<void> {
    const { tree, setAside } = this.deps
    this.pages.lose(inode)
    await setAside.add(draft, tree.places.localPath(inode))
    if (inode.draft !== draft) return
    const place = inode.serverPlace
    inode.base = undefined
    inode.failure = undefined
    await this.dropDraft(inode)
    tree.overlay(inode)
    tree.kernel.content(inode)
    if (place !== undefined) tree.questions.learn(place.folder, place.name, theirs, askedAt)
    if (place !== undefined) tree.doubt(place.folder, place.name)
  }

  /** Gives a new inode an empty draft that counts as a change, so that even an empty file is sent. */
  beginNew(inode: Inode): void {
    const { tree } = this.deps
    inode.draft = Draft.create((id) => tree.deps.store.draftFile(id), undefined)
    inode.draft.generation = 1
    this.deps.durability.recordSoon(inode)
  }

  /**
   * Brings all of the inode's content to this disk, synced, before it gets another name or node. What follows without a pause may
   * call `Durability.recordSecured`, so that its records and this one are written together or not at all.
   */
  async prepare(inode: Inode, signal?: AbortSignal): Promise<void> {
    for (;;) {
      if (inode.symlink !== undefined) await this.linkDraft(inode, inode.symlink)
      else await this.onDraft(inode, undefined, (draft) => draft.fill(signal))
      const { draft } = inode
      if (draft !== undefined && await this.deps.durability.prepare(inode, draft)) return
    }
  }

  private async linkDraft(inode: Inode, target: string): Promise<void> {
    if (inode.draft !== undefined) return
    const { tree } = this.deps
    const draft = Draft.create((id) => tree.deps.store.draftFile(id), undefined)
    await draft.write(0, Buffer.from(target))
    draft.committed = draft.generation
    if (inode.draft !== undefined) {
      await draft.discard()
      return
    }
    inode.base = inode.version
    inode.draft = draft
    tree.overlay(inode)
  }

  /** The last use of a handle is over. */
  release(handle: Handle): void {
    const { inode } = handle
    inode.opens--
    if (handle.write) inode.writers--
    this.pages.closed(handle)
    if (inode.opens === 0) inode.reader?.close()
    if (inode.unlinked && inode.opens === 0) void this.dropDraft(inode)
    // Pages of a shared mapping can arrive after the last close.
    else if (inode.draft !== undefined && !inode.dirty) void this.dropIdleDraft(inode)
    // Its close has secured it, if nothing came after that.
    else if (inode.dirty && inode.writers === 0 && !this.closed && inode.draft?.secured !== inode.draft?.generation) this.deps.durability.keep(inode)
    this.deps.tree.deps.inodes.release(inode)
  }

  /** A draft without a change (a rename that failed, a truncate to the same size) is not kept as ours. */
  async dropIdleDraft(inode: Inode): Promise<void> {
    const { draft } = inode
    if (draft === undefined || draft.dirty || inode.opens > 0 || inode.writing > 0 || inode.unconfirmed || inode.localOnly || inode.version === undefined) return
    inode.base = undefined
    await this.dropDraft(inode)
    this.deps.tree.overlay(inode)
  }

  /** Forgets the inode's local content: it was deleted. Never rejects. */
  async dropDraft(inode: Inode): Promise<void> {
    const { draft } = inode
    if (draft === undefined) return
    inode.draft = undefined
    try {
      if (draft.upload !== undefined) await abandonUpload(this.deps.tree.deps.server, draft.upload)
      await this.deps.durability.forget(inode, draft)
      await draft.discard()
    } catch (error) {
      this.deps.logger.warn('a draft could not be removed', { error })
    }
    this.deps.tree.deps.inodes.release(inode)
  }

  /** Before an open file is deleted on the server: fetches what its readers may still want, up to a size. */
  async keepForReaders(inode: Inode, signal?: AbortSignal): Promise<void> {
    if (inode.opens === 0 || inode.draft !== undefined || inode.version === undefined || inode.version.size > MAX_KEPT) return
    await this.onDraft(inode, undefined, (draft) => draft.fill(signal))
    if (inode.draft !== undefined) (inode.draft as Draft).committed = (inode.draft as Draft).generation
  }

  /** The mount has ended: it has secured what there was. */
  async close(): Promise<void> {
    this.closed = true
    this.pages.close()
    await this.bases.close()
  }
}

function sameVersion(a: VersionKey | undefined, b: VersionKey): boolean {
  return a !== undefined && a.uuid === b.uuid && a.etag === b.etag && a.size === b.size
}
