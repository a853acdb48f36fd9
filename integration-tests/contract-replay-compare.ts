/**
 * Is an answer the recorded one? Status, the headers that mean something, the shape of the body (set of keys and
 * types, both ways) and the values of the fields that a client acts on. Ids differ from server to server: the
 * first comparison learns which of ours stands for which recorded one, later ones insist on it.
 */
import { createHash } from 'node:crypto'
import { XMLParser } from 'fast-xml-parser'
import type { WireAnswer } from './contract-replay-wire.js'

export interface RecordedResponse {
  readonly status: number | string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: unknown
  /** The recording holds only some of the fields. */
  readonly partial?: boolean
}

/** Recorded string -> ours, for ids, upload ids and digests of content that the recording does not hold. */
export class Twins {
  readonly #ours: Map<string, string>

  constructor(ours: Iterable<readonly [string, string]> = []) {
    this.#ours = new Map(ours)
  }

  /** A copy to compare with: what a comparison that fails has learned may be wrong. */
  fork(): Twins { return new Twins(this.#ours) }

  learnFrom(other: Twins): void {
    for (const [recorded, ours] of other.#ours) this.#ours.set(recorded, ours)
  }

  /** Undefined, or what is wrong. */
  pair(recorded: string, ours: string): string | undefined {
    const known = this.#ours.get(recorded)
    if (known === undefined) {
      this.#ours.set(recorded, ours)
      return undefined
    }
    return known === ours ? undefined : `${ours} is not what stands for ${recorded} (${known})`
  }

  set(recorded: string, ours: string): void { this.#ours.set(recorded, ours) }
  get(recorded: string): string | undefined { return this.#ours.get(recorded) }

  /** `text` with every recorded id replaced by ours. */
  translate(text: string): string {
    let result = text
    for (const [recorded, ours] of this.#ours) if (recorded.length >= 8) result = result.replaceAll(recorded, ours)
    return result
  }
}

/** Lists without an order to rely on (nor has the list of workspaces one): compared as sets, by path. */
const UNORDERED = new Set(['Results', 'Contents', 'CommonPrefixes'])
const ID_KEYS = new Set(['Uuid', 'UUID', 'NodeUuid', 'UploadId', 'SelectionUUID', 'LinkHash'])
const ETAG_KEYS = new Set(['Etag', 'ETag'])
/** Lists whose order and length are part of the contract; of other lists only the shape of the elements is. */
const ORDERED = new Set(['Nodes', 'Children', 'Part', 'names', 'DeleteJobs', 'RestoreJobs', 'MetaDatas', 'Metadatas'])
/** Fields whose value a client acts on or shows. */
const VALUES = new Set([
  'Path', 'Type', 'Size', 'Mode', 'Title', 'Detail', 'error', 'error_description', 'error_hint', 'status_code', 'scope', 'token_type', 'Label', 'Slug', 'Scope', 'Login',
  'Status', 'Namespace', 'JsonValue', 'NumRows', 'Success', 'Limit', 'CurrentOffset', 'CurrentPage', 'TotalPages', 'NextOffset', 'PrevOffset', 'GroupPath',
  'name', 'node_readonly', 'ws_slug', 'ws_label', 'ws_permissions', 'ws_scope', 'ws_syncable', 'ws_description', 'content_lock', 'RedirectTo', 'names',
  'ChildrenCount', 'ChildrenFiles', 'ChildrenFolders', 'Code', 'Message', 'Key', 'Prefix', 'KeyCount', 'MaxKeys', 'IsTruncated', 'Delimiter', 'Bucket', 'Resource',
  'PartNumber', 'issuer', 'authorization_endpoint', 'token_endpoint', 'jwks_uri', 'revocation_endpoint', 'userinfo_endpoint', 'rest', 's3', 'websocket', 'frontend', 'oidc',
])
const IGNORED = new Set(['RequestId', 'HostId'])
/** Of a folder these say nothing (contract, section 2): a hash or -1, there or not, a sum that lags behind. */
const FOLDER_NOISE = new Set(['Etag', 'Mode', 'Size'])

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const plain = (text: string): string => text.replace(UUID, '<id>').replace(/\b1[5-9]\d{8}\b/g, '<time>')
export const md5 = (data: string | Buffer): string => createHash('md5').update(data).digest('hex')

const xml = new XMLParser({ ignoreAttributes: true, parseTagValue: false, isArray: (name) => ['Contents', 'CommonPrefixes', 'Part', 'Error', 'Deleted'].includes(name) })

/** Everything in which `ours` differs from `recorded`; empty: matched. */
export function differences(recorded: RecordedResponse, ours: WireAnswer, twins: Twins): string[] {
  if (typeof recorded.status === 'string') return ours.status === 0 ? [] : [`status: no reply recorded, ${ours.status} here`]
  const found: string[] = []
  if (ours.status !== recorded.status) found.push(`status ${ours.status} instead of ${recorded.status}: ${ours.body.toString('utf8', 0, 200)}`)
  found.push(...headerDifferences(recorded.headers ?? {}, ours, twins))
  if (found.length === 0) found.push(...bodyDifferences(recorded, ours, twins))
  return found
}

/** The same for two JSON values. */
export const jsonDifferences = (recorded: unknown, ours: unknown, twins: Twins): string[] => compare('', '', recorded, ours, twins)

function headerDifferences(recorded: Readonly<Record<string, string | string[]>>, ours: WireAnswer, twins: Twins): string[] {
  const found: string[] = []
  const base = (value: string | string[] | undefined): string => String(value ?? '').split(';')[0]!.trim()
  for (const [name, value] of Object.entries(recorded)) {
    const here = ours.headers[name]
    switch (name) {
      case 'content-type':
        if (base(here) !== base(value)) found.push(`content-type ${base(here)} instead of ${base(value)}`)
        break
      case 'etag': {
        const trouble = etag(String(value), String(here), twins)
        if (trouble !== undefined) found.push(`etag header: ${trouble}`)
        break
      }
      case 'location':
        if (!fits(String(value), String(here))) found.push(`location ${String(here)} instead of ${String(value)}`)
        break
      case 'content-range':
      case 'content-encoding':
      case 'content-disposition':
        if (here !== value) found.push(`${name} ${String(here)} instead of ${String(value)}`)
        break
      case 'last-modified':
      case 'www-authenticate':
        if (here === undefined) found.push(`no ${name}`)
        break
      case 'x-note':
        if (String(value).includes('aborted by the server') && !ours.cut) found.push('the connection was not cut')
        break
      default:
    }
  }
  if (recorded['x-note'] === undefined && ours.cut) found.push('the connection was cut')
  return found
}

/** Recorded text with `<PLACEHOLDER>`s against ours. */
function fits(recorded: string, ours: string): boolean {
  const pattern = plain(recorded).split(/<[A-Z_0-9]+>/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[^&\\s"]+')
  return new RegExp(`^${pattern}$`, 's').test(plain(ours))
}

function etag(recorded: string, ours: string, twins: Twins): string | undefined {
  const bare = (text: string): string => text.replace(/^"|"$|&#34;/g, '')
  const [want, have] = [bare(recorded), bare(ours)]
  if (/^[0-9a-f]{32}(-\d+)?$/.test(want) && /^[0-9a-f]{32}(-\d+)?$/.test(have)) {
    const suffix = (text: string): string => text.slice(32)
    return suffix(want) === suffix(have) ? twins.pair(want, have) : `${have} instead of ${want}`
  }
  return want === have && recorded.startsWith('"') === ours.startsWith('"') ? undefined : `${ours} instead of ${recorded}`
}

function bodyDifferences(recorded: RecordedResponse, ours: WireAnswer, twins: Twins): string[] {
  const { body } = recorded
  if (body === undefined || body === null) return []
  const text = ours.body.toString('utf8')
  if (typeof body === 'string') {
    if (body.startsWith('<?xml')) {
      const here = parseXml(text)
      return here === undefined ? [`body is not XML: ${text.slice(0, 200)}`] : compare('', '', parseXml(body), here, twins)
    }
    // The text of a redirect is for people without a browser; its target is compared as the Location.
    if (String(recorded.headers?.['content-type'] ?? '').startsWith('text/html')) return []
    return fits(body, text) ? [] : [`body ${JSON.stringify(text.slice(0, 200))} instead of ${JSON.stringify(body.slice(0, 200))}`]
  }
  const blob = body as { length?: unknown; md5?: unknown }
  if (typeof blob.length === 'number' && typeof blob.md5 === 'string') return blobDifferences(blob as { length: number; md5: string }, recorded, ours, twins)
  try {
    const found = compare('', '', body, JSON.parse(text), twins)
    return recorded.partial === true ? found.filter((each) => !each.includes(' is too much ')) : found
  } catch {
    return [`body is not JSON: ${text.slice(0, 200)}`]
  }
}

function blobDifferences(blob: { length: number; md5: string }, recorded: RecordedResponse, ours: WireAnswer, twins: Twins): string[] {
  const type = String(recorded.headers?.['content-type'] ?? '')
  // A page of the web interface or a WebDAV listing: that there is one is all a client relies on.
  if (!type.startsWith('application/octet-stream')) return ours.body.length > 0 ? [] : ['body is empty']
  if (ours.body.length !== blob.length) return [`${ours.body.length} bytes instead of ${blob.length}`]
  const expected = twins.get(blob.md5)
  return expected === undefined || md5(ours.body) === expected ? [] : ['other bytes than were stored']
}

function parseXml(text: string): unknown {
  try {
    return text.startsWith('<?xml') ? xml.parse(text) : undefined
  } catch {
    return undefined
  }
}

/** @param at for messages @param key of the field that holds the value */
function compare(at: string, key: string, recorded: unknown, ours: unknown, twins: Twins): string[] {
  if (IGNORED.has(key)) return []
  if (Array.isArray(recorded) || Array.isArray(ours)) {
    if (!Array.isArray(recorded) || !Array.isArray(ours)) return [`${at}: ${kind(ours)} instead of ${kind(recorded)}`]
    return compareLists(at, key, recorded, ours, twins)
  }
  if (kind(recorded) !== kind(ours)) return [`${at}: ${kind(ours)} instead of ${kind(recorded)}`]
  if (isObject(recorded) && isObject(ours)) return compareObjects(at, recorded, ours, twins)
  return compareScalars(at, key, recorded, ours, twins)
}

function compareLists(at: string, key: string, recorded: unknown[], ours: unknown[], twins: Twins): string[] {
  if (UNORDERED.has(key) || (key === 'Nodes' && recorded.every((each) => isObject(each) && typeof each['Path'] === 'string' && !each['Path'].includes('/')))) {
    const [want, have] = [recorded, ours].map((list) => [...list].sort((a, b) => summary([a]) < summary([b]) ? -1 : 1))
    return comparePairs(at, key, want!, have!, twins)
  }
  if (ORDERED.has(key)) return comparePairs(at, key, recorded, ours, twins)
  if ((recorded.length === 0) !== (ours.length === 0)) return [`${at}: ${ours.length} entries instead of ${recorded.length}`]
  const shapes = (list: unknown[]): string => [...new Set(list.flatMap((each) => isObject(each) ? Object.keys(each).map((name) => `${name}:${kind(each[name])}`) : [kind(each)]))].sort().join(' ')
  return shapes(recorded) === shapes(ours) ? [] : [`${at}: elements have ${shapes(ours)} instead of ${shapes(recorded)}`]
}

function comparePairs(at: string, key: string, recorded: unknown[], ours: unknown[], twins: Twins): string[] {
  if (recorded.length !== ours.length) return [`${at}: ${ours.length} entries instead of ${recorded.length}: ${summary(ours)} instead of ${summary(recorded)}`]
  return recorded.flatMap((each, i) => compare(`${at}[${i}]`, key, each, ours[i], twins))
}

const summary = (list: unknown[]): string => list.map((each) => isObject(each) ? JSON.stringify(each['Path'] ?? each['Key'] ?? each['Prefix']) : String(each)).join(',').slice(0, 300)

function compareObjects(at: string, recorded: Record<string, unknown>, ours: Record<string, unknown>, twins: Twins): string[] {
  const folder = recorded['Type'] === 'COLLECTION'
  const found: string[] = []
  const knownTwins = new Set(Object.keys(recorded).map((key) => twins.get(key)))
  for (const key of new Set([...Object.keys(recorded), ...Object.keys(ours)])) {
    if ((folder && FOLDER_NOISE.has(key)) || key === '(other keys)') continue
    const where = at === '' ? key : `${at}.${key}`
    // Some objects have an id for a key.
    const twin = twins.get(key)
    if (twin !== undefined && twin in ours && key in recorded) found.push(...compare(where, key, recorded[key], ours[twin], twins))
    else if (knownTwins.has(key)) continue
    else if (!(key in ours)) found.push(`${where} is missing`)
    else if (!(key in recorded)) {
      // The recorder cut a long object down and says so.
      if (!('(other keys)' in recorded)) found.push(`${where} is too much (${JSON.stringify(ours[key])?.slice(0, 60)})`)
    } else found.push(...compare(where, key, recorded[key], ours[key], twins))
  }
  return found
}

function compareScalars(at: string, key: string, recorded: unknown, ours: unknown, twins: Twins): string[] {
  const other = (): string[] => [`${at}: ${JSON.stringify(ours)} instead of ${JSON.stringify(recorded)}`]
  if (typeof recorded === 'string' && typeof ours === 'string') {
    if (/^<[A-Z_0-9]+>$/.test(recorded)) return ours === '' ? [`${at} is empty`] : []
    if (ID_KEYS.has(key)) {
      const trouble = twins.pair(recorded, ours)
      return trouble === undefined ? [] : [`${at}: ${trouble}`]
    }
    if (ETAG_KEYS.has(key)) {
      const trouble = etag(recorded, ours, twins)
      return trouble === undefined ? [] : [`${at}: ${trouble}`]
    }
    return !matters(key) || fits(recorded, ours) ? [] : other()
  }
  return !matters(key) || recorded === ours ? [] : other()
}

const matters = (key: string): boolean => VALUES.has(key) || key.startsWith('usermeta-')
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
const kind = (value: unknown): string => value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value
