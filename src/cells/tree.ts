/**
 * The tree over REST: workspaces, stat, new folders. What counts as proof of absence is decided
 * here: a 404 of the stat call whose words say so (faults.ts). The bulk call proves nothing, because it
 * leaves a path out on *any* inner failure, so what it leaves out is asked for by name.
 */
import type { Deadline } from './deadline.js'
import { CellsError, isCellsError } from './errors.js'
import type { Features } from './features.js'
import { baseOf, checkExistingPath, checkPath, escapePath, parentOf } from './names.js'
import { isObject, parseNode, parseWorkspace, ROOT_NODE, type Json } from './node.js'
import { mapLimited } from './pool.js'
import type { Rest } from './rest.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'
import type { CellsNode, Workspace } from './types.js'
import { escapeWildcards, hasWildcard, WildcardGuard, type Found } from './wildcards.js'

/** About 13 ms per path on the server, one after the other; 500 paths did not answer within 12 s. */
const BATCH = 32
const PARALLEL = 4
/** Times that a node in motion is looked at. */
const LOOKS = 4

export class Tree {
  readonly #rest: Rest
  readonly #features: Features
  /** Keeps names with wildcards from hitting other nodes. */
  readonly guard: WildcardGuard
  /** Learned from the first answer about another node. */
  #takesWildcards = false

  constructor(rest: Rest, features: Features) {
    this.#rest = rest
    this.#features = features
    this.guard = new WildcardGuard((path, signal) => this.#find(path, signal), async (ms, signal) => {
      const deadline = rest.http.deadline(ms + 1000, 'wait for the index', signal)
      await deadline.sleep(ms).finally(() => deadline.end())
    })
  }

  async workspaces(options: CallOptions = {}): Promise<Workspace[]> {
    const answer = await this.bulk({ NodePaths: ['/*'] }, 'list the workspaces', options.timeoutMs ?? TIMEOUTS.page, options.signal)
    const found = nodesOf(answer).map(parseWorkspace).filter((workspace) => workspace !== undefined)
    return [...new Map(found.map((workspace) => [workspace.node.path, workspace])).values()]
  }

  async stat(path: string, options: CallOptions = {}): Promise<CellsNode | undefined> {
    const clean = checkExistingPath(path)
    if (clean === '') return ROOT_NODE
    const doing = `look up ${clean}`
    const deadline = this.#rest.http.deadline(options.timeoutMs ?? TIMEOUTS.stat, doing, options.signal)
    try {
      for (let look = 1; ; look++) {
        try {
          return await this.#statOnce(clean, doing, deadline)
        } catch (error) {
          // Said for a moment of what is just being moved, before its new place is known.
          if (!(isCellsError(error, 'forbidden') && /not readable/.test(error.detail)) || look === LOOKS) throw error
          await deadline.sleep(150 * look)
        }
      }
    } catch (error) {
      if (isCellsError(error, 'not-found')) return undefined
      // "Workspace x is not accessible" is all the server says of a first-level name that is none.
      if (isCellsError(error, 'forbidden') && !clean.includes('/')) {
        return (await this.workspaces(options)).find((workspace) => workspace.node.path === clean)?.node
      }
      throw error
    } finally {
      deadline.end()
    }
  }

  /** @throws CellsError `not-found` */
  async #statOnce(path: string, doing: string, deadline: Deadline): Promise<CellsNode> {
    const suspect = hasWildcard(path) && path.includes('/')
    if (suspect && this.#takesWildcards) return this.#statExactly(path, doing, deadline)
    const node = await this.#ask(path, doing, deadline)
    return suspect && isAnother(node, path) ? this.#statExactly(path, doing, deadline) : node
  }

  async #statExactly(path: string, doing: string, deadline: Deadline): Promise<CellsNode> {
    this.#takesWildcards = true
    const node = await this.#ask(escapeWildcards(path), doing, deadline)
    if (isAnother(node, path)) throw new CellsError('protocol', `could not ${doing}: the server answers for ${JSON.stringify(node.meta['name'])}`)
    return { ...node, path }
  }

  async #ask(path: string, doing: string, deadline: Deadline): Promise<CellsNode> {
    const answer = await this.#rest.call({ method: 'GET', path: `/a/tree/stat/${escapePath(path)}`, doing, within: deadline, timeoutMs: deadline.remaining, short: true })
    const node = parseNode(isObject(answer) ? answer['Node'] : undefined)
    if (node === undefined) throw new CellsError('protocol', `could not ${doing}: the answer holds no node`)
    return node
  }

  /** What the path finds when it is sent as it is, as every call but ours here sends it. */
  async #find(path: string, signal?: AbortSignal): Promise<Found> {
    const doing = `look up ${path}`
    const deadline = this.#rest.http.deadline(TIMEOUTS.stat, doing, signal)
    try {
      const node = await this.#ask(path, doing, deadline)
      if (!isAnother(node, path)) return { what: 'itself' }
      const exact = await this.#statExactly(path, doing, deadline).catch((error: unknown) => {
        if (isCellsError(error, 'not-found')) return undefined
        throw error
      })
      return { what: 'other', name: String(node.meta['name']), hidden: exact !== undefined }
    } catch (error) {
      if (isCellsError(error, 'not-found')) return { what: 'nothing' }
      throw error
    } finally {
      deadline.end()
    }
  }

  /** The path by which the bulk call and the S3 listing find exactly this folder. */
  exactPath(path: string): string {
    return this.#takesWildcards ? escapeWildcards(path) : path
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
        for (const node of nodesOf(answer).map(parseNode)) if (node !== undefined && !(hasWildcard(node.path) && (this.#takesWildcards || isAnother(node, node.path)))) found.set(node.path, node)
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
    const made = new Map<string, CellsNode>()
    // One call for several folders blocks for 3 s on a 2.x server; one by one, parents first, they take 20 ms each.
    for (let depth = 2, done = 0; done < wanted.length; depth++) {
      const level = wanted.filter((path) => path.split('/').length === depth)
      done += level.length
      await mapLimited(level, PARALLEL, (path) => this.guard.creating(path, options.signal, async () => {
        made.set(path, await this.#create(path, options))
      }))
    }
    return wanted.map((path) => made.get(path)).filter((node) => node !== undefined)
  }

  async #create(path: string, options: CallOptions): Promise<CellsNode> {
    const doing = `create ${path}`
    try {
      const answer = await this.#rest.call({
        method: 'POST', path: '/a/tree/create', json: { Nodes: [{ Path: path, Type: 'COLLECTION' }] }, doing,
        signal: options.signal, timeoutMs: options.timeoutMs ?? TIMEOUTS.mkdir, attempts: 3,
      })
      const made = isObject(answer) && Array.isArray(answer['Children']) ? answer['Children'].map(parseNode).find((node) => node?.path === path) : undefined
      if (made === undefined) throw new CellsError('protocol', `could not ${doing}: the answer holds no folder`)
      return { ...made, kind: 'folder' }
    } catch (error) {
      if (isCellsError(error, 'aborted', 'login-needed', 'forbidden', 'network', 'tls', 'not-cells')) throw error
      // 5.x refuses a name that exists (500), 2.x never answers on a file's name or below a file (trap 10).
      const there = await this.statMany([path, parentOf(path)], { signal: options.signal })
      const file = [...there.values()].find((node) => node.kind === 'file')
      if (file !== undefined) throw new CellsError('exists', `could not ${doing}: ${file.path} is a file`, { cause: error })
      const folder = there.get(path)
      if (folder === undefined) throw error
      return folder
    }
  }

  /** `/a/meta/bulk/get`; the parsed answer. */
  async bulk(request: Json, doing: string, timeoutMs: number, signal?: AbortSignal): Promise<Json> {
    const answer = await this.#rest.call({ method: 'POST', path: '/a/meta/bulk/get', json: request, doing, timeoutMs, signal })
    if (!isObject(answer)) throw new CellsError('protocol', `could not ${doing}: the answer is not an object`)
    return answer
  }
}

/**
 * Whether the answer to `path` is about a node of another name. The name is missing in answers about workspaces (where it
 * is that of the folder behind it) and may be missing elsewhere.
 */
export function isAnother(node: CellsNode, path: string): boolean {
  const name = node.meta['name']
  return path.includes('/') && typeof name === 'string' && name !== '' && name.normalize('NFC') !== baseOf(path)
}

export function nodesOf(answer: Json): unknown[] {
  return Array.isArray(answer['Nodes']) ? answer['Nodes'] : []
}

