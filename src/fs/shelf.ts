/**
 * Between the names in memory (cache/metadata.ts) and those on disk (cache/names.ts): knows which folder of the server an inode
 * number means. Written in batches, some time after the change, never while a program waits.
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
      if (key === undefined || listing === undefined || (listing.completeAt === RECALLED && listing.nodes.size === 0)) continue
      const nodes = new Map<string, KnownNode>()
      for (const [name, node] of listing.nodes) if (node !== undefined) nodes.set(name, node)
      written += nodes.size + 1
      this.names.put(key, { complete: listing.completeAt !== 0, nodes, ...(key === ROOT && this.root !== undefined ? { self: this.root } : {}) })
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
    await this.flush()
    clearTimeout(this.timer)
    await this.names.close()
  }
}
