/**
 * What the server's events say about the tree: a proof of what we sent, an echo of what is known, or news. News end belief in the
 * name, and those who have the file open are told at once; the rest is asked when somebody wants to know.
 */
import type { CellsEvent, CellsNode } from '../cells/types.js'
import type { Tree } from './tree.js'

export class TreeEvents {
  private readonly tree: Tree

  constructor(tree: Tree) {
    this.tree = tree
  }

  take(event: CellsEvent): void {
    switch (event.type) {
      case 'create':
      case 'content':
      case 'meta':
        this.changed(event.node.path, event.node)
        break
      case 'path':
        this.moved(event.source.path, event.target)
        break
      case 'delete':
        this.changed(event.source.path, undefined)
        break
      case 'idm':
        this.tree.deps.metadata.doubtAll()
        this.tree.kernel.everything()
        break
      case 'task':
        break
    }
  }

  /** Something happened at a path. `node` is what the server shows there now, as far as the event tells. */
  private changed(path: string, node: CellsNode | undefined): void {
    const { metadata } = this.tree.deps
    const place = this.tree.places.locate(path)
    if (place === undefined) return
    const { folder, name } = place
    const live = this.tree.places.atServerPlace(folder, name)
    const answer = metadata.listing(folder.ino)?.answers.get(name)
    const known = answer?.node
    const birth = node !== undefined && this.tree.echoes.isBirth(node, live === undefined ? known : live.version)
    if (node !== undefined && this.tree.echoes.isAbout(live, node) && this.tree.offer(live, node)) return
    if (birth) return
    if (known !== undefined && node !== undefined && same(known, node)) return
    // An echo of our own delete or rename.
    if (node === undefined && answer !== undefined && known === undefined) return
    this.tree.doubt(folder, name)
    if (live === undefined || folder.local.get(name) === live) return
    this.tree.kernel.attributes(live)
    // Whoever has it open does not ask: asked for it, so that old pages go.
    if (node !== undefined && live.opens > 0) this.look(() => this.tree.revalidate(live))
  }

  private moved(from: string, target: CellsNode): void {
    const source = this.tree.places.locate(from)
    const live = source?.folder.children.get(source.name)
    this.changed(from, undefined)
    this.changed(target.path, target)
    const place = this.tree.places.locate(target.path)
    if (place === undefined || live === undefined || live.uuid !== target.uuid || live.opens + live.lookups === 0) return
    // Programs use it where it is now without asking for a name.
    this.look(() => this.tree.child(place.folder, place.name))
  }

  /** Asks in the background. */
  private look(question: () => Promise<unknown>): void {
    question().catch((error: unknown) => this.tree.deps.logger.debug('asking about a change failed, will be asked when it is used', { error }))
  }
}

function same(a: CellsNode, b: CellsNode): boolean {
  return a.uuid === b.uuid && a.etag === b.etag && a.size === b.size && a.readOnly === b.readOnly
}
