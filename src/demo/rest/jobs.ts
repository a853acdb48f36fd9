/** `/a/jobs/user*` (contract, section 5). */
import type { Call, Context } from '../context.js'
import { notFound, RestError, unauthorized } from '../errors.js'
import { readJson, sendJson, sendText } from '../http.js'
import { stringsField } from './fields.js'

/** `POST /a/jobs/user` */
export async function listJobs(ctx: Context, { req, res, user }: Call): Promise<void> {
  const body = await readJson(req)
  const tasks = typeof body['LoadTasks'] === 'string' ? body['LoadTasks'] : undefined
  const everybody = body['Owner'] === '*' && user.isAdmin
  const jobs = ctx.jobs.list(everybody ? undefined : user.login, stringsField(body, 'JobIDs'), tasks)
  sendJson(req, res, jobs.length > 0 ? { Jobs: jobs } : {})
}

/** `PUT /a/jobs/user/{name}` */
export async function startJob(ctx: Context, { req, res, user, rest }: Call): Promise<void> {
  const body = await readJson(req)
  // 2.x takes the name from the body only and does nothing, successfully, without it.
  const name = typeof body['JobName'] === 'string' && body['JobName'] !== '' ? body['JobName'] : ctx.version === 2 ? '' : rest
  if (name === '') return sendJson(req, res, {})
  const parameters = parse(body['JsonParameters'])
  if (name === 'move' || name === 'copy') {
    const { nodes, target } = parameters
    if (!Array.isArray(nodes) || typeof target !== 'string') throw new RestError(ctx.version === 5 ? 500 : 502, 'bad parameters')
    const id = ctx.mutations.transfer(name, user, nodes.map(String), target, parameters['targetParent'] === true)
    return sendJson(req, res, { JobUuid: id })
  }
  if (name === 'datasource-resync') return sendJson(req, res, { JobUuid: ctx.jobs.resync(String(parameters['dsName'])) })
  sendJson(req, res, {})
}

/** `DELETE /a/scheduler/jobs/{id}`: Enterprise only. A real Home server answers anybody with an empty 500. */
export function deleteJob(ctx: Context, { req, res, user, rest }: Call): void {
  if (!ctx.enterprise) return sendText(res, 500, '')
  if (!user.isAdmin) throw unauthorized()
  if (!ctx.jobs.remove(rest)) throw notFound(404, `cannot find job ${rest}`)
  sendJson(req, res, { Success: true })
}

function parse(text: unknown): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(typeof text === 'string' ? text : '{}')
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    throw new RestError(500, 'invalid character in JsonParameters')
  }
}
