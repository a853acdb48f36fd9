/** Users, roles, workspaces and ACLs (contract, section 6): lists, and the changes an administrator makes. */
import { randomUUID } from 'node:crypto'
import type { AclRow, PolicyRow, WorkspaceRow } from '../access.js'
import { SOURCES } from '../access.js'
import type { DemoUser } from '../auth/types.js'
import type { Call, Context } from '../context.js'
import { notFound, RestError, unauthorized } from '../errors.js'
import { readJson, sendJson } from '../http.js'
import { nowSeconds } from '../tree.js'
import { allow, policiesJson } from './policies.js'
import { objectsField, stringsField, textField } from './fields.js'

/** When the built-in roles came into being. */
const FOUNDED = 1592380800

interface RoleRow { readonly uuid: string; readonly label: string; readonly autoApplies: readonly string[]; readonly group?: true; readonly policies: readonly PolicyRow[]; readonly updated: number }

const BUILT_IN: readonly RoleRow[] = [
  { uuid: 'ROOT_GROUP', label: 'Root Group', autoApplies: [''], group: true, policies: [allow('READ', '*'), allow('WRITE', 'profile:admin')], updated: FOUNDED },
  { uuid: 'ADMINS', label: 'Administrators', autoApplies: ['admin'], policies: [allow('READ', '*'), allow('WRITE', 'profile:admin')], updated: FOUNDED },
  { uuid: 'EXTERNAL_USERS', label: 'External Users', autoApplies: ['shared'], policies: [allow('READ', '*'), allow('WRITE', 'profile:standard')], updated: FOUNDED },
  { uuid: 'MINISITE', label: 'Minisite Permissions', autoApplies: [''], policies: [allow('READ', '*'), allow('WRITE', 'profile:admin')], updated: FOUNDED },
  { uuid: 'MINISITE_NODOWNLOAD', label: 'Minisite (Download Disabled)', autoApplies: [''], policies: [allow('READ', '*'), allow('WRITE', 'profile:admin')], updated: FOUNDED },
]

function roleJson(role: RoleRow, editable: boolean): object {
  return { Uuid: role.uuid, Label: role.label, ...(role.group ? { GroupRole: true } : {}), LastUpdated: role.updated, AutoApplies: role.autoApplies, Policies: policiesJson(role.policies, role.uuid), ...(editable ? { PoliciesContextEditable: true } : {}) }
}

function userRoleJson(user: DemoUser): object {
  return { Uuid: user.uuid, Label: `${user.login} role`, UserRole: true, LastUpdated: FOUNDED, AutoApplies: [''], Policies: policiesJson([allow('READ', 'profile:standard'), allow('WRITE', `user:${user.login}`), allow('WRITE', 'profile:admin')], user.uuid) }
}

export function userJson(user: DemoUser, editable: boolean): object {
  const roles = BUILT_IN.filter(role => role.uuid === 'ROOT_GROUP' || (user.isAdmin && role.uuid === 'ADMINS')).map(role => roleJson(role, false))
  return {
    Uuid: user.uuid, GroupPath: user.groupPath, Attributes: { ...(user.displayName === '' ? {} : { displayName: user.displayName }), ...(user.email === '' ? {} : { email: user.email }), profile: user.isAdmin ? 'admin' : 'standard' },
    Roles: [...roles, userRoleJson(user)], Login: user.login, Policies: policiesJson([allow('READ', 'profile:standard'), allow('WRITE', `user:${user.login}`), allow('WRITE', 'profile:admin')], user.uuid),
    ...(editable ? { PoliciesContextEditable: true } : {}),
  }
}

/** `GET /a/user/{login}` */
export function getUser(ctx: Context, { req, res, user, rest }: Call): void {
  const found = ctx.auth.users.find(rest)
  if (!found) throw notFound(404, `cannot find user with login ${rest}`)
  sendJson(req, res, userJson(found, user.isAdmin || user.uuid === found.uuid))
}

/** `POST /a/user` */
export async function listUsers(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const queries = objectsField(body, 'Queries')
  const wanted = queries.map(query => query['Login']).filter(login => typeof login === 'string')
  // Only a query for all brings groups along, besides one for groups.
  const groups = [...groupRows(ctx).values()].filter(() => wanted.every(login => login === '*')).map(row => groupJson(row))
  const withGroups = groups.length > 0 ? { Groups: groups } : {}
  if (queries.some(query => query['NodeType'] === 'GROUP')) return sendJson(req, res, groups.length > 0 ? { ...withGroups, Total: groups.length } : {})
  const found = ctx.auth.users.list().filter(each => wanted.length === 0 || wanted.some(login => wildcard(login).test(each.login)))
  if (body['CountOnly'] === true) return sendJson(req, res, { Total: found.length })
  const offset = Number(body['Offset'] ?? 0)
  const limit = Number(body['Limit'] ?? 0)
  const page = found.slice(offset, limit > 0 ? offset + limit : undefined)
  sendJson(req, res, page.length > 0 ? { ...withGroups, Users: page.map(each => userJson(each, user.isAdmin || each.uuid === user.uuid)), Total: found.length } : {})
}

const wildcard = (text: string): RegExp => new RegExp(`^${text.split('*').map(part => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`, 'i')

/** `PUT /a/user/{login}`: creates a user (or says that it exists), or a group. */
export async function putUser(ctx: Context, { req, res, user, rest }: Call): Promise<void> {
  const body = await readJson(req)
  if (ctx.auth.users.find(rest) && (!user.isAdmin || body['Uuid'] === undefined)) throw new RestError(403, 'User with the same login already exists!')
  if (!user.isAdmin) throw unauthorized()
  const attributes = (body['Attributes'] ?? {}) as Record<string, string>
  if (body['IsGroup'] === true) {
    const row: GroupRow = { uuid: randomUUID(), label: textField(body, 'GroupLabel', rest), path: textField(body, 'GroupPath', '/'), updated: nowSeconds() }
    groupRows(ctx).set(rest, row)
    return sendJson(req, res, groupJson(row))
  }
  const known = ctx.auth.users.find(rest)
  const next: DemoUser = {
    uuid: known?.uuid ?? randomUUID(), login: rest, displayName: attributes['displayName'] ?? known?.displayName ?? '', email: attributes['email'] ?? known?.email ?? '',
    isAdmin: attributes['profile'] === undefined ? (known?.isAdmin ?? false) : attributes['profile'] === 'admin', groupPath: '/',
    readOnlyWorkspaces: known?.readOnlyWorkspaces ?? [], hiddenWorkspaces: known?.hiddenWorkspaces ?? [],
  }
  const password = typeof body['Password'] === 'string' ? body['Password'] : undefined
  if (!known && password === undefined) throw new RestError(500, 'a new user needs a password')
  ctx.auth.users.put(next, password)
  sendJson(req, res, userJson(next, true))
}

/** `DELETE /a/user/{login}`; with a trailing slash a group. */
export function deleteUser(ctx: Context, { req, res, user, rest }: Call): void {
  if (!user.isAdmin) throw unauthorized()
  if (rest.endsWith('/')) {
    groupRows(ctx).delete(rest.slice(0, -1))
    return sendJson(req, res, { Success: true })
  }
  if (!ctx.auth.users.remove(rest)) throw notFound(404, `cannot find user with login ${rest}`)
  sendJson(req, res, { Success: true, NumRows: '1' })
}

interface GroupRow { readonly uuid: string; readonly label: string; readonly path: string; readonly updated: number }

const groupRows = (ctx: Context): ReturnType<typeof ctx.store.table<GroupRow>> => ctx.store.table<GroupRow>('groups')

function groupJson({ uuid, label, path, updated }: GroupRow): object {
  const policies = [allow('READ', 'profile:standard'), allow('WRITE', 'profile:admin')]
  const role = { Uuid: uuid, Label: `Group ${label}`, GroupRole: true, LastUpdated: updated, AutoApplies: [''], Policies: policiesJson(policies, uuid) }
  return { Uuid: uuid, GroupPath: path, Attributes: { 'pydio:labelLike': label }, Roles: [role], IsGroup: true, GroupLabel: label, Policies: policiesJson(policies, uuid) }
}

const customRoles = (ctx: Context): ReturnType<typeof ctx.store.table<RoleRow>> => ctx.store.table<RoleRow>('roles')

/** `POST /a/role` */
export async function listRoles(ctx: Context, { req, res, user }: Call): Promise<void> {
  await readJson(req)
  const own = ctx.auth.users.list().map(each => ({ ...userRoleJson(each), ...(user.isAdmin ? { PoliciesContextEditable: true } : {}) }))
  sendJson(req, res, { Roles: [...BUILT_IN, ...customRoles(ctx).values()].map(role => roleJson(role, user.isAdmin)).concat(own) })
}

/** `GET /a/role/{uuid}` */
export function getRole(ctx: Context, { req, res, user, rest }: Call): void {
  const role = BUILT_IN.find(each => each.uuid === rest) ?? customRoles(ctx).get(rest)
  if (!role) throw notFound(404, `cannot find role with Uuid ${rest}`)
  sendJson(req, res, roleJson(role, user.isAdmin))
}

/** `PUT /a/role/{uuid}` */
export async function putRole(ctx: Context, { req, res, user, rest }: Call): Promise<void> {
  const body = await readJson(req)
  if (!user.isAdmin) throw unauthorized()
  const role: RoleRow = { uuid: rest, label: textField(body, 'Label', rest), autoApplies: [], policies: [allow('READ', 'profile:standard'), allow('WRITE', 'profile:admin')], updated: nowSeconds() }
  customRoles(ctx).set(rest, role)
  sendJson(req, res, { Uuid: role.uuid, Label: role.label, LastUpdated: role.updated, Policies: role.policies })
}

/** `DELETE /a/role/{uuid}` */
export function deleteRole(ctx: Context, { req, res, user, rest }: Call): void {
  if (!user.isAdmin) throw unauthorized()
  customRoles(ctx).delete(rest)
  sendJson(req, res, { Uuid: rest })
}

export function workspaceRowJson(ctx: Context, row: WorkspaceRow, editable: boolean): object {
  const root = ctx.tree.get(row.root)
  const place = root ? ctx.tree.place(root) : { chain: [], names: [] }
  const source = place.chain[0] === SOURCES.personal.uuid ? SOURCES.personal.name : SOURCES.common.name
  const node = row.root === 'my-files'
    ? { Uuid: 'my-files', Path: 'my-files', Type: 'COLLECTION', MetaStore: { contentType: 'text/javascript', name: 'my-files', onDelete: 'rename-uuid', resolution: 'Path = DataSources.personal + "/" + User.Name;' } }
    : { Uuid: row.root, Path: `${source}/${place.names.join('/')}`, Type: 'COLLECTION', ...(root ? { Size: String(ctx.tree.totalSize(root)), MTime: String(root.mtime), MetaStore: { name: JSON.stringify(root.name) } } : {}) }
  return {
    UUID: row.uuid, Label: row.label, Description: row.description, Slug: row.slug, Scope: row.scope, LastUpdated: row.lastUpdated, Policies: policiesJson(row.policies, row.uuid),
    Attributes: row.everyone ? '{"DEFAULT_RIGHTS":"rw"}' : row.attributes, RootNodes: { [row.root]: node }, ...(editable ? { PoliciesContextEditable: true } : {}),
  }
}

/** `POST /a/workspace` */
export async function listWorkspaces(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const queries = objectsField(body, 'Queries')
  const slugs = queries.map(query => query['slug']).filter(slug => typeof slug === 'string')
  const scopes = queries.map(query => query['scope']).filter(scope => typeof scope === 'string' && scope !== 'ANY')
  const rows = [...ctx.access.workspaces.values()].filter(row => (user.isAdmin || ctx.access.view(user, row.slug) !== undefined)
    && (slugs.length === 0 || slugs.some(slug => wildcard(slug).test(row.slug))) && (scopes.length === 0 || scopes.includes(row.scope)))
  sendJson(req, res, rows.length > 0 ? { Workspaces: rows.map(row => workspaceRowJson(ctx, row, user.isAdmin)), Total: rows.length } : {})
}

/** `PUT /a/workspace/{slug}` */
export async function putWorkspace(ctx: Context, { req, res, user, rest }: Call): Promise<void> {
  const body = await readJson(req)
  if (!user.isAdmin) throw unauthorized()
  const roots = (body['RootNodes'] ?? {}) as Record<string, { Uuid?: string }>
  const root = Object.keys(roots)[0] ?? ''
  if (!ctx.tree.get(root)) throw notFound(404, `Could not retrieve node ${root}`)
  const known = [...ctx.access.workspaces.values()].find(row => row.slug === rest)
  const policies = Array.isArray(body['Policies']) ? (body['Policies'] as PolicyRow[]) : undefined
  const row = ctx.access.addWorkspace({ ...known, slug: rest, label: textField(body, 'Label', rest), description: textField(body, 'Description'), scope: textField(body, 'Scope', 'ADMIN'), root, attributes: '{"DEFAULT_RIGHTS":""}', ...(policies ? { policies } : {}) })
  await ctx.store.commit()
  sendJson(req, res, { UUID: row.uuid, Label: row.label, Slug: row.slug, Scope: row.scope, Policies: row.policies, Attributes: row.attributes, RootNodes: roots })
}

/** `DELETE /a/workspace/{slug}` */
export function deleteWorkspace(ctx: Context, { req, res, user, rest }: Call): void {
  if (!user.isAdmin) throw unauthorized()
  const row = [...ctx.access.workspaces.values()].find(each => each.slug === rest)
  if (!row) throw notFound(404, `cannot find workspace ${rest}`)
  dropWorkspace(ctx, row)
  sendJson(req, res, { Success: true, NumRows: '1' })
}

export function dropWorkspace(ctx: Context, row: WorkspaceRow): void {
  ctx.access.workspaces.delete(row.uuid)
  for (const acl of [...ctx.access.acls.values()]) if (acl.workspaceId === row.uuid) removeAcl(ctx, acl)
}

export const aclJson = (acl: AclRow): object => ({
  ID: acl.id, Action: { Name: acl.name, Value: acl.value }, ...(acl.roleId ? { RoleID: acl.roleId } : {}), ...(acl.workspaceId ? { WorkspaceID: acl.workspaceId } : {}), ...(acl.nodeId ? { NodeID: acl.nodeId } : {}),
})

/** `PUT /a/acl` */
export async function putAcl(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  if (!user.isAdmin) throw unauthorized()
  const action = (body['Action'] ?? {}) as Record<string, string>
  const acl = addAcl(ctx, { name: textField(action, 'Name'), value: textField(action, 'Value'), roleId: textField(body, 'RoleID'), workspaceId: textField(body, 'WorkspaceID'), nodeId: textField(body, 'NodeID') })
  await ctx.store.commit()
  sendJson(req, res, aclJson(acl))
}

export function addAcl(ctx: Context, fields: Omit<AclRow, 'id'>): AclRow {
  const last = Math.max(0, ...[...ctx.access.acls.values()].map(acl => Number(acl.id)))
  const acl = { id: String(last + 1), ...fields }
  ctx.access.acls.set(acl.id, acl)
  ctx.bus.emit({ kind: 'all', message: { '@type': 'idm', Type: 'UPDATE', Acl: aclJson(acl) } })
  return acl
}

function removeAcl(ctx: Context, acl: AclRow): void {
  ctx.access.acls.delete(acl.id)
  ctx.bus.emit({ kind: 'all', message: { '@type': 'idm', Type: 'DELETE', Acl: aclJson(acl) } })
}

/** `POST /a/acl` */
export async function listAcls(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  if (!user.isAdmin) throw unauthorized()
  const limit = Number(body['Limit'] ?? 0)
  const roles = objectsField(body, 'Queries').flatMap(query => stringsField(query, 'RoleIDs'))
  const nodes = objectsField(body, 'Queries').flatMap(query => stringsField(query, 'NodeIDs'))
  const actions = objectsField(body, 'Queries').flatMap(query => objectsField(query, 'Actions')).map(action => action['Name'])
  const built: AclRow[] = [...ctx.access.workspaces.values()].filter(row => row.everyone).flatMap((row, i) => ['read', 'write'].map((name, j) => ({ id: String(1000000 + 2 * i + j), name, value: '1', roleId: 'ROOT_GROUP', workspaceId: row.uuid, nodeId: row.root })))
  const found = [...built, ...ctx.access.acls.values()].filter(acl => (roles.length === 0 || roles.includes(acl.roleId)) && (nodes.length === 0 || nodes.includes(acl.nodeId)) && (actions.length === 0 || actions.includes(acl.name)))
  const page = limit > 0 ? found.slice(0, limit) : found
  sendJson(req, res, page.length > 0 ? { ACLs: page.map(aclJson) } : {})
}

/** `POST /a/acl/bulk/delete` */
export async function deleteAcls(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  if (!user.isAdmin) throw unauthorized()
  const action = (body['Action'] ?? {}) as Record<string, string>
  let rows = 0
  for (const acl of [...ctx.access.acls.values()]) {
    if (body['NodeID'] !== undefined && acl.nodeId !== body['NodeID']) continue
    if (body['RoleID'] !== undefined && acl.roleId !== body['RoleID']) continue
    if (body['WorkspaceID'] !== undefined && acl.workspaceId !== body['WorkspaceID']) continue
    if (action['Name'] !== undefined && acl.name !== action['Name']) continue
    removeAcl(ctx, acl)
    rows++
  }
  await ctx.store.commit()
  sendJson(req, res, { Success: true, NumRows: String(rows) })
}
