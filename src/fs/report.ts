/**
 * What an engine has still to send: waits for it (`sync`), and tells of it (`status`). A sync of a path waits for nothing that
 * is elsewhere.
 */
import type { BlockCache } from '../cache/blocks.js'
import type { Store } from '../cache/store.js'
import { abortable, timeLimit } from '../signals.js'
import { VERSION } from '../version.js'
import type { Confirmer } from './confirm.js'
import type { Conflicts } from './conflicts.js'
import type { ConnectionWatch } from './connection.js'
import type { Durability } from './durability.js'
import type { Inode } from './inodes.js'
import type { Instruments } from './instruments.js'
import type { Pins } from './pins.js'
import type { Recovery } from './recovery.js'
import type { Removals } from './removals.js'
import type { SetAside } from './set-aside.js'
import { isBelow } from './state.js'
import type { EngineStatus, FailedChange, PendingChange, SyncReport } from './status.js'
import type { Tree } from './tree.js'
import type { Unlinks } from './unlinks.js'
import type { Uploader } from './uploader.js'

/** How long a sync waits for the server to show what it has taken. */
const SYNC_CONFIRM_MS = 60_000
/** ... and for what depends on a change that could not be sent: not for long. */
const SYNC_FAILED_MS = 5_000
/** What was waited for and is to be sent once more (lost on the server, or as a conflict copy) is waited for again, this often: a program may never stop writing. */
const SYNC_ROUNDS = 3
/** Pending changes in a status that asks for them. */
const MOST_CHANGES = 500

export interface ReportDeps {
  readonly tree: Tree
  readonly store: Store
  readonly blocks: BlockCache
  readonly durability: Durability
  readonly uploader: Uploader
  readonly removals: Removals
  readonly unlinks: Unlinks
  readonly confirmer: Confirmer
  readonly conflicts: Conflicts
  readonly setAside: SetAside
  readonly pins: Pins
  readonly connection: ConnectionWatch
  readonly instruments: Instruments
  readonly recovery: () => Recovery
  /** Brings to disk what is not in the store. */
  readonly flush: () => Promise<void>
  readonly openHandles: () => number
}

export class Report {
  private readonly deps: ReportDeps

  constructor(deps: ReportDeps) {
    this.deps = deps
  }

  /** See Engine. */
  async sync(path = '', signal?: AbortSignal): Promise<SyncReport> {
    const prefix = path.replace(/^\/+|\/+$/g, '')
    const concerns = (inode: Inode): boolean => isBelow(this.deps.tree.places.localPath(inode), prefix)
    try {
      return await abortable(this.sendAll(prefix, concerns, signal), signal)
    } catch (error) {
      if (signal?.aborted !== true) throw error
    }
    const failed = this.deps.uploader.failures(concerns)
    const unsent = this.pending(prefix, concerns).filter(({ state }) => state !== 'failed').length
    if (unsent === 0 && failed.length === 0) failed.push(...this.undeleted(prefix))
    if (unsent === 0 && failed.length === 0) failed.push({ path: prefix, reason: this.unshown() })
    return { failed: [...failed, ...this.lost(prefix)], ...(unsent > 0 && { unsent }) }
  }

  private async sendAll(prefix: string, concerns: (inode: Inode) => boolean, signal: AbortSignal | undefined): Promise<SyncReport> {
    const { tree, store, durability, uploader, unlinks, removals, confirmer } = this.deps
    const open = [...tree.deps.inodes.all()].filter((it) => it.dirty && !it.unlinked && !it.localOnly && concerns(it))
    for (const inode of open) await durability.secure(inode)
    await this.deps.recovery().again()
    const failed = this.waiting(prefix)
    let which = concerns
    for (let round = 1; round <= SYNC_ROUNDS; round++) {
      failed.push(...await uploader.drain(which))
      const deadline = timeLimit(failed.length === 0 ? SYNC_CONFIRM_MS : SYNC_FAILED_MS, signal)
      try {
        await abortable(unlinks.settled((it) => isBelow(it, prefix)), deadline)
        await abortable(removals.settled(concerns), deadline)
        const again = new Set((await confirmer.drained(which, deadline)).filter(({ pending }) => pending))
        for (const folder of removals.again(concerns)) again.add(folder)
        if (again.size === 0) break
        which = (inode) => again.has(inode)
      } catch {
        failed.push(...this.undeleted(prefix))
        if (failed.length === 0) failed.push({ path: prefix, reason: this.unshown() })
        break
      }
    }
    await this.deps.flush()
    await store.flushed()
    return { failed: [...failed, ...this.lost(prefix)] }
  }

  /** What an earlier process left and that cannot even be looked for now. */
  private waiting(prefix = ''): FailedChange[] {
    return this.deps.recovery().waiting.filter(({ path }) => isBelow(path, prefix))
  }

  /** What no server can be given. */
  private lost(prefix = ''): FailedChange[] {
    return this.deps.setAside.failures.filter(({ path }) => isBelow(path, prefix))
  }

  private undeleted(prefix: string): FailedChange[] {
    return [...this.deps.unlinks.changes()].filter(({ path }) => isBelow(path, prefix)).map(({ path, failure }) => ({ path, reason: failure ?? 'the server has not answered to the delete yet' }))
  }

  private unshown(): string {
    const { pending } = this.deps.confirmer
    return pending === 1 ? 'The server has taken one change and does not show it yet' : `The server has taken ${pending} changes and does not show them yet`
  }

  /** At and below a path. */
  private pending(prefix = '', concerns: (inode: Inode) => boolean = () => true): PendingChange[] {
    const { uploader, unlinks } = this.deps
    const deletes = [...unlinks.changes()].filter((it) => isBelow(it.path, prefix)).map(({ path, change, state, bytes, since }) => ({ path, change, state, bytes, since }))
    return [...uploader.changes(concerns), ...deletes]
  }

  status({ verbose = false }: { verbose?: boolean } = {}): EngineStatus {
    const { tree, store, blocks, uploader, removals, unlinks, confirmer, conflicts, pins, connection, instruments } = this.deps
    const { server, remote, metadata } = tree.deps
    const { count, bytes } = uploader.waiting
    const { usage, hits, misses } = blocks
    const { sent, received } = instruments.traffic
    return {
      version: VERSION, server: server.url, remote, connection: connection.state, live: metadata.pushed,
      pending: { count: count + removals.count + unlinks.count, bytes, oldest: this.oldest() }, unconfirmed: confirmer.pending,
      ...(verbose && { changes: this.pending().sort((a, b) => a.since.localeCompare(b.since)).slice(0, MOST_CHANGES) }),
      failures: [...this.waiting(), ...unlinks.failures, ...uploader.failures(), ...this.lost()], conflicts: conflicts.all,
      traffic: { sent: sent.total, received: received.total, up: sent.rate, down: received.rate },
      cache: { bytes: usage.bytes, limit: usage.limit, pinned: usage.pinned, hits, misses }, pins: pins.status(), damage: store.damage, openHandles: this.deps.openHandles(),
    }
  }

  private oldest(): string | null {
    const { uploader, unlinks } = this.deps
    const { count, oldestMs } = uploader.waiting
    let oldest = count === 0 ? null : new Date(Date.now() - oldestMs).toISOString()
    for (const { since } of unlinks.changes()) if (oldest === null || since < oldest) oldest = since
    return oldest
  }
}
