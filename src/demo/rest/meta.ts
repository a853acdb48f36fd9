/** User metadata, bookmarks, search and selections (contract, section 6). */
import { randomUUID } from 'node:crypto'
import type { PolicyRow } from '../access.js'
import { splitPath } from '../access.js'
import type { DemoUser } from '../auth/types.js'
import type { Call, Context } from '../context.js'
import { notFound, RestError } from '../errors.js'
import { readJson, sendJson } from '../http.js'
import type { MetaRow } from '../metadata.js'
import { nodeJson } from '../render.js'
import type { NodeRecord } from '../tree.js'
import { objectsField, stringsField, textField } from './fields.js'
import { policiesJson } from './policies.js'

const nodeGone = (uuid: string, status: number): RestError =>
  new RestError(status, `rpc error: code = NotFound desc = ${JSON.stringify({ id: 'tree', code: 404, detail: `Node ${uuid} Not found in tree!`, status: 'Not Found' })}`)

/** The node and where the user sees it. @throws RestError */
export function nodeByUuid(ctx: Context, user: DemoUser, uuid: string, status: number): { node: NodeRecord; path: string; writable: boolean } {
  const node = ctx.tree.get(uuid)
  const seen = node && !node.hidden ? ctx.access.pathsFor(user, ctx.tree.place(node)) : []
  if (!node || seen[0] === undefined) throw nodeGone(uuid, status)
  return { node, path: seen[0].path, writable: seen.some(({ view }) => view.writable) }
}

const metaJson = (row: MetaRow): object => ({ Uuid: row.uuid, NodeUuid: row.nodeUuid, Namespace: row.namespace, JsonValue: row.value, Policies: policiesJson(row.policies, row.uuid) })

/** `PUT /a/user-meta/update` */
export async function updateMeta(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const changes = objectsField(body, 'MetaDatas')
  const removing = body['Operation'] === 'DELETE'
  const rows: MetaRow[] = []
  for (const change of changes) {
    const nodeUuid = textField(change, 'NodeUuid')
    const namespace = textField(change, 'Namespace')
    const { node, writable } = nodeByUuid(ctx, user, nodeUuid, 404)
    const value = textField(change, 'JsonValue')
    if (removing) {
      for (const row of ctx.metadata.of(nodeUuid)) if (row.uuid === change['Uuid'] || (change['Uuid'] === undefined && row.namespace === namespace && ctx.metadata.readable(user, row))) ctx.metadata.remove(row.uuid)
      continue
    }
    if (namespace !== 'bookmark') {
      if (!ctx.metadata.namespaces.has(namespace)) throw notFound(404, `Namespace ${namespace} is not defined!`)
      if (!writable) throw new RestError(403, 'you are not allowed to edit this node')
    }
    assertJson(value)
    const own = namespace === 'bookmark'
    const known = ctx.metadata.of(nodeUuid).find(row => row.namespace === namespace && (row.owner === '' || row.owner === user.login))
    const row: MetaRow = { uuid: known?.uuid ?? randomUUID(), nodeUuid, namespace, value, owner: own ? user.login : '', policies: own ? ownPolicies(user) : (ctx.metadata.namespaces.get(namespace)?.policies ?? []) }
    ctx.metadata.put(row)
    rows.push(row)
    if (!own) ctx.bus.changed(ctx.flat ? 'UPDATE_USER_META' : 'UPDATE_META', node)
  }
  await ctx.store.commit()
  sendJson(req, res, removing || rows.length === 0 ? {} : { MetaDatas: rows.map(metaJson) })
}

function assertJson(value: string): void {
  try {
    JSON.parse(value)
  } catch {
    const inner = { id: '', code: 0, detail: `make sure to use JSON format for metadata: invalid character '${value[0] ?? ''}' looking for beginning of value`, status: '' }
    throw new RestError(500, JSON.stringify(inner))
  }
}

const ownPolicies = (user: DemoUser): PolicyRow[] => [
  { Action: 'OWNER', Subject: user.uuid, Effect: 'allow' },
  { Action: 'READ', Subject: `user:${user.login}`, Effect: 'allow' },
  { Action: 'WRITE', Subject: `user:${user.login}`, Effect: 'allow' },
  { Action: 'WRITE', Subject: 'profile:admin', Effect: 'allow' },
]

/** `POST /a/user-meta/search` */
export async function searchMeta(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const uuids = stringsField(body, 'NodeUuids')
  const rows = [...ctx.metadata.rows.values()].filter(row => ctx.metadata.readable(user, row)
    && (uuids.length === 0 || uuids.includes(row.nodeUuid)) && (typeof body['Namespace'] !== 'string' || body['Namespace'] === row.namespace))
  sendJson(req, res, rows.length > 0 ? { Metadatas: rows.map(metaJson) } : {})
}

/** `POST /a/user-meta/bookmarks` */
export async function bookmarks(ctx: Context, { req, res, user }: Call): Promise<void> {
  await readJson(req)
  const nodes: object[] = []
  for (const row of ctx.metadata.rows.values()) {
    if (row.namespace !== 'bookmark' || row.owner !== user.login) continue
    const node = ctx.tree.get(row.nodeUuid)
    const seen = node ? ctx.access.pathsFor(user, ctx.tree.place(node)) : []
    if (!node || seen[0] === undefined) continue
    nodes.push({ ...nodeJson(node, seen[0].path, ctx.tree.totalSize(node), { flat: ctx.flat }), AppearsIn: seen.map(({ view, path }) => ({ WsUuid: view.row.uuid, WsLabel: view.row.label, Path: `/${splitPath(path).slice(1).join('/')}`, WsSlug: view.row.slug })) })
  }
  sendJson(req, res, nodes.length > 0 ? { Nodes: nodes } : {})
}

/** `GET /a/user-meta/namespace` */
export function listNamespaces(ctx: Context, { req, res }: Call): void {
  sendJson(req, res, { Namespaces: [...ctx.metadata.namespaces.values()].map(row => namespaceJson(row, true)) })
}

function namespaceJson(row: { name: string; label: string; indexable: boolean; definition: string; policies: readonly PolicyRow[] }, withIds: boolean): object {
  return { Namespace: row.name, Label: row.label, ...(row.indexable ? { Indexable: true } : {}), JsonDefinition: row.definition, Policies: withIds ? policiesJson(row.policies, row.name) : row.policies }
}

/** `PUT /a/user-meta/namespace` */
export async function updateNamespaces(ctx: Context, { req, res }: Call): Promise<void> {
  const body = await readJson(req)
  const made: object[] = []
  for (const each of objectsField(body, 'Namespaces')) {
    const name = textField(each, 'Namespace')
    const definition = textField(each, 'JsonDefinition')
    try {
      JSON.parse(definition)
    } catch {
      throw new RestError(500, 'invalid json definition for namespace: unexpected end of JSON input')
    }
    if (body['Operation'] === 'DELETE') {
      ctx.metadata.namespaces.delete(name)
      continue
    }
    const row = { name, label: textField(each, 'Label'), indexable: each['Indexable'] === true, definition, policies: (each['Policies'] ?? []) as PolicyRow[] }
    ctx.metadata.namespaces.set(name, row)
    made.push(namespaceJson(row, false))
  }
  await ctx.store.commit()
  sendJson(req, res, made.length > 0 ? { Namespaces: made } : {})
}

/** A node enters the search index this long after its last change, in index delays. */
const SEARCH_LAG = 6

/** `POST /a/search/nodes`: words of the name (split at anything but letters, digits and dots), or a prefix with `*`. */
export async function searchNodes(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const query = (typeof body['Query'] === 'object' && body['Query'] !== null ? body['Query'] : {}) as Record<string, unknown>
  const size = typeof body['Size'] === 'number' ? body['Size'] : 100
  const prefixes = stringsField(query, 'PathPrefix').map(prefix => splitPath(prefix).join('/'))
  const settledBefore = (Date.now() - SEARCH_LAG * ctx.indexer.delayMs) / 1000
  const results: object[] = []
  for (const view of ctx.access.views(user)) {
    for (const node of ctx.tree.walk(view.root.uuid)) {
      if (node.uuid === view.root.uuid || node.hidden || node.mtime > settledBefore || node.name.startsWith('.') || !matches(node, query)) continue
      const path = ctx.access.pathsFor(user, ctx.tree.place(node)).find(seen => seen.view.row.uuid === view.row.uuid)?.path ?? ''
      if (prefixes.length > 0 && !prefixes.some(prefix => path.startsWith(`${prefix}/`) || path === prefix)) continue
      if (results.length < size) {
        results.push({ Uuid: node.uuid, Path: path, Type: node.folder ? 'COLLECTION' : 'LEAF', MetaStore: { name: JSON.stringify(node.name), repository_display: JSON.stringify(view.row.label), repository_id: JSON.stringify(view.row.uuid) } })
      }
    }
  }
  sendJson(req, res, results.length > 0 ? { Results: results, Total: results.length } : {})
}

function matches(node: NodeRecord, query: Record<string, unknown>): boolean {
  const { FileName: wanted, Extension: extension, Type: type } = query
  if (type === 'LEAF' ? node.folder : type === 'COLLECTION' ? !node.folder : false) return false
  if (typeof extension === 'string' && !node.name.toLowerCase().endsWith(`.${extension.toLowerCase()}`)) return false
  if (typeof wanted !== 'string' || wanted === '') return true
  const word = wanted.toLowerCase().replaceAll('*', '')
  return node.name.toLowerCase().split(/[^\p{L}\p{N}.]+/u).some(part => part.startsWith(word))
}

/** `POST /a/tree/selection`: the id under which a zip of these nodes could be fetched. */
export async function selection(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const nodes = objectsField(body, 'Nodes')
  for (const node of nodes) ctx.access.must(ctx.access.locate(user, textField(node, 'Path'), 404))
  sendJson(req, res, { SelectionUUID: randomUUID(), Nodes: nodes.map(node => ({ Path: textField(node, 'Path') })) })
}
