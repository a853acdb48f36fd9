/**
 * Recognises a program that walks the tree (`find`, `ls -R`, `grep -r`, `cp -r`, `tar`) and asks ahead of it: the listings of
 * the folders it comes to next, the contents of the small files it opens next, in parallel. A single `ls`
 * or a single open file asks for nothing.
 *
 * What is fetched ahead goes into the caches and nowhere else; a mistake costs a few requests.
 */
import type { KnownNode } from '../cache/known.js'
import type { Listing } from '../cache/metadata.js'
import type { Logger } from '../log.js'
import type { Contents } from './contents.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

/** Steps of one walk are this close together, milliseconds. */
const STEP_MS = 5_000
const FOLDERS_AHEAD = 12
const FOLDERS_AT_ONCE = 5
/** Listings whose order is kept: of the folders from the root down to where a program walks, and some beside. */
const MAX_ORDERS = 32
const FILES_AHEAD = 24
const FILES_AT_ONCE = 8
/** A larger file is left to its reader, bytes. */
const SMALL_FILE = 512 * 1024

interface Order {
  readonly names: readonly string[]
  readonly index: ReadonlyMap<string, number>
}

export interface WalkAheadDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly logger: Logger
}

export class WalkAhead {
  private readonly deps: WalkAheadDeps
  private readonly listedAt = new WeakMap<Inode, number>()
  /** Small files opened one after the other, each near the one before. */
  private reading: { at: number; folder: Inode; name: string; streak: number } | undefined
  /** Of the folders that were looked at last. */
  private readonly orders = new Map<Listing, Order>()
  private folderQueue: Array<{ parent: Inode; name: string }> = []
  private foldersBusy = 0
  private filesBusy = 0
  private fileQueue: Array<{ folder: Inode; name: string }> = []
  private closed = false

  constructor(deps: WalkAheadDeps) {
    this.deps = deps
  }

  /** Nothing is begun any more. What is under way may come to an end after everything else has, and harms nobody. */
  close(): void {
    this.closed = true
    this.folderQueue = []
    this.fileQueue = []
    this.orders.clear()
  }

  /** A program has listed a folder. */
  listed(folder: Inode): void {
    const now = performance.now()
    this.listedAt.set(folder, now)
    const { parent } = folder
    const before = parent === undefined ? undefined : this.listedAt.get(parent)
    if (parent === undefined || before === undefined || now - before > STEP_MS) return
    // Stays a walk while it goes on, however long the whole takes.
    this.listedAt.set(parent, now)
    const ahead = [
      ...this.foldersFrom(folder, undefined).map((name) => ({ parent: folder, name })),
      ...this.foldersFrom(parent, folder.name).map((name) => ({ parent, name })),
    ]
    // Only what lies ahead now: an older guess is worth less.
    this.folderQueue = ahead.slice(0, FOLDERS_AHEAD)
    this.pumpFolders()
  }

  /** A program begins to read a file. */
  opened(file: Inode): void {
    const { parent } = file
    if (parent === undefined || file.size > SMALL_FILE) return
    const now = performance.now()
    const last = this.reading
    if (last?.folder === parent && last.name === file.name) return
    const near = last !== undefined && now - last.at < STEP_MS && (last.folder === parent || last.folder.parent === parent.parent)
    const streak = near ? last.streak + 1 : 1
    this.reading = { at: now, folder: parent, name: file.name, streak }
    if (streak < 2) return
    this.fileQueue = this.filesFrom(parent, file.name)
    this.pumpFiles()
  }

  /** The files after `name`, and those of the next folder beside when this one comes to its end. */
  private filesFrom(folder: Inode, name: string): Array<{ folder: Inode; name: string }> {
    const order = this.order(folder)
    const at = order?.index.get(name)
    if (order === undefined || at === undefined) return []
    const found = order.names.slice(at + 1, at + 1 + FILES_AHEAD).map((it) => ({ folder, name: it }))
    const { parent } = folder
    const beside = parent === undefined ? undefined : this.order(parent)
    for (let i = (beside?.index.get(folder.name) ?? Infinity) + 1; parent !== undefined && beside !== undefined && i < beside.names.length && found.length < FILES_AHEAD; i++) {
      const next = parent.children.get(beside.names[i]!)
      const names = next?.type === 'folder' ? this.order(next)?.names : undefined
      if (next === undefined || names === undefined) break
      found.push(...names.slice(0, FILES_AHEAD - found.length).map((it) => ({ folder: next, name: it })))
    }
    return found
  }

  private order(folder: Inode): Order | undefined {
    const listing = this.deps.tree.deps.metadata.listing(folder.ino)
    if (listing === undefined || listing.completeAt === 0) return undefined
    let order = this.orders.get(listing)
    if (order === undefined || order.names.length !== listing.nodes.size) {
      const names = [...listing.nodes.keys()]
      order = { names, index: new Map(names.map((name, index) => [name, index])) }
    }
    this.orders.delete(listing)
    this.orders.set(listing, order)
    for (const oldest of this.orders.keys()) {
      if (this.orders.size <= MAX_ORDERS) break
      this.orders.delete(oldest)
    }
    return order
  }

  private node(folder: Inode, name: string): KnownNode | undefined {
    const { metadata } = this.deps.tree.deps
    const node = metadata.lookup(folder.ino, name)
    return node === 'unknown' || folder.local.has(name) ? undefined : node
  }

  /** Names of the folders in `folder`, after `after`, that are not listed yet. */
  private foldersFrom(folder: Inode, after: string | undefined): string[] {
    const order = this.order(folder)
    if (order === undefined) return []
    const start = after === undefined ? 0 : (order.index.get(after) ?? -1) + 1
    const found: string[] = []
    for (let i = start; i < order.names.length && found.length < FOLDERS_AHEAD; i++) {
      const name = order.names[i]!
      const node = this.node(folder, name)
      if (node?.kind !== 'folder') continue
      const live = folder.children.get(name)
      if (live === undefined || this.deps.tree.deps.metadata.complete(live.ino) === undefined) found.push(name)
    }
    return found
  }

  private pumpFolders(): void {
    while (this.foldersBusy < FOLDERS_AT_ONCE) {
      const next = this.folderQueue.shift()
      if (next === undefined) return
      this.foldersBusy++
      void this.fetchFolder(next.parent, next.name).finally(() => {
        this.foldersBusy--
        this.pumpFolders()
      })
    }
  }

  /** Never rejects. */
  private fetchFolder(parent: Inode, name: string): Promise<void> {
    return this.fetch(parent, name, async (node, { tree }) => {
      const folder = tree.inodeFor(parent, name, node)
      try {
        if (tree.deps.metadata.complete(folder.ino) === undefined) await tree.questions.load(folder)
      } finally {
        tree.deps.inodes.release(folder)
      }
    })
  }

  /** Never rejects. */
  private async fetch(folder: Inode, name: string, work: (node: KnownNode, deps: WalkAheadDeps) => Promise<void>): Promise<void> {
    try {
      const node = this.node(folder, name)
      if (node !== undefined && !folder.unlinked) await work(node, this.deps)
    } catch (error) {
      if (!this.closed) this.deps.logger.debug('fetching ahead failed', { name, error })
    }
  }

  private pumpFiles(): void {
    while (this.filesBusy < FILES_AT_ONCE) {
      const next = this.fileQueue.shift()
      if (next === undefined) return
      this.filesBusy++
      void this.fetchFile(next.folder, next.name).finally(() => {
        this.filesBusy--
        this.pumpFiles()
      })
    }
  }

  /** Never rejects. */
  private fetchFile(folder: Inode, name: string): Promise<void> {
    return this.fetch(folder, name, async (node, { tree, contents }) => {
      if (node.kind !== 'file' || node.size === 0 || node.size > SMALL_FILE) return
      const file = tree.inodeFor(folder, name, node)
      try {
        if (file.draft === undefined && file.version !== undefined) await contents.reader(file).prefetch()
      } finally {
        tree.deps.inodes.release(file)
      }
    })
  }
}
