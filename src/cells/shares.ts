/**
 * Public links: made, listed, taken back (contract, section 6). A link is a workspace of scope LINK with a hidden user; the list
 * of shared resources names one link per node only, so the node's own metadata is asked for the others.
 */
import { CellsError } from './errors.js'
import { escapeSegment, pathFromServer } from './names.js'
import { asCount, asString, isObject, type Json } from './node.js'
import { mapLimited } from './pool.js'
import type { Rest } from './rest.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'
import type { CellsNode } from './types.js'
import { metadataOf } from './usermeta.js'

export type LinkPermission = 'Preview' | 'Download' | 'Upload'

export interface LinkWishes {
  readonly permissions: readonly LinkPermission[]
  /** Default: the node's name. */
  readonly label?: string
  readonly password?: string
  /** Seconds since the epoch after which the link is dead. */
  readonly expires?: number
  readonly maxDownloads?: number
}

export interface PublicLink {
  readonly uuid: string
  /** Absolute. */
  readonly url: string
  readonly hash: string
  readonly label: string
  readonly permissions: readonly string[]
  readonly passwordRequired: boolean
  /** Seconds since the epoch; 0: never. */
  readonly expires: number
  /** 0: no limit. */
  readonly maxDownloads: number
  readonly downloads: number
  /** Subject of the OWNER policy: a user's Uuid; '' when not told. */
  readonly owner: string
}

export interface SharedPath {
  readonly path: string
  readonly link: PublicLink
}

const PARALLEL = 4
/** idm.WorkspaceScope LINK as the server puts it into a node's metadata. */
const SCOPE_LINK: readonly unknown[] = [3, 'LINK']

/** @throws CellsError */
export async function createLink(rest: Rest, node: CellsNode, name: string, wishes: LinkWishes, options: CallOptions = {}): Promise<PublicLink> {
  const doing = `share ${node.path}`
  const { password, expires, maxDownloads } = wishes
  const answer = await rest.call({
    method: 'PUT', path: '/a/share/link', doing, idempotent: false, timeoutMs: TIMEOUTS.admin, ...options,
    json: {
      ShareLink: {
        Label: wishes.label ?? name, RootNodes: [{ Uuid: node.uuid }], Permissions: wishes.permissions,
        ViewTemplateName: node.kind === 'folder' ? 'pydio_shared_folder' : 'pydio_unique_strip', PoliciesContextEditable: true,
        ...(expires === undefined ? {} : { AccessEnd: String(expires) }), ...(maxDownloads === undefined ? {} : { MaxDownloads: String(maxDownloads) }),
      },
      ...(password === undefined ? {} : { PasswordEnabled: true, CreatePassword: password }),
    },
  })
  return parseLink(rest, answer, doing)
}

/** @throws CellsError `not-found` */
export async function getLink(rest: Rest, uuid: string, options: CallOptions = {}): Promise<PublicLink> {
  const doing = `look up the link ${uuid}`
  return parseLink(rest, await rest.call({ method: 'GET', path: `/a/share/link/${escapeSegment(uuid)}`, doing, timeoutMs: TIMEOUTS.admin, ...options }), doing)
}

/** @throws CellsError `not-found`, `forbidden` */
export async function deleteLink(rest: Rest, uuid: string, options: CallOptions = {}): Promise<void> {
  await rest.call({ method: 'DELETE', path: `/a/share/link/${escapeSegment(uuid)}`, doing: `remove the link ${uuid}`, idempotent: false, timeoutMs: TIMEOUTS.admin, ...options })
}

/** The links on one node that the user may see. @throws CellsError */
export async function linksAt(rest: Rest, path: string, options: CallOptions = {}): Promise<SharedPath[]> {
  const uuids = linkUuids((await metadataOf(rest, path, options)).get('workspaces_shares') ?? '')
  const found = await mapLimited(uuids, PARALLEL, (uuid) => orNothing(getLink(rest, uuid, options)))
  return found.filter((link) => link !== undefined).map((link) => ({ path, link }))
}

/** All links that belong to the user, by path. @throws CellsError */
export async function ownLinks(rest: Rest, options: CallOptions = {}): Promise<SharedPath[]> {
  const resources = await sharedResources(rest, options)
  const links = await mapLimited(resources, PARALLEL, async ({ path, uuid }): Promise<SharedPath[]> => {
    const named = await orNothing(getLink(rest, uuid, options))
    const beside = path === '' ? [] : await orNothing(linksAt(rest, path, options)) ?? []
    if (named === undefined) return []
    return [{ path, link: named }, ...beside.filter(({ link }) => link.uuid !== named.uuid && link.owner === named.owner)]
  })
  return links.flat().sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

async function sharedResources(rest: Rest, options: CallOptions): Promise<{ path: string; uuid: string }[]> {
  const found: { path: string; uuid: string }[] = []
  for (let offset = 0; ;) {
    const answer = await rest.call({
      method: 'POST', path: '/a/share/resources', doing: 'list the public links', timeoutMs: TIMEOUTS.admin, ...options,
      json: { ShareType: 'LINKS', OwnedBySubject: true, ...(offset === 0 ? {} : { Offset: offset }) },
    })
    const rows = isObject(answer) && Array.isArray(answer['Resources']) ? answer['Resources'].filter(isObject) : []
    for (const row of rows) {
      const uuid = isObject(row['Link']) ? asString(row['Link']['Uuid']) : ''
      if (uuid !== '') found.push({ path: placeOf(row['Node']), uuid })
    }
    offset += rows.length
    // Servers that page say how many there are; 2.x sends all and says nothing.
    if (rows.length === 0 || offset >= asCount(isObject(answer) ? answer['Total'] : 0)) return found
  }
}

/** '' when the user has no workspace in which the node appears. */
function placeOf(node: unknown): string {
  if (!isObject(node)) return ''
  const places = Array.isArray(node['AppearsIn']) ? node['AppearsIn'].filter(isObject) : []
  return pathFromServer(places[0]?.['Path']) ?? pathFromServer(node['Path']) ?? ''
}

/** From the node's `workspaces_shares`: JSON text that holds a list. */
function linkUuids(text: string): string[] {
  try {
    const parsed: unknown = JSON.parse(text)
    const list: unknown = typeof parsed === 'string' ? JSON.parse(parsed) : parsed
    if (!Array.isArray(list)) return []
    return list.filter(isObject).filter((share) => SCOPE_LINK.includes(share['Scope'])).map((share) => asString(share['UUID'])).filter((uuid) => uuid !== '')
  } catch {
    return []
  }
}

/** undefined for what is gone meanwhile, or not for this user. */
async function orNothing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof CellsError && (error.kind === 'not-found' || error.kind === 'forbidden')) return undefined
    throw error
  }
}

function parseLink(rest: Rest, answer: unknown, doing: string): PublicLink {
  const link: Json = isObject(answer) ? answer : {}
  const uuid = asString(link['Uuid'])
  const url = asString(link['LinkUrl'])
  if (uuid === '' || url === '' || !URL.canParse(url, rest.http.url.href)) throw new CellsError('protocol', `could not ${doing}: the answer holds no link`)
  const policies = Array.isArray(link['Policies']) ? link['Policies'].filter(isObject) : []
  return {
    uuid, url: new URL(url, rest.http.url).href, hash: asString(link['LinkHash']), label: asString(link['Label']),
    permissions: Array.isArray(link['Permissions']) ? link['Permissions'].map(asString).filter((text) => text !== '') : [],
    passwordRequired: link['PasswordRequired'] === true, expires: asCount(link['AccessEnd']), maxDownloads: asCount(link['MaxDownloads']),
    downloads: asCount(link['CurrentDownloads']), owner: asString(policies.find((policy) => policy['Action'] === 'OWNER')?.['Subject']),
  }
}
