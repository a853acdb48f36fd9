/**
 * Deletes on their way to the server's recycle bin. A delete is recorded on disk and the name is gone at once; the server
 * is told a moment later, many names in one call. When a folder goes whose children were just deleted, as `rm -r`
 * does, one delete of the folder takes the place of theirs, so that it lands in the bin in one piece.
 *
 * A delete the server refuses for good is undone here: the name comes back, and status says why.
 */
import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { isCellsError } from '../cells/errors.js'
import type { Logger } from '../log.js'
import type { Confirmer } from './confirm.js'
import type { Place } from './contents.js'
import type { Inode } from './inodes.js'
import type { FailedChange } from './status.js'
import type { Tree } from './tree.js'

/** A burst of deletes is over when nothing came for this long; nothing waits longer than the second. */
const QUIET_MS = 250
const LONGEST_WAIT_MS = 8_000
/** Names of one call. */
const BATCH = 100
const RETRY_MS = 3_000
/** Keys of the store are bounded, paths of a mount are longer at times. */
const key = (path: string): string => createHash('sha1').update(path).digest('hex')

interface Unlink {
  readonly folder: Inode
  readonly name: string
  readonly path: string
  readonly settled: Promise<void>
  readonly settle: () => void
}

export interface UnlinkDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly logger: Logger
}

export class Unlinks {
  private readonly deps: UnlinkDeps
  /** Not sent yet, by the record's key. */
  private readonly waiting = new Map<string, Unlink>()
  private readonly sending = new Set<Unlink>()
  private firstAt = 0
  private lastAt = 0
  private hurry = false
  private pump: Promise<void> | undefined
  private nudge: (() => void) | undefined
  private readonly stop = new AbortController()
  readonly failures: FailedChange[] = []

  constructor(deps: UnlinkDeps) {
    this.deps = deps
  }

  get count(): number {
    return this.waiting.size + this.sending.size
  }

  /** Records the delete of a node that the server has; durable when it resolves. The caller takes the name away. */
  async add(folder: Inode, name: string): Promise<void> {
    const { tree } = this.deps
    const path = joined(tree.localPath(folder), name)
    await tree.deps.store.unlinks.put(key(path), { path })
    await tree.deps.store.flushed()
    this.enqueue(folder, name, path)
  }

  /** Are all these names on their way out? */
  covers(folder: Inode, names: readonly string[]): boolean {
    const going = new Set([...this.waiting.values(), ...this.sending].filter((it) => it.folder === folder).map((it) => it.name))
    return names.every((name) => going.has(name))
  }

  pendingAt(folder: Inode, name: string): boolean {
    for (const unlinks of [this.waiting.values(), this.sending]) for (const it of unlinks) if (it.folder === folder && it.name === name) return true
    return false
  }

  /** The folder itself is being deleted: what waits in and below it goes with it; what is being sent is waited for. */
  async coverBelow(folder: Inode): Promise<void> {
    const covered = [...this.waiting].filter(([, it]) => isBelow(it.folder, folder))
    for (const [id, unlink] of covered) {
      this.waiting.delete(id)
      await this.deps.tree.deps.store.unlinks.remove(id)
      unlink.settle()
    }
    await this.settledBelow(folder)
  }

  /** Resolves when a name's delete is through, sent at once if it waits. */
  async settledAt(folder: Inode, name: string): Promise<void> {
    await this.settledWhere((it) => it.folder === folder && it.name === name)
  }

  async settledBelow(folder: Inode): Promise<void> {
    await this.settledWhere((it) => isBelow(it.folder, folder))
  }

  async settled(): Promise<void> {
    await this.settledWhere(() => true)
  }

  private async settledWhere(which: (unlink: Unlink) => boolean): Promise<void> {
    const found = [...this.waiting.values(), ...this.sending].filter(which)
    if (found.length === 0) return
    this.hurry = true
    this.nudge?.()
    await Promise.all(found.map((it) => it.settled))
  }

  async recover(place: (path: string) => Promise<Place | undefined>): Promise<void> {
    const { store } = this.deps.tree.deps
    for (const { key: id, value } of [...store.unlinks.getRange()]) {
      const found = await place(value.path)
      const known = found === undefined ? undefined : await this.deps.tree.child(found.folder, found.name)
      if (found === undefined || known === undefined) {
        await store.unlinks.remove(id)
        continue
      }
      this.deps.tree.deps.inodes.detach(known)
      found.folder.local.set(found.name, null)
      this.enqueue(found.folder, found.name, value.path)
    }
  }

  async close(): Promise<void> {
    this.stop.abort()
    this.nudge?.()
    await this.pump
  }

  private enqueue(folder: Inode, name: string, path: string): void {
    let settle = (): void => {}
    const settled = new Promise<void>((resolve) => { settle = resolve })
    this.waiting.set(key(path), { folder, name, path, settled, settle })
    const now = performance.now()
    if (this.waiting.size === 1) this.firstAt = now
    this.lastAt = now
    this.pump ??= this.run().finally(() => { this.pump = undefined })
  }

  /** Sends until nothing waits. Never rejects. */
  private async run(): Promise<void> {
    const { signal } = this.stop
    while (this.waiting.size > 0 && !signal.aborted) {
      await this.burstOver()
      if (signal.aborted) return
      const batch = [...this.waiting].slice(0, BATCH)
      for (const [id, unlink] of batch) {
        this.waiting.delete(id)
        this.sending.add(unlink)
      }
      this.firstAt = performance.now()
      await this.send(batch.map(([, unlink]) => unlink))
    }
    this.hurry = false
  }

  private async burstOver(): Promise<void> {
    while (!this.hurry && !this.stop.signal.aborted && this.waiting.size > 0 && this.waiting.size < BATCH) {
      const now = performance.now()
      const wait = Math.min(this.lastAt + QUIET_MS, this.firstAt + LONGEST_WAIT_MS) - now
      if (wait <= 0) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait)
        this.nudge = () => { clearTimeout(timer); resolve() }
      })
    }
  }

  /** Never rejects; ends with every name of the batch settled, or with the engine. */
  private async send(batch: Unlink[]): Promise<void> {
    const { tree, logger } = this.deps
    for (;;) {
      const paths = batch.map((it) => tree.pathAt(it.folder, it.name))
      try {
        await tree.deps.server.remove(paths, { signal: this.stop.signal })
        logger.info('deleted', { paths: paths.length === 1 ? paths[0] : paths.length })
        for (const unlink of batch) await this.done(unlink)
        return
      } catch (error) {
        if (this.stop.signal.aborted) return
        if (batch.length > 1) {
          // One bad name fails a whole call (contract, section 5): one by one they say which.
          for (const unlink of batch) await this.send([unlink])
          return
        }
        const [unlink] = batch as [Unlink]
        if (isCellsError(error, 'not-found')) return this.done(unlink)
        if (!isCellsError(error) || !error.transient) return this.undo(unlink, error as Error)
        logger.warn('a delete waits for the server', { path: paths[0], error })
        await pause(RETRY_MS, undefined, { signal: this.stop.signal }).catch(() => {})
        if (this.stop.signal.aborted) return
      }
    }
  }

  private async done(unlink: Unlink): Promise<void> {
    this.deps.confirmer.settleAbsent(unlink.folder, unlink.name)
    await this.finish(unlink)
  }

  private async undo(unlink: Unlink, error: Error): Promise<void> {
    const { tree, logger } = this.deps
    logger.error('the server refuses a delete, the name is back', { path: unlink.path, error })
    this.failures.push({ path: unlink.path, reason: error.message })
    if (unlink.folder.local.get(unlink.name) === null) unlink.folder.local.delete(unlink.name)
    tree.doubt(unlink.folder, unlink.name)
    await this.finish(unlink)
  }

  private async finish(unlink: Unlink): Promise<void> {
    await this.deps.tree.deps.store.unlinks.remove(key(unlink.path))
    this.sending.delete(unlink)
    unlink.settle()
  }
}

function isBelow(folder: Inode, ancestor: Inode): boolean {
  for (let at: Inode | undefined = folder; at !== undefined; at = at.parent) if (at === ancestor) return true
  return false
}

function joined(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}
