/** Nodes as the REST API and the event stream show them: fields with a zero value are left out, numbers are strings. */
import type { View } from './access.js'
import type { Snapshot } from './event-bus.js'
import type { NodeRecord } from './tree.js'

export interface NodeJson {
  Uuid?: string
  Path?: string
  Type?: 'LEAF' | 'COLLECTION'
  Size?: string
  MTime?: string
  Mode?: number
  Etag?: string
  MetaStore?: Record<string, string>
}

/** JSON text of a value, as MetaStore holds it. */
const text = (value: unknown): string => JSON.stringify(value)

export interface RenderOptions {
  readonly readOnly?: boolean
  /** Added to MetaStore: values are JSON text already. */
  readonly meta?: Readonly<Record<string, string>>
  /** Flat sources show more (newer-servers 3.4). */
  readonly flat: boolean
}

/** @param path with the workspace slug; `totalSize` from Tree.totalSize */
export function nodeJson(node: NodeRecord, path: string, totalSize: number, options: RenderOptions): NodeJson {
  const json: NodeJson = { Uuid: node.uuid, Path: path, Type: node.folder ? 'COLLECTION' : 'LEAF' }
  if (totalSize !== 0) json.Size = String(totalSize)
  json.MTime = String(node.mtime)
  if (node.indexed) json.Mode = 511
  if (node.etag !== '') json.Etag = node.etag
  const meta: Record<string, string> = { ...options.meta, name: text(node.name) }
  if (options.readOnly) meta['node_readonly'] = text('true')
  if (options.flat && node.blob?.hash) meta['x-cells-hash'] = text(node.blob.hash)
  if (options.flat && node.folder) meta['datasource_node_indexed'] = 'true'
  json.MetaStore = sortKeys(meta)
  return json
}

/** A workspace as `/*` lists it; its Uuid there is a pseudo id (contract, section 2). */
export function workspaceJson(view: View): NodeJson {
  const { row } = view
  return {
    Uuid: row.root,
    Path: row.slug,
    Type: 'COLLECTION',
    MetaStore: {
      ws_description: text(row.description),
      ws_label: text(row.label),
      ws_permissions: text(view.writable ? 'read,write' : 'read'),
      ws_scope: text(row.scope),
      ws_slug: text(row.slug),
      // A cell is not offered to sync clients.
      ...(row.scope === 'ROOM' ? {} : { ws_syncable: 'true' }),
      ws_uuid: text(row.uuid),
    },
  }
}

export function snapshotJson(snapshot: Snapshot, view: View, path: string, flat: boolean, meta: Readonly<Record<string, string>> = {}): NodeJson {
  return nodeJson(snapshot.node, path, snapshot.totalSize, { flat, readOnly: !view.writable, meta: { ...meta, EventWorkspaceId: text(view.row.uuid) } })
}

function sortKeys(record: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))
}
