/**
 * A content that was sent to a path from which somebody had just moved the file, or a folder above it: the server has made a node of its own there, and
 * folders for it, while the inode has gone on with what was moved. The inode is brought to where its content is (SEMANTICS.md, S39, S45); it would be sent
 * again, to what somebody has moved.
 */
import { parentOf } from '../cells/names.js'
import type { CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Confirmer } from './confirm.js'
import type { Durability } from './durability.js'
import type { Inode } from './inodes.js'
import type { Journal } from './journal.js'
import type { RecordedPaths } from './recorded-paths.js'
import type { Tree } from './tree.js'

export interface StraysDeps {
  readonly tree: Tree
  readonly confirmer: Confirmer
  readonly durability: Durability
  readonly journal: Journal
  readonly paths: RecordedPaths
  readonly logger: Logger
}

/** What the server is asked about a content that was sent to `sentTo`, besides where the inode is now. */
export function askedOf(sentTo: string): readonly string[] {
  return [sentTo, parentOf(sentTo)]
}

export class Strays {
  private readonly deps: StraysDeps
  private readonly underWay = new WeakSet<Inode>()

  constructor(deps: StraysDeps) {
    this.deps = deps
  }

  /** The inode's content is not where the inode is now. `nodes`: what the server has at the paths of `askedOf`. */
  look(inode: Inode, sentTo: string, nodes: ReadonlyMap<string, CellsNode>): void {
    const node = nodes.get(sentTo)
    if (node === undefined || this.underWay.has(inode) || !this.isApart(inode, node, nodes.get(parentOf(sentTo)))) return
    this.underWay.add(inode)
    this.bring(inode, sentTo, node)
      .catch((error: unknown) => this.deps.logger.debug('what was sent to where nothing was any more could not be looked for yet', { path: sentTo, error }))
      .finally(() => this.underWay.delete(inode))
  }

  /** Is ours a node of its own there, and not the one that was moved, which an index that lags shows at its old place? */
  private isApart(inode: Inode, node: CellsNode, folder: CellsNode | undefined): boolean {
    const place = inode.serverPlace
    if (place === undefined || node.kind !== 'file' || !this.deps.confirmer.agrees(inode, node)) return false
    return inode.uuid !== '' ? node.uuid !== inode.uuid : folder !== undefined && folder.uuid !== place.folder.uuid
  }

  private async bring(inode: Inode, sentTo: string, node: CellsNode): Promise<void> {
    const { tree, confirmer, durability, journal, paths, logger } = this.deps
    const { inodes, remote } = tree.deps
    const { expected } = inode
    const place = await paths.serverPlace(remote === '' ? sentTo : sentTo.slice(remote.length + 1))
    if (place === undefined || inode.expected !== expected || inode.unlinked || inode.movingTo !== undefined || tree.transit.isFrozen(inode)) return
    if (tree.places.pathAt(place.folder, place.name) !== sentTo || tree.places.pathOf(inode) === sentTo) return
    const there = tree.places.atServerPlace(place.folder, place.name)
    // Something else of ours is to be there, or a program is at work on what is there.
    if (place.folder.local.has(place.name) || (there !== undefined && there.opens > 0)) return
    logger.info('what was sent is where somebody had moved something away, and stays there', { path: sentTo })
    inodes.setUuid(inode, '')
    const { heldAt, parent, name } = inode
    if (heldAt !== undefined) {
      tree.places.hold(inode, place)
    } else if (parent !== undefined) {
      if (there !== undefined) {
        inodes.detach(there)
        tree.kernel.attributes(there)
      }
      if (parent.local.get(name) === inode) parent.local.delete(name)
      inodes.move(inode, place.folder, place.name)
      tree.overlay(inode)
      tree.doubt(parent, name)
      tree.kernel.name(place.folder, place.name)
      durability.rebase(inode)
    }
    journal.move(inode)
    confirmer.offer(inode, node)
  }
}
