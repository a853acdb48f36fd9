/**
 * New folders, made on the server in batches: a folder, those above it, and whichever others wait, in one call. What must be done before a
 * place is free, the caller knows (tree-lane.ts).
 */
import type { CellsNode } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Confirmer } from './confirm.js'
import type { ConflictCopies } from './conflict-copies.js'
import type { Inode, Place } from './inodes.js'
import type { Journal } from './journal.js'
import { Later } from './lane.js'
import { hasMoved } from './moves.js'
import { placeKey } from './places.js'
import type { Tree } from './tree.js'
import type { TreeLock } from './treelock.js'
import type { Unlinks } from './unlinks.js'

/** New folders of one call. */
const FOLDERS_AT_ONCE = 100

/** Resolves when nothing of ours is in the way of `inode` at a place of the server. */
export type ClearPlace = (place: Place, inode: Inode) => Promise<void>

export interface NewFoldersDeps {
  readonly tree: Tree
  readonly conflictCopies: ConflictCopies
  readonly confirmer: Confirmer
  readonly journal: Journal
  readonly unlinks: Unlinks
  /** Names on the server, held while they are being changed there. */
  readonly locks: TreeLock
  /** What waits to be sent and has not failed. */
  readonly waiting: () => Iterable<Inode>
  readonly stop: AbortSignal
  readonly logger: Logger
}

export class NewFolders {
  private readonly deps: NewFoldersDeps

  constructor(deps: NewFoldersDeps) {
    this.deps = deps
  }

  /** Makes the folders above an inode that the server does not have. */
  async above(inode: Inode, clear: ClearPlace): Promise<void> {
    if (inode.parent !== undefined && !this.deps.tree.places.there(inode.parent)) await this.make(inode.parent, clear)
  }

  /** Makes a folder on the server, those above it, and others that wait, in one call. @throws Later */
  async make(folder: Inode, clear: ClearPlace): Promise<void> {
    const { tree, locks, confirmer, journal, logger } = this.deps
    if (folder.unlinked || folder.parent === undefined || this.deps.tree.places.there(folder)) return
    const all: Inode[] = []
    const wanted = new Set<Inode>()
    const want = (it: Inode): void => {
      if (wanted.has(it) || this.deps.tree.places.there(it) || it.unlinked || it.parent === undefined) return
      wanted.add(it)
      want(it.parent)
      all.push(it)
    }
    want(folder)
    for (const other of this.deps.waiting()) {
      if (all.length >= FOLDERS_AT_ONCE) break
      if (other.type === 'folder' && this.isReady(other)) want(other)
    }
    const freed = new Map<Inode, Place>()
    for (const it of all) {
      if (it.parent === undefined) continue
      const place: Place = { folder: it.parent, name: it.name }
      await clear(place, it)
      freed.set(it, place)
    }
    const present = await this.besideFiles(all)
    const frozen = all.find((it) => tree.transit.isFrozen(it))
    if (frozen !== undefined) throw new Later(() => tree.transit.thawed(frozen))
    // Renamed meanwhile, it may be where a folder is still to be deleted: the server would take that one for it, and then delete it.
    const wanting = [...freed].filter(([it, place]) => !it.unlinked && it.parent === place.folder && it.name === place.name && !it.onServer).map(([inode, place]) => ({ inode, place }))
    const exclusive = [...new Set(wanting.map(({ place }) => placeKey(place)))]
    const release = await locks.acquire({ shared: [...new Set(wanting.flatMap(({ place }) => tree.places.folderKeys(place.folder)))].filter((key) => !exclusive.includes(key)), exclusive })
    // Deleted or renamed here while we waited.
    const still = wanting.filter(({ inode: it, place }) => !it.unlinked && !tree.transit.isFrozen(it) && it.parent === place.folder && it.name === place.name)
    const going = still.filter(({ place }) => tree.places.there(place.folder) || still.some((it) => it.inode === place.folder)).map((it) => it.inode)
    const places = going.map((it) => ({ folder: it.parent!, name: it.name }))
    try {
      if (!going.includes(folder)) throw new Later(() => tree.transit.thawed(folder))
      const paths = places.map((it) => tree.places.pathAt(it.folder, it.name))
      for (const [i, it] of going.entries()) tree.places.hold(it, places[i])
      let nodes: CellsNode[]
      try {
        nodes = await tree.deps.server.mkdir(paths, { signal: this.deps.stop })
      } catch (error) {
        for (const it of going) tree.places.hold(it, undefined)
        throw error
      }
      const byPath = new Map(nodes.map((it) => [it.path, it]))
      for (const [i, it] of going.entries()) {
        const node = byPath.get(paths[i]!) ?? nodes[i]
        if (it.unlinked) {
          // Deleted meanwhile: what is to be moved out of it finds its path until it is deleted there.
          if (this.deps.unlinks.folderAt(places[i]!.folder, places[i]!.name) !== it) tree.places.hold(it, undefined)
          continue
        }
        tree.deps.inodes.setUuid(it, node?.uuid ?? '')
        // It was there: what is in it nobody has told us.
        if (present.has(paths[i]!)) tree.deps.metadata.doubtFolder(it.ino)
        if (!hasMoved(it)) tree.places.hold(it, undefined)
        if (it.uuid === '') logger.warn('the server made a folder and named no Uuid', { path: paths[i] })
        confirmer.awaitPresent(it)
        journal.folder(it)
        journal.move(it)
        tree.deps.store.updateFacts(it.uuid, it.facts())
        tree.overlay(it)
      }
      logger.info('folders made', { paths: paths.length === 1 ? paths[0] : paths.length })
    } finally {
      release()
    }
  }

  /**
   * A folder whose name somebody has given to a file meanwhile goes beside it. (A server asked to make it may never answer: trap 10.) Returns the paths at which
   * there is a folder.
   */
  private async besideFiles(folders: readonly Inode[]): Promise<ReadonlySet<string>> {
    const { tree, conflictCopies } = this.deps
    const places = new Map(folders.filter((it) => !it.unlinked && it.parent !== undefined).map((it) => [tree.places.pathAt(it.parent!, it.name), it]))
    const nodes = await tree.deps.server.statMany([...places.keys()], { signal: this.deps.stop })
    for (const [path, node] of nodes) {
      const folder = places.get(path)
      if (folder?.parent === undefined || node.kind === 'folder') continue
      const place: Place = { folder: folder.parent, name: folder.name }
      const aside = await conflictCopies.asideOf(place)
      if (tree.transit.isFrozen(folder)) throw new Later(() => tree.transit.thawed(folder))
      // Renamed or deleted here meanwhile: it is not made there.
      if (folder.unlinked || folder.parent !== place.folder || folder.name !== place.name) continue
      conflictCopies.aside(folder, aside, place, node, 'new node')
    }
    return new Set([...nodes.values()].filter(({ kind }) => kind === 'folder').map(({ path }) => path))
  }

  /** Nothing has to be done before the folder, and those above it, can be made. */
  private isReady(folder: Inode): boolean {
    const { tree } = this.deps
    for (let at: Inode | undefined = folder; at?.parent !== undefined && !tree.places.there(at); at = at.parent) {
      if (tree.transit.isFrozen(at) || tree.isGoing(at.parent, at.name)) return false
    }
    return true
  }
}
