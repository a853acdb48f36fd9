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

  /** Where the server may have a folder that was renamed here while it was told to make it there, and did not answer. */
  private readonly unanswered = new WeakMap<Inode, Place>()

  /** Makes the folders above an inode that the server does not have. */
  async above(inode: Inode, clear: ClearPlace): Promise<void> {
    if (inode.parent !== undefined && !this.deps.tree.places.there(inode.parent)) await this.make(inode.parent, clear)
  }

  /** Makes a folder on the server, those above it, and others that wait, in one call. @throws Later */
  async make(folder: Inode, clear: ClearPlace): Promise<void> {
    const { tree, locks, logger } = this.deps
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
    for (const it of all) await this.lookWhereMade(it)
    if (tree.places.there(folder)) return
    const freed = new Map<Inode, Place>()
    for (const it of all) {
      if (it.parent === undefined || it.onServer) continue
      const place: Place = { folder: it.parent, name: it.name }
      await clear(place, it)
      freed.set(it, place)
    }
    const present = await this.besideFiles([...freed.keys()])
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
        for (const [i, it] of going.entries()) this.notAnswered(it, places[i]!)
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
        const uuid = node?.uuid ?? ''
        if (uuid === '') logger.warn('the server made a folder and named no Uuid', { path: paths[i] })
        this.made(it, uuid, present.has(paths[i]!))
      }
      logger.info('folders made', { paths: paths.length === 1 ? paths[0] : paths.length })
    } finally {
      release()
    }
  }

  /** The server has the folder at the place where it is held. `wasThere`: before it was told to make it. */
  private made(folder: Inode, uuid: string, wasThere: boolean): void {
    const { tree, confirmer, journal } = this.deps
    const { inodes, metadata, store } = tree.deps
    // It was there: what is in it nobody has told us. Or somebody has put something in it, and has perhaps deleted it since.
    if (wasThere || (metadata.peek(folder.ino)?.nodes.size ?? 0) > 0) tree.succession.becomes(folder, uuid)
    else inodes.setUuid(folder, uuid)
    if (!hasMoved(folder)) tree.places.hold(folder, undefined)
    confirmer.awaitPresent(folder)
    journal.folder(folder)
    journal.move(folder)
    store.updateFacts(folder.uuid, folder.facts())
    tree.overlay(folder)
  }

  /** It may have been made all the same: what is there is shown, and is that folder if it is asked for before somebody here has looked at it. */
  private notAnswered(folder: Inode, place: Place): void {
    const { tree } = this.deps
    if (folder.uuid !== '' && !folder.unlinked) {
      // An event has told of it.
      this.made(folder, folder.uuid, true)
      return
    }
    if (hasMoved(folder) && !folder.unlinked) this.unanswered.set(folder, place)
    tree.places.hold(folder, undefined)
    tree.uncoverHidden(place.folder, place.name)
    tree.doubt(place.folder, place.name)
  }

  /** Has the server made the folder when it did not answer? Then it has it at the name of then. */
  private async lookWhereMade(folder: Inode): Promise<void> {
    const { tree: { deps: { server, inodes }, places, transit }, stop } = this.deps
    const place = this.unanswered.get(folder)
    if (place === undefined) return
    const node = places.hasPath(place.folder) ? await server.stat(places.pathAt(place.folder, place.name), { signal: stop }) : undefined
    if (transit.isFrozen(folder)) throw new Later(() => transit.thawed(folder))
    this.unanswered.delete(folder)
    if (node?.kind !== 'folder' || folder.unlinked || place.folder.local.has(place.name) || inodes.ofUuid(node.uuid) !== undefined) return
    places.hold(folder, place)
    this.made(folder, node.uuid, true)
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
