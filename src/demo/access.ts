/**
 * Who sees which part of the tree: workspaces are windows onto folders of the data sources. `personal-files` is a
 * template whose root is the signed-in user's own folder; the others have one root for all. Rights come from the user
 * (DemoUser) for the built-in workspaces and from ACLs for those made through the API.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { DemoUser } from './auth/types.js'
import { nodeNotFound, workspaceForbidden } from './errors.js'
import type { RestError } from './errors.js'
import { isPattern } from './like.js'
import type { Store, Table } from './store.js'
import { nowSeconds } from './tree.js'
import type { NodeRecord, Place, Tree } from './tree.js'

/** Data sources: root node's uuid and the name that errors show. */
export const SOURCES = { common: { uuid: 'DATASOURCE:pydiods1', name: 'pydiods1' }, personal: { uuid: 'DATASOURCE:personal', name: 'personal' } } as const

export interface PolicyRow { readonly Action: string; readonly Subject: string; readonly Effect: string }

export interface WorkspaceRow {
  readonly uuid: string
  readonly slug: string
  readonly label: string
  readonly description: string
  /** ADMIN, ROOM (a cell), LINK. */
  readonly scope: string
  /** Uuid of the root node, or `my-files`. */
  readonly root: string
  readonly lastUpdated: number
  readonly policies: readonly PolicyRow[]
  /** JSON text, as the API shows it. */
  readonly attributes: string
  /** Visible to everybody unless the user record says otherwise. */
  readonly everyone: boolean
}

export interface AclRow {
  readonly id: string
  readonly name: string
  readonly value: string
  readonly roleId: string
  readonly workspaceId: string
  readonly nodeId: string
}

/** A workspace as one user sees it. */
export interface View {
  readonly row: WorkspaceRow
  readonly root: NodeRecord
  readonly writable: boolean
}

/** A path that begins in a workspace the user may see. `names` is what follows the slug. */
export interface Location {
  readonly view: View
  readonly names: readonly string[]
  /** `slug/a/b`, without slashes at the ends. */
  readonly path: string
}

export class Access {
  readonly workspaces: Table<WorkspaceRow>
  readonly acls: Table<AclRow>
  readonly #tree: Tree

  constructor(store: Store, tree: Tree) {
    this.#tree = tree
    this.workspaces = store.table<WorkspaceRow>('workspaces')
    this.acls = store.table<AclRow>('acls')
    for (const source of Object.values(SOURCES)) {
      if (!tree.get(source.uuid)) tree.insert({ uuid: source.uuid, parent: '', name: '', folder: true })
    }
    if (this.workspaces.size === 0) {
      this.addWorkspace({ slug: 'personal-files', label: 'Personal Files', description: 'User personal data', root: 'my-files', everyone: true })
      this.addWorkspace({ slug: 'common-files', label: 'Common Files', description: 'Data shared by all users', root: SOURCES.common.uuid, everyone: true })
    }
  }

  addWorkspace(fields: Partial<WorkspaceRow> & Pick<WorkspaceRow, 'slug' | 'label' | 'root'>): WorkspaceRow {
    const row: WorkspaceRow = {
      uuid: randomUUID(), description: '', scope: 'ADMIN', lastUpdated: nowSeconds(), attributes: '{}', everyone: false,
      policies: [{ Action: 'READ', Subject: 'profile:standard', Effect: 'allow' }, { Action: 'WRITE', Subject: 'profile:admin', Effect: 'allow' }],
      ...fields,
    }
    this.workspaces.set(row.uuid, row)
    return row
  }

  /** The workspaces of a user. Makes the personal folder at the first look, as Cells does. */
  views(user: DemoUser): View[] {
    const views: View[] = []
    for (const row of this.workspaces.values()) {
      const rights = this.#rights(user, row)
      const root = rights.read ? this.#root(user, row) : undefined
      if (root) views.push({ row, root, writable: rights.write })
    }
    return views
  }

  view(user: DemoUser, slug: string): View | undefined {
    return this.views(user).find(view => view.row.slug === slug)
  }

  /**
   * Splits a request path.
   * @param status of the error when the workspace is not accessible: it depends on the call (contract, sections 2-5)
   */
  locate(user: DemoUser, path: string, status: number): Location {
    const [slug = '', ...names] = splitPath(path)
    const view = this.view(user, slug)
    if (!view) throw workspaceForbidden(slug, status)
    return { view, names, path: [slug, ...names].join('/') }
  }

  /** The node at a location, whether the index shows it or not. */
  find(location: Location): NodeRecord | undefined {
    let node: NodeRecord | undefined = location.view.root
    for (const name of location.names) {
      node = node && node.folder ? this.#tree.found(node.uuid, name) : undefined
      if (!node) return undefined
    }
    return node
  }

  /** Whether the node has the names of the location, and was not found by another one (like.ts). */
  isExact(location: Location, node: NodeRecord): boolean {
    if (!location.names.some(isPattern)) return true
    const { names } = this.#tree.place(node)
    return location.names.every((name, i) => names[names.length - location.names.length + i] === name)
  }

  /** The node if stat would show it. */
  visible(location: Location): NodeRecord | undefined {
    const node = this.find(location)
    return node && !node.hidden ? node : undefined
  }

  /** @throws RestError 404 in the index's own words */
  must(location: Location, status = 404): NodeRecord {
    const node = this.visible(location)
    if (!node) throw this.missing(location, status)
    return node
  }

  missing(location: Location, status = 404): RestError {
    return nodeNotFound(this.source(location), this.internalPath(location), status)
  }

  source(location: Location): string {
    return this.#tree.isWithin(location.view.root.uuid, SOURCES.personal.uuid) ? SOURCES.personal.name : SOURCES.common.name
  }

  /** The path inside the data source, as errors and job parameters show it: `/admin/a/b`. */
  internalPath(location: Location): string {
    return '/' + [...this.#tree.place(location.view.root).names, ...location.names].join('/')
  }

  /** Where a user sees a place: every workspace whose root is on its way. */
  pathsFor(user: DemoUser, place: Place): { view: View; path: string }[] {
    const found: { view: View; path: string }[] = []
    for (const view of this.views(user)) {
      const at = place.chain.indexOf(view.root.uuid)
      if (at >= 0) found.push({ view, path: [view.row.slug, ...place.names.slice(at)].join('/') })
    }
    return found
  }

  #rights(user: DemoUser, row: WorkspaceRow): { read: boolean; write: boolean } {
    if (row.everyone) {
      const read = !user.hiddenWorkspaces.includes(row.slug)
      return { read, write: read && !user.readOnlyWorkspaces.includes(row.slug) }
    }
    const names = new Set<string>()
    for (const acl of this.acls.values()) if (acl.workspaceId === row.uuid && acl.roleId === user.uuid) names.add(acl.name)
    return { read: names.has('read') || names.has('write'), write: names.has('write') }
  }

  #root(user: DemoUser, row: WorkspaceRow): NodeRecord | undefined {
    if (row.root !== 'my-files') return this.#tree.get(row.root)
    const existing = this.#tree.child(SOURCES.personal.uuid, user.login)
    if (existing) return existing
    const uuid = randomUUID()
    return this.#tree.insert({ uuid, parent: SOURCES.personal.uuid, name: user.login, folder: true, etag: createHash('md5').update(uuid).digest('hex') })
  }
}

/** Names of a path, empty segments dropped (a leading, trailing or double slash means nothing to Cells). */
export function splitPath(path: string): string[] {
  return path.split('/').filter(name => name !== '')
}
