/**
 * How far the content of a draft is safe on this disk: its bytes synced, and a record of them in the store, from which they come back after a
 * crash (recovered-contents.ts). A record vouches for the generation of the draft that was acknowledged last, whatever is written since.
 *
 * Knows nothing of the server but what is to be remembered of it: the base, what was sent, an upload that has begun. What to send and when is for
 * others to say (sender.ts, uploader.ts); they are told when there is something.
 */
import { randomUUID } from 'node:crypto'
import { rename as renameFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DraftRecord } from '../cache/store.js'
import type { ContentDigest } from '../cells/digest.js'
import type { Logger } from '../log.js'
import type { Draft } from './drafts.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

/** A draft that is still open after this long gets a record. */
const OPEN_RECORD_MS = 250
/**
 * A content up to this size stands in its record, bytes: to sync one record costs half of what it costs to sync a new file and
 * then the record of it.
 */
const RECORDED_BYTES = 8_192
/**
 * A small content that is still to be sent after this long goes to its file as well: what is damaged of the store costs no content then. Until then it
 * is in the store's log and soon in its database; most have been sent by then, and are only waited for until the server shows them.
 */
const SECOND_COPY_MS = 5_000
/** So many at a time, and so often, milliseconds, so that nobody has to wait for them. */
const SECOND_COPIES = 16
const COPIES_MS = 50
/** While more drafts than this wait to be sent, contents go to their files only: records are kept in memory, too. */
const RECORDED_DRAFTS = 4_000

export interface DurabilityDeps {
  readonly tree: Tree
  /** The inode has a content, safe on disk, that the server does not have. `delayMs`: it may wait that long for more. */
  readonly onSecured: (inode: Inode, delayMs?: number) => void
  readonly logger: Logger
}

export class Durability {
  private readonly deps: DurabilityDeps

  constructor(deps: DurabilityDeps) {
    this.deps = deps
  }

  private readonly unrecorded = new Set<Inode>()
  private recordTimer: NodeJS.Timeout | undefined

  /**
   * Nothing of a draft that was just begun has been promised yet; its record is only for a crash in the middle of a long work. Most files are
   * closed before this is due, with a record that says more.
   */
  recordSoon(inode: Inode): void {
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
    if (content === undefined) draft.toDisk()
    // The draft went on in another file (drafts.ts); the one before has no more to say.
    if (inode.recordId !== undefined && inode.recordId !== draft.id) void tree.deps.store.drafts.remove(inode.recordId)
    inode.recordId = draft.id
    tree.deps.store.saveDraft({
      id: draft.id,
      path: tree.places.localPath(inode),
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
    if (small !== undefined) this.copySoon(inode)
    if (inode.localOnly) draft.committed = Math.max(draft.committed, generation)
    else this.deps.onSecured(inode, delayMs)
  }

  private readonly copiesDue = new Map<Inode, number>()
  private copyTimer: NodeJS.Timeout | undefined

  /** A content that its record holds gets a file too, unless it is sent soon. */
  copySoon(inode: Inode): void {
    this.copiesDue.set(inode, performance.now() + SECOND_COPY_MS)
    this.copyTimer ??= setInterval(() => this.copyDue(), COPIES_MS).unref()
  }

  private copyDue(): void {
    const now = performance.now()
    let left = SECOND_COPIES
    for (const [inode, due] of this.copiesDue) {
      if (due > now || left-- === 0) return
      this.copiesDue.delete(inode)
      const { draft } = inode
      // The server has taken it: here it is only to be shown until the server shows it.
      if (draft === undefined || draft.id !== inode.recordId || !draft.dirty) continue
      try {
        draft.toDisk()
      } catch (error) {
        this.deps.logger.debug('no room for a second copy of a small content', { path: this.deps.tree.places.localPath(inode), error })
      }
    }
    clearInterval(this.copyTimer)
    this.copyTimer = undefined
  }

  /** The content that a record of it may hold. */
  private small(draft: Draft): ReturnType<Draft['small']> {
    const { store } = this.deps.tree.deps
    return store.full || store.drafts.size >= RECORDED_DRAFTS ? Promise.resolve(undefined) : draft.small(RECORDED_BYTES)
  }

  private readonly prepared = new WeakMap<Draft, { readonly generation: number; readonly data: Buffer | undefined }>()

  /**
   * Brings a complete draft to this disk, synced, but for its record: `recordSecured` writes that, together with other records or not at all. False if the draft is being changed meanwhile, or is not the inode's any more.
   */
  async prepare(inode: Inode, draft: Draft): Promise<boolean> {
    const { generation } = draft
    const small = draft.recorded === generation ? undefined : await this.small(draft)
    if (small === undefined && draft.recorded !== generation) await draft.sync()
    if (inode.draft !== draft || draft.generation !== generation || !draft.complete) return false
    this.prepared.set(draft, { generation, data: small?.data })
    return true
  }

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

  /** Is there a content that a program was told is saved and that the server does not have? */
  due(inode: Inode): boolean {
    const { draft } = inode
    if (draft === undefined || inode.localOnly || draft.secured <= draft.committed) return false
    // Begun anew and not closed yet: what is there now is nobody's word.
    return !(draft.begunAnew && inode.writers > 0)
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
    store.saveDraft({ ...rest, path: tree.places.localPath(inode), facts: inode.facts(), sent: [...inode.sent], ...(inode.draft?.upload === undefined ? {} : { upload: inode.draft.upload }), ...(base === undefined ? {} : { base: { uuid: base.uuid, etag: base.etag, size: base.size } }) })
    return true
  }

  /** What could not be sent is kept for the next start too. */
  keep(inode: Inode): void {
    if (inode.draft === undefined || inode.localOnly || inode.unlinked || !inode.draft.dirty) return
    void this.secure(inode, { delayMs: 0 }).catch((error: unknown) => {
      this.deps.logger.error('a change that could not be sent could not be secured either', { path: this.deps.tree.places.localPath(inode), error })
    })
  }

  /** Removes the record of a draft that is no longer needed. */
  async forget(inode: Inode, draft: Draft): Promise<void> {
    const { store } = this.deps.tree.deps
    const { recordId } = inode
    inode.recordId = undefined
    this.unrecorded.delete(inode)
    if (recordId !== undefined && recordId !== draft.id) await store.drafts.remove(recordId)
    if (recordId !== undefined) await store.drafts.remove(draft.id)
  }

  /** Sets a recovered draft aside where a person can find it. @returns its path on this computer */
  async toLostAndFound(record: DraftRecord): Promise<string> {
    const { store } = this.deps.tree.deps
    const base = record.path.slice(record.path.lastIndexOf('/') + 1)
    const place = join(store.dir, 'lost+found', `${base || 'file'}.${randomUUID().slice(0, 8)}`)
    await renameFile(store.draftFile(record.id), place)
    await store.drafts.remove(record.id)
    return place
  }
}
