/** Public links and cells (contract, section 6). */
import { randomUUID } from 'node:crypto'
import type { Call, Context } from '../context.js'
import { notFound, RestError } from '../errors.js'
import { readJson, sendJson } from '../http.js'
import { nodeJson } from '../render.js'
import { addAcl, dropWorkspace, userJson } from './idm.js'
import { nodeByUuid } from './meta.js'
import { allow, policiesJson } from './policies.js'
import { textField } from './fields.js'

const withoutDashes = (uuid: string): string => uuid.replaceAll('-', '')

/** A link is a workspace on the inside. */
const noLink = (uuid: string): RestError => notFound(404, `Cannot find workspace with Uuid ${uuid}`)

/** A 64-bit number goes over the wire as text; 0 is left out. */
function int64Field(body: Readonly<Record<string, unknown>>, name: string): Record<string, string> {
  const value = Number(body[name] ?? 0)
  if (!Number.isSafeInteger(value)) throw new RestError(500, `json: cannot unmarshal field ${name} into Go value of type int64`)
  return value === 0 ? {} : { [name]: String(value) }
}

/** `PUT /a/share/link` */
export async function putLink(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const link = (body['ShareLink'] ?? {}) as Record<string, unknown>
  const roots = (Array.isArray(link['RootNodes']) ? link['RootNodes'] : []) as { Uuid?: string }[]
  const { node } = nodeByUuid(ctx, user, roots[0]?.Uuid ?? '', 500)
  const uuid = typeof link['Uuid'] === 'string' && ctx.metadata.links.has(link['Uuid']) ? link['Uuid'] : randomUUID()
  const hidden = randomUUID()
  const login = withoutDashes(hidden).slice(0, 16)
  const hash = withoutDashes(uuid).slice(0, 12)
  const policies = [allow('OWNER', user.uuid), allow('READ', `user:${user.login}`), allow('WRITE', `user:${user.login}`), allow('WRITE', 'profile:admin'), allow('READ', `user:${login}`)].map(policy => ({ Resource: uuid, ...policy }))
  const json = {
    Uuid: uuid, LinkHash: hash, LinkUrl: `${ctx.url()}/public/${hash}`, Label: textField(link, 'Label', node.name), UserUuid: hidden, UserLogin: login,
    ...(body['PasswordEnabled'] === true ? { PasswordRequired: true } : {}), ...int64Field(link, 'AccessEnd'), ...int64Field(link, 'MaxDownloads'),
    ViewTemplateName: textField(link, 'ViewTemplateName'), RootNodes: [{ Uuid: node.uuid }], Permissions: link['Permissions'] ?? [], Policies: policies, PoliciesContextEditable: true,
  }
  ctx.metadata.links.set(uuid, { uuid, nodeUuid: node.uuid, owner: user.uuid, json })
  await ctx.store.commit()
  sendJson(req, res, json)
}

/** `GET /a/share/link/{uuid}` */
export function getLink(ctx: Context, { req, res, rest }: Call): void {
  const link = ctx.metadata.links.get(rest)
  if (!link) throw noLink(rest)
  const policies = link.json['Policies'] as { Resource: string }[]
  sendJson(req, res, { ...link.json, Policies: policies.map((policy, i) => ({ id: String(i + 1), ...policy })) })
}

/** `DELETE /a/share/link/{uuid}` */
export function deleteLink(ctx: Context, { req, res, rest }: Call): void {
  if (!ctx.metadata.links.delete(rest)) throw noLink(rest)
  sendJson(req, res, { Success: true })
}

/** `POST /a/share/resources`: the shared nodes, each with one of its links only. Cells are not listed. */
export async function resources(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  if (textField(body, 'Subject') !== '' && !user.isAdmin) throw new RestError(403, 'only admins can specify a subject')
  const byNode = new Map<string, object>()
  for (const link of body['ShareType'] === 'CELLS' ? [] : ctx.metadata.links.values()) {
    const node = ctx.tree.get(link.nodeUuid)
    if (!node || (link.owner !== user.uuid && (body['OwnedBySubject'] === true || !user.isAdmin))) continue
    const seen = ctx.access.pathsFor(user, ctx.tree.place(node)).map(({ view, path }) => ({ WsUuid: view.row.uuid, WsLabel: view.row.label, Path: path, WsSlug: view.row.slug }))
    const { Label, Policies } = link.json
    byNode.set(node.uuid, {
      Node: { ...nodeJson(node, seen[0]?.Path ?? '', ctx.tree.totalSize(node), { flat: ctx.flat }), AppearsIn: seen },
      Link: { Uuid: link.uuid, Label, Policies, PoliciesContextEditable: true },
    })
  }
  sendJson(req, res, byNode.size > 0 ? { Resources: [...byNode.values()] } : {})
}

/** `PUT /a/share/cell`: a cell is a workspace of scope ROOM, visible at once to its members. */
export async function putCell(ctx: Context, call: Call): Promise<void> {
  const { req, user } = call
  const body = await readJson(req)
  const room = (body['Room'] ?? {}) as Record<string, unknown>
  const roots = (Array.isArray(room['RootNodes']) ? room['RootNodes'] : []) as { Uuid?: string }[]
  const { node } = nodeByUuid(ctx, user, roots[0]?.Uuid ?? '', 500)
  const label = textField(room, 'Label', node.name)
  const slugs = new Set([...ctx.access.workspaces.values()].map(row => row.slug))
  const stem = label.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'cell'
  let slug = stem
  for (let i = 1; slugs.has(slug); i++) slug = `${stem}-${i}`
  const uuid = randomUUID()
  ctx.access.addWorkspace({
    uuid, slug, label, scope: 'ROOM', root: node.uuid, description: textField(room, 'Description'),
    policies: [allow('OWNER', user.uuid), allow('READ', `user:${user.login}`), allow('WRITE', `user:${user.login}`), allow('WRITE', 'profile:admin'), allow('READ', `role:${user.uuid}`)],
  })
  const members = new Map<string, Set<string>>([[user.uuid, new Set(['read', 'write'])]])
  for (const [role, acl] of Object.entries((room['ACLs'] ?? {}) as Record<string, { Actions?: { Name?: string }[] }>)) members.set(role, new Set((acl.Actions ?? []).map(action => String(action.Name))))
  for (const [roleId, names] of members) for (const name of names) addAcl(ctx, { name, value: '1', roleId, workspaceId: uuid, nodeId: node.uuid })
  await ctx.store.commit()
  sendCell(ctx, call, uuid, false)
}

/** `GET /a/share/cell/{uuid}` */
export function getCell(ctx: Context, call: Call): void {
  sendCell(ctx, call, call.rest, true)
}

/** `DELETE /a/share/cell/{uuid}` */
export function deleteCell(ctx: Context, { req, res, rest }: Call): void {
  const row = ctx.access.workspaces.get(rest)
  if (row?.scope !== 'ROOM') throw notFound(404, `cannot find cell ${rest}`)
  dropWorkspace(ctx, row)
  sendJson(req, res, { Success: true })
}

function sendCell(ctx: Context, { req, res, user }: Call, uuid: string, numbered: boolean): void {
  const row = ctx.access.workspaces.get(uuid)
  const node = row && ctx.tree.get(row.root)
  if (row?.scope !== 'ROOM' || !node) throw notFound(404, `cannot find cell ${uuid}`)
  const seen = ctx.access.pathsFor(user, ctx.tree.place(node)).map(({ view, path }) => ({ WsUuid: view.row.uuid, WsLabel: view.row.label, Path: view.root.uuid === node.uuid ? `${path}/` : path, WsSlug: view.row.slug }))
  const acls: Record<string, object> = {}
  for (const member of ctx.auth.users.list()) {
    const actions = [...ctx.access.acls.values()].filter(acl => acl.workspaceId === uuid && acl.roleId === member.uuid).map(acl => ({ Name: acl.name, Value: acl.value }))
    if (actions.length > 0) acls[member.uuid] = { RoleId: member.uuid, Actions: actions, User: { ...userJson(member, true), Roles: [] } }
  }
  sendJson(req, res, {
    Uuid: uuid, Label: row.label, RootNodes: [{ ...nodeJson(node, seen[0]?.Path ?? '', ctx.tree.totalSize(node), { flat: ctx.flat }), AppearsIn: seen }], ACLs: acls,
    Policies: numbered ? policiesJson(row.policies, uuid) : row.policies.map(policy => ({ Resource: uuid, ...policy })), PoliciesContextEditable: true,
  })
}
