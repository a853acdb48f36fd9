/** The jobs of a server as a list, and their removal, which Enterprise servers alone offer (cec-reference 10.2, 10.3). */
import { CellsError } from './errors.js'
import { jobStatus } from './jobs.js'
import { escapeSegment } from './names.js'
import { asCount, asString, isObject, type Json } from './node.js'
import type { Rest } from './rest.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'
import type { JobStatus } from './types.js'

/** The most tasks per job that the server is asked for. */
export const TASKS_LIMIT = 100
/** Owner of the jobs that the server itself made. */
export const SYSTEM_USER = 'pydio.system.user'

export interface JobInfo {
  readonly id: string
  readonly label: string
  readonly owner: string
  /** At most {@link TASKS_LIMIT}. */
  readonly taskCount: number
  readonly lastTask?: {
    readonly status: JobStatus
    readonly message: string
    /** Seconds since the epoch, 0 when absent. */
    readonly started: number
    readonly ended: number
  }
  /** As the server sent it. */
  readonly raw: Json
}

/** All jobs that the user may see: everybody's for an administrator, else the user's own. @throws CellsError */
export async function listJobs(rest: Rest, ids: readonly string[] = [], options: CallOptions = {}): Promise<JobInfo[]> {
  const answer = await rest.call({
    method: 'POST', path: '/a/jobs/user', doing: 'list the jobs', timeoutMs: TIMEOUTS.admin, ...options,
    json: { ...(ids.length === 0 ? {} : { JobIDs: ids }), Owner: '*', LoadTasks: 'Any', TasksLimit: TASKS_LIMIT },
  })
  const rows = isObject(answer) && Array.isArray(answer['Jobs']) ? answer['Jobs'].filter(isObject) : []
  return rows.map(parseJob).filter((job) => job.id !== '' && (ids.length === 0 || ids.includes(job.id)))
}

function parseJob(raw: Json): JobInfo {
  const tasks = Array.isArray(raw['Tasks']) ? raw['Tasks'].filter(isObject) : []
  const newest = [...tasks].sort((a, b) => asCount(b['StartTime']) - asCount(a['StartTime']))[0]
  return {
    id: asString(raw['ID']), label: asString(raw['Label']), owner: asString(raw['Owner']), taskCount: tasks.length, raw,
    ...(newest === undefined ? {} : {
      lastTask: { status: jobStatus(newest['Status']), message: asString(newest['StatusMessage']), started: asCount(newest['StartTime']), ended: asCount(newest['EndTime']) },
    }),
  }
}

/** @throws CellsError; on a Home edition, which answers with an empty 500 or a 404, `invalid` */
export async function deleteJob(rest: Rest, id: string, options: CallOptions = {}): Promise<void> {
  const doing = `delete the job ${id}`
  try {
    await rest.call({ method: 'DELETE', path: `/a/scheduler/jobs/${escapeSegment(id)}`, doing, idempotent: false, attempts: 1, privileged: true, timeoutMs: TIMEOUTS.admin, ...options })
  } catch (error) {
    const noSuchCall = error instanceof CellsError && ((error.status === 500 && error.detail === '') || /page not found/i.test(error.detail))
    if (!noSuchCall) throw error
    throw new CellsError('invalid', `could not ${doing}: this server does not offer it, Enterprise servers do`, { status: error.status, cause: error })
  }
}
