/**
 * Between the names in memory (cache/metadata.ts) and those on disk (cache/names.ts): knows which folder of the server an inode
 * number means. Written in batches, some time after the change, never while a program waits: while the server is told of a change in a folder, what is
 * written of that is marked as not to be believed, should this process die.
 */
import { type MetadataCache, RECALLED } from '../cache/metadata.js'
import type { KnownNode } from '../cache/known.js'
import type { KnownFolder, NamesStore } from '../cache/names.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

const WRITE_MS = 500
/** Names written in one go, so that nobody has to wait for it. */
const BATCH = 5_000
const ROOT = 'root'

export class Shelf {
  private readonly names: NamesStore
  private readonly tree: Tree
  private readonly dirty = new Set<number>()
  /** Folders in which the server was told of a change that it has not shown, as far as is known. */
  private readonly marked = new Set<number>()
  private closing = false
  private timer: NodeJS.Timeout | undefined
  /** The mount's root as the server last showed it. */
  root: KnownNode | undefined

  constructor(names: NamesStore, tree: Tree) {
    this.names = names
    this.tree = tree
  }

  private get metadata(): MetadataCache {
    return this.tree.deps.metadata
  }

  private keyOf(inode: Inode): string | undefined {
    if (inode === this.tree.deps.inodes.root) return ROOT
    return inode.uuid === '' || inode.unlinked ? undefined : inode.uuid
  }

  /** What was known of a folder when it was last written. */
  recall(ino: number): KnownFolder | undefined {
    const inode = this.tree.deps.inodes.get(ino)
    const key = inode === undefined ? undefined : this.keyOf(inode)
    if (inode === undefined || key === undefined) return undefined
    return this.names.get(key)
  }

  /** The server is about to be told of a change at a path. */
  about(path: string): void {
    const folder = this.tree.places.locate(path)?.folder
    if (folder === undefined || this.marked.has(folder.ino)) return
    this.marked.add(folder.ino)
    const key = this.keyOf(folder)
    if (key !== undefined) this.names.change(key)
    this.changed(folder.ino)
  }

  changed(ino: number): void {
    this.dirty.add(ino)
    if (this.timer !== undefined) return
    this.timer = setTimeout(() => {
      this.timer = undefined
      this.write(BATCH)
    }, WRITE_MS)
    this.timer.unref()
  }

  private write(most: number): void {
    let written = 0
    for (const ino of this.dirty) {
      if (written >= most) break
      this.dirty.delete(ino)
      const inode = this.tree.deps.inodes.get(ino)
      const key = inode === undefined ? undefined : this.keyOf(inode)
      const listing = this.metadata.peek(ino)
      // Nothing is known that was not read from here.
      if (inode === undefined || key === undefined || listing === undefined || (listing.completeAt === RECALLED && listing.nodes.size === 0)) continue
      const nodes = new Map<string, KnownNode>()
      for (const [name, node] of listing.nodes) if (node !== undefined) nodes.set(name, node)
      written += nodes.size + 1
      // What has come to its end left records, or none is needed.
      const settled = this.closing || !this.marked.has(ino) || !hasChanges(inode)
      if (settled) this.marked.delete(ino)
      this.names.put(key, { complete: listing.completeAt !== 0, nodes, ...(key === ROOT && this.root !== undefined ? { self: this.root } : {}) }, settled)
    }
    for (const ino of this.dirty) {
      this.changed(ino)
      break
    }
  }

  /** Resolves when all that is known now is on disk. */
  async flush(): Promise<void> {
    do {
      this.write(BATCH)
      await this.names.flushed()
    } while (this.dirty.size > 0)
  }

  async close(): Promise<void> {
    this.closing = true
    for (const ino of this.marked) this.dirty.add(ino)
    await this.flush()
    clearTimeout(this.timer)
    await this.names.close()
  }
}

/** Is there a change of ours in the folder that the server has not shown yet? */
function hasChanges(folder: Inode): boolean {
  for (const ours of folder.hasNames ? folder.local.values() : []) if (ours === null || !(ours.localOnly || ours.special)) return true
  return false
}
