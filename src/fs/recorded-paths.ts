/**
 * Where the paths in records of an earlier process lead now: here, and on the server, which may have a node under another name than this side.
 * Without the server, what it said last has to do.
 */
import type { Facts } from '../cache/store.js'
import { CellsError } from '../cells/errors.js'
import { fromPair, type Inode, type Place } from './inodes.js'
import type { Journal } from './journal.js'
import { saysNothing } from './patience.js'
import type { Tree } from './tree.js'
import type { Uploader } from './uploader.js'

export class RecordedPaths {
  private readonly tree: Tree
  private readonly journal: Journal
  private readonly uploader: Uploader

  constructor(tree: Tree, journal: Journal, uploader: Uploader) {
    this.tree = tree
    this.journal = journal
    this.uploader = uploader
  }

  /** What follows from an absence is not done as long as that is only what was known last. @throws CellsError `network` */
  needsProof(): void {
    const { tree } = this
    if (tree.cutOff() || tree.patience.paused) throw new CellsError('network', 'the server cannot be asked')
  }

  /** A recovered file whose name is somebody else's now keeps its content beside it. */
  async freeName(place: Place, existing: Inode | undefined): Promise<string> {
    if (existing === undefined) return place.name
    for (let n = 1; ; n++) {
      const name = `${place.name} (recovered${n > 1 ? ` ${n}` : ''})`
      if (await this.tree.child(place.folder, name) === undefined) return name
    }
  }

  /** The live folder and name of a path below the mount, or undefined if that folder is proven gone. */
  async place(path: string): Promise<Place | undefined> {
    const { names, name } = split(path)
    const folder = await this.inode(names.join('/'))
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }

  /**
   * What is at a place of this side, as far as it can be told now.
   * @throws CellsError other than those of a server that cannot be asked
   */
  async known({ folder, name }: Place): Promise<Inode | undefined | 'unknown'> {
    try {
      return await this.tree.child(folder, name)
    } catch (error) {
      if (saysNothing(error)) return 'unknown'
      throw error
    }
  }

  /**
   * The place of a content of ours. Folders above it that are gone, or cannot be asked for now, are made here: the server makes them
   * when their turn comes, and where it has them they are the ones it has (SEMANTICS.md, S44, S45, S47). Undefined if one of them is a file now.
   */
  async placeMade(path: string): Promise<Place | undefined> {
    const { names, name } = split(path)
    let folder = this.tree.deps.inodes.root
    for (const step of names) {
      const place: Place = { folder, name: step }
      const there = await this.known(place)
      if (there === undefined || there === 'unknown') {
        folder = this.newFolder(place)
        if (there === 'unknown') this.tree.questions.unproven.add(folder)
        // Safe before anything is in it.
        this.journal.folder(folder)
      } else if (there.type === 'folder') folder = there
      else return undefined
    }
    return { folder, name }
  }

  /** A folder of ours that the server may have by now: it is asked what is in it as soon as it can be. */
  newFolder(place: Place, facts: Facts = {}): Inode {
    const inode = this.tree.deps.inodes.create('folder', place.folder, place.name, '', facts.ino, this.tree.attributes.ownership('folder'))
    inode.mode = facts.mode ?? inode.mode
    if (facts.mtime !== undefined) inode.mtime = inode.ctime = inode.atime = fromPair(facts.mtime)
    place.folder.local.set(place.name, inode)
    this.uploader.add(inode)
    return inode
  }

  /** As `place`, of a path on the server. */
  async serverPlace(path: string): Promise<Place | undefined> {
    const { names, name } = split(path)
    let folder: Inode | undefined = this.tree.deps.inodes.root
    for (const step of names) folder = folder === undefined || folder.type !== 'folder' ? undefined : await this.serverNode({ folder, name: step })
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }

  /** The node that the server has at a place of its own, which may be elsewhere here. */
  async serverNode({ folder, name }: Place): Promise<Inode | undefined> {
    const { tree } = this
    const held = tree.places.heldBy(folder, name)
    if (held !== undefined) return held
    const inode = await tree.child(folder, name)
    return inode?.heldAt === undefined ? inode : undefined
  }

  /** The live inode of a path below the mount. */
  async inode(path: string): Promise<Inode | undefined> {
    let at: Inode | undefined = this.tree.deps.inodes.root
    for (const step of path.split('/').filter((it) => it !== '')) {
      if (at === undefined || at.type !== 'folder') return undefined
      at = await this.tree.child(at, step)
    }
    return at
  }
}

/** The names of the folders above, and the last one. */
function split(path: string): { names: string[]; name: string } {
  const names = path.split('/')
  return { name: names.pop()!, names }
}
