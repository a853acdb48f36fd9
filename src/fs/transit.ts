/**
 * Nodes that are on the move. What is asked by path about a node that the server is moving, or about something below it, gets an answer that means
 * nothing: it waits, or is asked again. And a node that a change here is about to hand on is frozen meanwhile: nothing of it is begun on the server.
 */
import { isCellsError } from '../cells/errors.js'
import type { CellsNode } from '../cells/types.js'
import type { Inode } from './inodes.js'
import type { Places } from './places.js'

export class Transit {
  private readonly places: Places

  constructor(places: Places) {
    this.places = places
  }

  /** Nodes that the server is moving now. */
  private readonly moving = new Map<Inode, Promise<void>>()

  /** Runs a move on the server: what is asked by path about the node, or below it, waits. */
  async move(inode: Inode, work: () => Promise<void>): Promise<void> {
    const moved = work()
    this.moving.set(inode, moved.catch(() => {}))
    try {
      await moved
    } finally {
      this.moving.delete(inode)
    }
  }

  /** Is the server moving the node itself now? */
  isMoving(inode: Inode): boolean {
    return this.moving.has(inode)
  }

  /** Resolves when no move of the node is on its way. `movingTo` stays where the answer was lost. */
  async moveEnded(inode: Inode): Promise<void> {
    for (let moving = this.moving.get(inode); moving !== undefined; moving = this.moving.get(inode)) await moving
  }

  private readonly frozen = new Map<Inode, { count: number; readonly over: Promise<void>; readonly end: () => void }>()

  /** A change here may give the inode another node, or none: nothing of it is begun on the server until the returned function is called. */
  freeze(inode: Inode): () => void {
    let entry = this.frozen.get(inode)
    if (entry === undefined) {
      let end = (): void => {}
      const over = new Promise<void>((resolve) => { end = resolve })
      entry = { count: 0, over, end }
      this.frozen.set(inode, entry)
    }
    const mine = entry
    mine.count++
    return () => {
      mine.count--
      if (mine.count > 0) return
      this.frozen.delete(inode)
      mine.end()
    }
  }

  /** Is a change here about to give the inode another node, or none? */
  isFrozen(inode: Inode): boolean {
    return this.frozen.has(inode)
  }

  /** Resolves when it is not. */
  async thawed(inode: Inode): Promise<void> {
    for (let entry = this.frozen.get(inode); entry !== undefined; entry = this.frozen.get(inode)) await entry.over
  }

  private movingAbove(inode: Inode): Promise<void> | undefined {
    if (this.moving.size === 0) return undefined
    for (const at of this.places.serverFolders(inode)) {
      const moving = this.moving.get(at)
      if (moving !== undefined) return moving
    }
    return undefined
  }

  /** An answer about an inode by its path. One that came while the server was moving it, or a folder above it, means nothing: asks again. */
  async whileStill<T>(inode: Inode, ask: () => Promise<T>): Promise<T> {
    for (;;) {
      for (let moving = this.movingAbove(inode); moving !== undefined; moving = this.movingAbove(inode)) await moving
      const path = this.places.pathOf(inode)
      const still = (): boolean => this.movingAbove(inode) === undefined && this.places.pathOf(inode) === path
      try {
        const answer = await ask()
        if (still()) return answer
      } catch (error) {
        if (!isCellsError(error, 'not-found') || still()) throw error
      }
    }
  }

  /** The same about names in a folder: by name, what the server has at their paths, which are others when the folder has been moved. */
  namesWhileStill(folder: Inode, names: readonly string[], ask: (paths: string[]) => Promise<ReadonlyMap<string, CellsNode>>): Promise<Map<string, CellsNode | undefined>> {
    return this.whileStill(folder, async () => {
      const paths = names.map((name) => this.places.pathAt(folder, name))
      const nodes = await ask(paths)
      return new Map(names.map((name, index) => [name, nodes.get(paths[index]!)]))
    })
  }
}
