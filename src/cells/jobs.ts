/**
 * What the server does in jobs: move, copy, delete, restore. A job is over when the tree shows it, not when
 * the job list says so (that lies for 3-5 s, contract, trap 15): stat decides, the event
 * stream wakes, and the job list is only asked, from time to time, whether the job has failed.
 */
import type { Deadline } from './deadline.js'
import { CellsError, isCellsError } from './errors.js'
import type { Features } from './features.js'
import { baseOf, checkExistingPath, checkPath, isWithin, parentOf, RECYCLE_BIN, workspaceOf } from './names.js'
import { asCount, asString, isObject } from './node.js'
import { mapLimited } from './pool.js'
import type { Rest } from './rest.js'
import type { CallOptions, Job } from './server.js'
import { TIMEOUTS } from './timeouts.js'
import type { Tree } from './tree.js'
import { ETAG_TEMPORARY, type CellsEvent, type CellsNode, type JobStatus } from './types.js'
import { touches, waitUntil, type WakeUps } from './wait.js'

const FAILURE_CHECK_MS = 2000
/** How long a job may be missing from the list before it counts as done and cleaned away. */
const VANISHED_MS = 6000
/** A deleted name that is still there after this long may be somebody else's by now. */
const TAKEN_AGAIN_MS = 3000
/** What is nowhere to be seen this long after the job that has moved it, somebody has deleted or moved on. */
const TAKEN_ON_MS = 4000
const STATUSES: ReadonlySet<string> = new Set(['Unknown', 'Idle', 'Running', 'Finished', 'Interrupted', 'Paused', 'Error', 'Queued'])

export interface JobsParts {
  readonly rest: Rest
  readonly tree: Tree
  readonly features: Features
  readonly wakeUps: WakeUps
  readonly listChildren: (path: string, options: CallOptions) => AsyncIterable<CellsNode[]>
}

export class Jobs {
  readonly #parts: JobsParts

  constructor(parts: JobsParts) {
    this.#parts = parts
  }

  async move(source: string, target: string, options: CallOptions = {}): Promise<CellsNode | undefined> {
    const from = checkExistingPath(source)
    const to = checkPath(target, await this.#parts.features.nameRules([target], options.signal))
    if (from === to) return undefined
    refuseRoots([from, to], 'move')
    // Accepted by the server, and the tree is destroyed (trap 5).
    if (isWithin(to, from)) throw new CellsError('invalid', `could not move ${from} into itself`)
    let shown: CellsNode | undefined
    await this.#settled(options, `move ${from} to ${to}`, async (deadline) => {
      await this.#parts.tree.guard.checkExisting(from, deadline.signal)
      await this.#parts.tree.guard.creating(to, deadline.signal, async () => {
        const job = await this.#start('move', [from], to, false, options)
        await this.#watched([job], deadline, async () => {
          shown = await this.#untilMoved(from, to, job, deadline)
          // Across workspaces, and for folders, the copy shows before the source has gone.
          if (shown?.kind === 'folder' || workspaceOf(from) !== workspaceOf(to)) await this.#untilDeleted([from], [job], deadline)
        })
      })
    })
    return shown
  }

  async copy(source: string, target: string, options: CallOptions = {}): Promise<void> {
    const from = checkExistingPath(source)
    const to = checkPath(target, await this.#parts.features.nameRules([target], options.signal))
    refuseRoots([from, to], 'copy')
    if (isWithin(to, from)) throw new CellsError('invalid', `could not copy ${from} into itself`)
    await this.#settled(options, `copy ${from} to ${to}`, async (deadline) => {
      const node = await this.#parts.tree.stat(from, { signal: deadline.signal })
      if (node === undefined) throw new CellsError('not-found', `could not copy ${from}: it does not exist`)
      await this.#parts.tree.guard.checkExisting(from, deadline.signal)
      await this.#parts.tree.guard.creating(to, deadline.signal, async () => {
        const job = await this.#start('copy', [from], to, false, options)
        await this.#watched([job], deadline, async () => {
          // The target folder shows before its content has been copied.
          if (node.kind === 'folder') await this.#untilDone(job, deadline)
          await this.#until(to, (copy) => copy !== undefined && (node.kind === 'folder' || copy.etag !== ETAG_TEMPORARY), deadline)
        })
      })
    })
  }

  async startJob(name: 'copy' | 'move', sources: readonly string[], target: string, targetIsParent: boolean, options: CallOptions = {}): Promise<Job> {
    const guard = this.#parts.tree.guard
    const nodes = sources.map(checkExistingPath)
    const into = checkExistingPath(target)
    for (const source of nodes) {
      await guard.checkExisting(source, options.signal)
      await guard.creating(targetIsParent ? `${into}/${baseOf(source)}` : into, options.signal, () => Promise.resolve())
    }
    return this.#start(name, nodes, into, targetIsParent, options)
  }

  async #start(name: 'copy' | 'move', nodes: readonly string[], target: string, targetParent: boolean, options: CallOptions): Promise<Job> {
    const parameters = { nodes, target, targetParent }
    const answer = await this.#parts.rest.call({
      method: 'PUT', path: `/a/jobs/user/${name}`, json: { JobName: name, JsonParameters: JSON.stringify(parameters) }, idempotent: false,
      doing: `${name} ${describe(parameters.nodes)}`, signal: options.signal, timeoutMs: TIMEOUTS.startJob,
    })
    const id = isObject(answer) ? asString(answer['JobUuid']) : ''
    if (id === '') throw new CellsError('protocol', `could not ${name} ${describe(parameters.nodes)}: the answer holds no job`)
    return { id }
  }

  async waitForJob(job: Job, options: CallOptions & { onStatus?: (status: JobStatus, message: string) => void } = {}): Promise<void> {
    await this.#settled(options, `wait for job ${job.id}`, (deadline) => this.#untilDone(job, deadline, options.onStatus))
  }

  async remove(paths: readonly string[], options: CallOptions & { permanently?: boolean } = {}): Promise<void> {
    const all = [...new Set(paths.map(checkExistingPath))]
    refuseRoots(all, 'delete')
    const wanted = all.filter((path) => !all.some((other) => other !== path && isWithin(path, other)))
    if (wanted.length === 0) return
    await this.#settled(options, `delete ${describe(wanted)}`, async (deadline) => {
      await mapLimited(wanted, 4, (path) => this.#parts.tree.guard.checkExisting(path, deadline.signal))
      const outside = wanted.filter((path) => !isInBin(path))
      if (options.permanently !== true || outside.length === 0) return this.#delete(wanted, {}, deadline)
      if (this.#parts.features.permanentDelete !== false) {
        try {
          await this.#delete(wanted, { RemovePermanently: true }, deadline)
          this.#parts.features.learnPermanentDelete(true)
          return
        } catch (error) {
          if (!(isCellsError(error) && /unknown field/i.test(error.detail))) throw error
          this.#parts.features.learnPermanentDelete(false)
        }
      }
      // 2.x: to the bin, then what lies there under the same Uuid.
      const nodes = await this.#parts.tree.statMany(outside, { signal: deadline.signal })
      await this.#delete(wanted, {}, deadline)
      await this.#deleteFromBins(new Set([...nodes.values()].map((node) => node.uuid)), new Set(outside.map(workspaceOf)), deadline)
    })
  }

  async restore(paths: readonly string[], options: CallOptions = {}): Promise<void> {
    const wanted = [...new Set(paths.map(checkExistingPath))]
    const stray = wanted.find((path) => !isInBin(path))
    if (stray !== undefined) throw new CellsError('invalid', `could not restore ${stray}: it is not in a recycle bin`)
    await this.#settled(options, `restore ${describe(wanted)}`, async (deadline) => {
      const answer = await this.#post('/a/tree/restore', { Nodes: wanted.map((path) => ({ Path: path })) }, deadline)
      await this.#watched(jobsIn(answer, 'RestoreJobs'), deadline, () => this.#untilGone(wanted, deadline))
    })
  }

  async #deleteFromBins(uuids: ReadonlySet<string>, workspaces: ReadonlySet<string>, deadline: Deadline): Promise<void> {
    const found: string[] = []
    for (const workspace of workspaces) {
      for await (const page of this.#parts.listChildren(`${workspace}/${RECYCLE_BIN}`, { signal: deadline.signal })) {
        for (const node of page) if (node.uuid !== '' && uuids.has(node.uuid)) found.push(node.path)
      }
    }
    if (found.length > 0) await this.#delete(found, {}, deadline)
  }

  async #delete(paths: readonly string[], extra: Record<string, unknown>, deadline: Deadline): Promise<void> {
    const request = (targets: readonly string[]): Promise<unknown> => this.#post('/a/tree/delete', { Nodes: targets.map((path) => ({ Path: path })), ...extra }, deadline)
    let targets = paths
    let answer: unknown
    try {
      answer = await request(targets)
    } catch (error) {
      // One missing path and nothing at all is deleted (contract, section 5).
      if (!isCellsError(error, 'not-found') || paths.length < 2) throw error
      const there = await this.#parts.tree.statMany(paths, { signal: deadline.signal })
      targets = paths.filter((path) => there.has(path))
      if (targets.length === 0 || targets.length === paths.length) throw error
      answer = await request(targets)
    }
    const jobs = jobsIn(answer, 'DeleteJobs')
    // The bin itself is emptied and stays.
    const bins = targets.filter((path) => isBin(path))
    await this.#watched(jobs, deadline, async () => {
      await this.#untilDeleted(targets.filter((path) => !isBin(path)), jobs, deadline)
      if (bins.length > 0) for (const job of jobs) await this.#untilDone(job, deadline)
    })
  }

  #post(path: string, json: unknown, deadline: Deadline): Promise<unknown> {
    return this.#parts.rest.call({ method: 'POST', path, json, idempotent: false, doing: deadline.doing, signal: deadline.signal, timeoutMs: TIMEOUTS.startJob })
  }

  async #untilGone(paths: readonly string[], deadline: Deadline): Promise<void> {
    await mapLimited(paths, 4, (path) => this.#until(path, (node) => node === undefined, deadline))
  }

  /**
   * Gone, or deleted and there again: another client that saw it go may have taken the name at once, and it is never seen empty.
   * Then the jobs tell, later (trap 15).
   */
  async #untilDeleted(paths: readonly string[], jobs: readonly Job[], deadline: Deadline): Promise<void> {
    const gone = this.#untilGone(paths, deadline)
    if (jobs.length === 0) return gone
    // Both end with the deadline.
    const done = deadline.sleep(TAKEN_AGAIN_MS).then(() => Promise.all(jobs.map((job) => this.#untilDone(job, deadline))))
    gone.catch(() => {})
    done.catch(() => {})
    await Promise.race([gone, done])
  }

  /** Shown at its new place, or moved there and taken on from there before anybody looked, and then it is never shown: undefined. */
  async #untilMoved(from: string, to: string, job: Job, deadline: Deadline): Promise<CellsNode | undefined> {
    const takenOn = async (): Promise<undefined> => {
      await deadline.sleep(TAKEN_AGAIN_MS)
      await this.#untilDeleted([from], [job], deadline)
      await this.#untilDone(job, deadline)
      await deadline.sleep(TAKEN_ON_MS)
    }
    const shown = this.#until(to, (node) => node !== undefined, deadline)
    shown.catch(() => {})
    // (Why this one has failed the other one says, too, or `watched`.)
    return Promise.race([shown, takenOn().catch(() => shown)])
  }

  #until(path: string, wanted: (node: CellsNode | undefined) => boolean, deadline: Deadline): Promise<CellsNode | undefined> {
    return waitUntil({
      look: () => this.#parts.tree.stat(path, { signal: deadline.signal }),
      wanted, wakesOn: (event) => touches(event, path), wakeUps: this.#parts.wakeUps, deadline,
    })
  }

  async #untilDone(job: Job, deadline: Deadline, onStatus?: (status: JobStatus, message: string) => void): Promise<void> {
    let ended: { status: JobStatus; message: string } | undefined
    let last = ''
    let lastSeen = Date.now()
    const note = (status: JobStatus, message: string): void => {
      lastSeen = Date.now()
      if (`${status} ${message}` !== last) onStatus?.(status, message)
      last = `${status} ${message}`
      if (isEnd(status)) ended = { status, message }
    }
    await waitUntil({
      look: async () => {
        if (ended === undefined) {
          const seen = await this.#status(job, deadline)
          if (seen !== undefined) note(seen.status, seen.message)
          else if (Date.now() - lastSeen > VANISHED_MS) note('Finished', '')
        }
        return undefined
      },
      wanted: () => ended !== undefined,
      wakesOn: (event) => {
        if (event.type !== 'task' || event.jobId !== job.id) return false
        note(event.status, event.message)
        return isEnd(event.status)
      },
      wakeUps: this.#parts.wakeUps, deadline,
    })
    if (ended !== undefined && ended.status !== 'Finished') throw jobFault(ended.message, deadline.doing)
  }

  /** Runs `work`; a failing job ends it at once. */
  async #watched(jobs: readonly Job[], deadline: Deadline, work: () => Promise<unknown>): Promise<void> {
    const ids = new Set(jobs.map((job) => job.id))
    const stop = this.#parts.wakeUps.watch((event: CellsEvent) => {
      if (event.type === 'task' && ids.has(event.jobId) && isEnd(event.status) && event.status !== 'Finished') deadline.fail(jobFault(event.message, deadline.doing))
    })
    let over = false
    const check = async (): Promise<void> => {
      while (!over) {
        await deadline.sleep(FAILURE_CHECK_MS)
        for (const job of jobs) {
          const seen = over ? undefined : await this.#status(job, deadline)
          if (seen !== undefined && isEnd(seen.status) && seen.status !== 'Finished') deadline.fail(jobFault(seen.message, deadline.doing))
        }
      }
    }
    // Only a look at the side: its own failures say nothing about the job.
    check().catch(() => {})
    try {
      await work()
    } finally {
      over = true
      stop()
    }
  }

  async #status(job: Job, deadline: Deadline): Promise<{ status: JobStatus; message: string } | undefined> {
    const answer = await this.#parts.rest.call({
      method: 'POST', path: '/a/jobs/user', json: { JobIDs: [job.id], LoadTasks: 'Any' }, doing: deadline.doing, signal: deadline.signal, timeoutMs: TIMEOUTS.stat,
    })
    const found = isObject(answer) && Array.isArray(answer['Jobs']) ? (answer['Jobs'] as unknown[]).find((each) => isObject(each) && each['ID'] === job.id) : undefined
    if (!isObject(found)) return undefined
    const tasks = Array.isArray(found['Tasks']) ? found['Tasks'].filter(isObject) : []
    const newest = tasks.sort((a, b) => asCount(b['StartTime']) - asCount(a['StartTime']))[0]
    return newest === undefined ? undefined : { status: jobStatus(newest['Status']), message: asString(newest['StatusMessage']) }
  }

  async #settled<T>(options: CallOptions, doing: string, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = this.#parts.rest.http.deadline(options.timeoutMs ?? TIMEOUTS.job, doing, options.signal)
    try {
      return await work(deadline)
    } catch (error) {
      // What failed the deadline (a job's error) matters more than the call it cut off.
      throw deadline.signal.aborted ? deadline.signal.reason : error
    } finally {
      deadline.end()
    }
  }
}

export function jobStatus(raw: unknown): JobStatus {
  return typeof raw === 'string' && STATUSES.has(raw) ? (raw as JobStatus) : 'Unknown'
}

function isEnd(status: JobStatus): boolean {
  return status === 'Finished' || status === 'Error' || status === 'Interrupted'
}

function jobFault(message: string, doing: string): CellsError {
  return new CellsError('job', `could not ${doing}: the server's job failed${message === '' ? '' : ` (${message})`}`, { detail: message })
}

function jobsIn(answer: unknown, field: string): Job[] {
  const list = isObject(answer) && Array.isArray(answer[field]) ? answer[field] : []
  return list.filter(isObject).map((job) => ({ id: asString(job['Uuid']) })).filter((job) => job.id !== '')
}

function refuseRoots(paths: readonly string[], verb: string): void {
  const root = paths.find((path) => !path.includes('/'))
  // A 2.x server accepts it and locks the workspace (contract, section 3).
  if (root !== undefined) throw new CellsError('forbidden', `could not ${verb} ${root || '/'}: it is a workspace`)
}

function isBin(path: string): boolean {
  return baseOf(path) === RECYCLE_BIN && !parentOf(path).includes('/')
}

function isInBin(path: string): boolean {
  const [, second, ...rest] = path.split('/')
  return second === RECYCLE_BIN && (rest.length > 0 || isBin(path))
}

function describe(paths: readonly string[]): string {
  return paths.length === 1 ? (paths[0] ?? '') : `${paths.length} items`
}
