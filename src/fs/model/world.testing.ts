/**
 * One possible state of a filesystem, as plain data: names lead to nodes, nodes have content. The operations
 * follow POSIX word by word and are slow and obvious; everything else of the model test builds on them.
 * An operation that cannot be done changes nothing and throws an `Errno`.
 */

export class Errno extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

export interface ModelNode {
  readonly id: number
  readonly type: 'file' | 'folder' | 'symlink'
  readonly content: Buffer
  /** undefined: not known (somebody else's doing). */
  readonly mode: number | undefined
  /** Nanoseconds; undefined: not known. */
  readonly mtime: bigint | undefined
}

const EMPTY = Buffer.alloc(0)
const ROOT_ID = 0

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

export function isBelow(path: string, folder: string): boolean {
  return folder === '' ? path !== '' : path.startsWith(`${folder}/`)
}

/** Numbers of nodes, one series for all worlds that descend from each other. */
export class NodeIds {
  private last = ROOT_ID

  next(): number {
    return ++this.last
  }
}

export class World {
  /** Path to node number; '' is the root. */
  readonly names = new Map<string, number>()
  /** Nodes without a name stay: a handle may be open. */
  readonly nodes = new Map<number, ModelNode>()

  static empty(): World {
    const world = new World()
    world.names.set('', ROOT_ID)
    world.nodes.set(ROOT_ID, { id: ROOT_ID, type: 'folder', content: EMPTY, mode: undefined, mtime: undefined })
    return world
  }

  clone(): World {
    const copy = new World()
    for (const [path, id] of this.names) copy.names.set(path, id)
    for (const [id, node] of this.nodes) copy.nodes.set(id, node)
    return copy
  }

  at(path: string): ModelNode | undefined {
    const id = this.names.get(path)
    return id === undefined ? undefined : this.nodes.get(id)
  }

  /** The node at a path, found step by step. @throws Errno ENOENT, ENOTDIR */
  lookup(path: string): ModelNode {
    const names = path === '' ? [] : path.split('/')
    let at = ''
    for (const [index, name] of names.entries()) {
      at = index === 0 ? name : `${at}/${name}`
      const node = this.at(at)
      if (node === undefined) throw new Errno('ENOENT')
      if (index < names.length - 1 && node.type !== 'folder') throw new Errno('ENOTDIR')
    }
    return this.at(path)!
  }

  list(path: string): string[] {
    if (this.lookup(path).type !== 'folder') throw new Errno('ENOTDIR')
    return this.children(path)
  }

  private children(path: string): string[] {
    const skip = path === '' ? 0 : path.length + 1
    return [...this.names.keys()].filter((it) => isBelow(it, path) && !it.slice(skip).includes('/')).map((it) => it.slice(skip)).sort()
  }

  /** @throws Errno when the folder of a new name is not one */
  private folderOf(path: string): void {
    if (this.lookup(parentOf(path)).type !== 'folder') throw new Errno('ENOTDIR')
  }

  private set(node: ModelNode, change: Partial<ModelNode>): void {
    this.nodes.set(node.id, { ...node, ...change })
  }

  create(path: string, node: ModelNode): void {
    this.folderOf(path)
    if (this.at(path) !== undefined) throw new Errno('EEXIST')
    this.names.set(path, node.id)
    this.nodes.set(node.id, node)
  }

  setContent(id: number, content: Buffer): void {
    const node = this.nodes.get(id)
    if (node !== undefined) this.set(node, { content, mtime: undefined })
  }

  writeAt(id: number, offset: number, data: Buffer): void {
    if (data.length === 0) return
    const { content } = this.nodes.get(id)!
    const grown = Buffer.alloc(Math.max(content.length, offset + data.length))
    content.copy(grown)
    data.copy(grown, offset)
    this.setContent(id, grown)
  }

  truncate(id: number, size: number): void {
    const { content } = this.nodes.get(id)!
    const cut = Buffer.alloc(size)
    content.copy(cut)
    this.setContent(id, cut)
  }

  setAttributes(path: string, change: { mode?: number; mtime?: bigint }): void {
    this.set(this.lookup(path), change)
  }

  unlink(path: string): void {
    const node = this.lookup(path)
    if (node.type === 'folder') throw new Errno('EISDIR')
    this.names.delete(path)
  }

  rmdir(path: string): void {
    const node = this.lookup(path)
    if (node.type !== 'folder') throw new Errno('ENOTDIR')
    if (this.children(path).length > 0) throw new Errno('ENOTEMPTY')
    this.names.delete(path)
  }

  /** A folder with all that is in it, as the server deletes it. */
  removeTree(path: string): void {
    this.lookup(path)
    for (const name of [...this.names.keys()]) if (name === path || isBelow(name, path)) this.names.delete(name)
  }

  rename(from: string, to: string): void {
    // As the kernel does: it walks to both folders before it looks for either name.
    this.folderOf(from)
    this.folderOf(to)
    const source = this.lookup(from)
    if (from === to) return
    if (isBelow(to, from)) throw new Errno('EINVAL')
    const target = this.at(to)
    if (target !== undefined) {
      if (source.type === 'folder' && target.type !== 'folder') throw new Errno('ENOTDIR')
      if (source.type !== 'folder' && target.type === 'folder') throw new Errno('EISDIR')
      if (target.type === 'folder' && this.children(to).length > 0) throw new Errno('ENOTEMPTY')
      this.names.delete(to)
    }
    const moved = [...this.names].filter(([name]) => name === from || isBelow(name, from))
    for (const [name] of moved) this.names.delete(name)
    for (const [name, id] of moved) this.names.set(to + name.slice(from.length), id)
  }
}
