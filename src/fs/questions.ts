/**
 * What the server is asked about names and folders: when its last answer is believed, when a single name is asked for and when the folder is listed, and
 * when, because it cannot be asked, the last answer has to do (patience.ts). Answers go to the cache of names, and whoever is live under
 * one is told.
 */
import { Known, type KnownNode } from '../cache/known.js'
import type { MetadataCache } from '../cache/metadata.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import { baseOf, MARKER } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import { orLate } from '../signals.js'
import type { Echoes } from './echoes.js'
import type { Inode, InodeTable } from './inodes.js'
import { type Patience, saysNothing } from './patience.js'
import type { Places } from './places.js'
import { holdsUnsent } from './succession.js'
import type { Transit } from './transit.js'

/** How long a lookup waits for a listing that answers it. */
const LOOKUP_MS = 15_000
/** After this many single questions in a folder that was never listed, it is listed whole. */
const STATS_BEFORE_LISTING = 1
/** ... and in one whose listing is too old, after this many, and more for a large one: so many names of a listing cost a real server as much as one question. */
const STATS_BEFORE_RELISTING = 4
const NAMES_OF_A_STAT = 8
/** Names asked for before all of a folder is believed to be gone. */
const PROOFS = 20

/** Who waits for an answer. The signal is asked for with a question to the server, and not before: to make one is more work than an answer that is known. */
export interface Asker {
  readonly signal?: AbortSignal
}

export interface QuestionsDeps {
  readonly server: CellsServer
  readonly metadata: MetadataCache
  readonly inodes: InodeTable
  /** Folder of the server that is the mount's root; '' for all workspaces. */
  readonly remote: string
  readonly places: Places
  readonly transit: Transit
  readonly echoes: Echoes
  readonly patience: Patience
  /** Is the server out of reach, so that the last complete listing of a folder is the best word about a name that is not in it? */
  readonly cutOff: () => boolean
  /** ... and not only for as long as it takes to restart one? */
  readonly longGone: () => boolean
  /** The server's word about a live inode, asked for at that time. */
  readonly onAnswer: (live: Inode, node: KnownNode, askedAt: number) => void
  readonly logger: Logger
}

export class Questions {
  private readonly deps: QuestionsDeps
  private readonly loading = new Map<Inode, Promise<void>>()
  private readonly asked = new WeakMap<Inode, number>()
  /** Folders made here for what a restart found of theirs, which the server may have: until it is asked, nothing in them is absent. */
  readonly unproven = new WeakSet<Inode>()

  constructor(deps: QuestionsDeps) {
    this.deps = deps
  }

  /**
   * What the server has at a name: as it is known, if that is fresh, else asked for. Undefined: proven absent.
   * @throws CellsError when it cannot be asked and nothing was known
   */
  async node(folder: Inode, name: string, asker: Asker | undefined): Promise<KnownNode | undefined> {
    const { metadata } = this.deps
    // The server's own file in each folder, which it shows to whoever asks by name: nobody's to write over.
    if (name === MARKER) return undefined
    const known = metadata.lookup(folder.ino, name)
    if (known !== 'unknown') return known
    if (!this.onServer(folder)) {
      if (this.unproven.has(folder)) throw new CellsError('network', 'What the server has in the folder could not be asked yet')
      return undefined
    }
    const stale = metadata.stale(folder.ino, name)
    const ask = (): Promise<KnownNode | undefined> => this.ask(folder, name, asker)
    try {
      // Absence would need a new proof, and a program that creates a file rather waits a while than fails: unless it would wait in vain.
      const waits = (stale === 'unknown' || stale === undefined) && !this.deps.patience.starting && !(stale === undefined && this.deps.cutOff()) && !this.deps.longGone()
      return await (waits ? ask() : this.deps.patience.ask(ask))
    } catch (error) {
      // A name that no server can hold is not there; asking about it could hang the server (trap 10).
      if (isCellsError(error, 'invalid')) return undefined
      // Without a server, saving under new names has to go on; if somebody has one of them, both versions are kept (conflict-copies.ts).
      if (stale !== 'unknown' && saysNothing(error) && (stale !== undefined || this.deps.cutOff())) {
        this.deps.logger.debug('the server cannot be asked, the last answer stands', { name, error })
        return stale
      }
      throw error
    }
  }

  private async ask(folder: Inode, name: string, asker: Asker | undefined): Promise<KnownNode | undefined> {
    const { metadata } = this.deps
    const asked = this.asked.get(folder) ?? 0
    if (folder === this.deps.inodes.root && this.deps.remote === '') {
      await this.relist(folder)
    } else if (asked >= this.mostAsked(folder)) {
      this.asked.set(folder, 0)
      await inTime(this.load(folder))
      // The listing may have been begun before this question, and the name be another one's since.
      if (metadata.lookup(folder.ino, name) === 'unknown') return this.askByName(folder, name, asker)
    } else {
      if (!metadata.current(folder.ino)) this.asked.set(folder, asked + 1)
      return this.askByName(folder, name, asker)
    }
    return metadata.listing(folder.ino)?.nodes.get(name)
  }

  /** So many single questions are asked in a folder before it is listed. */
  private mostAsked(folder: Inode): number {
    const { metadata } = this.deps
    const listing = metadata.listing(folder.ino)
    if (listing === undefined || listing.completeAt <= 0) return STATS_BEFORE_LISTING
    // It is one name that is in doubt.
    if (metadata.current(folder.ino)) return Infinity
    return STATS_BEFORE_RELISTING + listing.nodes.size / NAMES_OF_A_STAT
  }

  private async askByName(folder: Inode, name: string, asker: Asker | undefined): Promise<KnownNode | undefined> {
    const { metadata } = this.deps
    const at = metadata.now()
    const node = await this.deps.transit.whileStill(folder, () => this.deps.server.stat(this.deps.places.pathAt(folder, name), { signal: asker?.signal }))
    this.learn(folder, name, node, at)
    // A newer answer, or a confirmation of our own, may have come meanwhile.
    const newest = metadata.listing(folder.ino)?.answer(name)
    return newest !== undefined && newest.at > at ? newest.node : node
  }

  /** A folder made here that the server does not have yet has nothing to ask for. */
  private onServer(folder: Inode): boolean {
    return folder === this.deps.inodes.root || folder.uuid !== '' || folder.unconfirmed
  }

  /** Takes the server's answer about one name in. */
  learn(folder: Inode, name: string, node: KnownNode | undefined, at: number): void {
    this.deps.metadata.set(folder.ino, name, node, at)
    // What is just being indexed will look different in a second.
    if (node?.etag === ETAG_TEMPORARY) this.deps.metadata.doubt(folder.ino, name)
    const live = this.deps.places.atServerPlace(folder, name)
    if (node !== undefined && this.deps.echoes.isAbout(live, node, at)) this.deps.onAnswer(live, node, at)
    else if (node !== undefined) {
      const elsewhere = this.deps.inodes.ofUuid(node.uuid)
      if (elsewhere !== undefined) this.deps.onAnswer(elsewhere, node, at)
    }
  }

  /** As `load`; a listing that was begun before this question and has been overtaken by events does not do. */
  private async relist(folder: Inode): Promise<void> {
    const earlier = this.loading.has(folder)
    await this.load(folder)
    if (earlier && this.deps.metadata.complete(folder.ino) === undefined) await this.load(folder)
  }

  /** Lists a folder, once at a time. @throws CellsError; FsError ENOENT when the folder itself is proven absent */
  async load(folder: Inode): Promise<void> {
    const running = this.loading.get(folder)
    if (running !== undefined) return running
    const work = this.loadNow(folder).finally(() => this.loading.delete(folder))
    this.loading.set(folder, work)
    return work
  }

  private async loadNow(folder: Inode): Promise<void> {
    const { metadata } = this.deps
    let at = metadata.now()
    let nodes = await this.deps.transit.whileStill(folder, () => this.listed(folder))
    if (!await this.isProven(folder, nodes)) {
      // What it was asked for may have come meanwhile.
      at = metadata.now()
      nodes = await this.deps.transit.whileStill(folder, () => this.listed(folder))
      await this.proveAbsence(folder, nodes)
    }
    metadata.setAll(folder.ino, nodes, at)
    for (const [name, node] of nodes) {
      if (node.etag === ETAG_TEMPORARY) metadata.doubt(folder.ino, name)
      const live = this.deps.places.atServerPlace(folder, name) ?? this.deps.inodes.ofUuid(node.uuid)
      if (this.deps.echoes.isAbout(live, node, at)) this.deps.onAnswer(live, node, at)
    }
  }

  /** @throws CellsError `unavailable` when a name that is not among `nodes` is there (isProven) */
  async proveAbsence(folder: Inode, nodes: ReadonlyMap<string, KnownNode>): Promise<void> {
    if (!await this.isProven(folder, nodes)) throw new CellsError('unavailable', 'The server lists nothing where there is something')
  }

  /** A folder that had names and has none, a workspace that is gone: before that is believed, some of them are asked for by name. False if one is there. */
  private async isProven(folder: Inode, nodes: ReadonlyMap<string, KnownNode>): Promise<boolean> {
    const { metadata, server, remote } = this.deps
    const workspaces = folder === this.deps.inodes.root && remote === ''
    if (nodes.size > 0 && !workspaces) return true
    const missing: string[] = []
    for (const [name, node] of metadata.listing(folder.ino)?.nodes ?? []) {
      if (node !== undefined && !nodes.has(name)) missing.push(this.deps.places.pathAt(folder, name))
      if (missing.length === PROOFS) break
    }
    if (missing.length === 0) return true
    try {
      return (await server.statMany(missing)).size === 0
    } catch (error) {
      if (saysNothing(error)) throw error
      // Of a workspace that is not ours any more.
      return true
    }
  }

  /** By name. What is not kept of an answer goes with its page: a large folder has many. */
  private async listed(folder: Inode): Promise<Map<string, KnownNode>> {
    const { server } = this.deps
    const nodes = new Map<string, KnownNode>()
    const path = this.deps.places.pathOf(folder)
    if (path === '') {
      for (const workspace of await server.workspaces()) nodes.set(workspace.slug, workspace.node)
      return nodes
    }
    try {
      for await (const page of server.list(path, { bare: true })) {
        for (const node of page) nodes.set(baseOf(node.path), new Known(node))
      }
    } catch (error) {
      // A folder of ours that the index does not show yet (trap 12) is empty, not missing; so is one that somebody has deleted, and that is made again for what is in it.
      if (!isCellsError(error, 'not-found') || !(folder.unconfirmed || holdsUnsent(folder))) throw error
    }
    return nodes
  }

  /**
   * Brings what is known of a folder up to date, all of it. If the server says nothing, what was known has to do.
   * @throws CellsError when nothing was
   */
  async complete(folder: Inode, asker?: Asker): Promise<void> {
    const { metadata, logger } = this.deps
    if (this.onServer(folder) && metadata.complete(folder.ino) === undefined) {
      /** Is the last listing something to show? An empty one only if that is all there is to be had. */
      const inHand = (alone: boolean): boolean => {
        const known = metadata.listing(folder.ino)
        return known !== undefined && known.completeAt !== 0 && (known.nodes.size > 0 || alone)
      }
      const ask = (): Promise<void> => this.settleDoubts(folder, asker)
      try {
        await (inHand(this.deps.cutOff()) || this.deps.longGone() ? this.deps.patience.ask(ask) : ask())
      } catch (error) {
        // The first who finds the server gone is told no less than the next one.
        if (!(saysNothing(error) && inHand(!metadata.pushed))) throw error
        logger.warn('the folder cannot be listed, showing what is known', { path: this.deps.places.pathOf(folder), error })
      }
    }
  }

  /** A few names in doubt are asked by name, else the folder is listed again. */
  private async settleDoubts(folder: Inode, asker: Asker | undefined): Promise<void> {
    const { metadata, server } = this.deps
    const listing = metadata.listing(folder.ino)
    const doubted = [...(listing?.doubted.keys() ?? [])]
    if (doubted.length > 0 && doubted.length <= 20 && listing !== undefined && this.deps.places.pathOf(folder) !== '') {
      const at = metadata.now()
      const answers = await this.deps.transit.namesWhileStill(folder, doubted, (paths) => server.statMany(paths, { signal: asker?.signal }))
      for (const name of doubted) {
        const node = answers.get(name)
        metadata.set(folder.ino, name, node, at)
        const live = this.deps.places.atServerPlace(folder, name)
        if (node !== undefined && this.deps.echoes.isAbout(live, node, at)) this.deps.onAnswer(live, node, at)
      }
      if (metadata.complete(folder.ino) !== undefined) return
    }
    await this.relist(folder)
  }
}

/** What a lookup waits for may take longer than a lookup may (drivers/deadlines.ts); it goes on. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  return orLate(LOOKUP_MS, work, () => {
    throw new CellsError('timeout', 'The server takes too long to list the folder')
  })
}
