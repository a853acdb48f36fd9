/**
 * Background jobs: what the scheduler shows of them. The event stream tells the truth at once; the REST listing of a
 * structured server goes on saying `Running` for some seconds after the work is done (trap 15).
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from '../log.js'
import type { EventBus } from './event-bus.js'
import { nowSeconds } from './tree.js'

type TaskStatus = 'Running' | 'Finished' | 'Error'

interface Task {
  ID: string
  JobID: string
  Status: TaskStatus
  StatusMessage: string
  TriggerOwner: string
  StartTime: number
  EndTime?: number
  HasProgress?: true
  Progress?: number
}

export interface JobSpec {
  /** Beginning of the id, e.g. `copy-move`. */
  readonly kind: string
  readonly owner: string
  readonly label: string
  readonly action: string
  /** Internal paths of the nodes, `personal/admin/a.txt`. */
  readonly paths: readonly string[]
  readonly parameters?: Readonly<Record<string, string>>
  /** Told the name of each node as it is worked on. */
  readonly work: (progress: (message: string) => void) => Promise<void>
}

interface Job {
  readonly spec: JobSpec
  readonly id: string
  readonly task: Task
  /** When the REST listing may admit the end, milliseconds. */
  shownAt: number
}

/** Jobs that a server makes for itself when it is installed. */
const SYSTEM_OWNER = 'pydio.system.user'
const INSTALLED: readonly (readonly [id: string, label: string])[] = [
  ['clean-thumbs-job', 'Clear thumbnails cache for deleted files'],
  ['clean-user-data', 'Clean or transfer user data on deletion'],
]

/** Ended jobs stay in the list for this long (AutoClean). */
const KEEP_MS = 120_000

export class Jobs {
  readonly #jobs = new Map<string, Job>()
  readonly #bus: EventBus
  readonly #lagMs: number
  readonly #logger: Logger
  readonly #running = new Set<Promise<void>>()
  /** The server's own, by id; they are not run here. */
  readonly #system = new Map(INSTALLED)

  constructor(bus: EventBus, lagMs: number, logger: Logger) {
    this.#bus = bus
    this.#lagMs = lagMs
    this.#logger = logger
  }

  /** Starts the work in the background and returns the job's id. */
  start(spec: JobSpec): string {
    this.#forget()
    const id = `${spec.kind}-${randomUUID()}`
    const job: Job = {
      spec, id, shownAt: Infinity,
      task: { ID: randomUUID(), JobID: id, Status: 'Running', StatusMessage: 'Pending', TriggerOwner: spec.owner, StartTime: nowSeconds(), ...(spec.parameters ? { HasProgress: true as const } : {}) },
    }
    this.#jobs.set(id, job)
    const run = this.#run(job).finally(() => this.#running.delete(run))
    this.#running.add(run)
    return id
  }

  /**
   * `POST /a/jobs/user`.
   *
   * @param owner undefined for everybody's, the server's own included
   * @param tasks undefined lists jobs without tasks, `Any` with them, a status only those in it
   */
  list(owner: string | undefined, ids: readonly string[], tasks: string | undefined): object[] {
    this.#forget()
    const found: object[] = []
    const wanted = (id: string): boolean => ids.length === 0 || ids.includes(id)
    for (const [id, label] of owner === undefined ? this.#system : []) if (wanted(id)) found.push({ ID: id, Label: label, Owner: SYSTEM_OWNER, MaxConcurrency: 1 })
    for (const job of this.#jobs.values()) {
      if ((owner !== undefined && job.spec.owner !== owner) || !wanted(job.id)) continue
      const shown = this.#shown(job)
      if (tasks !== undefined && tasks !== 'Any' && tasks !== shown.Status) continue
      found.push(tasks === undefined ? jobJson(job) : { ...jobJson(job), Tasks: [shown] })
    }
    return found
  }

  /** The job that reads a data source anew, one for each, whatever its name; returns its id. */
  resync(source: string): string {
    const id = `resync-ds-${source}`
    this.#system.set(id, `Sync DataSource ${source}`)
    return id
  }

  /** Whether there was such a job. */
  remove(id: string): boolean {
    return this.#system.delete(id) || this.#jobs.delete(id)
  }

  /** Resolves when no job is running. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  async #run(job: Job): Promise<void> {
    const { task } = job
    // The caller has its answer before the first word of the job.
    if (this.#lagMs > 0) await new Promise(resolve => setTimeout(resolve, 5))
    this.#announce(job)
    try {
      await job.spec.work(message => {
        task.StatusMessage = message
        this.#announce(job)
      })
      task.Status = 'Finished'
      task.StatusMessage = 'Complete'
      if (job.spec.parameters) task.Progress = 1
    } catch (error) {
      task.Status = 'Error'
      task.StatusMessage = `Error: ${error instanceof Error ? error.message : String(error)}`
      this.#logger.debug('demo: job failed', { job: job.id, error })
    }
    task.EndTime = nowSeconds()
    job.shownAt = Date.now() + this.#lagMs
    this.#announce(job)
  }

  #shown(job: Job): Task {
    if (Date.now() >= job.shownAt || job.task.Status === 'Running') return { ...job.task }
    const shown: Task = { ...job.task, Status: 'Running', StatusMessage: 'Pending' }
    delete shown.EndTime
    delete shown.Progress
    return shown
  }

  #announce(job: Job): void {
    this.#bus.emit({ kind: 'user', login: job.spec.owner, message: { TaskUpdated: { ...job.task }, Job: jobJson(job) } })
  }

  #forget(): void {
    const now = Date.now()
    for (const [id, job] of this.#jobs) if (now - job.shownAt > KEEP_MS) this.#jobs.delete(id)
  }
}

function jobJson(job: Job): object {
  const { spec } = job
  return {
    ID: job.id, Label: spec.label, Owner: spec.owner, Languages: ['en-us'], AutoStart: true, AutoClean: true,
    Actions: [{ ID: spec.action, NodesSelector: { Pathes: spec.paths }, ...(spec.parameters ? { Parameters: spec.parameters } : {}) }],
    MaxConcurrency: 1,
  }
}
