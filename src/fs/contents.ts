/**
 * The bytes of files: which source a read goes to, when a draft begins, how it is made safe on disk, and how it goes to the
 * server. When, the uploader decides (uploader.ts).
 */
import { randomUUID } from 'node:crypto'
import { rename as renameFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { BlockCache, VersionKey } from '../cache/blocks.js'
import type { DraftRecord } from '../cache/store.js'
import type { ContentDigest } from '../cells/digest.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Journal } from './journal.js'
import type { Budget } from './budget.js'
import type { Confirmer } from './confirm.js'
import { conflictName } from './conflict.js'
import type { Conflicts } from './conflicts.js'
import { type Content, Draft, type Snapshot } from './drafts.js'
import { FsError } from './errno.js'
import { digestFile } from './hashing.js'
import type { Inode, Place } from './inodes.js'
import { type Handle, Pages } from './pages.js'
import { part } from './parting.js'
import { newReadPattern, VersionReader } from './reader.js'
import { placeKey, type Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import { abandonUpload, upload, type UploadLedger } from './upload.js'

export type { Handle } from './pages.js'

export interface ContentsDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly locks: TreeLock
  readonly blocks: BlockCache
  readonly budget: Budget
  /** Told of bytes as they come from the server. */
  readonly received: (bytes: number) => void
  readonly logger: Logger
  /**
   * Makes sure that content set aside under a backup name (backup.ts) survives what is about to be written over it.
   * Returns the version that the server has at the place because of it.
   */
  readonly secureBackup: (folder: Inode, name: string) => Promise<VersionKey | undefined>
  /**
   * The name gets the inode's content: what was still to be deleted there is deleted, or stays to be written over, and what lives elsewhere here
   * leaves.
   */
  readonly freeName: (folder: Inode, name: string, inode: Inode) => Promise<void>
  /** The inode has a content, safe on disk, that the server does not have. `delayMs`: it may wait that long for more. */
  readonly onSecured: (inode: Inode, delayMs?: number) => void
  readonly journal: Journal
  readonly conflicts: Conflicts
}

/** How long an open waits for an upload of somebody else to end. */
const UPLOADING_MS = 8_000
/** A draft that is still open after this long gets a record. */
const OPEN_RECORD_MS = 250
/**
 * A content up to this size stands in its record, bytes: to sync one record costs half of what it costs to sync a new file and
 * then the record of it.
 */
const RECORDED_BYTES = 8_192
/** While more drafts than this wait to be sent, contents go to their files only: records are kept in memory, too. */
const RECORDED_DRAFTS = 4_000
/** The index of a 2.x server follows a change by 1 to 2.5 s. */
const INDEX_MS = 4_000
/** A body of at most this size is not taken back once it is on its way, bytes ... */
const SMALL_BODY = 1024 * 1024
/** ... unless the server takes longer than this. */
const SMALL_BODY_MS = 2_000

/** A content on its way to the server. */
interface Sending {
  readonly stop: AbortController
  readonly over: Promise<void>
  /** Size of the body; undefined: it has not been begun. */
  bytes: number | undefined
}

export class Contents {
  private readonly deps: ContentsDeps
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
    const handle: Handle = { inode, ...access, pattern: newReadPattern({ mayBringMore: true }), reader, content: inode.content, direct: false, fed: false }
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
      inode.reader = this.newReader(version, () => this.deps.tree.pathOf(inode))
    }
    return inode.reader
  }

  /** A reader of one version that nobody else uses. `path`: on the server, at the moment of a request. */
  newReader(version: VersionKey, path: () => string): VersionReader {
    const { tree, blocks, budget, received, logger } = this.deps
    return new VersionReader({ server: tree.deps.server, blocks, budget, received, logger }, version, path)
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

  /** The content of one version as the base of a draft. */
  baseOf(inode: Inode, version: VersionKey): Content {
    const reader = this.newReader(version, () => this.deps.tree.pathOf(inode))
    const pattern = newReadPattern()
    return { size: version.size, read: (offset, length, signal) => reader.read(offset, length, pattern, signal) }
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
    this.recordSoon(inode)
    return draft
  }

  /** Gives a new inode an empty draft that counts as a change, so that even an empty file is sent. */
  async beginNew(inode: Inode): Promise<void> {
    const { tree } = this.deps
    inode.draft = await Draft.create((id) => tree.deps.store.draftFile(id), undefined)
    inode.draft.generation = 1
    this.recordSoon(inode)
  }

  private readonly unrecorded = new Set<Inode>()
  private recordTimer: NodeJS.Timeout | undefined

  /**
   * Nothing of a draft that was just begun has been promised yet; its record is only for a crash in the middle of a long work. Most files are
   * closed before this is due, with a record that says more.
   */
  private recordSoon(inode: Inode): void {
    this.unrecorded.add(inode)
    this.recordTimer ??= setTimeout(() => {
      this.recordTimer = undefined
      for (const each of this.unrecorded) if (each.recordId === undefined && !each.unlinked) this.record(each, 'open')
      this.unrecorded.clear()
    }, OPEN_RECORD_MS).unref()
  }

  /** Writes the draft's record; durable with the next flush of the store. */
  record(inode: Inode, state: DraftRecord['state'], digest?: ContentDigest, small?: Buffer): void {
    const { draft } = inode
    if (draft === undefined) return
    const { tree } = this.deps
    // What was acknowledged last is in another file than what is being written now.
    if (draft.recordStays && this.rebase(inode)) return
    const content = small?.toString('base64') ?? (draft.recorded === draft.generation && inode.recordId !== undefined ? tree.deps.store.drafts.get(inode.recordId)?.content : undefined)
    // The draft went on in another file (drafts.ts); the one before has no more to say.
    if (inode.recordId !== undefined && inode.recordId !== draft.id) void tree.deps.store.drafts.remove(inode.recordId)
    inode.recordId = draft.id
    tree.deps.store.saveDraft({
      id: draft.id,
      path: tree.localPath(inode),
      ...(inode.base === undefined ? {} : { base: { uuid: inode.base.uuid, etag: inode.base.etag, size: inode.base.size } }),
      size: small?.length ?? draft.size,
      ...(content === undefined ? {} : { content }),
      state,
      complete: draft.complete,
      ...(draft.complete ? {} : draft.parts),
      at: this.firstAt(inode),
      ...(inode.sent.size === 0 ? {} : { sent: [...inode.sent] }),
      ...(digest === undefined ? {} : { md5: digest.md5 }),
      ...(draft.upload === undefined ? {} : { upload: draft.upload }),
      facts: inode.facts(),
      ...(inode.failure === undefined ? {} : { failure: inode.failure }),
    })
  }

  /** Since when the inode has had something that the server does not have, milliseconds since the epoch. */
  private firstAt(inode: Inode): number {
    const { recordId } = inode
    return (recordId === undefined ? undefined : this.deps.tree.deps.store.drafts.get(recordId)?.at) ?? Date.now()
  }

  // -- making safe

  /**
   * Makes everything written so far survive: when it resolves, the bytes and the record of them are on disk, and the content is on
   * its way to the server. What stays here for ever (localnames.ts) survives a power cut only after fsync(2), `lasting`, as on any disk.
   */
  async secure(inode: Inode, { delayMs, lasting = false }: { delayMs?: number; lasting?: boolean } = {}): Promise<void> {
    const { draft } = inode
    if (draft === undefined || inode.unlinked || (!draft.dirty && !(lasting && inode.localOnly))) return
    const { store } = this.deps.tree.deps
    const { generation } = draft
    if (inode.localOnly && !lasting) {
      this.record(inode, 'local')
      await store.committed()
      draft.committed = Math.max(draft.committed, generation)
      return
    }
    let small: { readonly data: Buffer; readonly generation: number } | undefined
    if (draft.secured < generation) {
      small = await this.small(draft)
      if (small === undefined) await draft.sync()
      if (inode.draft !== draft) return
      draft.secured = Math.max(draft.secured, generation)
      if (small !== undefined) draft.recorded = small.generation
    }
    this.record(inode, inode.localOnly ? 'local' : 'closed', undefined, small?.data)
    await store.flushed()
    await draft.dropKept(generation)
    if (inode.localOnly) draft.committed = Math.max(draft.committed, generation)
    else this.deps.onSecured(inode, delayMs)
  }

  /** The content that a record of it may hold. */
  private small(draft: Draft): ReturnType<Draft['small']> {
    const { store } = this.deps.tree.deps
    return store.full || store.drafts.size >= RECORDED_DRAFTS ? Promise.resolve(undefined) : draft.small(RECORDED_BYTES)
  }

  /**
   * Brings all of the inode's content to this disk, synced, before it gets another name or node. What follows without a pause may
   * call `recordSecured`, so that its records and this one are written together or not at all.
   */
  async prepare(inode: Inode, signal?: AbortSignal): Promise<void> {
    for (;;) {
      if (inode.symlink !== undefined) await this.linkDraft(inode, inode.symlink)
      else await this.onDraft(inode, undefined, (draft) => draft.fill(signal))
      const { draft } = inode
      if (draft === undefined) continue
      const { generation } = draft
      const small = draft.recorded === generation ? undefined : await this.small(draft)
      if (small === undefined && draft.recorded !== generation) await draft.sync()
      if (inode.draft !== draft || draft.generation !== generation || !draft.complete) continue
      this.prepared.set(draft, { generation, data: small?.data })
      return
    }
  }

  private readonly prepared = new WeakMap<Draft, { readonly generation: number; readonly data: Buffer | undefined }>()

  /** The content counts as a change (its node, if it has one, has another); the record says that it is safe, if it is. In one step. */
  recordSecured(inode: Inode): void {
    const draft = inode.draft!
    const prepared = this.prepared.get(draft)
    const safe = prepared?.generation === draft.generation
    const recorded = prepared?.data !== undefined || draft.recorded === draft.generation
    draft.generation++
    if (safe) draft.secured = draft.generation
    if (safe && recorded) draft.recorded = draft.generation
    this.record(inode, safe ? inode.localOnly ? 'local' : 'closed' : 'open', undefined, safe ? prepared.data : undefined)
    if (safe && inode.localOnly) draft.committed = draft.generation
  }

  private async linkDraft(inode: Inode, target: string): Promise<void> {
    if (inode.draft !== undefined) return
    const { tree } = this.deps
    const draft = await Draft.create((id) => tree.deps.store.draftFile(id), undefined)
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

  /** Is there a content that a program was told is saved and that the server does not have? */
  due(inode: Inode): boolean {
    const { draft } = inode
    if (draft === undefined || inode.localOnly || draft.secured <= draft.committed) return false
    // Begun anew and not closed yet: what is there now is nobody's word.
    return !(draft.begunAnew && inode.writers > 0)
  }

  // -- sending

  /**
   * Sends the inode's content if the server does not have it. When it resolves, the server has answered for everything written before the call.
   * @throws what went wrong
   */
  async commit(inode: Inode, signal?: AbortSignal): Promise<void> {
    const { draft } = inode
    if (draft === undefined || !draft.dirty || inode.unlinked || inode.localOnly) return
    await this.withSnapshot(inode, signal, async (snapshot, digest) => {
      while (inode.draft === draft && snapshot.generation > draft.committed && !await this.attempt(inode, draft, snapshot, digest, signal));
    })
  }

  /** False if the inode was given another name before anything was sent. */
  private async attempt(inode: Inode, draft: Draft, snapshot: Snapshot, digest: ContentDigest, signal: AbortSignal | undefined): Promise<boolean> {
    const release = await this.lockPlace(inode)
    const stop = new AbortController()
    let over = (): void => {}
    const sending: Sending = { stop, over: new Promise<void>((resolve) => { over = resolve }), bytes: undefined }
    this.sending.set(inode, sending)
    try {
      const place = inode.serverPlace
      // Sent meanwhile, or nobody's any more.
      if (inode.unlinked || place === undefined || inode.localOnly || inode.draft !== draft || snapshot.generation <= draft.committed) return true
      if (!await this.send(inode, place, snapshot, digest, sending, signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]))) return false
      this.sent(inode, snapshot, digest)
      return true
    } finally {
      this.sending.delete(inode)
      over()
      release()
    }
  }

  private readonly sending = new Map<Inode, Sending>()

  /** Is the content, or a move of the node, on its way to the server? */
  isSending(inode: Inode): boolean {
    return this.sending.has(inode) || this.deps.tree.isMoving(inode)
  }

  /**
   * What is being sent is not wanted any more, or not there. Resolves when nothing is on its way, no move of the node either. A small body
   * is there before it could be taken back, and would land on what comes next: its answer is waited for, not for long. The inode is
   * frozen (tree.ts), so that nothing is begun meanwhile.
   */
  async stopSending(inode: Inode): Promise<void> {
    const sending = this.sending.get(inode)
    if (sending !== undefined) {
      if (sending.bytes !== undefined && sending.bytes <= SMALL_BODY) await Promise.race([sending.over, pause(SMALL_BODY_MS, undefined, { ref: false })])
      sending.stop.abort(new CellsError('aborted', 'The file was replaced or deleted'))
      await sending.over
    }
    await this.deps.tree.moveEnded(inode)
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

  /** Holds the inode's place on the server and the folders above it; taken again if it was moved while we waited. */
  private async lockPlace(inode: Inode): Promise<() => void> {
    const { tree, locks } = this.deps
    for (;;) {
      await tree.thawed(inode)
      const place = inode.serverPlace
      if (place === undefined) return () => {}
      // A delete on its way to this very place needs the place, too: it goes first, or stays away.
      await this.deps.freeName(place.folder, place.name, inode)
      await this.deps.confirmer.nameFree(place.folder, place.name)
      const release = await locks.acquire({ shared: tree.serverFolders(place.folder).map((it) => `d${it.ino}`), exclusive: [placeKey(place)] })
      if (isAt(inode, place) && tree.toLeave(place.folder, place.name, inode) === undefined) return release
      release()
    }
  }

  /** Uploads to a place unless the server has moved on there; then beside it. False, and nothing is sent, if the place is not the inode's any more. */
  private async send(inode: Inode, place: Place, snapshot: Snapshot, digest: ContentDigest, sending: Sending, signal: AbortSignal): Promise<boolean> {
    const { tree, logger, journal } = this.deps
    const { server } = tree.deps
    const secured = await this.deps.secureBackup(place.folder, place.name)
    let path = tree.pathAt(place.folder, place.name)
    // The answer may be older than a confirmation that comes while we ask: what we had then counts, too.
    const before = { base: inode.base, sent: [...inode.sent] }
    const theirs = await server.stat(path, { signal })
    if (!isAt(inode, place)) return false
    const over = secured ?? inode.base
    const sent = new Set([...before.sent, ...inode.sent, ...(before.base === undefined || inode.base === before.base ? [] : [before.base.etag])])
    const verdict = judge(sent, over, theirs, digest, snapshot.size)
    if (verdict === 'conflict') {
      const aside = await this.asideOf(place)
      if (!isAt(inode, place)) return false
      this.aside(inode, aside, place, theirs, 'new node')
      place = aside
      path = tree.pathAt(aside.folder, aside.name)
    } else {
      inode.base = over
    }
    if (verdict === 'same') return true
    if (tree.isFrozen(inode)) return false
    // From here on the server may have it at this place, wherever it is moved to here meanwhile.
    if (inode.heldAt === undefined) tree.hold(inode, place)
    // Back to an earlier content: that the server shows it proves nothing until the index has had its time.
    const again = inode.sent.has(digest.md5) || over?.etag === digest.md5
    inode.trustAfter = again && !onlySent(inode.sent, digest.md5) ? tree.deps.metadata.now() + tree.pause(INDEX_MS) : 0
    inode.sent.add(digest.md5)
    this.recordSent(inode, snapshot, digest, 'closed')
    await journal.flushed()
    const started = performance.now()
    sending.bytes = snapshot.size
    try {
      await upload(server, path, snapshot.handle, snapshot.size, digest.md5, this.ledger(inode, sending), signal)
    } catch (error) {
      // It may have come there all the same; whoever looks next compares contents.
      this.settled(inode)
      throw error
    }
    logger.info('uploaded', { path, bytes: snapshot.size, ms: Math.round(performance.now() - started) })
    return true
  }

  private ledger(inode: Inode, { stop }: Sending): UploadLedger {
    const draft = inode.draft!
    return {
      found: draft.upload,
      save: (it) => {
        draft.upload = it
        if (inode.draft === draft) this.rebase(inode)
      },
      // Not if it was replaced or deleted here.
      goesOn: () => !stop.signal.aborted,
    }
  }

  /** The place on the server is the inode's own again, unless it was moved here meanwhile. */
  private settled(inode: Inode): void {
    const { tree, journal } = this.deps
    const { heldAt } = inode
    if (heldAt !== undefined && !inode.unlinked && heldAt.folder === inode.parent && heldAt.name === inode.name) tree.hold(inode, undefined)
    journal.move(inode)
  }

  /** After the server's 200: our word stands until the server shows the content. */
  private sent(inode: Inode, snapshot: Snapshot, digest: ContentDigest): void {
    const { draft } = inode
    if (draft !== undefined) draft.committed = Math.max(draft.committed, snapshot.generation)
    inode.expected = digest
    inode.sent.add(digest.md5)
    inode.failure = undefined
    this.settled(inode)
    if (inode.unlinked) return
    this.deps.tree.overlay(inode)
    this.recordSent(inode, snapshot, digest, 'sent')
    this.deps.confirmer.awaitPresent(inode)
  }

  /** What is being sent, or was. If it has been written to since, the record goes on vouching for what was secured last. */
  private recordSent(inode: Inode, snapshot: Snapshot, digest: ContentDigest, state: 'closed' | 'sent'): void {
    const { draft } = inode
    if (draft !== undefined && draft.generation === snapshot.generation) {
      this.record(inode, state, digest)
      return
    }
    this.rebase(inode)
  }

  /** The inode has another name or base than its record says, and the record's content is still what was acknowledged last. False: there is no record. */
  rebase(inode: Inode): boolean {
    const { tree } = this.deps
    const { store } = tree.deps
    const { base } = inode
    const record = inode.recordId === undefined ? undefined : store.drafts.get(inode.recordId)
    if (record === undefined) return false
    const { base: before, upload: sending, ...rest } = record
    void before
    void sending
    store.saveDraft({ ...rest, path: tree.localPath(inode), facts: inode.facts(), sent: [...inode.sent], ...(inode.draft?.upload === undefined ? {} : { upload: inode.draft.upload }), ...(base === undefined ? {} : { base: { uuid: base.uuid, etag: base.etag, size: base.size } }) })
    return true
  }

  /** The server was sent it and does not have it. */
  sendAgain(inode: Inode): void {
    const { draft } = inode
    if (draft === undefined || inode.unlinked || inode.localOnly) return
    draft.committed = Math.min(draft.committed, draft.generation - 1)
    draft.secured = Math.max(draft.secured, draft.generation)
    this.record(inode, 'closed')
    this.deps.tree.overlay(inode)
    this.deps.onSecured(inode)
  }

  /** What the server has at the inode's place is ours to write over. Recorded together with whatever is recorded now. */
  mayShow(inode: Inode, etags: Iterable<string>): void {
    for (const etag of etags) inode.sent.add(etag)
    this.rebase(inode)
  }

  /** A free name beside `place` for our version. */
  async asideOf(place: Place): Promise<Place> {
    const { tree } = this.deps
    for (let n = 1; ; n++) {
      const name = conflictName(place.name, hostname(), new Date(), n)
      // Another mount on this computer may just have taken it: the server is asked, whatever is known here.
      if (await tree.child(place.folder, name) === undefined && await tree.deps.server.stat(tree.pathAt(place.folder, name)) === undefined) return { folder: place.folder, name }
    }
  }

  /**
   * Theirs keeps the place on the server; ours, with its open handles, goes beside it, here too if the place is its own here: as a
   * node of its own, or as the node that it is and that was to be moved there.
   */
  aside(inode: Inode, aside: Place, place: Place, theirs: CellsNode | undefined, as: 'new node' | 'same node'): void {
    const { tree, journal, logger } = this.deps
    const { folder, name } = place
    const ours = tree.pathAt(aside.folder, aside.name)
    this.deps.conflicts.add(ours)
    logger.warn('conflict: the server has another version, ours is kept beside it', { theirs: tree.pathAt(folder, name), ours })
    const atHome = inode.parent === folder && inode.name === name
    if (as === 'new node') {
      part(inode, this.deps)
      if (!atHome) tree.hold(inode, aside)
    }
    if (atHome) {
      if (folder.local.get(name) === inode) folder.local.delete(name)
      tree.deps.inodes.move(inode, aside.folder, aside.name)
      tree.overlay(inode)
      if (theirs !== undefined) tree.learn(folder, name, theirs, tree.deps.metadata.now())
      tree.uncoverHidden(folder, name)
      tree.kernel.name(folder, name)
      tree.kernel.name(aside.folder, aside.name)
      journal.relocated(inode)
    }
    journal.move(inode)
  }

  private readonly overwritten = new WeakSet<Inode>()

  /** The server has taken ours and then, from somebody who did not know of it, theirs: ours goes beside it. False if there is nothing left of ours. */
  keepOverwritten(inode: Inode, theirs: CellsNode): boolean {
    const { draft, serverPlace } = inode
    if (draft === undefined || !draft.complete || serverPlace === undefined || inode.symlink !== undefined) return false
    if (this.overwritten.has(inode)) return true
    this.overwritten.add(inode)
    const work = async (): Promise<void> => {
      const aside = await this.asideOf(serverPlace)
      if (inode.draft !== draft || inode.unlinked || !inode.unconfirmed || inode.serverPlace?.folder !== serverPlace.folder || inode.serverPlace.name !== serverPlace.name) return
      this.aside(inode, aside, serverPlace, theirs, 'new node')
      draft.generation++
      await this.secure(inode, { delayMs: 0 })
    }
    work()
      .catch((error: unknown) => this.deps.logger.warn('a content that was overwritten on the server could not be kept beside it yet', { error }))
      .finally(() => this.overwritten.delete(inode))
    return true
  }

  /** What could not be sent is kept for the next start too. */
  keep(inode: Inode): void {
    if (inode.draft === undefined || inode.localOnly || inode.unlinked || !inode.draft.dirty) return
    void this.secure(inode, { delayMs: 0 }).catch((error: unknown) => {
      this.deps.logger.error('a change that could not be sent could not be secured either', { path: this.deps.tree.localPath(inode), error })
    })
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
    // Its close has secured it, if nothing came after that.
    else if (inode.dirty && inode.writers === 0 && !this.closed && inode.draft?.secured !== inode.draft?.generation) this.keep(inode)
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
    const { recordId } = inode
    inode.recordId = undefined
    this.unrecorded.delete(inode)
    if (recordId !== undefined && recordId !== draft.id) await store.drafts.remove(recordId)
    if (recordId !== undefined) await store.drafts.remove(draft.id)
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

function isAt({ serverPlace }: Inode, place: Place): boolean {
  return serverPlace?.folder === place.folder && serverPlace.name === place.name
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

