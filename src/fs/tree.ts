/**
 * The tree as the mount shows it: the server's last word (cache/metadata.ts) under our own unconfirmed changes
 * (Inode.local). Answers "what is at this name" and lists folders. (Events: tree-events.ts.)
 *
 * A name is absent only by proof: a complete listing, a 404, or our own delete. If the server cannot
 * be asked, the last known answer stands; where there is none, the error goes to the program.
 */
import { hostname } from 'node:os'
import type { MetadataCache } from '../cache/metadata.js'
import type { Store } from '../cache/store.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import { conflictName } from './conflict.js'
import type { Attr } from './drivers/driver.js'
import { Echoes } from './echoes.js'
import { FsError } from './errno.js'
import { KernelView } from './kernelview.js'
import { Patience, saysNothing } from './patience.js'
import { type Inode, type InodeTable, isWithin, type Place } from './inodes.js'
import { NodeAttributes, type Owner, typeOf } from './node-attributes.js'

export interface TreeDeps {
  readonly server: CellsServer
  readonly store: Store
  readonly metadata: MetadataCache
  readonly inodes: InodeTable
  /** Folder of the server that is the mount's root; '' for all workspaces. */
  readonly remote: string
  readonly owner: Owner
  /** Factor of every pause that waits for a program's next step or for the server's index. */
  readonly pace: number
  readonly logger: Logger
}

/** A name in a folder: either a live inode or only the server's word. */
export interface Listed {
  readonly name: string
  readonly attr: Attr
}

/** How long a lookup waits for a listing that answers it. */
const LOOKUP_MS = 15_000
/** After this many single questions in a folder that was never listed, it is listed whole. */
const STATS_BEFORE_LISTING = 1
/** The server makes it with the first delete in a workspace. */
const BIN = 'recycle_bin'
/** Names asked for before all of a folder is believed to be gone. */
const PROOFS = 20

export class Tree {
  readonly deps: TreeDeps
  readonly kernel: KernelView
  readonly attributes: NodeAttributes
  readonly echoes: Echoes
  /** Told of every node the server shows; true if that settled something unconfirmed. */
  offer: (inode: Inode, node: CellsNode) => boolean = () => false
  /** Did we delete or move away a node that the server may still show at this name? */
  isGoing: (folder: Inode, name: string) => boolean = () => false
  readonly patience: Patience
  /** Is the server out of reach, so that the last complete listing of a folder is the best word about a name that is not in it? */
  cutOff: () => boolean = () => false
  private readonly loading = new Map<Inode, Promise<void>>()
  private readonly asked = new WeakMap<Inode, number>()

  constructor(deps: TreeDeps) {
    this.deps = deps
    this.patience = new Patience(() => deps.metadata.now())
    this.attributes = new NodeAttributes(deps)
    this.echoes = new Echoes(() => deps.metadata.now())
    this.kernel = new KernelView(deps.inodes, deps.metadata)
    deps.metadata.onChange = (ino, name) => {
      const folder = deps.inodes.get(ino)
      // Under a change of ours the server's word does not show.
      if (folder !== undefined && !folder.local.has(name)) this.kernel.name(folder, name)
    }
  }

  /** A pause in which a program may do its next step, or the server may index: shorter where a test's server is faster than a real one. */
  pause(ms: number): number {
    return ms * this.deps.pace
  }

  // -- paths

  /** The node's path on the server. @throws FsError ESTALE for an inode that has no name any more */
  pathOf(inode: Inode): string {
    if (inode === this.deps.inodes.root) return this.deps.remote
    if (inode.heldAt !== undefined) return this.pathAt(inode.heldAt.folder, inode.heldAt.name)
    if (inode.unlinked || inode.parent === undefined) throw new FsError('ESTALE', 'The file has been deleted')
    return this.pathAt(inode.parent, inode.name)
  }

  /** Is the folder anywhere on the server, as far as is known here? */
  hasPath(folder: Inode): boolean {
    for (let at: Inode | undefined = folder; at !== this.deps.inodes.root; at = at.serverPlace?.folder) if (at?.serverPlace === undefined) return false
    return true
  }

  pathAt(folder: Inode, name: string): string {
    const above = this.pathOf(folder)
    return above === '' ? name : `${above}/${name}`
  }

  /** Path below the mount, for people and for records. */
  localPath(inode: Inode): string {
    const names: string[] = []
    for (let at: Inode | undefined = inode; at?.parent !== undefined; at = at.parent) names.unshift(at.name)
    return names.join('/')
  }

  foldersAbove(folder: Inode): string[] {
    return [...this.deps.remote.split('/'), ...this.localPath(folder).split('/')]
  }

  // -- names here and names there

  private readonly held = new Map<string, Inode>()

  /** The server has the node at another name than its own here; undefined: no longer. */
  hold(inode: Inode, place: Place | undefined): void {
    if (inode.heldAt !== undefined && this.held.get(placeKey(inode.heldAt)) === inode) this.held.delete(placeKey(inode.heldAt))
    inode.heldAt = place
    if (place === undefined) return
    this.held.set(placeKey(place), inode)
    this.hide(inode, place)
  }

  /** The inode that the server has at a place which is not its own here. */
  heldBy(folder: Inode, name: string): Inode | undefined {
    return this.held.get(placeKey({ folder, name }))
  }

  private readonly aims = new Map<string, Inode>()

  /** The server is being told to move the node there, and has not answered; undefined: that is over. */
  aim(inode: Inode, place: Place | undefined): void {
    const { movingTo } = inode
    if (movingTo !== undefined && this.aims.get(placeKey(movingTo)) === inode) this.aims.delete(placeKey(movingTo))
    inode.movingTo = place
    if (place === undefined) return
    this.aims.set(placeKey(place), inode)
    this.hide(inode, place)
  }

  /** What the server has at the place does not show there, because it is elsewhere here. */
  private hide(inode: Inode, { folder, name }: Place): void {
    if (!folder.local.has(name) && !(inode.parent === folder && inode.name === name && !inode.unlinked)) folder.local.set(name, null)
  }

  /** The inode that the server may have at a place, or may be about to, which is not its own here. */
  elsewhereHere(folder: Inode, name: string): Inode | undefined {
    const held = this.heldBy(folder, name)
    if (held !== undefined) return held
    const aimed = this.aims.get(placeKey({ folder, name }))
    return aimed === undefined || (aimed.parent === folder && aimed.name === name && !aimed.unlinked) ? undefined : aimed
  }

  /** Whoever is still to leave a place of the server for `inode`. A backup's node stays there: the newcomer takes it over (backup.ts). */
  toLeave(folder: Inode, name: string, inode: Inode): Inode | undefined {
    const holder = this.elsewhereHere(folder, name)
    return holder === undefined || holder === inode || holder.unlinked || holder.graceUntil > 0 ? undefined : holder
  }

  /** All that the server has somewhere below a folder of its own tree and that is elsewhere here, not deleted. */
  heldBelow(folder: Inode): Inode[] {
    return [...this.held.values()].filter((it) => !it.unlinked && this.isWithinThere(it.heldAt?.folder, folder))
  }

  /** The folders above an inode in the server's tree, innermost first, the root last. */
  serverFolders(folder: Inode): Inode[] {
    const found: Inode[] = []
    for (let at: Inode | undefined = folder; at !== undefined; at = at.serverPlace?.folder) found.push(at)
    return found
  }

  /** Is the inode a folder, or somewhere below it, in the server's tree? (Here: isWithin.) */
  isWithinThere(inode: Inode | undefined, folder: Inode): boolean {
    for (let at = inode; at !== undefined; at = at.serverPlace?.folder) if (at === folder) return true
    return false
  }

  /** Ours is not at this name any more, or the server's is not: what the server may still show there stays hidden until it is gone. */
  leave(folder: Inode, name: string): void {
    if (this.isGoing(folder, name)) folder.local.set(name, null)
    else folder.local.delete(name)
  }

  /** As `leave`, where nothing of ours is. */
  uncoverHidden(folder: Inode, name: string): void {
    if (folder.local.get(name) === null) this.leave(folder, name)
  }

  /** Does what is known of the inode here differ from what the server shows at its name? Then it has a place in `local`. */
  overlay(inode: Inode): void {
    const { parent, name } = inode
    if (parent === undefined || inode.unlinked) return
    if (inode.draft !== undefined || inode.unconfirmed || inode.heldAt !== undefined || inode.localOnly || !inode.onServer) parent.local.set(name, inode)
    else if (parent.local.get(name) === inode) {
      parent.local.delete(name)
      // What is known of the name may be older than what has just been confirmed.
      const known = this.deps.metadata.listing(parent.ino)?.answers.get(name)?.node
      if (known?.uuid !== inode.uuid || (inode.version !== undefined && known.etag !== inode.version.etag)) this.deps.metadata.doubt(parent.ino, name)
    }
  }

  // -- asking

  /** The live inode at a name, or undefined if the name is proven absent. */
  async child(folder: Inode, name: string, signal?: AbortSignal): Promise<Inode | undefined> {
    const local = folder.local.get(name)
    if (local !== undefined) return local ?? undefined
    const node = await this.node(folder, name, signal)
    // Our own change may have come while the server was asked.
    const now = folder.local.get(name)
    if (now !== undefined) return now ?? undefined
    return node === undefined ? this.keptFolder(folder, name) : this.inodeFor(folder, name, node)
  }

  /** A folder that the server does not have any more, in which something waits to be sent: it stays here until that is done. */
  private keptFolder(folder: Inode, name: string): Inode | undefined {
    const live = folder.children.get(name)
    return live !== undefined && live.heldAt === undefined && holdsUnsent(live) ? live : undefined
  }

  /** `child` of a name that has just been listed: what is known, without asking. */
  listedChild(folder: Inode, name: string): Inode | undefined {
    const local = folder.local.get(name)
    if (local !== undefined) return local ?? undefined
    const node = this.deps.metadata.listing(folder.ino)?.answers.get(name)?.node
    return node === undefined ? undefined : this.inodeFor(folder, name, node)
  }

  private async node(folder: Inode, name: string, signal: AbortSignal | undefined): Promise<CellsNode | undefined> {
    const { metadata } = this.deps
    const known = metadata.lookup(folder.ino, name)
    if (known !== 'unknown') return known
    if (!this.onServer(folder)) return undefined
    const stale = metadata.stale(folder.ino, name)
    const ask = (): Promise<CellsNode | undefined> => this.ask(folder, name, signal)
    try {
      // Absence would need a new proof, and a program that creates a file rather waits a while than fails.
      const waits = (stale === 'unknown' || stale === undefined) && !this.patience.starting && !(stale === undefined && this.cutOff())
      return await (waits ? ask() : this.patience.ask(ask))
    } catch (error) {
      // A name that no server can hold is not there; asking about it could hang the server (trap 10).
      if (isCellsError(error, 'invalid')) return undefined
      // Without a server, saving under new names has to go on; if somebody has one of them, both versions are kept (conflict-copies.ts).
      if (stale !== 'unknown' && saysNothing(error) && (stale !== undefined || this.cutOff())) {
        this.deps.logger.debug('the server cannot be asked, the last answer stands', { name, error })
        return stale
      }
      throw error
    }
  }

  private async ask(folder: Inode, name: string, signal: AbortSignal | undefined): Promise<CellsNode | undefined> {
    const { metadata } = this.deps
    const listed = (metadata.listing(folder.ino)?.completeAt ?? 0) > 0
    const asked = this.asked.get(folder) ?? 0
    if (folder === this.deps.inodes.root && this.deps.remote === '') {
      await this.load(folder)
    } else if (!listed && asked >= STATS_BEFORE_LISTING) {
      this.asked.set(folder, 0)
      await inTime(this.load(folder))
    } else {
      this.asked.set(folder, asked + 1)
      const at = metadata.now()
      const node = await this.whileStill(folder, () => this.deps.server.stat(this.pathAt(folder, name), { signal }))
      this.learn(folder, name, node, at)
      // A newer answer, or a confirmation of our own, may have come meanwhile.
      const newest = metadata.listing(folder.ino)?.answers.get(name)
      return newest !== undefined && newest.at > at ? newest.node : node
    }
    return metadata.listing(folder.ino)?.answers.get(name)?.node
  }

  /** Does the server have this folder, or is being told of it? */
  there(folder: Inode): boolean {
    return folder === this.deps.inodes.root || folder.onServer
  }

  /** A folder made here that the server does not have yet has nothing to ask for. */
  private onServer(folder: Inode): boolean {
    return folder === this.deps.inodes.root || folder.uuid !== '' || folder.unconfirmed
  }

  /** Takes the server's answer about one name in. */
  learn(folder: Inode, name: string, node: CellsNode | undefined, at: number): void {
    this.deps.metadata.set(folder.ino, name, node, at)
    // What is just being indexed will look different in a second.
    if (node?.etag === ETAG_TEMPORARY) this.deps.metadata.doubt(folder.ino, name)
    const live = this.atServerPlace(folder, name)
    if (node !== undefined && this.echoes.isAbout(live, node, at)) this.refresh(live, node, at)
    else if (node !== undefined) {
      const elsewhere = this.deps.inodes.ofUuid(node.uuid)
      if (elsewhere !== undefined) this.refresh(elsewhere, node, at)
    }
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
    const at = metadata.now()
    const nodes = await this.whileStill(folder, () => this.listed(folder))
    await this.proveAbsence(folder, nodes)
    metadata.setAll(folder.ino, nodes, at)
    for (const [name, node] of nodes) {
      if (node.etag === ETAG_TEMPORARY) metadata.doubt(folder.ino, name)
      const live = this.atServerPlace(folder, name) ?? this.deps.inodes.ofUuid(node.uuid)
      if (this.echoes.isAbout(live, node, at)) this.refresh(live, node, at)
    }
  }

  /**
   * A folder that had names and has none, a workspace that is gone: before that is believed, some of them are asked for by name.
   * @throws CellsError `unavailable` when one is there
   */
  async proveAbsence(folder: Inode, nodes: ReadonlyMap<string, CellsNode>): Promise<void> {
    const { metadata, server, remote } = this.deps
    const workspaces = folder === this.deps.inodes.root && remote === ''
    if (nodes.size > 0 && !workspaces) return
    const missing: string[] = []
    for (const [name, { node }] of metadata.listing(folder.ino)?.answers ?? []) {
      if (node !== undefined && !nodes.has(name)) missing.push(this.pathAt(folder, name))
      if (missing.length === PROOFS) break
    }
    if (missing.length === 0) return
    let found: ReadonlyMap<string, CellsNode>
    try {
      found = await server.statMany(missing)
    } catch (error) {
      if (saysNothing(error)) throw error
      // Of a workspace that is not ours any more.
      return
    }
    if (found.size > 0) throw new CellsError('unavailable', 'The server lists nothing where there is something')
  }

  private async listed(folder: Inode): Promise<Map<string, CellsNode>> {
    const { server } = this.deps
    const nodes = new Map<string, CellsNode>()
    const path = this.pathOf(folder)
    if (path === '') {
      for (const workspace of await server.workspaces()) nodes.set(workspace.slug, workspace.node)
      return nodes
    }
    try {
      for await (const page of server.list(path)) {
        for (const node of page) nodes.set(node.path.slice(node.path.lastIndexOf('/') + 1), node)
      }
    } catch (error) {
      // A folder of ours that the index does not show yet (trap 12) is empty, not missing.
      if (!isCellsError(error, 'not-found') || !folder.unconfirmed) throw error
    }
    return nodes
  }

  /** Nodes that the server is moving now. */
  private readonly moving = new Map<Inode, Promise<void>>()

  /** Runs a move on the server: what is asked by path about the node, or below it, waits. */
  async move(inode: Inode, work: () => Promise<void>): Promise<void> {
    const moved = work()
    this.moving.set(inode, moved.catch(() => {}))
    try {
      await moved
    } finally {
      this.moving.delete(inode)
    }
  }

  private readonly frozen = new Map<Inode, { count: number; readonly over: Promise<void>; readonly end: () => void }>()

  /** A change here may give the inode another node, or none: nothing of it is begun on the server until the returned function is called. */
  freeze(inode: Inode): () => void {
    let entry = this.frozen.get(inode)
    if (entry === undefined) {
      let end = (): void => {}
      const over = new Promise<void>((resolve) => { end = resolve })
      entry = { count: 0, over, end }
      this.frozen.set(inode, entry)
    }
    const mine = entry
    mine.count++
    return () => {
      mine.count--
      if (mine.count > 0) return
      this.frozen.delete(inode)
      mine.end()
    }
  }

  isFrozen(inode: Inode): boolean {
    return this.frozen.has(inode)
  }

  async thawed(inode: Inode): Promise<void> {
    for (let entry = this.frozen.get(inode); entry !== undefined; entry = this.frozen.get(inode)) await entry.over
  }

  isMoving(inode: Inode): boolean {
    return this.moving.has(inode)
  }

  /** Resolves when no move of the node is on its way. `movingTo` stays where the answer was lost. */
  async moveEnded(inode: Inode): Promise<void> {
    for (let moving = this.moving.get(inode); moving !== undefined; moving = this.moving.get(inode)) await moving
  }

  private movingAbove(inode: Inode): Promise<void> | undefined {
    if (this.moving.size === 0) return undefined
    for (const at of this.serverFolders(inode)) {
      const moving = this.moving.get(at)
      if (moving !== undefined) return moving
    }
    return undefined
  }

  /** An answer about an inode by its path. One that came while the server was moving it, or a folder above it, means nothing: asks again. */
  async whileStill<T>(inode: Inode, ask: () => Promise<T>): Promise<T> {
    for (;;) {
      for (let moving = this.movingAbove(inode); moving !== undefined; moving = this.movingAbove(inode)) await moving
      const path = this.pathOf(inode)
      const still = (): boolean => this.movingAbove(inode) === undefined && this.pathOf(inode) === path
      try {
        const answer = await ask()
        if (still()) return answer
      } catch (error) {
        if (!isCellsError(error, 'not-found') || still()) throw error
      }
    }
  }

  /** Names and attributes of a folder: the server's, with our own changes over them. */
  async list(folder: Inode, signal?: AbortSignal): Promise<Listed[]> {
    const { metadata, logger } = this.deps
    if (this.onServer(folder) && metadata.complete(folder.ino) === undefined) {
      const known = metadata.listing(folder.ino)
      const inHand = known !== undefined && known.completeAt !== 0 && (known.answers.size > 0 || this.cutOff())
      const ask = (): Promise<void> => this.settleDoubts(folder, signal)
      try {
        await (inHand ? this.patience.ask(ask) : ask())
      } catch (error) {
        if (!(saysNothing(error) && inHand)) throw error
        logger.warn('the folder cannot be listed, showing what is known', { path: this.pathOf(folder), error })
      }
    }
    return this.merged(folder)
  }

  private merged(folder: Inode): Listed[] {
    const found: Listed[] = []
    for (const [name, { node }] of this.deps.metadata.listing(folder.ino)?.answers ?? []) {
      if (node === undefined || folder.local.has(name)) continue
      const live = folder.children.get(name)
      found.push({ name, attr: live !== undefined && live.uuid === node.uuid ? live.attr() : this.attributes.of(node) })
    }
    for (const [name, inode] of folder.local) if (inode !== null) found.push({ name, attr: inode.attr() })
    if (folder.hasNames) {
      for (const [name, inode] of folder.children) {
        if (inode.type !== 'folder' || !inode.hasNames || folder.local.has(name) || this.deps.metadata.listing(folder.ino)?.answers.get(name)?.node !== undefined) continue
        if (this.keptFolder(folder, name) !== undefined) found.push({ name, attr: inode.attr() })
      }
    }
    return found
  }

  /** As `list`; where the server cannot be asked and the folder was listed once, the last answer stands, even if it was "empty". */
  async listKnown(folder: Inode, signal?: AbortSignal): Promise<Listed[]> {
    try {
      return await this.list(folder, signal)
    } catch (error) {
      const known = this.deps.metadata.listing(folder.ino)
      if (!saysNothing(error) || known === undefined || known.completeAt === 0) throw error
      return this.merged(folder)
    }
  }

  /** A few names in doubt are asked by name, else the folder is listed again. */
  private async settleDoubts(folder: Inode, signal: AbortSignal | undefined): Promise<void> {
    const { metadata, server } = this.deps
    const listing = metadata.listing(folder.ino)
    const doubted = [...(listing?.doubted.keys() ?? [])]
    if (doubted.length > 0 && doubted.length <= 20 && listing !== undefined && this.pathOf(folder) !== '') {
      const at = metadata.now()
      const paths = new Map(doubted.map((name) => [name, this.pathAt(folder, name)]))
      const answers = await this.whileStill(folder, () => server.statMany([...paths.values()], { signal }))
      for (const [name, path] of paths) {
        const node = answers.get(path)
        metadata.set(folder.ino, name, node, at)
        const live = this.atServerPlace(folder, name)
        if (node !== undefined && this.echoes.isAbout(live, node, at)) this.refresh(live, node, at)
      }
      if (metadata.complete(folder.ino) !== undefined) return
    }
    await this.load(folder)
  }

  // -- inodes of nodes

  /** The live inode for what the server shows at a name. */
  inodeFor(folder: Inode, name: string, node: CellsNode): Inode {
    const { inodes } = this.deps
    const here = folder.children.get(name)
    if (here !== undefined && !here.unlinked) {
      if ((here.uuid === '' && here.onServer) || here.uuid === node.uuid) return here
      // Somebody replaced it: programs that have the old one open keep it, the name leads to the new one.
      inodes.detach(here)
      this.kernel.attributes(here)
    }
    const moved = inodes.ofUuid(node.uuid)
    // Into a folder that we move into this one: theirs stands, ours is taken back.
    if (moved !== undefined && moved.heldAt === undefined && isWithin(folder, moved) && !this.takeBack(folder, moved)) return moved
    if (moved !== undefined && moved.parent !== undefined && moved.heldAt === undefined && moved.type === typeOf(node, this.attributes.factsOf(node))) {
      // Moved by somebody else.
      this.kernel.name(moved.parent, moved.name)
      // Its unsent content goes with it. (Or by us: the event of our own rename can be here before the answer.)
      if (moved.parent.local.get(moved.name) === moved) {
        moved.parent.local.delete(moved.name)
        folder.local.set(name, moved)
      }
      inodes.move(moved, folder, name)
      this.refresh(moved, node)
      return moved
    }
    const facts = this.attributes.factsOf(node)
    const type = typeOf(node, facts)
    const inode = inodes.create(type, folder, name, node.uuid, facts.ino, this.attributes.ownership(type))
    this.attributes.apply(inode, node, facts)
    return inode
  }

  /** Told of a folder whose move was taken back. */
  onTakenBack: (folder: Inode) => void = () => {}

  /** Undoes the moves of ours, not sent yet, that bring `folder` below `ancestor`. False if there is none that can be undone. */
  private takeBack(folder: Inode, ancestor: Inode): boolean {
    for (let at = folder; at !== ancestor; at = at.parent!) {
      const { heldAt, parent, name } = at
      // (A move whose answer was lost has not happened: the server could not show the one in the other.)
      if (heldAt === undefined || parent === undefined || this.moving.has(at) || isWithin(heldAt.folder, ancestor)) continue
      this.deps.logger.warn('a rename is taken back: somebody has moved its target into what was renamed', { path: this.localPath(at) })
      if (parent.local.get(name) === at) parent.local.delete(name)
      const { folder: home, name: old } = heldAt
      let back = old
      for (let n = 1; home.local.get(back) != null || home.children.has(back); n++) back = conflictName(old, hostname(), new Date(), n)
      this.hold(at, back === old ? undefined : heldAt)
      at.movingTo = undefined
      home.local.delete(back)
      this.deps.inodes.move(at, home, back)
      this.overlay(at)
      this.kernel.name(parent, name)
      this.kernel.name(home, back)
      this.onTakenBack(at)
      return true
    }
    return false
  }

  /** The server's word about a live inode. */
  refresh(inode: Inode, node: CellsNode, askedAt = Infinity): void {
    if (this.offer(inode, node)) return
    if (inode.draft !== undefined || inode.unconfirmed || inode.unlinked) return
    const { version } = inode
    const content = inode.type !== 'folder' && (version === undefined || version.etag !== node.etag || version.size !== node.size)
    if (!content && inode.type !== 'folder' && inode.readOnly === node.readOnly) return
    if (content && askedAt < inode.versionAt) return
    const { mode, mtime } = inode.attr()
    this.attributes.apply(inode, node)
    if (content) this.kernel.content(inode)
    else if (inode.attr().mode !== mode || inode.mtime !== mtime) this.kernel.attributes(inode)
  }

  /** Asks the server about an inode whose answer is no longer fresh. */
  async revalidate(inode: Inode, signal?: AbortSignal): Promise<void> {
    const { parent, name } = inode
    if (parent === undefined || inode.unlinked || inode.heldAt !== undefined || parent.local.get(name) === inode) return
    const node = await this.node(parent, name, signal)
    if (node !== undefined && node.uuid === inode.uuid) this.refresh(inode, node)
  }

  // -- doubts

  /** What is known of a name is no longer to be believed, by anybody. */
  doubt(folder: Inode, name: string): void {
    this.deps.metadata.doubt(folder.ino, name)
    if (!folder.local.has(name)) this.kernel.name(folder, name)
  }

  /** Is nothing at a path of the server, as far as is known without asking? */
  isGone(path: string): boolean {
    const place = this.locate(path)
    if (place === undefined) return false
    const { folder, name } = place
    const local = folder.local.get(name)
    if (local !== undefined) return local === null
    const { metadata } = this.deps
    return metadata.listing(folder.ino)?.doubted.has(name) !== true && metadata.stale(folder.ino, name) === undefined
  }

  /** Something of ours has gone to the bin of its workspace: there is one now, and what is known of it is old. */
  binned(path: string): void {
    const place = this.locate(`${path.slice(0, path.indexOf('/'))}/${BIN}`)
    if (place === undefined) return
    this.doubt(place.folder, place.name)
    const bin = this.atServerPlace(place.folder, place.name)
    if (bin !== undefined) this.deps.metadata.doubtFolder(bin.ino)
  }

  /** The live inode that the server has at a name of its own tree. */
  atServerPlace(folder: Inode, name: string): Inode | undefined {
    const held = this.heldBy(folder, name)
    if (held !== undefined) return held
    const child = folder.children.get(name)
    return child?.heldAt === undefined ? child : undefined
  }

  /** The live folder and the name that a server path stands for, if that folder is known here. */
  locate(path: string): { folder: Inode; name: string } | undefined {
    const { remote, inodes } = this.deps
    if (remote !== '' && !path.startsWith(`${remote}/`)) return undefined
    const names = (remote === '' ? path : path.slice(remote.length + 1)).split('/')
    const name = names.pop()!
    let folder: Inode | undefined = inodes.root
    for (const step of names) folder = folder === undefined ? undefined : this.atServerPlace(folder, step)
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }
}

/** Is something in or below a folder that the server does not have? */
function holdsUnsent(folder: Inode): boolean {
  if (folder.type !== 'folder' || folder.unlinked || !folder.hasNames) return false
  for (const inode of folder.local.values()) if (inode !== null && inode.pending) return true
  for (const inode of folder.children.values()) if (holdsUnsent(inode)) return true
  return false
}

/** What a lookup waits for may take longer than a lookup may (drivers/deadlines.ts); it goes on. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CellsError('timeout', 'The server takes too long to list the folder')), LOOKUP_MS)
  })
  work.catch(() => {})
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Of the server's tree, which may differ from ours while a rename is on its way. */
export function placeKey({ folder, name }: Place): string {
  return `n${folder.ino}/${name}`
}

/** ENOENT is the engine's word for a proven absence. */
export function absent(name: string): FsError {
  return new FsError('ENOENT', `${name} does not exist`)
}

