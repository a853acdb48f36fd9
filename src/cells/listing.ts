/**
 * All children of a folder. One request does it for an ordinary folder: it asks for the folder and
 * its children together, because the folder's ChildrenCount counts dot-names too (and not the
 * server's `.pydio` marker). So it tells three things: how many pages there are, whether names are hidden
 * (trap 13), and whether the listing is whole: the server ends a listing *successfully* when
 * something inside it fails, and the count is the only sign.
 *
 * Hidden names come from the S3 listing, which is cut silently at `max-keys` but takes any number
 * there; their nodes are then looked up. Pages after the first run in parallel: the server spends about 1 ms
 * a node, one after the other within a page (1,300 entries: one call 2.2 s, three pages at once 0.6 s).
 */
import type { Logger } from '../log.js'
import { CellsError } from './errors.js'
import { baseOf, checkExistingPath, MARKER, parentOf } from './names.js'
import { asCount, parseBare, parseNode } from './node.js'
import type { Objects } from './objects.js'
import type { CallOptions, ListOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'
import { isAnother, nodesOf, type Tree } from './tree.js'
import type { CellsNode } from './types.js'
import { escapeWildcards, hasWildcard } from './wildcards.js'

export const PAGE = 500
const PARALLEL_PAGES = 4
/** Keys listed to find dot-names; about 0.1 s of a 2.x server. */
const DOT_KEYS = 1000
/** Times the whole is listed until two counts agree; entries that the user may not see are counted, so they never may. */
const ROUNDS = 3

interface Page {
  readonly children: CellsNode[]
  readonly rows: number
  /** Of the folder at this moment, without the marker; undefined when the server does not count. */
  readonly total: number | undefined
}

export class Listing {
  readonly #tree: Tree
  readonly #objects: Objects
  readonly #logger: Logger

  constructor(tree: Tree, objects: Objects, logger: Logger) {
    this.#tree = tree
    this.#objects = objects
    this.#logger = logger
  }

  async *list(path: string, options: ListOptions = {}): AsyncGenerator<CellsNode[]> {
    const folder = checkExistingPath(path)
    if (folder === '') {
      yield (await this.#tree.workspaces(options)).map((workspace) => workspace.node)
      return
    }
    const seen = new Set<string>()
    const fresh = (nodes: readonly CellsNode[]): CellsNode[] => nodes.filter((node) => !seen.has(node.path) && seen.add(node.path))
    for (let round = 1, before = -1; ; round++) {
      const visible = new Set<string>()
      let total: number | undefined
      for await (const page of this.#pages(folder, options)) {
        total = page.total
        for (const node of page.children) visible.add(node.path)
        const news = fresh(page.children)
        if (news.length > 0) yield news
      }
      if (total === visible.size) return
      const hidden = await this.#hidden(folder, total, visible, options)
      for (const node of hidden) visible.add(node.path)
      const news = fresh(hidden)
      if (news.length > 0) yield news
      // Fewer than counted: cut short, or changed meanwhile, or entries without read right. Only the last stays the same.
      if (total === undefined || visible.size >= total || visible.size === before || round === ROUNDS) return
      this.#logger.debug('listing has fewer entries than the server counts, once more', { folder, listed: visible.size, counted: total })
      before = visible.size
    }
  }

  /** Dot-names come first in the order of names, so that a large folder need not be listed to its end for them. */
  async dotNames(path: string, options: CallOptions = {}): Promise<Map<string, string>> {
    const folder = checkExistingPath(path)
    const asked = this.#tree.exactPath(folder)
    const found = new Map<string, string>()
    for (const [key, etag] of await this.#objects.listKeys(asked, DOT_KEYS, options)) {
      const at = backFrom(asked, folder, key)
      if (parentOf(at) === folder && baseOf(at).startsWith('.') && baseOf(at) !== MARKER) found.set(baseOf(at), etag)
    }
    return found
  }

  async *#pages(folder: string, options: ListOptions): AsyncGenerator<Page> {
    const first = await this.#page(folder, 0, options)
    yield first
    // Hidden rows and the marker take places in a page.
    const known = first.total === undefined ? 0 : Math.ceil((first.total + 1) / PAGE)
    if (first.total !== undefined && known <= 1) return
    let running: Promise<Page>[] = []
    let next = 1
    const start = (): void => {
      const page = this.#page(folder, next++ * PAGE, options)
      page.catch(() => {})
      running.push(page)
    }
    for (let done = 1; ; done++) {
      // Within the count several at once; past it one at a time, to the empty page that ends every listing.
      while (running.length < PARALLEL_PAGES && (next < known || running.length === 0)) start()
      const page = await (running.shift() as Promise<Page>)
      yield page
      if (page.rows === 0) {
        running = []
        return
      }
      // A counted listing ends with its count; entries added meanwhile show in the last page's own count.
      if (page.total !== undefined && (done + 1) * PAGE > page.total + 1 && running.length === 0) return
    }
  }

  async #page(folder: string, offset: number, options: ListOptions, asked: string = this.#tree.exactPath(folder)): Promise<Page> {
    const doing = `list ${folder}`
    // A folder named "*" would be taken for its parent's listing.
    const paths = baseOf(folder) === '*' ? [`${asked}/*`] : [asked, `${asked}/*`]
    const answer = await this.#tree.bulk({ NodePaths: paths, Limit: PAGE, Offset: offset }, doing, options.timeoutMs ?? TIMEOUTS.page, options.signal)
    const raw = nodesOf(answer)
    const nodes = raw.map((each) => (options.bare === true ? parseBare(each, [asked, folder]) : parseNode(each))).map((node) => (node === undefined || asked === folder ? node : { ...node, path: backFrom(asked, folder, node.path) }))
    nodes.forEach((node, i) => {
      // What else is listed with a folder whose name is a pattern lies elsewhere and means no harm.
      const stray = node !== undefined && node.path !== folder && parentOf(node.path) !== folder && !hasWildcard(folder)
      if (node !== undefined && !stray) return
      this.#logger.warn('the server lists a name that cannot be used, left out', { folder, entry: describe(raw[i]) })
      options.onUnusable?.(describe(raw[i]))
    })
    const self = nodes.find((node) => node?.path === folder)
    if (self !== undefined && asked === folder && hasWildcard(folder) && isAnother(self, folder)) return this.#page(folder, offset, options, escapeWildcards(folder))
    if (self?.kind === 'file') throw new CellsError('invalid', `could not ${doing}: it is a file`)
    // An existing folder comes with the answer; without it an empty list proves nothing.
    if (self === undefined && raw.length === 0 && paths.length > 1) throw new CellsError('unavailable', `could not ${doing}: the server sent an empty answer`)
    const children = nodes.filter((node) => node !== undefined && parentOf(node.path) === folder && baseOf(node.path) !== MARKER) as CellsNode[]
    const counted = self?.meta['ChildrenCount']
    return { children, rows: raw.length - (self === undefined ? 0 : 1), total: counted === undefined ? undefined : asCount(counted) }
  }

  async #hidden(folder: string, total: number | undefined, visible: ReadonlySet<string>, options: ListOptions): Promise<CellsNode[]> {
    const asked = this.#tree.exactPath(folder)
    const keys = [...(await this.#objects.listKeys(asked, (total ?? 10_000) + 1000, options)).keys()].map((key) => backFrom(asked, folder, key))
    const missing = keys.filter((key) => parentOf(key) === folder && baseOf(key) !== MARKER && !visible.has(key))
    return [...(await this.#tree.statMany(missing, options)).values()].filter((node) => parentOf(node.path) === folder)
  }
}

/** What lies at or below `asked` as it is called below `folder`. */
function backFrom(asked: string, folder: string, path: string): string {
  return path === asked || path.startsWith(`${asked}/`) ? folder + path.slice(asked.length) : path
}

function describe(raw: unknown): string {
  const path = typeof raw === 'object' && raw !== null ? (raw as { Path?: unknown }).Path : undefined
  return typeof path === 'string' ? path.slice(0, 200) : '(no path)'
}
