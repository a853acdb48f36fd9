/** Stat, listing, creation, deletion: `/a/tree/*` and `/a/meta/*` (contract, sections 2, 3 and 5). */
import { createHash } from 'node:crypto'
import type { Location } from '../access.js'
import { splitPath } from '../access.js'
import { cellsHash } from '../blobs.js'
import type { Call, Context } from '../context.js'
import { forbidden, NeverAnswer, nodeNotFound, notFound, RestError } from '../errors.js'
import { readJson, sendJson } from '../http.js'
import { nameFate } from '../names.js'
import { nodeJson, workspaceJson } from '../render.js'
import type { NodeJson } from '../render.js'
import { FOLDER_MARKER, nowSeconds } from '../tree.js'
import type { NodeRecord } from '../tree.js'
import { pageOf } from './listing.js'
import type { Pagination } from './listing.js'
import { numberField, objectsField, onlyFields, stringsField, textField } from './fields.js'

/** `GET /a/tree/stat/{path}` */
export function stat(ctx: Context, { req, res, user, rest }: Call): void {
  const location = ctx.access.locate(user, rest, ctx.version === 5 ? 403 : 404)
  const marker = markerNode(ctx, location)
  const node = marker ?? ctx.access.must(location)
  sendJson(req, res, { Node: render(ctx, location, node, ctx.flat ? ctx.metadata.shown(user, node.uuid) : {}) })
}

/** `POST /a/meta/get/{path}` */
export async function metaGet(ctx: Context, { req, res, user, rest }: Call): Promise<void> {
  await readJson(req)
  const location = ctx.access.locate(user, rest, 404)
  const node = ctx.access.must(location)
  sendJson(req, res, render(ctx, location, node, ctx.metadata.shown(user, node.uuid)))
}

const BULK_FIELDS = ['NodePaths', 'AllMetaProviders', 'Versions', 'NodeUuids', 'Limit', 'Offset']
const BULK_FIELDS_NEW = [...BULK_FIELDS, 'SortField', 'SortDirDesc', 'Filters']

/** `POST /a/meta/bulk/get` and `POST /a/tree/stats` */
export async function bulkGet(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  onlyFields(body, ctx.flat ? BULK_FIELDS_NEW : BULK_FIELDS, 'rest.GetBulkMetaRequest')
  const paths = stringsField(body, 'NodePaths')
  const offset = numberField(body, 'Offset')
  const limit = numberField(body, 'Limit')
  const nodes: NodeJson[] = []
  let pagination: Pagination | undefined
  for (const uuid of stringsField(body, 'NodeUuids')) {
    if (!ctx.tree.get(uuid)) throw notFound(404, `Node with Uuid ${uuid} not found`)
    nodes.push({ Uuid: uuid })
  }
  // Without a versioning policy nothing has versions, and this flag leaves nothing else.
  for (const path of body['Versions'] === true ? [] : paths) {
    const children = path.endsWith('/*')
    const plain = splitPath(children ? path.slice(0, -2) : path)
    if (plain.length === 0) {
      // The root itself is a node without any field.
      nodes.push(...(children ? ctx.access.views(user).map(workspaceJson) : [{}]))
      continue
    }
    const location = ctx.access.locate(user, plain.join('/'), 404)
    if (!children) {
      const node = markerNode(ctx, location) ?? ctx.access.visible(location)
      if (!node) continue
      const counted = paths.includes(`${path}/*`) || body['AllMetaProviders'] === true
      nodes.push(render(ctx, location, node, { ...ctx.metadata.shown(user, node.uuid), ...(node.folder && counted ? counts(ctx, node) : {}) }))
      continue
    }
    const folder = ctx.access.must(location)
    if (!folder.folder) continue
    const page = pageOf(rowNames(ctx, folder, body), offset, limit, ctx.flat)
    pagination = page.pagination
    for (const name of page.names) {
      const child = ctx.tree.child(folder.uuid, name)
      if (child) nodes.push(render(ctx, childOf(location, name), child, ctx.metadata.shown(user, child.uuid)))
    }
  }
  sendJson(req, res, { ...(nodes.length > 0 ? { Nodes: nodes } : {}), ...(pagination ? { Pagination: pagination } : {}) })
}

function rowNames(ctx: Context, folder: NodeRecord, body: Record<string, unknown>): readonly string[] {
  const names = ctx.tree.names(folder.uuid).filter(name => !ctx.tree.child(folder.uuid, name)?.hidden)
  if (!ctx.flat) return names
  const type = (body['Filters'] as Record<string, unknown> | undefined)?.['type']
  const wanted = type === 'LEAF' || type === 'COLLECTION' ? names.filter(name => ctx.tree.child(folder.uuid, name)?.folder === (type === 'COLLECTION')) : names
  const field = body['SortField']
  const key = (name: string): number | string => {
    const node = ctx.tree.child(folder.uuid, name)
    if (!node) return 0
    if (field === 'mtime') return node.mtime
    if (field === 'size') return ctx.tree.totalSize(node)
    if (field === 'leaf') return node.folder ? 1 : 0
    return field === 'name_ci' ? name.toLowerCase() : name
  }
  const sorted = field === undefined || field === 'name' ? [...wanted] : [...wanted].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))
  return body['SortDirDesc'] === true ? sorted.reverse() : sorted
}

/** `POST /a/tree/create` */
export async function create(ctx: Context, call: Call): Promise<void> {
  const { req, res, user } = call
  const body = await readJson(req)
  const inputs = objectsField(body, 'Nodes')
  if (inputs.length === 0) throw new RestError(500, 'please provide at least one node to create')
  const made: NodeJson[] = []
  for (const input of inputs) {
    const path = textField(input, 'Path')
    if (splitPath(path).length === 0) throw notFound(500, 'Workspace not found in Path')
    const location = ctx.access.locate(user, path, 500)
    if (input['Type'] === 'LEAF') made.push(await createFile(ctx, location, input))
    else made.push(createFolder(ctx, location, input['Type'] !== 'COLLECTION'))
  }
  await ctx.store.commit()
  // Several folders in one call: the answer waits until the index has them all.
  if (inputs.length > 1 && !ctx.flat) await ctx.indexer.pause(3 * ctx.indexer.delayMs)
  sendJson(req, res, { Children: made })
}

function createFolder(ctx: Context, location: Location, untyped: boolean): NodeJson {
  const { view, names } = location
  if (!view.writable) throw forbidden(500, 'Target Location is not writeable (CreateNode)')
  let at: NodeRecord | undefined = view.root
  for (const name of names) {
    const fate = nameFate(name, ctx.flat, 'mkdir')
    if (fate === 'hang') throw new NeverAnswer()
    if (fate === 'refuse') throw new RestError(500, 'the name cannot be used')
    at = at && ctx.tree.found(at.uuid, name)
    if (at && !at.folder) {
      // Trap 10: on a file's name or below a file a 2.x server waits for something that never comes.
      if (ctx.flat) throw new RestError(500, 'cannot create a folder on top of an existing file')
      throw new NeverAnswer()
    }
  }
  if (ctx.version === 5 && at && names.length > 0) throw new RestError(500, 'node already exists')
  const folder = ctx.indexer.mkdir(view.root, names)
  const json: NodeJson = { Uuid: folder.uuid, Path: names.length === 0 ? `${location.path}/` : location.path }
  if (!untyped) json.Type = 'COLLECTION'
  if (ctx.flat) json.MTime = String(folder.mtime)
  else Object.assign(json, { Size: String(FOLDER_MARKER), MTime: String(nowSeconds()) })
  json.MetaStore = ctx.flat ? { datasource_node_indexed: 'true', name: JSON.stringify(folder.name) } : {}
  return json
}

async function createFile(ctx: Context, location: Location, input: Record<string, unknown>): Promise<NodeJson> {
  const { view, names } = location
  if (!view.writable) throw forbidden(500, 'Node is not writeable')
  const name = names.at(-1)
  if (name === undefined || names.some(each => nameFate(each, ctx.flat, 's3') !== 'fine')) throw new RestError(500, 'the name cannot be used')
  const existing = ctx.access.find(location)
  if (existing?.folder || (existing && ctx.version === 5)) throw new RestError(500, 'node already exists')
  const given = (input['MetaStore'] as Record<string, string> | undefined)?.['Contents']
  let contents = ctx.version === 5 ? '' : ' '
  if (given !== undefined) contents = String(JSON.parse(given))
  const written = await ctx.blobs.writeText(contents)
  const parent = names.slice(0, -1).reduce((folder, each) => ctx.indexer.folderForPut(folder, each), view.root)
  const node = ctx.indexer.put(parent, name, {
    segments: [{ id: written.id, size: written.size }], size: written.size, md5: written.md5, storageEtag: written.md5,
    hash: ctx.flat ? cellsHash(written.blocks) : '', mtime: nowSeconds(), contentType: 'application/octet-stream',
  })
  if (ctx.version === 5) return render(ctx, location, node, {})
  return { Path: location.path, Type: 'LEAF', ...(given === undefined ? {} : { MetaStore: { Contents: given } }) }
}

/** `POST /a/tree/delete` */
export async function remove(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  onlyFields(body, ctx.flat ? ['Nodes', 'Recursive', 'RemovePermanently'] : ['Nodes', 'Recursive'], 'rest.DeleteNodesRequest')
  const jobs = ctx.mutations.remove(user, nodePaths(body), body['RemovePermanently'] === true)
  await ctx.store.commit()
  sendJson(req, res, { DeleteJobs: jobs })
}

/** `POST /a/tree/restore` */
export async function restore(ctx: Context, { req, res, user }: Call): Promise<void> {
  const jobs = ctx.mutations.restore(user, nodePaths(await readJson(req)))
  sendJson(req, res, { RestoreJobs: jobs })
}

function nodePaths(body: Record<string, unknown>): string[] {
  const nodes = objectsField(body, 'Nodes')
  return nodes.map(node => textField(node, 'Path'))
}

export function render(ctx: Context, location: Location, node: NodeRecord, meta: Readonly<Record<string, string>>): NodeJson {
  const path = location.names.length === 0 ? `${location.path}/` : location.path
  return nodeJson(node, path, ctx.tree.totalSize(node), { flat: ctx.flat, readOnly: !location.view.writable, meta })
}

function childOf(location: Location, name: string): Location {
  return { view: location.view, names: [...location.names, name], path: `${location.path}/${name}` }
}

function counts(ctx: Context, folder: NodeRecord): Record<string, string> {
  const children = ctx.tree.children(folder.uuid).filter(child => !child.hidden)
  const folders = children.filter(child => child.folder).length
  return { ChildrenCount: String(children.length), ChildrenFiles: String(children.length - folders), ChildrenFolders: String(folders) }
}

/** The hidden `.pydio` file of a folder on a structured source: not in the tree, made up from its folder. */
export function markerNode(ctx: Context, location: Location): NodeRecord | undefined {
  if (ctx.flat || location.names.at(-1) !== '.pydio') return undefined
  const folder = ctx.access.visible({ ...location, names: location.names.slice(0, -1) })
  if (!folder?.folder) throw nodeNotFound(ctx.access.source(location), ctx.access.internalPath(location))
  const digest = createHash('md5').update(folder.uuid).digest('hex')
  const uuid = digest.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return { uuid, parent: folder.uuid, name: '.pydio', folder: false, size: FOLDER_MARKER, mtime: folder.mtime, etag: digest, indexed: true }
}
