/**
 * A tree of the server, folder by folder in the order of its names. The next folders are asked for while one is looked
 * at, a few at a time. What cannot be listed is told and passed over.
 */
import { baseOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import { ROOT_NODE } from '../cells/node.js'
import type { CellsNode } from '../cells/types.js'
import { Semaphore } from '../transfer/pool.js'
import { workspaceNode } from './entry.js'
import { demandNode } from './remote-path.js'

/** Folders listed at the same time; more only makes a real server slower (contract, section 8). */
const PARALLEL = 4

export interface WalkEntry {
  readonly node: CellsNode
  /** 0 is where the walk began. */
  readonly depth: number
  /** Of its folder. */
  readonly isLast: boolean
  /** A folder that could not be listed: it comes a second time, with the reason. */
  readonly error?: Error
  /** A folder whose content has been told. */
  readonly left?: true
}

export interface WalkOptions {
  readonly signal: AbortSignal
  /** How deep to go; entries of this depth are told, what is in them is not. */
  readonly maxDepth?: number
  /** Tell each folder again, with `left`, after its content. */
  readonly leaves?: boolean
  readonly foldersOnly?: boolean
}

/**
 * Everything at and below `path`; '' are the workspaces.
 * @throws CommandError when there is nothing at `path`; CellsError
 */
export async function * walk(server: CellsServer, path: string, options: WalkOptions): AsyncGenerator<WalkEntry> {
  const root = path === '' ? ROOT_NODE : await demandNode(server, path, options.signal)
  yield * new Walk(server, options).from({ node: root, depth: 0, isLast: true }, undefined)
}

class Walk {
  readonly #server: CellsServer
  readonly #options: WalkOptions
  readonly #slots = new Semaphore(PARALLEL)

  constructor(server: CellsServer, options: WalkOptions) {
    this.#server = server
    this.#options = options
  }

  async * from(entry: WalkEntry, ahead: Promise<CellsNode[]> | undefined): AsyncGenerator<WalkEntry> {
    yield entry
    const { node, depth } = entry
    if (!this.#goesInto(node, depth)) return
    let children: CellsNode[]
    try {
      children = await (ahead ?? this.#children(node.path))
    } catch (error) {
      this.#options.signal.throwIfAborted()
      yield { ...entry, error: error as Error }
      return
    }
    const folders = children.filter(child => this.#goesInto(child, depth + 1))
    const coming = new Map<string, Promise<CellsNode[]>>()
    for (const [index, child] of children.entries()) {
      if (folders[0] === child || coming.has(child.path)) {
        while (coming.size < PARALLEL) {
          const next = folders.shift()
          if (next === undefined) break
          const listing = this.#children(next.path)
          listing.catch(() => {})
          coming.set(next.path, listing)
        }
      }
      const own = coming.get(child.path)
      coming.delete(child.path)
      yield * this.from({ node: child, depth: depth + 1, isLast: index === children.length - 1 }, own)
    }
    if (this.#options.leaves === true) yield { ...entry, left: true }
  }

  #goesInto(node: CellsNode, depth: number): boolean {
    return node.kind === 'folder' && depth < (this.#options.maxDepth ?? Infinity)
  }

  async #children(path: string): Promise<CellsNode[]> {
    return this.#slots.run(async () => {
      const { signal } = this.#options
      signal.throwIfAborted()
      const children: CellsNode[] = []
      if (path === '') children.push(...(await this.#server.workspaces({ signal })).map(workspaceNode))
      else for await (const page of this.#server.list(path, { signal })) children.push(...page)
      const wanted = this.#options.foldersOnly === true ? children.filter(child => child.kind === 'folder') : children
      const names = wanted.map(node => ({ node, name: baseOf(node.path) }))
      return names.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)).map(({ node }) => node)
    })
  }
}

/** Collects what a walk could not list; the exit code is 1 when there was something. */
export class WalkErrors {
  readonly #warn: (message: string) => void
  count = 0

  constructor(warn: (message: string) => void) {
    this.#warn = warn
  }

  /** True when the entry is one. */
  take(entry: WalkEntry): boolean {
    if (entry.error === undefined) return false
    this.count++
    this.#warn(entry.error.message)
    return true
  }
}
