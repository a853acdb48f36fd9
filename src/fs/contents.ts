/**
 * The bytes of files: which source a read goes to, when a draft begins, and when it is sent. In this
 * version of the engine changes go to the server at close and fsync (write-through); what could not be sent stays, is
 * sent again in the background and after a restart, and is shown by status.
 */
import { randomUUID } from 'node:crypto'
import { rename as renameFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { BlockCache, VersionKey } from '../cache/blocks.js'
import type { DraftRecord } from '../cache/store.js'
import type { ContentDigest } from '../cells/digest.js'
import { isCellsError } from '../cells/errors.js'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Budget } from './budget.js'
import type { Confirmer } from './confirm.js'
import { conflictName } from './conflict.js'
import { type Content, Draft, type Snapshot } from './drafts.js'
import { FsError } from './errno.js'
import { digestFile } from './hashing.js'
import type { Inode } from './inodes.js'
import { type Handle, Pages } from './pages.js'
import { newReadPattern, VersionReader } from './reader.js'
import type { Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import { upload } from './upload.js'

export type { Handle } from './pages.js'

/** A name in a folder. */
export interface Place {
  readonly folder: Inode
  readonly name: string
}

export interface ContentsDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly locks: TreeLock
  readonly blocks: BlockCache
  readonly budget: Budget
  readonly logger: Logger
  /**
   * Makes sure that content set aside under a backup name (backup.ts) survives what is about to be written over it.
   * Returns the version that the server has at the place because of it.
   */
  readonly secureBackup: (folder: Inode, name: string) => Promise<VersionKey | undefined>
  /**
   * The name gets new content: what was still to be deleted there is deleted, or stays to be written over.
   * Returns md5s of ours that the server may still show there.
   */
  readonly freeName: (folder: Inode, name: string) => Promise<Iterable<string>>
}

const FIRST_RETRY_MS = 2_000
/** How long an open waits for an upload of somebody else to end. */
const UPLOADING_MS = 8_000
const MAX_RETRY_MS = 120_000
/** The index of a 2.x server follows a change by 1 to 2.5 s. */
const INDEX_MS = 4_000
/** An empty file is sent this long after it was closed. */
const EMPTY_MS = 400

export class Contents {
  private readonly deps: ContentsDeps
  /** What could not be sent, and when it is tried again. */
  readonly unsent = new Map<Inode, { attempts: number; timer: NodeJS.Timeout | undefined }>()
  /** Paths of conflict copies made by this process, for status. */
  readonly conflicts: string[] = []
  private readonly pages: Pages
  private closed = false

  constructor(deps: ContentsDeps) {
    this.deps = deps
    this.pages = new Pages(deps.tree.kernel)
  }

  /** A new handle, and what the kernel is to do with the pages it has of the file. */
  open(inode: Inode, access: { write: boolean; append: boolean }): { handle: Handle; keepCache: boolean; directIo?: boolean } {
    inode.opens++
    if (access.write) inode.writers++
    const reader = inode.draft === undefined && inode.version !== undefined && inode.symlink === undefined ? this.reader(inode) : undefined
    const handle: Handle = { inode, ...access, pattern: newReadPattern(), reader, content: inode.content, direct: false, fed: false }
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
      const { tree, blocks, budget, logger } = this.deps
      inode.reader = new VersionReader({ server: tree.deps.server, blocks, budget, logger }, version, () => tree.pathOf(inode))
    }
    return inode.reader
  }

  async read(handle: Handle, offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const { inode } = handle
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
      if (!await this.hasNewer(handle, signal) || !this.pages.replace(handle)) throw error
      return this.readerOf(handle).read(offset, length, handle.pattern, signal)
    }
  }

  /** @throws FsError ESTALE when the content that the handle shows is gone */
  private readerOf(handle: Handle): VersionReader {
    if (!this.pages.isBehind(handle)) handle.reader = this.reader(handle.inode)
    if (handle.reader === undefined) throw new FsError('ESTALE', 'The file has changed on the server')
    return handle.reader
  }

  /**
   * A file that somebody is just uploading has no content to read yet: waits for it.
   * @throws FsError EBUSY when it takes too long
   */
  async finished(inode: Inode, signal?: AbortSignal): Promise<void> {
    if (inode.draft !== undefined || inode.version?.etag !== ETAG_TEMPORARY) return
    const { tree } = this.deps
    try {
      const at = tree.deps.metadata.now()
      const node = await tree.deps.server.waitFor(tree.pathOf(inode), (it) => it?.etag !== ETAG_TEMPORARY, { signal, timeoutMs: UPLOADING_MS })
      if (inode.parent !== undefined && !inode.unlinked) tree.learn(inode.parent, inode.name, node, at)
    } catch (error) {
      if (!isCellsError(error, 'timeout')) throw error
      throw new FsError('EBUSY', 'The file is being uploaded by somebody', { cause: error })
    }
  }

  /** Asks for a version after the one that the handle could not read. */
  private async hasNewer(handle: Handle, signal: AbortSignal | undefined): Promise<boolean> {
    const { tree } = this.deps
    const { inode } = handle
    const old = handle.reader?.key
    const at = tree.deps.metadata.now()
    try {
      const node = await tree.deps.server.waitFor(tree.pathOf(inode), (it) => it === undefined || (it.etag !== old?.etag && it.etag !== ETAG_TEMPORARY), { signal, timeoutMs: 5_000 })
      if (node === undefined || node.kind !== 'file') return false
      if (inode.parent !== undefined) tree.learn(inode.parent, inode.name, node, at)
    } catch (error) {
      if (isCellsError(error, 'timeout')) return false
      throw error
    }
    return inode.version !== old
  }

  /** Runs a change of the inode's content on its draft, made first if there is none. */
  async change(inode: Inode, handle: Handle | undefined, work: (draft: Draft) => Promise<void>): Promise<void> {
    await this.onDraft(inode, handle, async (draft) => {
      await work(draft)
      this.fillAhead(draft)
      const now = BigInt(Date.now()) * 1_000_000n
      inode.mtime = now
      inode.ctime = now
    })
  }

  /** As `change`, for work that leaves the content as it is: no time changes. */
  async onDraft(inode: Inode, handle: Handle | undefined, work: (draft: Draft) => Promise<void>): Promise<void> {
    if (inode.symlink !== undefined) throw new FsError('EINVAL', 'A symbolic link has no content to change')
    inode.writing++
    try {
      const draft = inode.draft ?? await this.beginDraft(inode, handle)
      if (inode.emptyKept) {
        // The content that the record vouches for is about to change.
        inode.emptyKept = false
        this.record(inode, 'open')
      }
      await work(draft)
    } finally {
      inode.writing--
    }
  }

  private readonly filled = new WeakSet<Draft>()

  /** What the upload will need of the base is fetched at once: when the file is closed, the server may have another version and no longer this one. */
  private fillAhead(draft: Draft): void {
    if (draft.complete || this.filled.has(draft) || draft.size > MAX_KEPT) return
    this.filled.add(draft)
    draft.fill().catch((error: unknown) => this.deps.logger.debug('the rest of a file that is being changed could not be fetched ahead', { error }))
  }

  private readonly beginning = new Map<Inode, Promise<Draft>>()

  private beginDraft(inode: Inode, handle: Handle | undefined): Promise<Draft> {
    let begun = this.beginning.get(inode)
    if (begun === undefined) {
      begun = this.newDraft(inode, handle).finally(() => this.beginning.delete(inode))
      this.beginning.set(inode, begun)
    }
    return begun
  }

  private async newDraft(inode: Inode, handle: Handle | undefined): Promise<Draft> {
    const { tree } = this.deps
    const behind = handle !== undefined && this.pages.isBehind(handle) && this.pages.fed(handle)
    const reader = inode.version === undefined ? undefined : behind ? this.readerOf(handle) : this.reader(inode)
    const pattern = newReadPattern()
    const base: Content | undefined = reader && { size: reader.key.size, read: (offset, length, signal) => reader.read(offset, length, pattern, signal) }
    const draft = await Draft.create((id) => tree.deps.store.draftFile(id), base)
    inode.base = reader?.key
    inode.draft = draft
    // Ours over an older version than the one others see: whoever shows that one does not show ours.
    if (behind) {
      tree.kernel.content(inode)
      handle.content = inode.content
    }
    this.pages.forgetReaders(inode)
    if (!inode.unlinked) inode.parent?.local.set(inode.name, inode)
    this.record(inode, 'open')
    return draft
  }

  /** Gives a new inode an empty draft that counts as a change, so that even an empty file is sent. */
  async beginNew(inode: Inode): Promise<void> {
    const { tree } = this.deps
    inode.draft = await Draft.create((id) => tree.deps.store.draftFile(id), undefined)
    inode.draft.generation = 1
    this.record(inode, 'open')
  }

  /** Writes the draft's record; durable with the next flush of the store. */
  record(inode: Inode, state: DraftRecord['state'], digest?: ContentDigest): void {
    const { draft } = inode
    if (draft === undefined) return
    const { tree } = this.deps
    // The draft went on in a copy of its file (drafts.ts); the one that was being sent has no more to say.
    if (inode.recordId !== undefined && inode.recordId !== draft.id) void tree.deps.store.drafts.remove(inode.recordId)
    inode.recordId = draft.id
    tree.deps.store.saveDraft({
      id: draft.id,
      path: tree.localPath(inode),
      ...(inode.base === undefined ? {} : { base: { uuid: inode.base.uuid, etag: inode.base.etag, size: inode.base.size } }),
      size: draft.size,
      state,
      complete: draft.complete,
      ...(digest === undefined ? {} : { md5: digest.md5 }),
      facts: inode.facts(),
      ...(inode.failure === undefined ? {} : { failure: inode.failure }),
    })
  }

  // -- sending

  /**
   * Sends the inode's content if the server does not have it. When it resolves, the server has answered for everything written before the call.
   * @throws what went wrong; the content is kept and tried again
   */
  async commit(inode: Inode, signal?: AbortSignal): Promise<void> {
    const turn = inode.commits.then(() => this.commitNow(inode, signal))
    inode.commits = turn.catch(() => {})
    try {
      await turn
      this.clearUnsent(inode)
    } catch (error) {
      inode.failure = (error as Error).message
      this.retryLater(inode)
      throw error
    }
  }

  /** Runs `work` while nothing of the inode is being sent. */
  async exclusively<T>(inode: Inode, work: () => Promise<T>): Promise<T> {
    const turn = inode.commits.then(work)
    inode.commits = turn.then(() => {}, () => {})
    return turn
  }

  private async commitNow(inode: Inode, signal: AbortSignal | undefined): Promise<void> {
    const { draft } = inode
    if (draft === undefined || !draft.dirty || inode.unlinked) return
    if (inode.localOnly) {
      await draft.sync()
      this.record(inode, 'local')
      await this.deps.tree.deps.store.flushed()
      draft.committed = draft.generation
      return
    }
    await this.withSnapshot(inode, signal, async (snapshot, digest) => {
      const release = await this.lockPlace(inode)
      try {
        // Sent meanwhile by a rename, or nobody's any more.
        if (inode.unlinked || inode.parent === undefined || inode.localOnly || snapshot.generation <= draft.committed) return
        await this.send(inode, { folder: inode.parent, name: inode.name }, 'own', snapshot, digest, signal)
        this.sent(inode, snapshot, digest)
      } finally {
        release()
      }
    })
  }

  /** As commit, for a caller that holds the locks of the inode's name. */
  async commitLocked(inode: Inode, signal?: AbortSignal): Promise<void> {
    await this.withSnapshot(inode, signal, async (snapshot, digest) => {
      await this.send(inode, { folder: inode.parent!, name: inode.name }, 'own', snapshot, digest, signal)
      this.sent(inode, snapshot, digest)
    })
    this.clearUnsent(inode)
  }

  /**
   * Sends the inode's content over the file at another name, whose node, with its Uuid, takes it (rename over an existing file).
   * The caller holds the locks and then gives the inode that name. Returns the place the content went to: another name after a conflict.
   */
  async sendOver(inode: Inode, folder: Inode, name: string, target: Inode | undefined, signal?: AbortSignal): Promise<Place> {
    let place: Place = { folder, name }
    // The draft is needed until the end, also if its content is confirmed under the old name meanwhile.
    inode.writing++
    try {
      if (inode.draft === undefined) await this.beginDraft(inode, undefined)
      await this.withSnapshot(inode, signal, async (snapshot, digest) => {
        // What we last sent to the target may be what the server shows.
        for (const md5 of target?.sent ?? []) inode.sent.add(md5)
        place = await this.send(inode, place, target?.base ?? target?.version, snapshot, digest, signal)
        inode.draft!.committed = Math.max(inode.draft!.committed, snapshot.generation)
        inode.expected = digest
        inode.sent.add(digest.md5)
      })
    } finally {
      inode.writing--
    }
    return place
  }

  private async withSnapshot(inode: Inode, signal: AbortSignal | undefined, work: (snapshot: Snapshot, digest: ContentDigest) => Promise<void>): Promise<void> {
    const draft = inode.draft!
    let snapshot: Snapshot | undefined
    while (snapshot === undefined) {
      await draft.fill(signal)
      snapshot = await draft.snapshot()
    }
    try {
      await work(snapshot, await digestFile(snapshot.handle, snapshot.size))
    } finally {
      await snapshot.done()
    }
  }

  /** Holds the inode's name and the folders above it; taken again if it was renamed while we waited. */
  private async lockPlace(inode: Inode): Promise<() => void> {
    for (;;) {
      const { parent, name } = inode
      if (parent === undefined) return () => {}
      const release = await this.deps.locks.acquire({ shared: foldersOf(parent), exclusive: [nameKey(parent, name)] })
      if (inode.parent === parent && inode.name === name) return release
      release()
    }
  }

  /** Uploads to a place unless the server has moved on there; then beside it. Returns where it went. */
  private async send(inode: Inode, place: Place, base: VersionKey | undefined | 'own', snapshot: Snapshot, digest: ContentDigest, signal: AbortSignal | undefined): Promise<Place> {
    const { tree, confirmer, logger } = this.deps
    const { server } = tree.deps
    const secured = await this.deps.secureBackup(place.folder, place.name)
    for (const md5 of await this.deps.freeName(place.folder, place.name)) inode.sent.add(md5)
    await confirmer.nameFree(place.folder, place.name, signal)
    let path = tree.pathAt(place.folder, place.name)
    // The answer may be older than a confirmation that comes while we ask: what we had then counts, too.
    const before = { base: inode.base, sent: [...inode.sent] }
    const theirs = await server.stat(path, { signal })
    const over = secured ?? (base === 'own' ? inode.base : base)
    const sent = new Set([...before.sent, ...inode.sent, ...(before.base === undefined || inode.base === before.base ? [] : [before.base.etag])])
    const verdict = judge(sent, over, theirs, digest, snapshot.size)
    if (verdict === 'conflict') {
      const aside = await this.placeAside(place)
      const ours = tree.pathAt(aside.folder, aside.name)
      this.conflicts.push(ours)
      logger.warn('conflict: the server has another version, ours is kept beside it', { theirs: path, ours })
      if (inode.parent === place.folder && inode.name === place.name) this.moveAside(inode, aside, theirs)
      else inode.base = undefined
      place = aside
      path = ours
    } else {
      inode.base = over
    }
    if (verdict === 'same') return place
    // Back to an earlier content: that the server shows it proves nothing until the index has had its time.
    const again = inode.sent.has(digest.md5) || over?.etag === digest.md5
    inode.trustAfter = again && !onlySent(inode.sent, digest.md5) ? tree.deps.metadata.now() + INDEX_MS : 0
    // Its event can be here before the answer.
    inode.sent.add(digest.md5)
    this.record(inode, 'closed', digest)
    const started = performance.now()
    await upload(server, path, snapshot.handle, snapshot.size, digest.md5, signal)
    logger.info('uploaded', { path, bytes: snapshot.size, ms: Math.round(performance.now() - started) })
    return place
  }

  /** After the server's 200: our word stands until the server shows the content. */
  private sent(inode: Inode, snapshot: Snapshot, digest: ContentDigest): void {
    inode.draft!.committed = Math.max(inode.draft!.committed, snapshot.generation)
    inode.expected = digest
    inode.sent.add(digest.md5)
    this.awaitConfirmation(inode, digest)
  }

  /** Keeps the record and asks the server until it shows what was sent. */
  awaitConfirmation(inode: Inode, digest: ContentDigest): void {
    inode.failure = undefined
    inode.parent?.local.set(inode.name, inode)
    this.record(inode, 'sent', digest)
    this.deps.confirmer.awaitPresent(inode)
  }

  /** A free name beside `place` for our version. */
  private async placeAside(place: Place): Promise<Place> {
    for (let n = 1; ; n++) {
      const name = conflictName(place.name, hostname(), new Date(), n)
      if (await this.deps.tree.child(place.folder, name) === undefined) return { folder: place.folder, name }
    }
  }

  /** Theirs keeps the name; the inode, with its open handles, is ours. */
  private moveAside(inode: Inode, aside: Place, theirs: CellsNode | undefined): void {
    const { tree } = this.deps
    const { folder } = aside
    const taken = inode.name
    if (folder.local.get(taken) === inode) folder.local.delete(taken)
    tree.deps.inodes.setUuid(inode, '')
    inode.base = undefined
    inode.sent.clear()
    tree.deps.inodes.move(inode, folder, aside.name)
    folder.local.set(aside.name, inode)
    if (theirs !== undefined) tree.learn(folder, taken, theirs, tree.deps.metadata.now())
    tree.kernel.name(folder, taken)
    tree.kernel.name(folder, aside.name)
  }

  private retryLater(inode: Inode): void {
    if (this.closed || !inode.dirty) return
    const entry = this.unsent.get(inode) ?? { attempts: 0, timer: undefined }
    entry.attempts++
    clearTimeout(entry.timer)
    const delay = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (entry.attempts - 1)) * (0.75 + Math.random() / 2)
    entry.timer = setTimeout(() => {
      this.commit(inode).catch((error: unknown) => this.deps.logger.warn('still cannot be sent', { path: this.deps.tree.localPath(inode), error }))
    }, delay)
    entry.timer.unref()
    this.unsent.set(inode, entry)
    // Kept for the next start too: the program was told of the failure, the content is not to be lost.
    void this.keep(inode)
  }

  /** The server is there again: what could not be sent is tried at once. */
  retryNow(): void {
    if (this.closed) return
    for (const [inode, entry] of this.unsent) {
      entry.attempts = 0
      clearTimeout(entry.timer)
      this.commit(inode).catch((error: unknown) => this.deps.logger.debug('still cannot be sent', { path: this.deps.tree.localPath(inode), error }))
    }
  }

  private async keep(inode: Inode): Promise<void> {
    const { draft } = inode
    if (draft === undefined) return
    try {
      await draft.sync()
      this.record(inode, draft.complete ? 'closed' : 'open')
    } catch (error) {
      this.deps.logger.error('a change that could not be sent could not be secured either', { path: this.deps.tree.localPath(inode), error })
    }
  }

  /**
   * What a close does with an empty content: a shell's `> file` (and dd, and tar) closes a copy of the descriptor before anything
   * is written. It is secured here and sent when nobody has the file open any more; a name that is written to or
   * deleted before that never costs a request. (A 2.x server takes 1.5 s for an empty body.)
   */
  async keepEmpty(inode: Inode): Promise<void> {
    const { draft } = inode
    if (draft === undefined || !draft.dirty || inode.unlinked) return
    const { generation } = draft
    await draft.sync()
    if (inode.draft !== draft || draft.generation !== generation) return
    this.record(inode, 'closed')
    inode.emptyKept = true
    await this.deps.tree.deps.store.flushed()
  }

  /** The last writer is gone: sends what is left. */
  private commitSoon(inode: Inode): void {
    const commit = (): void => {
      if (!inode.dirty || inode.writers > 0 || inode.unlinked) return
      this.commit(inode).catch((error: unknown) => this.deps.logger.warn('cannot be sent yet', { path: this.deps.tree.localPath(inode), error }))
    }
    if (inode.emptyKept && !this.closed) setTimeout(commit, EMPTY_MS).unref()
    else commit()
  }

  private clearUnsent(inode: Inode): void {
    clearTimeout(this.unsent.get(inode)?.timer)
    this.unsent.delete(inode)
  }

  // -- letting go

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
    else if (inode.dirty && inode.writers === 0) this.commitSoon(inode)
    this.deps.tree.deps.inodes.release(inode)
  }

  /** A draft without a change (a rename that failed, a truncate to the same size) is not kept as ours. */
  async dropIdleDraft(inode: Inode): Promise<void> {
    const { draft, parent } = inode
    if (draft === undefined || draft.dirty || inode.opens > 0 || inode.writing > 0 || inode.unconfirmed || inode.localOnly || inode.version === undefined) return
    if (parent?.local.get(inode.name) === inode && inode.heldAt === undefined) {
      parent.local.delete(inode.name)
      // What is known of the name may be older than what has just been confirmed.
      this.deps.tree.deps.metadata.doubt(parent.ino, inode.name)
    }
    inode.base = undefined
    await this.dropDraft(inode)
  }

  /** Forgets the inode's local content: it was deleted. Never rejects. */
  async dropDraft(inode: Inode): Promise<void> {
    this.clearUnsent(inode)
    const { draft } = inode
    if (draft === undefined) return
    inode.draft = undefined
    try {
      await this.forgetRecord(inode, draft)
      await draft.discard()
    } catch (error) {
      this.deps.logger.warn('a draft could not be removed', { error })
    }
    this.deps.tree.deps.inodes.release(inode)
  }

  /** Removes the record of a draft that is no longer needed. */
  private async forgetRecord(inode: Inode, draft: Draft): Promise<void> {
    const { store } = this.deps.tree.deps
    if (inode.recordId !== undefined && inode.recordId !== draft.id) await store.drafts.remove(inode.recordId)
    inode.recordId = undefined
    await store.drafts.remove(draft.id)
  }

  /** Before an open file is deleted on the server: fetches what its readers may still want, up to a size. */
  async keepForReaders(inode: Inode, signal?: AbortSignal): Promise<void> {
    if (inode.opens === 0 || inode.draft !== undefined || inode.version === undefined || inode.version.size > MAX_KEPT) return
    await this.onDraft(inode, undefined, (draft) => draft.fill(signal))
    if (inode.draft !== undefined) (inode.draft as Draft).committed = (inode.draft as Draft).generation
  }

  /** Sets a recovered draft aside where a person can find it. */
  async toLostAndFound(record: DraftRecord): Promise<string> {
    const { store } = this.deps.tree.deps
    const base = record.path.slice(record.path.lastIndexOf('/') + 1)
    const place = join(store.dir, 'lost+found', `${base || 'file'}.${randomUUID().slice(0, 8)}`)
    await renameFile(store.draftFile(record.id), place)
    await store.drafts.remove(record.id)
    return place
  }

  close(): void {
    this.closed = true
    this.pages.close()
    for (const { timer } of this.unsent.values()) clearTimeout(timer)
  }
}

/** An open file of at most this size is fetched whole before it is deleted on the server, and when it is changed, bytes. */
const MAX_KEPT = 256 * 1024 * 1024

/** May our content take the place of what the server has now? */
function judge(sent: ReadonlySet<string>, base: VersionKey | undefined, theirs: CellsNode | undefined, digest: ContentDigest, size: number): 'send' | 'same' | 'conflict' {
  // New here, or deleted there and edited here: the edit survives under its name.
  if (theirs === undefined) return 'send'
  if (theirs.kind !== 'file') return 'conflict'
  // While another content of ours is on its way, the server's word is an old one, and ours would lose against it.
  if (theirs.etag === digest.md5 && theirs.size === size) return onlySent(sent, digest.md5) ? 'same' : 'send'
  if (sent.has(theirs.etag)) return 'send'
  if (sent.size > 0 && theirs.etag === ETAG_TEMPORARY) return 'send'
  if (base === undefined) return 'conflict'
  if (theirs.uuid !== base.uuid && base.uuid !== '') return 'conflict'
  return theirs.etag === base.etag ? 'send' : 'conflict'
}

function onlySent(sent: ReadonlySet<string>, md5: string): boolean {
  return sent.size === 0 || (sent.size === 1 && sent.has(md5))
}

export function nameKey(folder: Inode, name: string): string {
  return `n${folder.ino}/${name}`
}

/** The lock keys of a folder and of all above it. */
export function foldersOf(folder: Inode): string[] {
  const keys: string[] = []
  for (let at: Inode | undefined = folder; at !== undefined; at = at.parent) keys.push(`d${at.ino}`)
  return keys
}

