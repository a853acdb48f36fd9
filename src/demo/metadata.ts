/** User metadata on nodes (tags, bookmarks), kept apart from the index as Cells does: stat does not show it, bulk/get does. */
import type { Access, PolicyRow } from './access.js'
import type { DemoUser } from './auth/types.js'
import type { Store, Table } from './store.js'

export interface MetaRow {
  readonly uuid: string
  readonly nodeUuid: string
  readonly namespace: string
  /** JSON text. */
  readonly value: string
  /** Login of the only reader, '' if everybody may read. */
  readonly owner: string
  readonly policies: readonly PolicyRow[]
}

export interface NamespaceRow {
  readonly name: string
  readonly label: string
  readonly indexable: boolean
  readonly definition: string
  readonly policies: readonly PolicyRow[]
}

export interface LinkRow {
  readonly uuid: string
  readonly nodeUuid: string
  /** Uuid of the user who made it. */
  readonly owner: string
  readonly json: Readonly<Record<string, unknown>>
}

const EVERYBODY: readonly PolicyRow[] = [{ Action: 'READ', Subject: '*', Effect: 'allow' }, { Action: 'WRITE', Subject: '*', Effect: 'allow' }]

export class Metadata {
  readonly rows: Table<MetaRow>
  readonly namespaces: Table<NamespaceRow>
  readonly links: Table<LinkRow>
  readonly #access: Access
  /** Rows by node, because every listed node asks. */
  readonly #byNode = new Map<string, Set<string>>()

  constructor(store: Store, access: Access) {
    this.rows = store.table<MetaRow>('meta')
    this.namespaces = store.table<NamespaceRow>('namespaces')
    this.links = store.table<LinkRow>('links')
    this.#access = access
    if (!this.namespaces.has('usermeta-tags')) {
      this.namespaces.set('usermeta-tags', { name: 'usermeta-tags', label: 'Tags', indexable: true, definition: '{"type":"tags"}', policies: EVERYBODY })
    }
    for (const row of this.rows.values()) this.#index(row)
  }

  put(row: MetaRow): void {
    this.rows.set(row.uuid, row)
    this.#index(row)
  }

  remove(uuid: string): void {
    const row = this.rows.get(uuid)
    if (!row) return
    this.#byNode.get(row.nodeUuid)?.delete(uuid)
    this.rows.delete(uuid)
  }

  of(nodeUuid: string): MetaRow[] {
    return [...(this.#byNode.get(nodeUuid) ?? [])].map(uuid => this.rows.get(uuid)).filter(row => row !== undefined)
  }

  readable(user: DemoUser, row: MetaRow): boolean {
    return row.owner === '' || row.owner === user.login
  }

  /** What a node's MetaStore has besides the index's own entries. */
  shown(user: DemoUser, nodeUuid: string): Record<string, string> {
    const meta: Record<string, string> = {}
    for (const row of this.of(nodeUuid)) if (this.readable(user, row)) meta[row.namespace] = row.value
    for (const acl of this.#access.acls.values()) if (acl.name === 'content_lock' && acl.nodeId === nodeUuid) meta['content_lock'] = JSON.stringify(acl.value)
    const shares = [...this.links.values()].filter(link => link.nodeUuid === nodeUuid).map(link => ({ UUID: link.uuid, Label: link.json['Label'], Scope: 3 }))
    if (shares.length > 0) meta['workspaces_shares'] = JSON.stringify(shares)
    return meta
  }

  /** Login that holds the content lock of a node. */
  lockedBy(nodeUuid: string): string | undefined {
    for (const acl of this.#access.acls.values()) if (acl.name === 'content_lock' && acl.nodeId === nodeUuid) return acl.value
    return undefined
  }

  #index(row: MetaRow): void {
    let set = this.#byNode.get(row.nodeUuid)
    if (!set) this.#byNode.set(row.nodeUuid, (set = new Set()))
    set.add(row.uuid)
  }
}
