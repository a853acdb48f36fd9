/** Who is signed in; users, groups, roles, workspaces and ACLs as administrators see them (contract, section 6). */
import { CellsError } from './errors.js'
import { asString, isObject, type Json } from './node.js'
import type { Rest } from './rest.js'
import { unescapeXml } from './s3.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'

export interface IdmUser {
  readonly uuid: string
  readonly login: string
  readonly groupPath: string
  /** `displayName`, `email`, `profile` ... */
  readonly attributes: Readonly<Record<string, string>>
}

export interface IdmGroup {
  readonly uuid: string
  readonly label: string
  readonly groupPath: string
}

export interface IdmRole {
  readonly uuid: string
  readonly label: string
  readonly kind: 'role' | 'group' | 'user'
}

export interface IdmWorkspace {
  readonly uuid: string
  readonly slug: string
  readonly label: string
  readonly description: string
  readonly scope: string
}

export interface IdmAcl {
  readonly id: string
  readonly nodeId: string
  readonly roleId: string
  readonly workspaceId: string
  readonly action: string
  readonly value: string
}

/** Login of the signed-in user, from the registry of the web interface: no other call tells an ordinary user. */
export async function whoami(rest: Rest, options: CallOptions = {}): Promise<string> {
  const doing = 'ask who is signed in'
  const xml = await rest.call({ method: 'GET', path: '/a/frontend/state', doing, asText: true, signal: options.signal, timeoutMs: options.timeoutMs ?? TIMEOUTS.probe })
  const [, id] = (typeof xml === 'string' ? /<user\s[^>]*\bid="([^"]+)"/.exec(xml) : null) ?? []
  if (id === undefined) throw new CellsError('protocol', `could not ${doing}: the answer names nobody`)
  return unescapeXml(id)
}

/** A list of an administrator's call. A 401 there means "not for you". */
async function list(rest: Rest, path: string, json: unknown, field: string, doing: string, options: CallOptions): Promise<Json[]> {
  const answer = await rest.call({ method: 'POST', path, json, doing, privileged: true, timeoutMs: TIMEOUTS.admin, ...options })
  return isObject(answer) && Array.isArray(answer[field]) ? answer[field].filter(isObject) : []
}

const EVERYBODY = { Queries: [{ Login: '*' }] }

export async function listUsers(rest: Rest, options: CallOptions = {}): Promise<IdmUser[]> {
  const rows = await list(rest, '/a/user', EVERYBODY, 'Users', 'list the users', options)
  return rows.map((row) => ({ uuid: asString(row['Uuid']), login: asString(row['Login']), groupPath: asString(row['GroupPath']), attributes: texts(row['Attributes']) }))
}

export async function listGroups(rest: Rest, options: CallOptions = {}): Promise<IdmGroup[]> {
  const rows = await list(rest, '/a/user', EVERYBODY, 'Groups', 'list the groups', options)
  return rows.map((row) => ({ uuid: asString(row['Uuid']), label: asString(row['GroupLabel']), groupPath: asString(row['GroupPath']) }))
}

export async function listRoles(rest: Rest, options: CallOptions = {}): Promise<IdmRole[]> {
  const rows = await list(rest, '/a/role', {}, 'Roles', 'list the roles', options)
  return rows.map((row) => ({ uuid: asString(row['Uuid']), label: asString(row['Label']), kind: row['GroupRole'] === true ? 'group' : row['UserRole'] === true ? 'user' : 'role' }))
}

export async function listWorkspaces(rest: Rest, options: CallOptions = {}): Promise<IdmWorkspace[]> {
  const rows = await list(rest, '/a/workspace', {}, 'Workspaces', 'list the workspaces', options)
  return rows.map((row) => ({
    uuid: asString(row['UUID']), slug: asString(row['Slug']), label: asString(row['Label']), description: asString(row['Description']), scope: asString(row['Scope']),
  }))
}

/** The ACLs on nodes (Uuids, or ids such as `DATASOURCE:pydiods1`). */
export async function listAcls(rest: Rest, nodeIds: readonly string[], options: CallOptions = {}): Promise<IdmAcl[]> {
  const rows = await list(rest, '/a/acl', { Queries: [{ NodeIDs: nodeIds }] }, 'ACLs', 'list the ACLs', options)
  return rows.map((row) => {
    const action: Json = isObject(row['Action']) ? row['Action'] : {}
    return {
      id: asString(row['ID']), nodeId: asString(row['NodeID']), roleId: asString(row['RoleID']), workspaceId: asString(row['WorkspaceID']),
      action: asString(action['Name']), value: asString(action['Value']),
    }
  })
}

/**
 * Deletes the ACLs that have all fields of `acl`; the server knows no deletion by id.
 *
 * @throws CellsError `invalid` without a node and an action: the server would delete whatever fits the rest
 */
export async function deleteAcl(rest: Rest, acl: IdmAcl, options: CallOptions = {}): Promise<void> {
  const doing = `delete the ACL ${acl.id}`
  if (acl.nodeId === '' || acl.action === '') throw new CellsError('invalid', `could not ${doing}: it has no node or no action`)
  await rest.call({
    method: 'POST', path: '/a/acl/bulk/delete', doing, privileged: true, timeoutMs: TIMEOUTS.admin, ...options,
    json: {
      ID: acl.id, NodeID: acl.nodeId, Action: { Name: acl.action, ...(acl.value === '' ? {} : { Value: acl.value }) },
      ...(acl.roleId === '' ? {} : { RoleID: acl.roleId }), ...(acl.workspaceId === '' ? {} : { WorkspaceID: acl.workspaceId }),
    },
  })
}

function texts(raw: unknown): Record<string, string> {
  if (!isObject(raw)) return {}
  return Object.fromEntries(Object.entries(raw).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}
