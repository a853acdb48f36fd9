/**
 * Old names of files whose content was sent over another file (rename over). The old node is to go, for good and
 * past the bin, but not at once: a 2.x server keeps a ghost of a file that is deleted before it was indexed, and takes
 * "one file deleted, another one with the same content" within a second for a move, which would give the
 * target the Uuid of the source (both seen on a real server). So the removal is recorded, the name is gone here at
 * once, and the server is told when it shows the content under the new name. And as the same happens with *any* file that
 * somebody writes with this content in that second, the old node is given a content that no other file has before it goes.
 */
import { createHash } from 'node:crypto'
import type { RemovalRecord } from '../cache/store.js'
import type { Logger } from '../log.js'
import { ETAG_TEMPORARY, type CellsNode } from '../cells/types.js'
import type { Confirmer } from './confirm.js'
import type { Place } from './contents.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

const RETRY_MS = 10_000

interface Removal {
  readonly record: RemovalRecord
  readonly folder: Inode
  readonly name: string
  /** md5s of ours that the server may still show at the name: the last one, and those it was written over. */
  readonly sent: Set<string>
  readonly stop: AbortController
  /** The content without a double is being sent. */
  marking: Promise<void> | undefined
  /** The delete has been sent: too late to cancel. */
  told: boolean
}

export interface RemovalDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly logger: Logger
}

export class Removals {
  private readonly deps: RemovalDeps
  private readonly pending = new Map<Removal, Promise<void>>()
  private closed = false

  constructor(deps: RemovalDeps) {
    this.deps = deps
  }

  get count(): number {
    return this.pending.size
  }

  /**
   * The node at a name is to go once `keeper`, which has its content, is confirmed. `sent`: what was ever sent to the name.
   * Durable when it resolves.
   */
  async add(folder: Inode, name: string, keeper: Inode, md5: string, sent: ReadonlySet<string>): Promise<void> {
    const { tree } = this.deps
    const record: RemovalRecord = { path: joined(tree.localPath(folder), name), keeper: tree.localPath(keeper), md5 }
    await tree.deps.store.removals.put(removalKey(record), record)
    await tree.deps.store.flushed()
    folder.local.set(name, null)
    this.begin(record, folder, name, keeper, new Set([...sent, md5]))
  }

  /**
   * The name gets new content: overwriting the old node in place is better than deleting it. If it is too late, resolves when the delete was sent.
   * Returns what of ours the server may show at the name until then (md5s).
   */
  async cancel(folder: Inode, name: string): Promise<Iterable<string>> {
    const left: string[] = []
    for (const [removal, work] of this.pending) {
      if (removal.folder !== folder || removal.name !== name) continue
      if (removal.told) {
        await work
      } else {
        removal.stop.abort()
        this.pending.delete(removal)
        // It must not arrive after what is to be written there now.
        await removal.marking?.catch(() => {})
        await this.deps.tree.deps.store.removals.remove(removalKey(removal.record))
        left.push(...removal.sent)
      }
    }
    return left
  }

  pendingAt(folder: Inode, name: string): boolean {
    for (const removal of this.pending.keys()) if (removal.folder === folder && removal.name === name) return true
    return false
  }

  /** Resolves when the node at a name is gone, if it was to go. */
  async settledAt(folder: Inode, name: string): Promise<void> {
    for (const [removal, work] of [...this.pending]) if (removal.folder === folder && removal.name === name) await work
  }

  /** Resolves when nothing in or below a folder is still to be removed. */
  async settledBelow(folder: Inode): Promise<void> {
    for (const [removal, work] of [...this.pending]) {
      for (let at: Inode | undefined = removal.folder; at !== undefined; at = at.parent) if (at === folder) await work
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.pending.values())
  }

  /** What an earlier process recorded and did not come to send. */
  async recover(place: (path: string) => Promise<Place | undefined>): Promise<void> {
    const { tree } = this.deps
    for (const { key, value } of [...tree.deps.store.removals.getRange()]) {
      const [source, keeper] = [await place(value.path), await place(value.keeper)]
      const live = keeper === undefined ? undefined : await tree.child(keeper.folder, keeper.name)
      if (source === undefined || live === undefined) {
        await tree.deps.store.removals.remove(key)
        continue
      }
      source.folder.local.set(source.name, null)
      this.begin(value, source.folder, source.name, live, new Set([value.md5]))
    }
  }

  close(): void {
    this.closed = true
    for (const removal of this.pending.keys()) removal.stop.abort()
  }

  private begin(record: RemovalRecord, folder: Inode, name: string, keeper: Inode, sent: ReadonlySet<string>): void {
    const removal: Removal = { record, folder, name, sent: new Set(sent), stop: new AbortController(), marking: undefined, told: false }
    this.pending.set(removal, this.run(removal, keeper).finally(() => this.pending.delete(removal)))
  }

  /** Never rejects; tries until it is done or stopped. */
  private async run(removal: Removal, keeper: Inode): Promise<void> {
    const { tree, confirmer, logger } = this.deps
    const { signal } = removal.stop
    for (;;) {
      try {
        await confirmer.confirmed(keeper, signal)
        const path = tree.pathAt(removal.folder, removal.name)
        const { md5 } = removal.record
        // An older content of ours: the index lags.
        const lags = (it: CellsNode | undefined): boolean => it?.etag === ETAG_TEMPORARY || (it !== undefined && it.etag !== md5 && !isMarked(it) && removal.sent.has(it.etag))
        let node = await tree.deps.server.waitFor(path, (it) => !lags(it), { signal, timeoutMs: 30_000 })
        signal.throwIfAborted()
        if (node?.kind === 'file' && node.etag === md5) node = await this.mark(removal, path, node)
        // Somebody may have written to the old name meanwhile: theirs stays.
        if (node !== undefined && node.kind === 'file' && (isMarked(node) || node.etag === '')) {
          removal.told = true
          await tree.deps.server.removeObject(path)
          confirmer.awaitAbsent(removal.folder, removal.name)
        } else if (removal.folder.local.get(removal.name) === null) {
          removal.folder.local.delete(removal.name)
          tree.doubt(removal.folder, removal.name)
        }
        await tree.deps.store.removals.remove(removalKey(removal.record))
        return
      } catch (error) {
        if (signal.aborted || this.closed) return
        logger.warn('the old name of a renamed file cannot be removed yet', { path: removal.record.path, error })
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, RETRY_MS)
          signal.addEventListener('abort', () => { clearTimeout(timer); resolve() }, { once: true })
        })
        if (signal.aborted) return
      }
    }
  }

  /** Gives the old node a content without a double. Resolves to the node when the server shows it, or what somebody else wrote. */
  private async mark(removal: Removal, path: string, node: CellsNode): Promise<CellsNode | undefined> {
    const { server } = this.deps.tree.deps
    const content = marked(node)
    const md5 = createHash('md5').update(content).digest('hex')
    removal.sent.add(md5)
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    removal.marking = server.put(path, async function* () { yield content }, content.length, { md5 })
    await removal.marking
    const { signal } = removal.stop
    signal.throwIfAborted()
    const shown = await server.waitFor(path, (it) => it?.etag !== node.etag, { signal, timeoutMs: 30_000 })
    signal.throwIfAborted()
    return shown
  }
}

/** What a file that is to go holds at last: nothing else has it. */
function marked(node: CellsNode): Buffer {
  return Buffer.from(`removed ${node.uuid}\n`)
}

function isMarked(node: CellsNode): boolean {
  return node.etag === createHash('md5').update(marked(node)).digest('hex')
}

/** Keys of the store are bounded, paths are longer at times. */
function removalKey(record: RemovalRecord): string {
  return createHash('sha1').update(record.path).digest('hex')
}

function joined(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}
