/**
 * The tree over REST: workspaces, stat, new folders. What counts as proof of absence is decided
 * here: a 404 of the stat call whose words say so (faults.ts). The bulk call proves nothing, because it
 * leaves a path out on *any* inner failure, so what it leaves out is asked for by name.
 */
import { CellsError, isCellsError } from './errors.js'
import type { Features } from './features.js'
import { checkExistingPath, checkPath, escapePath, parentOf } from './names.js'
import { isObject, parseNode, parseWorkspace, ROOT_NODE, type Json } from './node.js'
import { mapLimited } from './pool.js'
import type { Rest } from './rest.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'
import type { CellsNode, Workspace } from './types.js'

/** About 13 ms per path on the server, one after the other; 500 paths did not answer within 12 s. */
const BATCH = 32
const PARALLEL = 4

export class Tree {
  readonly #rest: Rest
  readonly #features: Features

  constructor(rest: Rest, features: Features) {
    this.#rest = rest
    this.#features = features
  }

  async workspaces(options: CallOptions = {}): Promise<Workspace[]> {
    const answer = await this.bulk({ NodePaths: ['/*'] }, 'list the workspaces', options.timeoutMs ?? TIMEOUTS.page, options.signal)
    const found = nodesOf(answer).map(parseWorkspace).filter((workspace) => workspace !== undefined)
    return [...new Map(found.map((workspace) => [workspace.node.path, workspace])).values()]
  }

  async stat(path: string, options: CallOptions = {}): Promise<CellsNode | undefined> {
    const clean = checkExistingPath(path)
    if (clean === '') return ROOT_NODE
    try {
      const answer = await this.#rest.call({
        method: 'GET', path: `/a/tree/stat/${escapePath(clean)}`, doing: `look up ${clean}`, signal: options.signal, timeoutMs: options.timeoutMs ?? TIMEOUTS.stat,
      })
      const node = parseNode(isObject(answer) ? answer['Node'] : undefined)
      if (node === undefined) throw new CellsError('protocol', `could not look up ${clean}: the answer holds no node`)
      return node
    } catch (error) {
      if (isCellsError(error, 'not-found')) return undefined
      // "Workspace x is not accessible" is all the server says of a first-level name that is none.
      if (isCellsError(error, 'forbidden') && !clean.includes('/')) {
        return (await this.workspaces(options)).find((workspace) => workspace.node.path === clean)?.node
      }
      throw error
    }
  }

  async statMany(paths: readonly string[], options: CallOptions = {}): Promise<Map<string, CellsNode>> {
    const wanted = [...new Set(paths.map(checkExistingPath))]
    const found = new Map<string, CellsNode>()
    // The bulk call would list the parent of a file that is named "*".
    const bulk = wanted.filter((path) => path !== '' && !path.endsWith('/*'))
    const batches = Array.from({ length: Math.ceil(bulk.length / BATCH) }, (_, i) => bulk.slice(i * BATCH, (i + 1) * BATCH))
    if (bulk.length > 1) {
      await mapLimited(batches, PARALLEL, async (batch) => {
        const answer = await this.bulk({ NodePaths: batch }, `look up ${batch.length} paths`, options.timeoutMs ?? TIMEOUTS.page, options.signal)
        for (const node of nodesOf(answer).map(parseNode)) if (node !== undefined) found.set(node.path, node)
      })
    }
    await mapLimited(wanted.filter((path) => !found.has(path)), PARALLEL, async (path) => {
      const node = await this.stat(path, options)
      if (node !== undefined) found.set(path, node)
    })
    return new Map(wanted.flatMap((path) => {
      const node = found.get(path)
      return node === undefined ? [] : [[path, node]]
    }))
  }

  async mkdir(paths: readonly string[], options: CallOptions = {}): Promise<CellsNode[]> {
    const rules = await this.#features.nameRules(paths, options.signal)
    const wanted = [...new Set(paths.map((path) => checkPath(path, rules)))].sort((a, b) => a.split('/').length - b.split('/').length)
    const top = wanted.find((path) => !path.includes('/'))
    if (top !== undefined) throw new CellsError('forbidden', `could not create ${top}: workspaces are made by an administrator`)
    if (wanted.length === 0) return []
    const made = await this.#create(wanted, options)
    return wanted.map((path) => made.get(path)).filter((node) => node !== undefined)
  }

  async #create(paths: readonly string[], options: CallOptions): Promise<Map<string, CellsNode>> {
    const doing = paths.length === 1 ? `create ${paths[0] ?? ''}` : `create ${paths.length} folders`
    try {
      const answer = await this.#rest.call({
        method: 'POST', path: '/a/tree/create', json: { Nodes: paths.map((path) => ({ Path: path, Type: 'COLLECTION' })) }, doing,
        signal: options.signal, timeoutMs: options.timeoutMs ?? (paths.length === 1 ? TIMEOUTS.mkdir : TIMEOUTS.mkdirMany), attempts: 3,
      })
      const made = isObject(answer) && Array.isArray(answer['Children']) ? answer['Children'].map(parseNode) : []
      const byPath = new Map(made.flatMap((node) => (node === undefined ? [] : [[node.path, { ...node, kind: 'folder' as const }]])))
      if (paths.every((path) => byPath.has(path))) return byPath
      throw new CellsError('protocol', `could not ${doing}: the answer misses folders`)
    } catch (error) {
      if (isCellsError(error, 'aborted', 'login-needed', 'forbidden', 'network', 'tls', 'not-cells')) throw error
      return await this.#afterFailedCreate(paths, error, options)
    }
  }

  /**
   * 5.x refuses names that exist (500), 2.x never answers on a file's name (trap 10): look, then make what
   * is still missing one by one.
   */
  async #afterFailedCreate(paths: readonly string[], error: unknown, options: CallOptions): Promise<Map<string, CellsNode>> {
    const there = await this.statMany([...paths, ...paths.map(parentOf)], { signal: options.signal })
    const file = [...there.values()].find((node) => node.kind === 'file')
    if (file !== undefined) throw new CellsError('exists', `could not create a folder: ${file.path} is a file`, { cause: error })
    const missing = paths.filter((path) => !there.has(path))
    if (missing.length > 0 && paths.length === 1) throw error
    for (const path of missing) for (const [key, node] of await this.#create([path], options)) there.set(key, node)
    return there
  }

  /** `/a/meta/bulk/get`; the parsed answer. */
  async bulk(request: Json, doing: string, timeoutMs: number, signal?: AbortSignal): Promise<Json> {
    const answer = await this.#rest.call({ method: 'POST', path: '/a/meta/bulk/get', json: request, doing, timeoutMs, signal })
    if (!isObject(answer)) throw new CellsError('protocol', `could not ${doing}: the answer is not an object`)
    return answer
  }
}

export function nodesOf(answer: Json): unknown[] {
  return Array.isArray(answer['Nodes']) ? answer['Nodes'] : []
}

