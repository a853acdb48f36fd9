/**
 * What the server's events say about the tree: a proof of what we sent, an echo of what is known, or news. News end belief in the
 * name, and those who have the file open are told at once; the rest is asked when somebody wants to know.
 */
import type { KnownNode } from '../cache/known.js'
import { MARKER } from '../cells/names.js'
import { type CellsEvent, type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

/** What has left its place without a content has one after this long, milliseconds, or never. */
const INDEXED_MS = 15_000

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
        this.left(event.source, event.target)
        this.moved(event.source.path, event.target)
        break
      case 'delete':
        this.left(event.source)
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
    const former = this.tree.places.locateFormer(path)
    if (former !== undefined) this.tree.doubt(former.folder, former.name)
    const place = this.tree.places.locateTold(path)
    if (place === undefined) return
    const { folder, name } = place
    if (name === MARKER) return
    const live = this.tree.places.atServerPlace(folder, name)
    const answer = metadata.listing(folder.ino)?.answer(name)
    const known = answer?.node
    const birth = node !== undefined && this.tree.echoes.isBirth(node, live === undefined ? known : live.version)
    if (node !== undefined && this.tree.echoes.isAbout(live, node) && this.tree.offer(live, node)) return
    if (birth) return
    if (known !== undefined && node !== undefined && same(known, node)) return
    // An echo of our own delete or rename, unless it is of what the server has shown a moment ago.
    if (node === undefined && answer !== undefined && known === undefined && (live === undefined || live.unconfirmed || live.uuid === '')) return
    // Under what is being deleted: whether it is that or another one matters when that is gone (unlinks.ts).
    if (node !== undefined && folder.local.get(name) === null) metadata.ours(folder.ino, name, node, metadata.now())
    this.tree.doubt(folder, name)
    if (live === undefined || folder.local.get(name) === live) return
    this.tree.kernel.attributes(live)
    // Whoever has it open does not ask: asked for it, so that old pages go.
    if (node !== undefined && live.opens > 0) this.look(() => this.tree.revalidate(live))
  }

  /**
   * A node has left its place, and if that was ours, or a folder with something of ours in it, no other word comes of it: neither is it waited for nor sent
   * again. What had no content yet, and what is in a folder, is looked at where it is now.
   */
  private left(was: CellsNode, now?: CellsNode): void {
    const { places, echoes } = this.tree
    const place = places.locateTold(was.path)
    const live = place === undefined ? undefined : places.atServerPlace(place.folder, place.name)
    if (live === undefined || !echoes.isAbout(live, was)) return
    const inside = was.kind === 'folder' && now !== undefined ? [...unconfirmedIn(live)].map((inode) => ({ inode, path: places.pathOf(inode) })) : []
    for (const { inode, path } of inside) this.look(() => this.taken(inode, path, now!.path + path.slice(was.path.length)))
    if (!live.unconfirmed) return
    this.look(async () => {
      if (!await this.taken(live, was.path, now?.path, was)) return
      // Known for ours, it is looked for where it is now.
      if (now !== undefined) this.moved(was.path, { ...now, etag: live.version?.etag ?? now.etag })
    })
  }

  /** Somebody has taken ours from a path to another one: what is there is what it was. `was`: as far as the event tells. False if it is not known for ours then. */
  private async taken(inode: Inode, path: string, to: string | undefined, was?: CellsNode): Promise<boolean> {
    const { deps: { server }, places } = this.tree
    const last = was !== undefined && (was.kind === 'folder' || was.etag !== ETAG_TEMPORARY) ? was : to === undefined ? undefined
      : await server.waitFor(to, (it) => it !== undefined && it.etag !== ETAG_TEMPORARY, { timeoutMs: INDEXED_MS })
    if (last === undefined || (was !== undefined && last.uuid !== was.uuid) || !inode.unconfirmed || !places.hasPath(inode) || places.pathOf(inode) !== path) return false
    await this.tree.left(inode, { ...last, path })
    this.changed(path, undefined)
    return true
  }

  private moved(from: string, target: CellsNode): void {
    const source = this.tree.places.locateTold(from)
    const live = source?.folder.children.get(source.name)
    this.changed(from, undefined)
    this.changed(target.path, target)
    const place = this.tree.places.locateTold(target.path)
    if (place === undefined || live === undefined || live.uuid !== target.uuid || live.opens + live.lookups === 0) return
    // Programs use it where it is now without asking for a name.
    this.look(() => this.tree.child(place.folder, place.name))
  }

  /** Asks in the background. */
  private look(question: () => Promise<unknown>): void {
    question().catch((error: unknown) => this.tree.deps.logger.debug('asking about a change failed, will be asked when it is used', { error }))
  }
}

/** All in a folder that was sent and not shown. */
function * unconfirmedIn(folder: Inode): Generator<Inode> {
  if (!folder.hasNames) return
  for (const inode of new Set([...folder.local.values(), ...folder.children.values()])) {
    if (inode === null || inode.heldAt !== undefined) continue
    if (inode.unconfirmed) yield inode
    if (inode.type === 'folder') yield * unconfirmedIn(inode)
  }
}

/** (Size and etag of a folder tell of what is in it, which has events of its own.) */
function same(a: KnownNode, b: KnownNode): boolean {
  return a.uuid === b.uuid && a.readOnly === b.readOnly && (a.kind === 'folder' || (a.etag === b.etag && a.size === b.size))
}
