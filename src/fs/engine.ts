/**
 * The engine of one mount, put together: store and blocks on disk, the tree, the contents, the event
 * stream. Opening brings back what an earlier process left behind; closing brings everything to safety.
 */
import { mkdir, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BlockCache } from '../cache/blocks.js'
import { MetadataCache } from '../cache/metadata.js'
import { type DraftRecord, Store } from '../cache/store.js'
import { CellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import { BackupMoves } from './backup.js'
import { Budget } from './budget.js'
import { Confirmer } from './confirm.js'
import { ConnectionWatch } from './connection.js'
import { Contents, type Place } from './contents.js'
import { Draft } from './drafts.js'
import type { KernelNotices } from './drivers/driver.js'
import { Filesystem } from './filesystem.js'
import { refuseAdding } from './full-disk.js'
import { fromPair, type Inode, InodeTable } from './inodes.js'
import type { Engine, EngineStatus, FailedChange, SyncReport } from './status.js'
import { Removals } from './removals.js'
import { Specials } from './specials.js'
import { type Owner, Tree } from './tree.js'
import { TreeLock } from './treelock.js'
import { Unlinks } from './unlinks.js'
import { WalkAhead } from './walkahead.js'

import { VERSION } from '../version.js'

export interface EngineOptions {
  readonly server: CellsServer
  /** Folder of the server, `ws/a`; '' for all workspaces. */
  readonly remote: string
  /** Drafts, facts and records: must survive. */
  readonly stateDir: string
  /** Blocks: may be deleted while no mount uses them. */
  readonly cacheDir: string
  /** Bound of the block cache on disk. */
  readonly cacheBytes?: number
  /** Bound of names kept in memory. */
  readonly maxNames?: number
  readonly uid: number
  readonly gid: number
  readonly umask: number
  readonly readOnly: boolean
  readonly logger: Logger
}

const DEFAULT_CACHE_BYTES = 10 * 2 ** 30
const DEFAULT_NAMES = 200_000
/** Bytes of blocks in flight over all readers. */
const READ_BUDGET = 48 * 2 ** 20
/** How long a sync waits for the server to show what it has taken. */
const SYNC_CONFIRM_MS = 60_000

/**
 * Opens the engine. Asks the server once, for the remote folder.
 * @throws StoreError when the folders are in use or unusable; CellsError when the server cannot be reached or the folder is not there
 */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const engine = new MountEngine(options)
  try {
    await engine.start()
    return engine
  } catch (error) {
    await engine.abandon()
    throw error
  }
}

class MountEngine implements Engine {
  fs!: Filesystem
  private readonly options: EngineOptions
  private readonly store: Store
  private tree!: Tree
  private contents!: Contents
  private confirmer!: Confirmer
  private backups!: BackupMoves
  private removals!: Removals
  private unlinks!: Unlinks
  private specials!: Specials
  private blocks!: BlockCache
  private metadata!: MetadataCache
  private stream: { close(): void } | undefined
  private fourByteNames = false
  private readonly connection = new ConnectionWatch()

  constructor(options: EngineOptions) {
    this.options = { ...options, server: this.connection.watch(options.server) }
    this.store = Store.open(options.stateDir)
  }

  async start(): Promise<void> {
    const { server, remote, stateDir, cacheDir, logger } = this.options
    await mkdir(join(stateDir, 'lost+found'), { recursive: true, mode: 0o700 })
    await mkdir(cacheDir, { recursive: true, mode: 0o700 })
    this.blocks = await BlockCache.open(join(cacheDir, 'blocks'), this.options.cacheBytes ?? DEFAULT_CACHE_BYTES, logger)
    this.assemble()
    await this.openRoot(remote)
    this.stream = server.events({
      onEvent: (event) => this.tree.onEvent(event),
      onState: (it) => {
        if (it.state === 'connected') {
          this.metadata.streamConnected()
          this.tree.patience.reset()
          this.contents.retryNow()
        }
        else if (this.metadata.pushed) {
          this.metadata.streamLost()
          this.tree.kernel.everything()
        }
        logger.debug('event stream', it)
      },
    })
    void server.nameRules?.().then((rules) => { this.fourByteNames = rules.fourByte === true }, (error: unknown) => logger.debug('name rules unknown', { error }))
    await this.recover()
  }

  private assemble(): void {
    const { server, remote, logger, uid, gid, umask } = this.options
    const owner: Owner = { uid, gid, umask }
    this.metadata = new MetadataCache(this.options.maxNames ?? DEFAULT_NAMES, (folder) => {
      const inode = inodes.get(folder)
      // Not inside the cache's own eviction.
      if (inode !== undefined) queueMicrotask(() => inodes.release(inode))
    })
    const inodes = new InodeTable({ mode: 0o777 & ~umask, uid, gid }, (ino) => this.metadata.has(ino))
    this.tree = new Tree({ server, store: this.store, metadata: this.metadata, inodes, remote, owner, logger })
    this.confirmer = new Confirmer({ tree: this.tree, blocks: this.blocks, logger })
    this.tree.offer = (inode, node) => this.confirmer.offer(inode, node)
    this.tree.isGoing = (folder, name) => this.unlinks.pendingAt(folder, name) || this.removals.pendingAt(folder, name)
      || this.confirmer.awaitsAbsence(folder, name) || this.backups.holds(folder, name)
    const locks = new TreeLock()
    this.backups = new BackupMoves({ tree: this.tree, locks, contents: () => this.contents, logger })
    this.removals = new Removals({ tree: this.tree, confirmer: this.confirmer, logger })
    this.unlinks = new Unlinks({ tree: this.tree, confirmer: this.confirmer, logger })
    this.specials = new Specials({ tree: this.tree, logger })
    this.contents = new Contents({
      tree: this.tree, confirmer: this.confirmer, locks, blocks: this.blocks, budget: new Budget(READ_BUDGET), logger,
      secureBackup: (folder, name) => this.backups.secure(folder, name),
      freeName: async (folder, name) => {
        const left = await this.removals.cancel(folder, name)
        await this.unlinks.settledAt(folder, name)
        return left
      },
    })
    this.fs = new Filesystem({
      tree: this.tree, contents: this.contents, confirmer: this.confirmer, backups: this.backups, removals: this.removals, unlinks: this.unlinks, specials: this.specials, locks, logger,
      ahead: new WalkAhead({ tree: this.tree, contents: this.contents, logger }),
      readOnly: this.options.readOnly,
      fourByteNames: () => this.fourByteNames,
      quota: (inode) => this.quotaOf(inode),
    })
    refuseAdding(this.fs, () => (this.store.full ? 'ENOSPC' : undefined))
  }

  private readonly quotas = new Map<string, { total: number; used: number }>()

  private quotaOf(inode: Inode): { total: number; used: number } | undefined {
    const workspace = (this.options.remote || this.tree.localPath(inode)).split('/')[0] ?? ''
    return this.quotas.get(workspace) ?? (this.quotas.size === 1 ? [...this.quotas.values()][0] : undefined)
  }

  private async openRoot(remote: string): Promise<void> {
    const { server } = this.options
    const { root } = this.tree.deps.inodes
    root.mtime = root.ctime = root.atime = BigInt(Date.now()) * 1_000_000n
    if (remote === '') {
      const workspaces = await server.workspaces()
      for (const it of workspaces) if (it.quota !== undefined) this.quotas.set(it.slug, { total: it.quota, used: it.quotaUsage ?? 0 })
      this.metadata.setAll(root.ino, new Map(workspaces.map((it) => [it.slug, it.node])), this.metadata.now())
      return
    }
    const node = await server.stat(remote)
    if (node === undefined) throw new CellsError('not-found', `The folder ${remote} does not exist on the server`)
    if (node.kind !== 'folder') throw new CellsError('invalid', `${remote} is not a folder`)
    this.tree.applyNode(root, node)
  }

  attachNotices(notices: KernelNotices): void {
    this.tree.kernel.attach(notices)
  }

  // -- what an earlier process left

  private async recover(): Promise<void> {
    const { logger } = this.options
    const records = [...this.store.drafts.getRange()].map(({ value }) => value)
    const kept = new Set(records.map((it) => it.id))
    const files = new Set(await readdir(join(this.store.dir, 'drafts')))
    for (const name of files) {
      if (!kept.has(name)) await unlink(this.store.draftFile(name))
    }
    await this.backups.recover((path) => this.place(path)).catch((error: unknown) => logger.warn('renames of an earlier run wait for the server', { error }))
    await this.removals.recover((path) => this.place(path)).catch((error: unknown) => logger.warn('deletes of an earlier run wait for the server', { error }))
    await this.unlinks.recover((path) => this.place(path)).catch((error: unknown) => logger.warn('deletes of an earlier run wait for the server', { error }))
    for (const record of records) {
      try {
        if (!files.has(record.id)) {
          logger.warn('a change of an earlier run has a record but no content', { path: record.path })
          await this.store.drafts.remove(record.id)
          continue
        }
        await this.recoverDraft(record)
      } catch (error) {
        // Still on disk; the next start tries again.
        logger.warn('a change of an earlier run waits', { path: record.path, error })
      }
    }
    await this.specials.recover((path) => this.place(path))
  }

  private async recoverDraft(record: DraftRecord): Promise<void> {
    const { logger } = this.options
    const place = await this.place(record.path)
    if (record.state === 'open' || !record.complete || place === undefined) {
      const where = await this.contents.toLostAndFound(record)
      logger.warn('a file that was not closed when the last run ended was set aside', { path: record.path, where })
      return
    }
    const existing = await this.tree.child(place.folder, place.name)
    // Sent in the last moment before the end, perhaps: only an indexed content can be compared.
    if (existing?.type === 'file') await this.contents.finished(existing).catch((error: unknown) => logger.debug('not indexed yet', { path: record.path, error }))
    const shown = existing?.version?.etag
    if (existing !== undefined && shown !== undefined && record.md5 !== undefined) {
      const ours = shown === record.md5
      // It is there, or somebody has written after us.
      if (ours || (record.state === 'sent' && ![record.base?.etag, ETAG_TEMPORARY].includes(shown))) {
        if (ours) {
          this.store.updateFacts(existing.uuid, { ...record.facts, version: shown })
          existing.mode = record.facts.mode ?? existing.mode
          if (record.facts.mtime !== undefined) existing.mtime = existing.ctime = fromPair(record.facts.mtime)
        }
        await this.store.drafts.remove(record.id)
        await unlink(this.store.draftFile(record.id))
        return
      }
    }
    const { inodes } = this.tree.deps
    const mine = existing !== undefined && (existing.uuid === record.base?.uuid || record.state === 'sent')
    const type = record.facts.symlink === undefined ? 'file' : 'symlink'
    const inode = mine ? existing : inodes.create(type, place.folder, await this.freeName(place, existing), '', record.facts.ino, this.tree.ownership(type))
    if (inode.type === 'symlink') inode.symlink = record.facts.symlink
    inode.draft = await Draft.reopen((id) => this.store.draftFile(id), record.id, record.size)
    inode.recordId = record.id
    inode.base = record.base
    inode.localOnly = record.state === 'local'
    if (record.state === 'local') inode.draft.committed = inode.draft.generation
    if (record.state === 'sent' && record.md5 !== undefined) inode.sent.add(record.md5)
    inode.mode = record.facts.mode ?? inode.mode
    if (record.facts.mtime !== undefined) inode.mtime = inode.ctime = fromPair(record.facts.mtime)
    place.folder.local.set(inode.name, inode)
    if (record.state !== 'local') {
      logger.info('sending a change of an earlier run', { path: record.path })
      void this.contents.commit(inode).catch((error: unknown) => logger.warn('cannot be sent yet', { path: record.path, error }))
    }
  }

  /** A recovered file whose name is somebody else's now keeps its content beside it; commit decides for the rest. */
  private async freeName(place: Place, existing: Inode | undefined): Promise<string> {
    if (existing === undefined) return place.name
    for (let n = 1; ; n++) {
      const name = `${place.name} (recovered${n > 1 ? ` ${n}` : ''})`
      if (await this.tree.child(place.folder, name) === undefined) return name
    }
  }

  /** The live folder and name of a path below the mount, or undefined if that folder is proven gone. */
  private async place(path: string): Promise<Place | undefined> {
    const names = path.split('/')
    const name = names.pop()!
    let folder: Inode | undefined = this.tree.deps.inodes.root
    for (const step of names) {
      folder = await this.tree.child(folder, step)
      if (folder === undefined || folder.type !== 'folder') return undefined
    }
    return { folder, name }
  }

  // -- for people

  async sync(path = '', signal?: AbortSignal): Promise<SyncReport> {
    const failed: FailedChange[] = []
    const prefix = path.replace(/^\/+|\/+$/g, '')
    const concerns = (inode: Inode): boolean => {
      const own = this.tree.localPath(inode)
      return prefix === '' || own === prefix || own.startsWith(`${prefix}/`)
    }
    await this.backups.flush().catch((error: unknown) => failed.push({ path: '', reason: (error as Error).message }))
    const dirty = [...this.tree.deps.inodes.all()].filter((it) => it.dirty && !it.unlinked && !it.localOnly && concerns(it))
    await Promise.all(dirty.map(async (inode) => {
      try {
        await this.contents.commit(inode, signal)
      } catch (error) {
        failed.push({ path: this.tree.localPath(inode), reason: (error as Error).message })
      }
    }))
    const deadline = AbortSignal.timeout(SYNC_CONFIRM_MS)
    try {
      await abortable(this.unlinks.settled(), deadline)
      await abortable(this.removals.settled(), deadline)
      await this.confirmer.drained(signal === undefined ? deadline : AbortSignal.any([signal, deadline]))
    } catch {
      failed.push({ path: prefix, reason: `The server has taken ${this.confirmer.pending} changes and does not show them yet` })
    }
    await this.store.flushed()
    return { failed }
  }

  status(): EngineStatus {
    const { server, remote } = this.options
    let count = this.backups.pending + this.removals.count + this.unlinks.count
    let bytes = 0
    const failures: FailedChange[] = [...this.unlinks.failures]
    for (const inode of this.tree.deps.inodes.all()) {
      if (!inode.dirty || inode.unlinked || inode.localOnly) continue
      count++
      bytes += inode.size
      if (inode.failure !== undefined) failures.push({ path: this.tree.localPath(inode), reason: inode.failure })
    }
    const { usage } = this.blocks
    return {
      version: VERSION, server: server.url, remote, connection: this.connection.state, live: this.metadata.pushed,
      pending: { count, bytes }, failures, conflicts: this.contents.conflicts,
      cache: { bytes: usage.bytes, limit: usage.limit }, openHandles: this.fs.openHandles,
    }
  }

  async close(): Promise<void> {
    this.fs.shut()
    const report = await this.sync()
    for (const { path, reason } of report.failed) this.options.logger.error('not on the server yet, kept for the next mount', { path, reason })
    this.stream?.close()
    this.contents.close()
    this.removals.close()
    await this.unlinks.close()
    await this.confirmer.close()
    this.backups.close()
    for (const inode of this.tree.deps.inodes.all()) {
      if (inode.draft === undefined) continue
      await inode.draft.close()
    }
    await this.blocks.settled()
    this.blocks.close()
    await this.store.close()
  }

  /** After a failed start: nothing was changed, only let go. */
  async abandon(): Promise<void> {
    this.stream?.close()
    await this.confirmer?.close()
    await this.store.close()
  }
}


/** What `work` gives, or a rejection when the signal fires first. */
function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return Promise.race([work, new Promise<T>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })])
}
