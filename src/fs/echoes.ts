/**
 * What the server may still show, for a while, of what we have changed: contents that we have written over, nodes that have left a name. Its
 * index lags and its events come late, so an answer can be an echo of ours and nobody's news.
 */
import { LRUCache } from 'lru-cache'
import type { VersionKey } from '../cache/blocks.js'
import type { KnownNode } from '../cache/known.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { Inode } from './inodes.js'

/** An event can be this late on a busy server; bounded. */
const SPENT_MS = 120_000
const MAX_SPENT = 50_000
/** Names that a node has left lately are remembered, this many. */
const MAX_VACATED = 20_000

/** A bound by size makes no room before there is anything; `max` makes all of it, megabytes. */
const bounded = (most: number): { maxSize: number; sizeCalculation: () => number } => ({ maxSize: most, sizeCalculation: () => 1 })

export class Echoes {
  private readonly now: () => number

  /** `now`: milliseconds, of the same clock as the answers' times. */
  constructor(now: () => number) {
    this.now = now
  }

  /**
   * `<Uuid>/<ETag>` of contents that we sent or wrote over: seeing one again proves that the index, or an event, lags, and not that somebody wrote.
   * By node, not by inode: the kernel can forget an inode before the last event is here, and a rename over a file hands the node on. Not for ever:
   * after a while it is somebody who brought an old version back.
   */
  private readonly spent = new LRUCache<string, true>({ ...bounded(MAX_SPENT), ttl: SPENT_MS })

  /** The node had this content, or may show it for a moment. */
  remember(uuid: string, etag: string): void {
    if (uuid !== '') this.spent.set(`${uuid}/${etag}`, true)
  }

  /** Is it a content of the node that we sent or wrote over a while ago? */
  isSpent(node: KnownNode): boolean {
    return this.spent.has(`${node.uuid}/${node.etag}`)
  }

  private readonly born = new LRUCache<string, true>({ ...bounded(MAX_SPENT), ttl: SPENT_MS })

  /**
   * An event says that a node exists and has no content yet, while the one that we sent is known there (`present`). A 2.x server tells so of each new
   * node, once, a second after it came, which is often later than its listing shows the content: then this is old news. The second word of
   * this kind is not, nor one of another size.
   */
  isBirth(node: KnownNode, present: VersionKey | undefined): boolean {
    if (node.etag !== ETAG_TEMPORARY || this.born.has(node.uuid)) return false
    this.born.set(node.uuid, true)
    return present !== undefined && present.uuid === node.uuid && present.size === node.size && this.spent.has(`${present.uuid}/${present.etag}`)
  }

  private readonly vacated = new LRUCache<string, number>(bounded(MAX_VACATED))

  /** A node of the server has left this name, or is about to, because of us. */
  vacate(folder: Inode, name: string): void {
    this.vacated.set(`${folder.ino}/${name}`, this.now())
  }

  /**
   * Is this node the live inode, as far as its Uuid tells? One of ours whose Uuid the server has not told yet takes what is at its name. But
   * where another node was a moment ago, an answer asked for before that one left, or an event, which may be late, can be
   * about that one; and if the two have the same content, nothing else tells them apart.
   */
  isAbout(live: Inode | undefined, node: KnownNode, askedAt?: number): live is Inode {
    // Somebody has made a file where a folder of ours is to be, or the other way round.
    if (live === undefined || (live.type === 'folder') !== (node.kind === 'folder')) return false
    const place = live.serverPlace
    if (live.uuid !== '' || place === undefined) return live.uuid === node.uuid
    const left = this.vacated.get(`${place.folder.ino}/${place.name}`)
    return left === undefined || (askedAt !== undefined && askedAt >= left)
  }
}
