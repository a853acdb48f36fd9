/** What is mounted: a folder of the server or all its workspaces, asked for at the start, or taken as an earlier process knew it. */
import { CellsError } from '../cells/errors.js'
import type { Logger } from '../log.js'
import { orLate } from '../signals.js'
import type { ConnectionWatch } from './connection.js'
import type { Inode } from './inodes.js'
import { saysNothing } from './patience.js'
import type { Shelf } from './shelf.js'
import type { Tree } from './tree.js'

/** How long a start waits for the server when it could do without. */
const ROOT_MS = 500

export interface RootDeps {
  readonly tree: Tree
  readonly connection: ConnectionWatch
  /** Folder of the server, `ws/a`; '' for all workspaces. */
  readonly remote: string
  /** The server did not answer a moment ago: what was known is taken without waiting for it. */
  readonly away: boolean
  readonly logger: Logger
}

export class Root {
  private readonly deps: RootDeps
  private readonly quotas = new Map<string, { total: number; used: number }>()

  constructor(deps: RootDeps) {
    this.deps = deps
  }

  /**
   * Asks the server; for a moment only, if an earlier process knew the answer. Returns whether it answered.
   * @throws CellsError when the server cannot be reached and nothing is known, or the folder is not there
   */
  async open(shelf: Shelf | undefined): Promise<boolean> {
    const { tree, connection, remote, away, logger } = this.deps
    const { root } = tree.deps.inodes
    root.mtime = root.ctime = root.atime = BigInt(Date.now()) * 1_000_000n
    const known = shelf?.recall(root.ino)
    const usable = known !== undefined && (remote === '' ? known.complete && known.nodes.size > 0 : known.self !== undefined)
    const asked = this.ask(shelf)
    try {
      await (usable ? orLate(away ? 0 : ROOT_MS, asked, () => { throw new CellsError('timeout', 'The server takes too long') }) : asked)
      return true
    } catch (error) {
      if (!usable || !saysNothing(error)) throw error
      logger.info('the server cannot be asked now, showing what was known', { error })
      connection.away(error)
      tree.patience.pause()
      if (known.self !== undefined) {
        tree.attributes.apply(root, known.self)
        shelf!.root = known.self
      }
      asked.catch((late: unknown) => logger.warn('what is mounted cannot be found on the server', { error: late }))
      return false
    }
  }

  private async ask(shelf: Shelf | undefined): Promise<void> {
    const { tree, remote } = this.deps
    const { server, metadata, inodes: { root } } = tree.deps
    if (remote === '') {
      const at = metadata.now()
      const workspaces = await server.workspaces()
      for (const it of workspaces) if (it.quota !== undefined) this.quotas.set(it.slug, { total: it.quota, used: it.quotaUsage ?? 0 })
      const nodes = new Map(workspaces.map((it) => [it.slug, it.node]))
      await tree.questions.proveAbsence(root, nodes)
      metadata.setAll(root.ino, nodes, at)
      return
    }
    const node = await server.stat(remote)
    if (node === undefined) throw new CellsError('not-found', `The folder ${remote} does not exist on the server`)
    if (node.kind !== 'folder') throw new CellsError('invalid', `${remote} is not a folder`)
    tree.attributes.apply(root, node)
    if (shelf !== undefined) {
      shelf.root = node
      metadata.shelf?.changed(root.ino)
    }
  }

  /** Bytes of the workspace that an inode is in, where the server has told of a quota. */
  quotaOf(inode: Inode): { total: number; used: number } | undefined {
    const workspace = (this.deps.remote || this.deps.tree.places.localPath(inode)).split('/')[0] ?? ''
    return this.quotas.get(workspace) ?? (this.quotas.size === 1 ? [...this.quotas.values()][0] : undefined)
  }
}
