/**
 * User metadata: the namespaces that an administrator defined and the values that nodes have in them (contract, section 6).
 * Stat does not show values; the bulk call does. A value is JSON text on the wire, wherever it stands.
 */
import { CellsError } from './errors.js'
import { hasWildcard, escapeWildcards } from './wildcards.js'
import { baseOf, checkExistingPath } from './names.js'
import { asString, isObject } from './node.js'
import type { Rest } from './rest.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'

export interface Namespace {
  readonly name: string
  readonly label: string
  readonly indexable: boolean
  /** JSON text as the server has it. */
  readonly definition: string
  /** `type` of the definition: string, textarea, choice, tags, stars_rate ...; '' without one. */
  readonly type: string
  /** `data` of the definition, untrusted: the choices, say. */
  readonly data: unknown
}

export interface MetaChange {
  readonly namespace: string
  readonly nodeUuid: string
  /** JSON text. */
  readonly value: string
}

/** @throws CellsError */
export async function namespaces(rest: Rest, options: CallOptions = {}): Promise<Namespace[]> {
  const answer = await rest.call({ method: 'GET', path: '/a/user-meta/namespace', doing: 'list the metadata namespaces', timeoutMs: TIMEOUTS.admin, ...options })
  const rows = isObject(answer) && Array.isArray(answer['Namespaces']) ? answer['Namespaces'].filter(isObject) : []
  return rows.map((row) => {
    const definition = asString(row['JsonDefinition'])
    const parsed = parse(definition)
    return {
      name: asString(row['Namespace']), label: asString(row['Label']), indexable: row['Indexable'] === true, definition,
      type: asString(parsed['type']), data: parsed['data'],
    }
  })
}

function parse(definition: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(definition)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

/**
 * All that the server tells of a node (its MetaStore): JSON text by namespace, sorted by name.
 *
 * @throws CellsError `not-found` when the answer leaves the node out
 */
export async function metadataOf(rest: Rest, path: string, options: CallOptions = {}): Promise<Map<string, string>> {
  const clean = checkExistingPath(path)
  const doing = `read the metadata of ${clean}`
  // A 2.x server may answer `a_b` with `a-b` (wildcards.ts); its own name gives the answer away.
  for (const asked of hasWildcard(clean) ? [clean, escapeWildcards(clean)] : [clean]) {
    const answer = await rest.call({ method: 'POST', path: '/a/meta/bulk/get', json: { NodePaths: [asked], AllMetaProviders: true }, doing, timeoutMs: TIMEOUTS.admin, ...options })
    const node = isObject(answer) && Array.isArray(answer['Nodes']) ? answer['Nodes'].find(isObject) : undefined
    const store = node !== undefined && isObject(node['MetaStore']) ? node['MetaStore'] : {}
    const name = asString(store['name'])
    const isOther = hasWildcard(clean) && clean.includes('/') && name !== '' && name.normalize('NFC') !== JSON.stringify(baseOf(clean))
    if (node === undefined || isOther) continue
    const texts = Object.entries(store).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)] as const)
    return new Map(texts.sort(([a], [b]) => (a < b ? -1 : 1)))
  }
  throw new CellsError('not-found', `could not ${doing}: the server leaves it out`)
}

/** Sets values, replacing what was there. @throws CellsError */
export async function updateMetadata(rest: Rest, changes: readonly MetaChange[], options: CallOptions = {}): Promise<void> {
  await rest.call({
    method: 'PUT', path: '/a/user-meta/update', doing: 'set the metadata', timeoutMs: TIMEOUTS.admin, ...options,
    json: { MetaDatas: changes.map((change) => ({ Namespace: change.namespace, NodeUuid: change.nodeUuid, JsonValue: change.value })), Operation: 'PUT' },
  })
}
