/** `cec jobs`: lists the server's jobs and deletes them (cec-reference 10.2, 10.3). */
import type { Argv } from 'yargs'
import { CellsError, type CellsErrorKind } from '../cells/errors.js'
import { deleteJob, listJobs, SYSTEM_USER, TASKS_LIMIT, type JobInfo } from '../cells/jobs-list.js'
import type { Rest } from '../cells/rest.js'
import { formatOf, textOf } from './argv.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withServer } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { compileFilter } from './jobs-filter.js'
import { declareJson, isoTime, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { hasTerminal, terminalPrompter } from './prompts.js'

const ENDS_ALL: ReadonlySet<CellsErrorKind> = new Set(['aborted', 'login-needed', 'network', 'tls', 'not-cells'])

const taskCount = (job: JobInfo): string => (job.taskCount >= TASKS_LIMIT ? `${TASKS_LIMIT - 1}+` : String(job.taskCount))

/** JSON: `[{ id, label, owner, taskCount, lastTask: { status, message, started, ended } | null }]`. `--format json`: as the server sent it. */
async function get(argv: CecArgv): Promise<void> {
  const format = formatOf(argv)
  const matches = compileFilter(textOf(argv, 'filter'))
  await withServer(argv, async ({ rest }, { signal }) => {
    const found = (await listJobs(rest, [], { signal })).filter(matches)
    if (wantsJson(argv)) printJson(found.map(summary))
    else if (format === 'json') printJson(found.map((job) => job.raw))
    else {
      const { formatTable } = await import('./table.js')
      print(formatTable(['ID', 'Label', 'Owner', 'Num Tasks', 'Last task status'], found.map((job) => [job.id, job.label, job.owner, taskCount(job), job.lastTask?.status ?? ''])))
    }
  })
}

const summary = ({ id, label, owner, taskCount: count, lastTask }: JobInfo): object => ({
  id, label, owner, taskCount: count,
  lastTask: lastTask === undefined ? null : { status: lastTask.status, message: lastTask.message, started: isoTime(lastTask.started), ended: isoTime(lastTask.ended) },
})

interface Outcome {
  readonly job: JobInfo
  readonly status: 'done' | 'dry-run' | 'skipped' | 'failed'
  readonly text: string
}

/** JSON: `[{ id, label, status, message }]`, status one of done, dry-run, skipped, failed. `--format json`: `[{ JobID, JobLabel, Result }]`. */
async function remove(argv: CecArgv): Promise<void> {
  const format = formatOf(argv)
  const id = textOf(argv, 'job-id')
  const filter = textOf(argv, 'filter')
  if (id === '' && filter === '') throw new CommandError('please say which jobs: --job-id or --filter')
  const matches = compileFilter(id === '' ? filter : '')
  await withServer(argv, async ({ rest }, { signal, logger }) => {
    const found = (await listJobs(rest, id === '' ? [] : [id], { signal })).filter(matches)
    if (found.length === 0) {
      logger.info('No job matches, nothing was deleted.')
      if (wantsJson(argv)) printJson([])
      return
    }
    if (argv['dry-run'] === true) logger.info('This is a dry run: nothing will be deleted.')
    const outcomes: Outcome[] = []
    for (const job of found) {
      const reason = await whySkipped(job, found.length === 1, id !== '', argv)
      if (reason === 'aborted') {
        logger.info('Aborted, nothing was deleted.')
        return
      }
      outcomes.push(reason === '' ? await removeOne(rest, job, argv['dry-run'] === true, signal) : { job, status: 'skipped', text: `skipped: ${reason}` })
    }
    await report(outcomes, argv, format)
    if (outcomes.some((outcome) => outcome.status === 'failed')) throw new SilentFailure()
  })
}

/**
 * The server's own jobs are kept unless one is named by its id and confirmed with the word yes, or forced.
 *
 * @returns '' when the job is to be deleted, `aborted` when the answer was not yes
 * @throws CommandError without a terminal to ask on
 */
async function whySkipped(job: JobInfo, single: boolean, byId: boolean, argv: CecArgv): Promise<string> {
  if (job.owner !== SYSTEM_USER) return ''
  if (!single) return 'system jobs are not deleted together with others'
  if (argv['force'] === true || argv['dry-run'] === true) return ''
  if (!byId) return 'a system job that a filter has found needs --force'
  if (!hasTerminal()) throw new CommandError(`${job.id} is a system job and there is no terminal to ask for confirmation, nothing was deleted; use --force to delete without asking`)
  const answer = await terminalPrompter().text(`${job.id} is a system job; type yes to delete it`)
  return answer.trim().toLowerCase() === 'yes' ? '' : 'aborted'
}

async function removeOne(rest: Rest, job: JobInfo, dryRun: boolean, signal: AbortSignal): Promise<Outcome> {
  if (dryRun) return { job, status: 'dry-run', text: 'done (dry-run)' }
  try {
    await deleteJob(rest, job.id, { signal })
    return { job, status: 'done', text: 'done' }
  } catch (error) {
    // What would fail for every other job too ends the command.
    if (!(error instanceof CellsError) || ENDS_ALL.has(error.kind)) throw error
    return { job, status: 'failed', text: `cannot delete: ${error.message}` }
  }
}

async function report(outcomes: readonly Outcome[], argv: CecArgv, format: 'table' | 'json'): Promise<void> {
  if (wantsJson(argv)) {
    printJson(outcomes.map(({ job, status, text }) => ({ id: job.id, label: job.label, status, message: text })))
  } else if (format === 'json') {
    printJson(outcomes.map(({ job, text }) => ({ JobID: job.id, JobLabel: job.label, Result: text })))
  } else {
    const { formatTable } = await import('./table.js')
    print(formatTable(['ID', 'Label', 'Result'], outcomes.map(({ job, text }) => [job.id, job.label, text])))
  }
}

const declareCommon = (yargs: Argv): Argv => declareJson(yargs)
  .option('format', { type: 'string', requiresArg: true, describe: 'table, or json for what the server sent' })
  .option('filter', { type: 'string', requiresArg: true, describe: 'e.g. {"owner":{"op":"eq","value":"alice"}}; fields owner numtasks task_status, operators eq ne gt lt' })

export const command: CecCommand = {
  command: 'jobs',
  describe: 'List and delete jobs of the server',
  builder: (yargs) => yargs
    .usage('$0 jobs <command>')
    .command('get', 'List the jobs', declareCommon, async (argv) => await get(argv))
    .command('delete', 'Delete jobs (Enterprise servers)', (own) => declareCommon(own)
      .option('job-id', { type: 'string', requiresArg: true, describe: 'The one job with this id, whatever the filter' })
      .option('force', { type: 'boolean', describe: 'Delete a system job without asking' })
      .option('dry-run', { type: 'boolean', describe: 'Only show what would be deleted' }),
    async (argv) => await remove(argv))
    .demandCommand(1, 'which of get, delete?'),
  handler: () => {},
}
