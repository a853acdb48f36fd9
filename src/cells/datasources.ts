/** Data sources, the storage below the workspaces: an administrator's list, and the job that reads one anew. */
import { CellsError } from './errors.js'
import { asString, isObject } from './node.js'
import type { Rest } from './rest.js'
import type { CallOptions, Job } from './server.js'
import { TIMEOUTS } from './timeouts.js'

/** Never more of it than this: the answer holds the keys of the storage. */
export interface DataSource {
  readonly name: string
  /** `LOCAL`, `S3` ...; '' for the default, files on the server. */
  readonly type: string
  readonly flat: boolean
  readonly disabled: boolean
}

/** @throws CellsError `forbidden` for anybody but administrators */
export async function listDataSources(rest: Rest, options: CallOptions = {}): Promise<DataSource[]> {
  const answer = await rest.call({ method: 'GET', path: '/a/config/datasource', doing: 'list the data sources', privileged: true, timeoutMs: TIMEOUTS.admin, ...options })
  const rows = isObject(answer) && Array.isArray(answer['DataSources']) ? answer['DataSources'].filter(isObject) : []
  return rows.map((row) => ({ name: asString(row['Name']), type: asString(row['StorageType']), flat: row['FlatStorage'] === true, disabled: row['Disabled'] === true }))
}

/** Starts the job and does not wait for it. A 2.x server starts one for any name, even of no data source. @throws CellsError */
export async function startResync(rest: Rest, name: string, options: CallOptions = {}): Promise<Job> {
  const doing = `start the resync of ${name}`
  const answer = await rest.call({
    method: 'PUT', path: '/a/jobs/user/datasource-resync', doing, idempotent: false, privileged: true, timeoutMs: TIMEOUTS.startJob, ...options,
    json: { JobName: 'datasource-resync', JsonParameters: JSON.stringify({ dsName: name }) },
  })
  const id = isObject(answer) ? asString(answer['JobUuid']) : ''
  if (id === '') throw new CellsError('protocol', `could not ${doing}: the answer holds no job`)
  return { id }
}
