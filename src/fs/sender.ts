/**
 * One content on its way to the server: its place there is taken and held, the server is asked once more what it has, ours goes to the place or, if
 * somebody else was faster, beside it, and until the server shows it our word stands. Can be called back while it is under way. When, and what
 * is tried again, the uploader says (uploader.ts); how bytes travel, upload.ts.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { CellsError, isCellsError } from '../cells/errors.js'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import { abortable } from '../signals.js'
import type { Backups } from './backup.js'
import type { Confirmer } from './confirm.js'
import { type ConflictCopies, INDEX_MS, judge, onlySent } from './conflict-copies.js'
import type { Draft, Snapshot } from './drafts.js'
import type { Durability } from './durability.js'
import { digestFile, type FileDigest } from './hashing.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import { part } from './parting.js'
import { placeKey } from './places.js'
import type { Removals } from './removals.js'
import type { Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import { upload, type UploadLedger } from './upload.js'

/** A body of at most this size is not taken back once it is on its way, bytes ... */
const SMALL_BODY = 1024 * 1024
/** ... unless the server takes longer than this. */
const SMALL_BODY_MS = 2_000
/** What the server said longer ago than this is asked once more before a content is sent. */
const STALE_MS = 300

/** A content on its way to the server. */
interface Sending {
  readonly stop: AbortController
  readonly over: Promise<void>
  /** Size of the body; undefined: it has not been begun. */
  bytes: number | undefined
}

export interface SenderDeps {
  readonly tree: Tree
  readonly durability: Durability
  readonly conflictCopies: ConflictCopies
  /** What was set aside under a backup name survives what is about to be written over it. */
  readonly backups: Backups
  readonly confirmer: Confirmer
  readonly journal: Journal
  /** Names on the server, held while they are being changed there. */
  readonly locks: TreeLock
  /** Old nodes stay, to be written over. */
  readonly removals: Removals
  /** The name gets the inode's content: the folder is made, what was still to be deleted there is deleted, and what lives elsewhere here leaves. */
  readonly freeName: (folder: Inode, name: string, inode: Inode) => Promise<void>
  /** What is missing of a draft could not be fetched. */
  readonly onMissing: (inode: Inode, draft: Draft, error: unknown) => Promise<void>
  /** The inode has a content to be sent. */
  readonly onDue: (inode: Inode) => void
  /** See EngineOptions. */
  readonly partBytes: number | undefined
  readonly logger: Logger
}

export class Sender {
  private readonly deps: SenderDeps

  constructor(deps: SenderDeps) {
    this.deps = deps
  }

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
  private async attempt(inode: Inode, draft: Draft, snapshot: Snapshot, digest: FileDigest, signal: AbortSignal | undefined): Promise<boolean> {
    const release = await this.lockPlace(inode, signal)
    const [stop, either] = [new AbortController(), new AbortController()]
    // (AbortSignal.any costs several times as much.)
    const cancel = (): void => either.abort((stop.signal.aborted ? stop.signal : signal)?.reason)
    for (const each of [stop.signal, signal]) each?.addEventListener('abort', cancel)
    if (signal?.aborted === true) cancel()
    let over = (): void => {}
    const sending: Sending = { stop, over: new Promise<void>((resolve) => { over = resolve }), bytes: undefined }
    this.sending.set(inode, sending)
    try {
      const place = inode.serverPlace
      // Sent meanwhile, or nobody's any more.
      if (inode.unlinked || place === undefined || inode.localOnly || inode.draft !== draft || snapshot.generation <= draft.committed) return true
      const path = await this.send(inode, place, snapshot, digest, sending, either.signal)
      if (path === undefined) return false
      this.sent(inode, snapshot, digest, path)
      return true
    } finally {
      this.sending.delete(inode)
      signal?.removeEventListener('abort', cancel)
      over()
      release()
    }
  }

  private readonly sending = new Map<Inode, Sending>()

  /** Is the content, or a move of the node, on its way to the server? */
  isSending(inode: Inode): boolean {
    return this.sending.has(inode) || this.deps.tree.transit.isMoving(inode)
  }

  /**
   * What is being sent is not wanted any more, or not there. Resolves when nothing is on its way, no move of the node either. A small body
   * is there before it could be taken back, and would land on what comes next: its answer is waited for, not for long. The inode is
   * frozen (transit.ts), so that nothing is begun meanwhile.
   */
  async stopSending(inode: Inode): Promise<void> {
    const sending = this.sending.get(inode)
    if (sending !== undefined) {
      if (sending.bytes !== undefined && sending.bytes <= SMALL_BODY) await Promise.race([sending.over, pause(SMALL_BODY_MS, undefined, { ref: false })])
      sending.stop.abort(new CellsError('aborted', 'The file was replaced or deleted'))
      await sending.over
    }
    await this.deps.tree.transit.moveEnded(inode)
  }

  private async withSnapshot(inode: Inode, signal: AbortSignal | undefined, work: (snapshot: Snapshot, digest: FileDigest) => Promise<void>): Promise<void> {
    const draft = inode.draft!
    let snapshot: Snapshot | undefined
    while (snapshot === undefined) {
      await draft.fill(signal).catch(async (error: unknown) => {
        await this.deps.onMissing(inode, draft, error)
        throw error
      })
      snapshot = await draft.snapshot()
    }
    try {
      await work(snapshot, await digestFile(snapshot.handle, snapshot.size))
    } finally {
      await snapshot.done()
    }
  }

  /** Holds the inode's place on the server and the folders above it; taken again if it was moved while we waited. */
  private async lockPlace(inode: Inode, signal: AbortSignal | undefined): Promise<() => void> {
    const { tree, locks, removals } = this.deps
    for (;;) {
      await tree.transit.thawed(inode)
      const place = inode.serverPlace
      if (place === undefined) return () => {}
      const { folder, name } = place
      const stays = (): boolean => isAt(inode, place) && !tree.transit.isFrozen(inode)
      // A delete on its way to this very place needs the place, too: it goes first, or stays away.
      await abortable(this.deps.freeName(folder, name, inode), signal)
      await abortable(removals.allBrought(folder, name), signal)
      // What was to leave can have become another one's content meanwhile.
      await abortable(removals.cancel(folder, name, stays, (etags) => this.mayShow(inode, etags)), signal)
      if (!stays()) continue
      await this.deps.confirmer.nameFree(folder, name, signal)
      const release = await locks.acquire({ shared: tree.places.folderKeys(folder), exclusive: [placeKey(place)] })
      // (Where a folder is not there yet, another one can have its path; so it can where a move got no answer.)
      const sure = (tree.places.there(folder) || folder.unlinked) && tree.places.serverFolders(folder).every(({ movingTo }) => movingTo === undefined)
      if (isAt(inode, place) && sure && tree.places.toLeave(folder, name, inode) === undefined && !removals.pendingAt(folder, name)) return release
      release()
    }
  }

  /** Uploads to a place unless the server has moved on there; then beside it. @returns the path; undefined, and nothing is sent, if the place is not the inode's any more */
  private async send(inode: Inode, place: Place, snapshot: Snapshot, digest: FileDigest, sending: Sending, signal: AbortSignal): Promise<string | undefined> {
    const { tree, logger, journal } = this.deps
    const { server } = tree.deps
    const secured = await this.deps.backups.secure(place, inode)
    let path = tree.places.pathAt(place.folder, place.name)
    // The answer may be older than a confirmation that comes while we ask: what we had then counts, too.
    const before = { uuid: inode.uuid, base: inode.base, sent: [...inode.sent] }
    let askedAt = tree.deps.metadata.now()
    let theirs = await server.stat(path, { signal })
    // Sent once without an answer, it may be there, and what is shown may be what was there right before: it would be there twice.
    if (theirs !== undefined && before.sent.includes(digest.md5) && judge(new Set(before.sent), before.base, theirs, digest, snapshot.size) === 'conflict') theirs = await this.lastShown(path, theirs, signal)
    if (!isAt(inode, place)) return undefined
    // (Only when it is sent: until then it can be heard where the node is.)
    const gone = before.uuid !== '' && theirs?.uuid !== before.uuid
    const done = (): string => {
      if (gone && inode.uuid === before.uuid) this.leaveNode(inode, place)
      return path
    }
    const over = secured ?? inode.base
    const sent = new Set([...before.sent, ...inode.sent, ...(before.base === undefined || inode.base === before.base ? [] : [before.base.etag])])
    const verdict = judge(sent, over, theirs, digest, snapshot.size)
    if (verdict === 'conflict') {
      const aside = await this.deps.conflictCopies.asideOf(place)
      // (Replaced or deleted here just now, it would stay under that name.)
      if (!isAt(inode, place) || tree.transit.isFrozen(inode)) return undefined
      this.deps.conflictCopies.aside(inode, aside, place, theirs, 'new node')
      place = aside
      path = tree.places.pathAt(aside.folder, aside.name)
      askedAt = tree.deps.metadata.now()
    } else {
      inode.base = over
    }
    if (verdict === 'same') return done()
    if (tree.transit.isFrozen(inode)) return undefined
    // From here on the server may have it at this place, wherever it is moved to here meanwhile.
    if (inode.heldAt === undefined) tree.places.hold(inode, place)
    // Back to an earlier content: that the server shows it proves nothing until the index has had its time.
    const again = inode.sent.has(digest.md5) || over?.etag === digest.md5
    inode.trustAfter = again && !onlySent(inode.sent, digest.md5) ? tree.deps.metadata.now() + tree.pause(INDEX_MS) : 0
    inode.sent.add(digest.md5)
    this.recordSent(inode, snapshot, digest, 'closed')
    await journal.flushed()
    const started = performance.now()
    sending.bytes = snapshot.size
    try {
      const again = async (): Promise<void> => {
        if (judge(inode.sent, inode.base, await server.stat(path, { signal }), digest, snapshot.size) === 'conflict') throw new Overtaken('precondition', 'Somebody has written it meanwhile')
      }
      if (this.mayBeLate(place, askedAt)) await again()
      await upload(server, path, snapshot.handle, digest, { ...this.ledger(inode, sending), again }, signal)
    } catch (error) {
      // It may have come there all the same; whoever looks next compares contents.
      this.settled(inode)
      if (error instanceof Overtaken) return undefined
      throw error
    }
    logger.info('uploaded', { path, bytes: snapshot.size, ms: Math.round(performance.now() - started) })
    return done()
  }

  /** Has something been heard of a place since the server was asked, or is that long ago (a slow disk)? The server itself compares nothing when it is sent a content. */
  private mayBeLate({ folder, name }: Place, askedAt: number): boolean {
    const { metadata } = this.deps.tree.deps
    return metadata.now() - askedAt > STALE_MS || (metadata.peek(folder.ino)?.doubted.get(name) ?? 0) >= askedAt
  }

  /** Somebody has taken the node away, and nobody has told where to: what is sent has another one, and stays where that one goes on (S33, S39). */
  private leaveNode(inode: Inode, place: Place): void {
    const { tree } = this.deps
    const { heldAt, movingTo } = inode
    // (It may be us, who were not told so.)
    if (movingTo !== undefined) return
    const { sent } = part(inode, this.deps)
    for (const md5 of sent) inode.sent.add(md5)
    tree.echoes.vacate(place.folder, place.name)
    if (heldAt !== undefined) tree.places.hold(inode, heldAt)
    this.deps.journal.move(inode)
  }

  /** What the server shows at a path when its index has had its time, or has moved on. */
  private async lastShown(path: string, shown: CellsNode, signal: AbortSignal | undefined): Promise<CellsNode | undefined> {
    const { tree } = this.deps
    try {
      return await tree.deps.server.waitFor(path, (node) => node?.etag !== shown.etag && node?.etag !== ETAG_TEMPORARY, { signal, timeoutMs: tree.pause(INDEX_MS) })
    } catch (error) {
      if (isCellsError(error, 'timeout')) return tree.deps.server.stat(path, { signal })
      throw error
    }
  }

  private ledger(inode: Inode, { stop }: Sending): Omit<UploadLedger, 'again'> {
    const draft = inode.draft!
    return {
      found: draft.upload,
      save: (it) => {
        draft.upload = it
        if (inode.draft === draft) this.deps.durability.rebase(inode)
      },
      // Not if it was replaced or deleted here.
      goesOn: () => !stop.signal.aborted,
      partBytes: this.deps.partBytes,
    }
  }

  /** The place on the server is the inode's own again, unless it was moved here meanwhile. */
  private settled(inode: Inode): void {
    const { tree, journal } = this.deps
    const { heldAt } = inode
    if (heldAt !== undefined && !inode.unlinked && heldAt.folder === inode.parent && heldAt.name === inode.name) tree.places.hold(inode, undefined)
    journal.move(inode)
  }

  /** After the server's 200: our word stands until the server shows the content. */
  private sent(inode: Inode, snapshot: Snapshot, digest: FileDigest, path: string): void {
    const { draft } = inode
    if (draft !== undefined) draft.committed = Math.max(draft.committed, snapshot.generation)
    inode.expected = digest
    inode.sent.add(digest.md5)
    inode.failure = undefined
    this.settled(inode)
    if (inode.unlinked) return
    this.deps.tree.overlay(inode)
    this.recordSent(inode, snapshot, digest, 'sent')
    this.deps.confirmer.awaitPresent(inode, path)
  }

  /** What is being sent, or was. If it has been written to since, the record goes on vouching for what was secured last. */
  private recordSent(inode: Inode, snapshot: Snapshot, digest: FileDigest, state: 'closed' | 'sent'): void {
    const { draft } = inode
    if (draft !== undefined && draft.generation === snapshot.generation) {
      this.deps.durability.record(inode, state, digest)
      return
    }
    this.deps.durability.rebase(inode)
  }

  /** The server was sent it and does not have it. */
  sendAgain(inode: Inode): void {
    const { draft } = inode
    if (draft === undefined || inode.unlinked || inode.localOnly) return
    if (draft.dirty) {
      // Written to since: what comes next takes its place. (The record vouches for it, or for what came after it, already.)
      draft.committed = Math.min(draft.committed, draft.secured - 1)
    } else {
      draft.committed = Math.min(draft.committed, draft.generation - 1)
      draft.secured = Math.max(draft.secured, draft.generation)
      this.deps.durability.record(inode, 'closed')
      this.deps.durability.copySoon(inode)
    }
    this.deps.tree.overlay(inode)
    this.deps.onDue(inode)
  }

  /** What the server has at the inode's place is ours to write over. Recorded together with whatever is recorded now. */
  private mayShow(inode: Inode, etags: Iterable<string>): void {
    for (const etag of etags) inode.sent.add(etag)
    this.deps.durability.rebase(inode)
  }
}

/** Somebody has written what we were about to send once more. */
class Overtaken extends CellsError {}

function isAt({ serverPlace }: Inode, place: Place): boolean {
  return serverPlace?.folder === place.folder && serverPlace.name === place.name
}
