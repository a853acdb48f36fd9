/**
 * Where the paths in records of an earlier process lead now: here, and on the server, which may have a node under another name than this side.
 * Without the server, what it said last has to do.
 */
import { CellsError } from '../cells/errors.js'
import type { Inode, Place } from './inodes.js'
import type { Tree } from './tree.js'

export class RecordedPaths {
  private readonly tree: Tree

  constructor(tree: Tree) {
    this.tree = tree
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
    const names = path.split('/')
    const name = names.pop()!
    const folder = await this.inode(names.join('/'))
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }

  /** As `place`, of a path on the server. */
  async serverPlace(path: string): Promise<Place | undefined> {
    const names = path.split('/')
    const name = names.pop()!
    let folder: Inode | undefined = this.tree.deps.inodes.root
    for (const step of names) folder = folder === undefined || folder.type !== 'folder' ? undefined : await this.serverNode({ folder, name: step })
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }

  /** The node that the server has at a place of its own, which may be elsewhere here. */
  async serverNode({ folder, name }: Place): Promise<Inode | undefined> {
    const { tree } = this
    const held = tree.heldBy(folder, name)
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
