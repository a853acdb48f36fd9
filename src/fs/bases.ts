/**
 * What a draft needs of the version that it lies over has to come while the server has it: once somebody has replaced the file, no server
 * of this kind gives the old content any more, and what was written over a part of it is a part of nothing.
 *
 * So what is small comes before the first change is answered, with one verified request; what is large comes in the background as soon as it is
 * changed, and what cannot be had because the server does not answer is asked for again when it does. Where somebody was faster all the same, ours cannot
 * be made whole: bytes of two versions are never mixed (design, invariant 3), and no copy goes to the server that only looks like a document.
 * Theirs keeps the name, and what was written here is set aside as it is (set-aside.ts).
 */
import { ETAG_TEMPORARY, type CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import { orLate } from '../signals.js'
import type { Draft } from './drafts.js'
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import { saysNothing } from './patience.js'
import { WHOLE_FETCH } from './reader.js'
import type { Tree } from './tree.js'

/** How long the first change of a small file waits for what it needs of it. */
const PATIENCE_MS = 3_000
/** What could not be fetched is asked for again after this long, at the next change. */
const AGAIN_MS = 5_000
/** A file of at most this size is fetched whole when a part of it is changed, or before it is deleted on the server while it is open, bytes. */
export const MAX_KEPT = 256 * 1024 * 1024
/** What is not at its name on the server may have been renamed, which is heard of a moment later. */
const MOVED_MS = 30_000

export interface BasesDeps {
  readonly tree: Tree
  /** The base is gone: what there is of the draft goes aside, the name gets the server's content. */
  readonly giveUp: (inode: Inode, draft: Draft, theirs: CellsNode | undefined, askedAt: number) => Promise<void>
  readonly logger: Logger
}

interface Fetch {
  running: Promise<void> | undefined
  /** performance.now() before which it is not begun again. */
  notBefore: number
  /** Since when the server has had nothing at the name, performance.now(). */
  absentSince: number | undefined
}

export class Bases {
  private readonly deps: BasesDeps
  private readonly fetches = new WeakMap<Draft, Fetch>()
  private readonly working = new Set<Promise<void>>()
  private readonly stop = new AbortController()

  constructor(deps: BasesDeps) {
    this.deps = deps
  }

  /**
   * Before the first change of a draft is answered. Where the server does not answer, the change is made all the same.
   * @throws FsError ESTALE when the server has another version; what the server says against reading it
   */
  async bring(draft: Draft): Promise<void> {
    if (draft.complete || draft.size > WHOLE_FETCH || this.deps.tree.patience.paused) return
    try {
      await orLate(PATIENCE_MS, this.fetch(draft), () => {})
    } catch (error) {
      if (!saysNothing(error)) throw error
    }
  }

  /** What the upload will need is fetched in the background, one request after the other. */
  fetchAhead(inode: Inode, draft: Draft): void {
    if (draft.complete || draft.size > MAX_KEPT) return
    const { running, notBefore } = this.of(draft)
    if (running !== undefined || performance.now() < notBefore) return
    const work = this.fetch(draft).catch(async (error: unknown) => {
      if (this.stop.signal.aborted) return
      this.deps.logger.debug('the rest of a file that is being changed could not be fetched ahead', { error })
      await this.failed(inode, draft, error)
    }).catch((error: unknown) => this.deps.logger.warn('a change of a part of a file that was replaced on the server could not be set aside yet', { error }))
      .finally(() => this.working.delete(work))
    this.working.add(work)
  }

  async close(): Promise<void> {
    this.stop.abort()
    await Promise.all(this.working)
  }

  private of(draft: Draft): Fetch {
    let found = this.fetches.get(draft)
    if (found === undefined) {
      found = { running: undefined, notBefore: 0, absentSince: undefined }
      this.fetches.set(draft, found)
    }
    return found
  }

  private fetch(draft: Draft): Promise<void> {
    const state = this.of(draft)
    state.running ??= draft.fill(this.stop.signal).catch((error: unknown) => {
      state.notBefore = performance.now() + AGAIN_MS
      throw error
    }).finally(() => { state.running = undefined })
    return state.running
  }

  /**
   * The rest of a draft could not be fetched. If the server has another content for good, ours is given up; an index that lags, an upload under way and a
   * rename that nobody has told of yet are waited for.
   * @throws when that cannot be found out, or done, now
   */
  async failed(inode: Inode, draft: Draft, error: unknown): Promise<void> {
    const place = inode.serverPlace
    const { base } = inode
    if (!(error instanceof FsError && error.code === 'ESTALE') || place === undefined || base === undefined) return
    const { tree } = this.deps
    const askedAt = tree.deps.metadata.now()
    const theirs = await tree.deps.server.stat(tree.places.pathAt(place.folder, place.name))
    if (inode.draft !== draft || draft.complete || inode.unlinked || inode.base !== base || inode.serverPlace?.folder !== place.folder || inode.serverPlace.name !== place.name) return
    const state = this.of(draft)
    if (theirs === undefined) {
      state.absentSince ??= performance.now()
      if (performance.now() - state.absentSince < tree.pause(MOVED_MS)) return
    } else {
      state.absentSince = undefined
      if (theirs.etag === ETAG_TEMPORARY || inode.sent.has(theirs.etag) || (theirs.uuid === base.uuid && theirs.etag === base.etag)) return
    }
    await this.deps.giveUp(inode, draft, theirs, askedAt)
  }
}
