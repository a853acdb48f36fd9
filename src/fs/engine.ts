/**
 * The engine of one mount, put together: store and blocks on disk, the tree, the contents, the event
 * stream. Opening brings back what an earlier process left behind; closing brings everything to safety.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BlockCache } from '../cache/blocks.js'
import { MetadataCache } from '../cache/metadata.js'
import { NamesStore } from '../cache/names.js'
import { Store } from '../cache/store.js'
import type { CellsServer } from '../cells/server.js'
import type { Logger } from '../log.js'
import { Backups } from './backup.js'
import { Budget } from './budget.js'
import { Confirmer } from './confirm.js'
import { ConflictCopies } from './conflict-copies.js'
import { Conflicts } from './conflicts.js'
import { ConnectionWatch } from './connection.js'
import { Contents } from './contents.js'
import { DotNames } from './dotnames.js'
import type { KernelNotices } from './drivers/driver.js'
import { Durability } from './durability.js'
import { Filesystem } from './filesystem.js'
import { Foreground } from './foreground.js'
import { refuseAdding } from './full-disk.js'
import { InodeTable } from './inodes.js'
import { Instruments } from './instruments.js'
import { Journal } from './journal.js'
import type { Owner } from './node-attributes.js'
import { Pins } from './pins.js'
import { RecordedPaths } from './recorded-paths.js'
import { Recovery } from './recovery.js'
import type { Engine, EngineStatus, SyncReport } from './status.js'
import { Removals } from './removals.js'
import { Report } from './report.js'
import { Root } from './root.js'
import { Sender } from './sender.js'
import { SetAside } from './set-aside.js'
import { Shelf } from './shelf.js'
import { Specials } from './specials.js'
import { States } from './state.js'
import { Strays } from './strays.js'
import { Tree } from './tree.js'
import { TreeEvents } from './tree-events.js'
import { TreeLock } from './treelock.js'
import { Unlinks } from './unlinks.js'
import { Uploader } from './uploader.js'
import { WalkAhead } from './walkahead.js'

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
  /** Changes are answered when the server has them. Default: when they are safe on this disk. */
  readonly writeThrough?: boolean
  /** The server did not answer a moment ago: what was known is taken without waiting for it. */
  readonly away?: boolean
  /** Factor of every pause that waits for a program's next step or for the server's index; for tests with a faster server. Default: 1. */
  readonly pace?: number
  /** What the server has taken and does not show is sent again after this long, milliseconds, at the earliest. */
  readonly resendMs?: number
  /** What is larger than this is sent in parts of this size, bytes; for tests. Default: see upload.ts. */
  readonly partBytes?: number
  readonly logger: Logger
}

const DEFAULT_CACHE_BYTES = 10 * 2 ** 30
/** A busy server can take minutes for its index. */
const RESEND_MS = 120_000
/** A server that is restarted is back by then. */
const RESTART_MS = 10_000
const DEFAULT_NAMES = 200_000
/** Bytes of blocks in flight over all readers. */
const READ_BUDGET = 48 * 2 ** 20

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
  private durability!: Durability
  private sender!: Sender
  private confirmer!: Confirmer
  private journal!: Journal
  private uploader!: Uploader
  private removals!: Removals
  private unlinks!: Unlinks
  private specials!: Specials
  private blocks!: BlockCache
  private metadata!: MetadataCache
  private stream: { close(): void } | undefined
  private fourByteNames = false
  private rulesUnknown = false
  private shelf: Shelf | undefined
  private recovery!: Recovery
  /** Since when there is no event stream, if there is none. */
  private unpushedAt = performance.now()
  private readonly connection = new ConnectionWatch()
  private readonly instruments = new Instruments(() => this.status())
  private pins!: Pins
  private dotNames!: DotNames
  private conflicts!: Conflicts
  private readonly setAside: SetAside
  private report!: Report
  private root!: Root

  constructor(options: EngineOptions) {
    this.options = { ...options, server: this.connection.watch(this.instruments.watch(options.server)) }
    this.store = Store.open(options.stateDir)
    this.setAside = new SetAside({ stateDir: options.stateDir, draftFile: (id) => this.store.draftFile(id), logger: options.logger })
  }

  async start(): Promise<void> {
    const { server, stateDir, cacheDir, logger } = this.options
    await mkdir(join(stateDir, 'lost+found'), { recursive: true, mode: 0o700 })
    await mkdir(cacheDir, { recursive: true, mode: 0o700 })
    this.blocks = await BlockCache.open(join(cacheDir, 'blocks'), this.options.cacheBytes ?? DEFAULT_CACHE_BYTES, logger)
    this.assemble()
    const names = NamesStore.open(cacheDir, this.options.maxNames ?? DEFAULT_NAMES, logger)
    if (names !== undefined) {
      const shelf = this.metadata.shelf = this.shelf = new Shelf(names, this.tree)
      this.connection.onTelling = (path) => shelf.about(path)
    }
    const asked = await this.root.open(this.shelf)
    this.recovery = new Recovery({ tree: this.tree, contents: this.contents, durability: this.durability, journal: this.journal, unlinks: this.unlinks, removals: this.removals, specials: this.specials, uploader: this.uploader, logger })
    const events = new TreeEvents(this.tree)
    this.stream = server.events({
      onEvent: (event) => {
        events.take(event)
        this.pins.onEvent(event)
      },
      onState: (it) => {
        if (it.state === 'connected') {
          this.metadata.streamConnected()
          this.tree.patience.reset()
          this.reachable()
        }
        else if (this.metadata.pushed) {
          this.unpushedAt = this.metadata.now()
          this.metadata.streamLost()
          this.tree.kernel.everything()
        }
        if (it.state === 'disconnected') this.probe()
        logger.debug('event stream', it)
      },
    })
    this.learnNameRules()
    // A server that answers is asked properly.
    this.tree.patience.starting = !asked
    await this.recovery.run()
    this.tree.patience.starting = false
    await this.conflicts.start(server)
    await this.setAside.start()
    await this.pins.start()
  }

  private learnNameRules(): void {
    void this.options.server.nameRules?.().then((rules) => { this.fourByteNames = rules.fourByte === true }, (error: unknown) => {
      this.options.logger.debug('name rules unknown', { error })
      this.rulesUnknown = true
    })
  }

  /** The server can be asked again, or a person thinks so. */
  private reachable(): void {
    this.uploader.retryNow()
    this.removals.retryNow()
    this.unlinks.retryNow()
    this.pins.look()
    if (this.rulesUnknown) this.learnNameRules()
    this.rulesUnknown = false
    void this.recovery.again()
  }

  wake(): void {
    this.tree.patience.reset()
    this.reachable()
    this.probe()
  }

  /** A question whose answer, or want of one, tells how things are (connection.ts). */
  private probe(): void {
    const { remote, server, logger } = this.options
    void (remote === '' ? server.workspaces() : server.stat(remote)).catch((error: unknown) => logger.debug('the server cannot be asked yet', { error }))
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
    this.tree = new Tree({ server, store: this.store, metadata: this.metadata, inodes, remote, owner, pace: this.options.pace ?? 1, logger })
    this.root = new Root({ tree: this.tree, connection: this.connection, remote, away: this.options.away === true, logger })
    this.confirmer = new Confirmer({
      tree: this.tree, blocks: this.blocks, logger,
      onIdentified: (inode) => {
        this.journal.move(inode)
        this.journal.folder(inode)
        // What is known of it is kept by its Uuid.
        if (inode.type === 'folder') this.shelf?.changed(inode.ino)
      },
      onLost: (inode) => this.sender.sendAgain(inode),
      onFolderGone: (folder) => this.journal.folder(folder),
      resendMs: this.options.resendMs ?? RESEND_MS,
    })
    this.tree.cutOff = () => !this.metadata.pushed && (this.connection.state !== 'online' || this.tree.patience.paused)
    this.tree.longGone = () => this.tree.cutOff() && this.metadata.now() - this.unpushedAt >= this.tree.pause(RESTART_MS)
    this.connection.onChange = (state, error) => {
      if (state === 'login-needed') logger.error('signed out: run `cec config relog`; the mount goes on, and sends what was saved after it', { error })
      else logger.info(state === 'online' ? 'the server answers' : 'the server cannot be reached: going on with what is known', { error })
    }
    this.tree.offer = (inode, node) => this.confirmer.offer(inode, node)
    this.tree.left = (inode, node) => this.confirmer.left(inode, node)
    this.tree.isGoing = (folder, name) => this.unlinks.pendingAt(folder, name) || this.removals.pendingAt(folder, name)
      || this.confirmer.awaitsAbsence(folder, name) || this.tree.places.elsewhereHere(folder, name) !== undefined
    // Names here and names on the server: two trees, two locks.
    const [names, locks] = [new TreeLock(), new TreeLock()]
    const { tree, confirmer } = this
    const journal = this.journal = new Journal(tree)
    tree.succession.onTakenBack = (folder) => {
      journal.move(folder)
      journal.relocated(folder)
    }
    const removals = this.removals = new Removals({ tree, confirmer, journal, locks, sent: (inode, signal) => this.uploader.whenSent(inode, signal), logger })
    const unlinks = this.unlinks = new Unlinks({ tree, confirmer, journal, locks, goingBelow: (folder) => removals.below(folder), logger })
    const specials = this.specials = new Specials({ tree, logger })
    journal.relocating.push((within) => {
      for (const inode of inodes.all()) if (inode.special && within(inode)) specials.save(inode)
    })
    const conflicts = this.conflicts = new Conflicts({ tree, stateDir: this.options.stateDir, logger })
    const durability = this.durability = new Durability({ tree, onSecured: (inode, delayMs) => this.uploader.add(inode, delayMs), logger })
    const contents = this.contents = new Contents({
      tree, durability, setAside: this.setAside, blocks: this.blocks, budget: new Budget(READ_BUDGET), received: (bytes) => this.instruments.traffic.received.add(bytes), logger,
    })
    const backups = new Backups({ tree, journal, confirmer, contents, durability })
    const conflictCopies = new ConflictCopies({ tree, durability, confirmer, journal, conflicts, logger })
    const sender = this.sender = new Sender({
      tree, durability, conflictCopies, backups, confirmer, journal, locks, removals, logger,
      freeName: (folder, name, inode) => this.uploader.freed(folder, name, inode),
      onMissing: (inode, draft, error) => contents.bases.failed(inode, draft, error),
      onDue: (inode) => this.uploader.add(inode),
      partBytes: this.options.partBytes,
    })
    confirmer.onOverwritten = (inode, theirs) => conflictCopies.keepOverwritten(inode, theirs)
    tree.succession.onUnseated = (folder, theirs) => {
      conflictCopies.folderAside(folder, theirs)
      this.uploader.add(folder)
    }
    const foreground = new Foreground()
    const uploader = this.uploader = new Uploader({ tree, durability, sender, foreground, conflictCopies, confirmer, journal, removals, unlinks, locks, logger })
    const strays = new Strays({ tree, confirmer, durability, journal, paths: new RecordedPaths(tree, journal, uploader), logger })
    confirmer.onAstray = (inode, sentTo, nodes) => strays.look(inode, sentTo, nodes)
    const states = new States({ tree, conflicts, confirmer, uploader, unlinks })
    const pins = this.pins = new Pins({ tree, contents, journal, blocks: this.blocks, stateDir: this.options.stateDir, logger })
    this.report = new Report({
      tree, store: this.store, blocks: this.blocks, durability, uploader, removals, unlinks, confirmer, conflicts, setAside: this.setAside, pins, connection: this.connection, instruments: this.instruments,
      recovery: () => this.recovery, flush: async () => this.shelf?.flush(), openHandles: () => this.fs.openHandles,
    })
    this.dotNames = new DotNames(tree, logger)
    this.fs = new Filesystem({
      tree, contents, durability, sender, confirmer, backups, journal, uploader, foreground, removals, unlinks, specials, names, locks, logger,
      ahead: new WalkAhead({ tree, contents, logger }), dotNames: this.dotNames,
      readOnly: this.options.readOnly,
      writeThrough: this.options.writeThrough === true,
      fourByteNames: () => this.fourByteNames,
      stateOf: (inode) => states.of(inode),
      quota: (inode) => this.root.quotaOf(inode),
    })
    this.instruments.measure(this.fs)
    refuseAdding(this.fs, () => (this.store.full ? 'ENOSPC' : undefined))
  }

  attachNotices(notices: KernelNotices): void {
    this.tree.kernel.attach(notices)
  }

  // -- for people

  sync(path?: string, signal?: AbortSignal): Promise<SyncReport> {
    return this.report.sync(path, signal)
  }

  status(options?: { verbose?: boolean }): EngineStatus {
    return this.report.status(options)
  }

  metrics(): string {
    return this.instruments.text()
  }

  async pin(path: string): Promise<void> {
    await this.pins.pin(path.replace(/^\/+|\/+$/g, ''))
  }

  async unpin(path: string): Promise<void> {
    await this.pins.unpin(path.replace(/^\/+|\/+$/g, ''))
  }

  async close(signal?: AbortSignal): Promise<SyncReport> {
    this.fs.shut()
    const report = await this.sync('', signal).catch((error: unknown): SyncReport => ({ failed: [{ path: '', reason: (error as Error).message }] }))
    for (const { path, reason } of report.failed) this.options.logger.error('not on the server yet, kept for the next mount', { path, reason })
    this.stream?.close()
    // All are told before any is waited for: what fails from here on fails because this is the end.
    const ends = [this.recovery.close(), this.pins.close(), this.dotNames.close(), this.contents.close(), this.uploader.close(), this.unlinks.close(), this.confirmer.close()]
    this.removals.close()
    this.connection.end()
    await Promise.all(ends)
    for (const inode of this.tree.deps.inodes.all()) {
      if (inode.draft === undefined) continue
      await inode.draft.close()
    }
    await this.blocks.settled()
    this.blocks.close()
    await this.shelf?.close()
    await this.store.close()
    return report
  }

  /** After a failed start: nothing was changed, only let go. */
  async abandon(): Promise<void> {
    this.stream?.close()
    await this.confirmer?.close()
    await this.shelf?.close()
    await this.store.close()
  }
}
