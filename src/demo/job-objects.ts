/** What the jobs of a 2.x server find in the storage, where that is not what the index says. */
import { SOURCES } from './access.js'
import type { Access, Location } from './access.js'
import type { Indexer } from './indexer.js'
import type { Strays } from './strays.js'
import type { NodeRecord, Tree } from './tree.js'

interface Deps {
  readonly tree: Tree
  readonly indexer: Indexer
  readonly access: Access
  readonly strays: Strays
}

/**
 * On a structured source a job works on what lies in the storage at the path it was given: nothing, if the index found another
 * node by that path (like.ts), or knows a file that has gone (sync-service.ts). A folder with such a file cannot be moved or copied.
 *
 * @throws Error which the job then shows
 */
export function mustHaveObjects({ tree, indexer, access }: Deps, node: NodeRecord, location: Location | undefined): void {
  if (indexer.flat) return
  if ((location && !access.isExact(location, node)) || (!node.folder && !node.blob)) {
    const path = location ? access.source(location) + access.internalPath(location) : node.name
    throw new Error(JSON.stringify({ id: 'object.not.found', code: 404, detail: `object was not found, this is not normal: ${path}`, status: 'Not Found' }))
  }
  for (const each of tree.walk(node.uuid)) if (!each.folder && !each.blob) throw new Error('Errors found while copy/move node, stopping')
}

/** The files at and below a node lie in the storage below another name than the node's. */
export function strand({ tree, strays }: Deps, node: NodeRecord, name: string): void {
  const depth = tree.place(node).names.length - 1
  for (const each of tree.walk(node.uuid)) {
    if (!each.blob) continue
    const { chain, names } = tree.place(each)
    const source = chain[0] === SOURCES.personal.uuid ? SOURCES.personal.name : SOURCES.common.name
    strays.set(`${source}/${names.map((own, i) => (i === depth ? name : own)).join('/')}`, each.blob)
    tree.update(each.uuid, { blob: undefined })
  }
}
