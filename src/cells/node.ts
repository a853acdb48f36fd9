/**
 * From the JSON of an answer to a CellsNode or a Workspace. Everything in it is untrusted
 * (design, invariant 9): a field of the wrong type counts as absent, a node without a usable path is
 * no node. Zero values are left out by the server (contract, section 2), so absence is ordinary.
 */
import { baseOf, pathFromServer } from './names.js'
import type { CellsNode, Workspace } from './types.js'

export type Json = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function asString(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** A whole number >= 0 that JavaScript holds exactly, from a number or (as Cells sends int64) its text; else 0. */
export function asCount(value: unknown): number {
  const number = typeof value === 'number' ? value : typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : 0
  return Number.isSafeInteger(number) && number > 0 ? number : 0
}

/** MetaStore holds JSON text in each value: parse it, or keep the text. */
function parseValue(value: unknown): unknown {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

function parseMeta(raw: unknown): Record<string, unknown> {
  // No prototype: `__proto__` from a server is a key like any other.
  const meta: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  if (!isObject(raw)) return meta
  for (const [key, value] of Object.entries(raw)) meta[key] = parseValue(value)
  return meta
}

/** Of which a node is told by fields of its own. */
const TOLD = ['x-cells-hash', 'node_readonly', 'level_readonly'] as const
const NO_META: CellsNode['meta'] = Object.freeze({})

function parseTold(raw: unknown): Record<string, unknown> {
  const meta: Record<string, unknown> = {}
  if (isObject(raw)) for (const key of TOLD) if (raw[key] !== undefined) meta[key] = parseValue(raw[key])
  return meta
}

function isTrue(value: unknown): boolean {
  return value === true || value === 'true'
}

/** The node in `raw`, or undefined when it has no path that can be trusted. */
export function parseNode(raw: unknown): CellsNode | undefined {
  return parse(raw, pathFrom(raw), false)
}

/** As `parseNode`, without `meta` but for nodes at `whole`. */
export function parseBare(raw: unknown, whole: readonly string[]): CellsNode | undefined {
  const path = pathFrom(raw)
  return parse(raw, path, path !== undefined && !whole.includes(path))
}

function pathFrom(raw: unknown): string | undefined {
  return isObject(raw) ? pathFromServer(raw['Path']) : undefined
}

function parse(raw: unknown, path: string | undefined, bare: boolean): CellsNode | undefined {
  if (!isObject(raw) || path === undefined) return undefined
  const meta = bare ? parseTold(raw['MetaStore']) : parseMeta(raw['MetaStore'])
  const kind = raw['Type'] === 'COLLECTION' ? 'folder' : 'file'
  return {
    uuid: asString(raw['Uuid']),
    path,
    kind,
    // -1 occurs while a compress job runs (contract, section 2).
    size: asCount(raw['Size']),
    mtime: asCount(raw['MTime']),
    etag: asString(raw['Etag']),
    hash: asString(meta['x-cells-hash']),
    readOnly: isTrue(meta['node_readonly']) || isTrue(meta['level_readonly']),
    meta: bare ? NO_META : meta,
  }
}

/** Node that stands for the server's root, which has none on the wire. */
export const ROOT_NODE: CellsNode = {
  uuid: '', path: '', kind: 'folder', size: 0, mtime: 0, etag: '', hash: '', readOnly: true, meta: {},
}

/** Ids of the roots listing that are not Uuids: `my-files`, `DATASOURCE:x` (contract, section 2). */
function realUuid(uuid: string): string {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(uuid) ? uuid : ''
}

export function parseWorkspace(raw: unknown): Workspace | undefined {
  const parsed = parseNode(raw)
  if (parsed === undefined || parsed.path.includes('/')) return undefined
  const meta = parsed.meta
  const permissions = asString(meta['ws_permissions'])
  const readOnly = parsed.readOnly || (permissions !== '' && !permissions.split(',').includes('write'))
  const node: CellsNode = { ...parsed, kind: 'folder', readOnly }
  return {
    slug: asString(meta['ws_slug']) || baseOf(node.path),
    label: asString(meta['ws_label']) || node.path,
    description: asString(meta['ws_description']),
    scope: asString(meta['ws_scope']),
    permissions,
    readOnly,
    uuid: realUuid(node.uuid),
    wsUuid: asString(meta['ws_uuid']),
    ...quotaOf(node),
    node,
  }
}

/** `ws_quota` and `ws_quota_usage`, bytes, where a server sets a quota (newer-servers 3.6). */
export function quotaOf(node: CellsNode): { quota?: number; quotaUsage?: number } {
  const quota = asCount(node.meta['ws_quota'])
  return quota === 0 ? {} : { quota, quotaUsage: asCount(node.meta['ws_quota_usage']) }
}
