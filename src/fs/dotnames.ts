/**
 * Names that begin with a dot, in folders that programs list. A 2.x server neither announces changes of them nor shows them in a REST
 * listing, so a listing that is otherwise kept right by events would go without a colleague's `.gitignore` for as long as it is
 * believed. When a program opens a folder to list it, and its dot-names were asked for a while ago, they are asked for
 * again behind its back (one request of the S3 gateway, which has them): the next listing shows what has changed.
 *
 * One folder at a time, with pauses, the one used last first, and only so many: a walk through a large tree is not to become as
 * many requests. What is left out is asked for when the listing has run out.
 */
import { isCellsError } from '../cells/errors.js'
import type { Logger } from '../log.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

/** What was asked later than this ago is not asked again. */
const FRESH_MS = 5_000
/** Folders that wait for their turn. */
const MOST_FOLDERS = 50
/** Between two folders at least, and so many times what the last one took. */
const PAUSE_MS = 100
const PAUSE_FACTOR = 4
/** Names looked up at once; a folder with more changes than this is listed anew. */
const MOST_NAMES = 50

export class DotNames {
  private readonly tree: Tree
  private readonly logger: Logger
  private readonly askedAt = new WeakMap<Inode, number>()
  private readonly waiting = new Set<Inode>()
  private readonly stop = new AbortController()
  private running: Promise<void> | undefined
  private timer: NodeJS.Timeout | undefined

  constructor(tree: Tree, logger: Logger) {
    this.tree = tree
    this.logger = logger
  }

  async close(): Promise<void> {
    this.stop.abort()
    clearTimeout(this.timer)
    this.waiting.clear()
    await this.running
  }

  /** A program is about to list the folder. */
  used(folder: Inode): void {
    const { metadata } = this.tree.deps
    const listedAt = metadata.listing(folder.ino)?.completeAt ?? 0
    // What was never listed, or is not kept right by events, is listed whole.
    if (listedAt <= 0 || !metadata.pushed || this.stop.signal.aborted || this.tree.deps.server.dotNames === undefined) return
    if (metadata.now() - Math.max(listedAt, this.askedAt.get(folder) ?? 0) < this.tree.pause(FRESH_MS)) return
    this.waiting.delete(folder)
    this.waiting.add(folder)
    for (const longest of this.waiting) {
      if (this.waiting.size <= MOST_FOLDERS) break
      this.waiting.delete(longest)
    }
    this.next(0)
  }

  private next(pauseMs: number): void {
    if (this.running !== undefined || this.timer !== undefined || this.waiting.size === 0) return
    this.timer = setTimeout(() => {
      this.timer = undefined
      const folder = [...this.waiting].at(-1)!
      this.waiting.delete(folder)
      const began = performance.now()
      this.running = this.look(folder).finally(() => {
        this.running = undefined
        if (!this.stop.signal.aborted) this.next(Math.max(this.tree.pause(PAUSE_MS), PAUSE_FACTOR * (performance.now() - began)))
      })
    }, pauseMs)
  }

  /** Never rejects. */
  private async look(folder: Inode): Promise<void> {
    const { server, metadata } = this.tree.deps
    const at = metadata.now()
    this.askedAt.set(folder, at)
    try {
      if (folder.unlinked || !this.tree.places.there(folder) || this.tree.places.pathOf(folder) === '') return
      const { signal } = this.stop
      const shown = await this.tree.transit.whileStill(folder, () => server.dotNames!(this.tree.places.pathOf(folder), { signal }))
      const changed = this.changed(folder, shown)
      if (changed.length === 0) return
      if (changed.length > MOST_NAMES) return metadata.doubtFolder(folder.ino)
      const asked = metadata.now()
      const nodes = await this.tree.transit.namesWhileStill(folder, changed, (paths) => server.statMany(paths, { signal }))
      for (const name of changed) this.tree.questions.learn(folder, name, nodes.get(name), asked)
    } catch (error) {
      if (!isCellsError(error, 'aborted')) this.logger.debug('dot-names cannot be asked for, will be when the folder is used again', { error })
    }
  }

  /** Names of which the server shows something else than is known. Where there is something of ours our word stands. */
  private changed(folder: Inode, shown: ReadonlyMap<string, string>): string[] {
    const known = this.tree.deps.metadata.listing(folder.ino)?.nodes
    const names = new Set([...shown.keys(), ...[...known ?? []].filter(([name, node]) => name.startsWith('.') && node !== undefined).map(([name]) => name)])
    return [...names].filter((name) => {
      if (folder.local.has(name)) return false
      const node = known?.get(name)
      return node === undefined ? shown.has(name) : shown.get(name) !== (node.kind === 'folder' ? '' : node.etag)
    })
  }
}
