/**
 * The tree as the mount shows it: the server's last word (cache/metadata.ts) under our own unconfirmed changes
 * (Inode.local). Answers "what is at this name" and lists folders, for programs. Built of where things are (places.ts), what is on the move
 * (transit.ts), what the server is asked (questions.ts), and what becomes of folders that somebody replaces (succession.ts); what its events say is taken
 * in by tree-events.ts.
 *
 * A name is absent only by proof: a complete listing, a 404, or our own delete. If the server cannot
 * be asked, the last known answer stands; where there is none, the error goes to the program.
 */
import type { KnownNode } from '../cache/known.js'
import type { MetadataCache } from '../cache/metadata.js'
import type { Store } from '../cache/store.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Attr } from './drivers/driver.js'
import { Echoes } from './echoes.js'
import { FsError } from './errno.js'
import { KernelView } from './kernelview.js'
import { Patience, saysNothing } from './patience.js'
import { type Inode, type InodeTable, isWithin } from './inodes.js'
import { NodeAttributes, type Owner, typeOf } from './node-attributes.js'
import { Places } from './places.js'
import { type Asker, Questions } from './questions.js'
import { holdsUnsent, Succession } from './succession.js'
import { Transit } from './transit.js'

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

/** The server makes it with the first delete in a workspace. */
const BIN = 'recycle_bin'

export class Tree {
  readonly deps: TreeDeps
  readonly kernel: KernelView
  readonly attributes: NodeAttributes
  readonly echoes: Echoes
  readonly places: Places
  readonly transit: Transit
  readonly questions: Questions
  readonly succession: Succession
  /** Told of every node the server shows; true if that settled something unconfirmed. */
  offer: (inode: Inode, node: KnownNode) => boolean = () => false
  /** Told of what a node was when somebody took it away from an inode's place; resolves when that is taken in. */
  left: (inode: Inode, node: CellsNode) => Promise<void> = () => Promise.resolve()
  /** Did we delete or move away a node that the server may still show at this name? */
  isGoing: (folder: Inode, name: string) => boolean = () => false
  readonly patience: Patience
  /** Is the server out of reach, so that the last complete listing of a folder is the best word about a name that is not in it? */
  cutOff: () => boolean = () => false
  /** ... and not only for as long as it takes to restart one? Then nobody waits for what is not known. */
  longGone: () => boolean = () => false

  constructor(deps: TreeDeps) {
    this.deps = deps
    this.patience = new Patience(() => deps.metadata.now())
    this.attributes = new NodeAttributes(deps)
    this.echoes = new Echoes(() => deps.metadata.now())
    this.kernel = new KernelView(deps.inodes, deps.metadata)
    this.places = new Places(deps.inodes, deps.remote)
    this.transit = new Transit(this.places)
    this.questions = new Questions({
      ...deps, places: this.places, transit: this.transit, echoes: this.echoes, patience: this.patience,
      cutOff: () => this.cutOff(), longGone: () => this.longGone(),
      onAnswer: (live, node, askedAt) => this.refresh(live, node, askedAt),
    })
    this.succession = new Succession(this)
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
      const known = this.deps.metadata.listing(parent.ino)?.nodes.get(name)
      if (known?.uuid !== inode.uuid || (inode.version !== undefined && known.etag !== inode.version.etag)) this.deps.metadata.doubt(parent.ino, name)
    }
  }

  /** The live inode at a name, or undefined if the name is proven absent. */
  async child(folder: Inode, name: string, asker?: Asker): Promise<Inode | undefined> {
    const local = folder.local.get(name)
    if (local !== undefined) return local ?? undefined
    const node = await this.questions.node(folder, name, asker)
    // Our own change may have come while the server was asked.
    const now = folder.local.get(name)
    if (now !== undefined) return now ?? undefined
    return node === undefined ? this.kept(folder, name) : this.inodeFor(folder, name, node)
  }

  /** What is shown here although the server does not show it, or cannot be asked. */
  private kept(folder: Inode, name: string): Inode | undefined {
    return this.keptFolder(folder, name) ?? this.lastSeen(folder, name)
  }

  /** A folder that the server does not have any more, in which something waits to be sent: it stays here until that is done. */
  private keptFolder(folder: Inode, name: string): Inode | undefined {
    const live = folder.children.get(name)
    return live !== undefined && live.heldAt === undefined && holdsUnsent(live) ? live : undefined
  }

  /** What the server had shown us as ours after it was listed last, and cannot be asked for now: it is there, for all that is known. */
  private lastSeen(folder: Inode, name: string): Inode | undefined {
    const { metadata } = this.deps
    const listing = metadata.listing(folder.ino)
    const live = folder.children.get(name)
    const unasked = !metadata.pushed && listing?.doubted.has(name) === true && !listing.nodes.has(name)
    return unasked && live !== undefined && live.uuid !== '' && !live.unlinked && live.heldAt === undefined ? live : undefined
  }

  /** `child` of a name that has just been listed: what is known, without asking. */
  listedChild(folder: Inode, name: string): Inode | undefined {
    const local = folder.local.get(name)
    if (local !== undefined) return local ?? undefined
    const node = this.deps.metadata.listing(folder.ino)?.nodes.get(name)
    return node === undefined ? undefined : this.inodeFor(folder, name, node)
  }

  /** Names and attributes of a folder: the server's, with our own changes over them. */
  async list(folder: Inode, asker?: Asker): Promise<Listed[]> {
    await this.questions.complete(folder, asker)
    return this.merged(folder)
  }

  private merged(folder: Inode): Listed[] {
    const found: Listed[] = []
    for (const [name, node] of this.deps.metadata.listing(folder.ino)?.nodes ?? []) {
      if (node === undefined || folder.local.has(name)) continue
      const live = folder.children.get(name)
      found.push({ name, attr: live !== undefined && live.uuid === node.uuid ? live.attr() : this.attributes.of(node) })
    }
    for (const [name, inode] of folder.local) if (inode !== null) found.push({ name, attr: inode.attr() })
    if (folder.hasNames) {
      for (const name of folder.children.keys()) {
        if (folder.local.has(name) || this.deps.metadata.listing(folder.ino)?.nodes.get(name) !== undefined) continue
        const kept = this.kept(folder, name)
        if (kept !== undefined) found.push({ name, attr: kept.attr() })
      }
    }
    return found
  }

  /** As `list`; where the server cannot be asked and the folder was listed once, the last answer stands, even if it was "empty". */
  async listKnown(folder: Inode, asker?: Asker): Promise<Listed[]> {
    try {
      return await this.list(folder, asker)
    } catch (error) {
      const known = this.deps.metadata.listing(folder.ino)
      if (!saysNothing(error) || known === undefined || known.completeAt === 0) throw error
      return this.merged(folder)
    }
  }

  /** The live inode for what the server shows at a name. */
  inodeFor(folder: Inode, name: string, node: KnownNode): Inode {
    const { inodes } = this.deps
    const here = folder.children.get(name)
    if (here !== undefined && !here.unlinked) {
      if ((here.uuid === '' && here.onServer) || here.uuid === node.uuid) return here
      if (this.succession.madeAnew(here, node)) return here
      if (this.succession.unseated(here, node)) return this.theirs(folder, name, node)
      // Somebody replaced it: programs that have the old one open keep it, the name leads to the new one.
      inodes.detach(here)
      this.kernel.attributes(here)
    }
    const inode = this.theirs(folder, name, node)
    if (here !== undefined && here !== inode && here.unlinked) this.succession.succeed(here, inode)
    return inode
  }

  /** What the server shows at a name where no live inode is. */
  private theirs(folder: Inode, name: string, node: KnownNode): Inode {
    const { inodes } = this.deps
    const moved = inodes.ofUuid(node.uuid)
    // Into a folder that we move into this one: theirs stands, ours is taken back.
    if (moved !== undefined && moved.heldAt === undefined && isWithin(folder, moved) && !this.succession.takeBack(folder, moved)) return moved
    if (moved !== undefined && moved.parent !== undefined && moved.heldAt === undefined && (moved.type === 'folder') === (node.kind === 'folder')) {
      // Moved by somebody else. What is known of its old name may be older than that.
      this.deps.metadata.doubt(moved.parent.ino, moved.name)
      this.kernel.name(moved.parent, moved.name)
      // Its unsent content goes with it. (Or by us: the event of our own rename can be here before the answer.)
      if (moved.parent.local.get(moved.name) === moved) {
        moved.parent.local.delete(moved.name)
        folder.local.set(name, moved)
      }
      inodes.move(moved, folder, name)
      this.succession.askAgainBelow(moved)
      this.refresh(moved, node)
      return moved
    }
    const facts = this.attributes.factsOf(node)
    const type = typeOf(node, facts)
    const inode = inodes.create(type, folder, name, node.uuid, facts.ino, this.attributes.ownership(type))
    this.attributes.apply(inode, node, facts)
    return inode
  }

  /** A content was refused because something above it is a file: asks what has become of the folders there. */
  async askAbove(inode: Inode): Promise<void> {
    for (const { parent, name, heldAt } of this.places.serverFolders(inode)) {
      if (parent === undefined || heldAt !== undefined) continue
      this.deps.metadata.doubt(parent.ino, name)
      await this.child(parent, name)
    }
  }

  /** The server's word about a live inode. */
  refresh(inode: Inode, node: KnownNode, askedAt = Infinity): void {
    if (this.offer(inode, node)) return
    if (inode.draft !== undefined || inode.unconfirmed || inode.unlinked) return
    const { version } = inode
    const content = inode.type !== 'folder' && (version === undefined || version.etag !== node.etag || version.size !== node.size)
    if (!content && inode.type !== 'folder' && inode.readOnly === node.readOnly) return
    if (content && askedAt < inode.versionAt) return
    if (content) {
      this.takeTheirs(inode, node)
      return
    }
    const { mode, mtime } = inode.attr()
    this.attributes.apply(inode, node)
    if (inode.attr().mode !== mode || inode.mtime !== mtime) this.kernel.attributes(inode)
  }

  /** Somebody has given it another content. */
  takeTheirs(inode: Inode, node: KnownNode): void {
    const { type, parent } = inode
    this.attributes.apply(inode, node)
    // The kernel never takes one type for another: it has to look the name up anew.
    if (inode.type !== type && parent !== undefined) this.kernel.name(parent, inode.name)
    this.kernel.content(inode)
  }

  /** Asks the server about an inode whose answer is no longer fresh. */
  async revalidate(inode: Inode, asker?: Asker): Promise<void> {
    const { parent, name } = inode
    if (parent === undefined || inode.unlinked || inode.heldAt !== undefined || parent.local.get(name) === inode) return
    const node = await this.questions.node(parent, name, asker)
    if (node !== undefined && node.uuid === inode.uuid) this.refresh(inode, node)
  }

  /** What is known of a name is no longer to be believed, by anybody. */
  doubt(folder: Inode, name: string): void {
    this.deps.metadata.doubt(folder.ino, name)
    if (!folder.local.has(name)) this.kernel.name(folder, name)
  }

  /** Is nothing at a path of the server, as far as is known without asking? */
  isGone(path: string): boolean {
    const place = this.places.locate(path)
    if (place === undefined) return false
    const { folder, name } = place
    const local = folder.local.get(name)
    if (local !== undefined) return local === null
    const { metadata } = this.deps
    return metadata.listing(folder.ino)?.doubted.has(name) !== true && metadata.stale(folder.ino, name) === undefined
  }

  /** Something of ours has gone to the bin of its workspace: there is one now, and what is known of it is old. */
  binned(path: string): void {
    const place = this.places.locate(`${path.slice(0, path.indexOf('/'))}/${BIN}`)
    if (place === undefined) return
    this.doubt(place.folder, place.name)
    const bin = this.places.atServerPlace(place.folder, place.name)
    if (bin !== undefined) this.deps.metadata.doubtFolder(bin.ino)
  }
}

/** ENOENT is the engine's word for a proven absence. */
export function absent(name: string): FsError {
  return new FsError('ENOENT', `${name} does not exist`)
}
