/** `cec sync`: makes one folder like another, in one direction; what is only at the target is deleted with --delete only. */
import { dirname } from 'node:path'
import type { CellsServer } from '../cells/server.js'
import { COMPARISONS } from '../transfer/compare.js'
import { carryOutDownload } from '../transfer/download.js'
import { planDownload } from '../transfer/download-plan.js'
import type { DownloadPlanOptions, DownloadStep } from '../transfer/download-plan.js'
import { cautious, deleteLocalExtras, deleteRemoteExtras, Extras } from '../transfer/sync.js'
import type { Deletion } from '../transfer/sync.js'
import { TransferError } from '../transfer/types.js'
import type { TransferOptions, TransferReport } from '../transfer/types.js'
import { carryOutUpload } from '../transfer/upload.js'
import { planUpload } from '../transfer/upload-plan.js'
import type { UploadPlanOptions, UploadStep } from '../transfer/upload-plan.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import type { ServerContext } from './context.js'
import { counted } from './human.js'
import { declareOptions } from './options.js'
import type { CecArgv, OptionSpecs } from './options.js'
import { LIST_PARSER } from './parser.js'
import { describeStep, lineOf, printPlan } from './plan.js'
import { resolveScpSettings, SCP_OPTIONS } from './scp-options.js'
import type { ScpSettings } from './scp-options.js'
import { comparisonOf, downloadSides, sidesOf, uploadSides } from './sync-plan.js'
import type { Sides } from './sync-plan.js'
import { asCommandError, conclude, transferState, withProgress } from './transfer.js'

interface Job {
  readonly server: CellsServer
  readonly context: ServerContext
  readonly settings: ScpSettings
  readonly options: TransferOptions
  readonly sides: Sides
  readonly mayDelete: boolean
}

type RemoteExtra = Extract<UploadStep, { kind: 'extra' }>
type LocalExtra = Extract<DownloadStep, { kind: 'extra' }>

async function toServer(job: Job, argv: CecArgv): Promise<TransferReport> {
  const { server, context: { signal } } = job
  const place = await uploadSides(server, job.sides, signal)
  return carryOut<UploadStep, RemoteExtra>(job, planUpload(server, place, planOptions(job, argv)),
    (steps, all) => carryOutUpload(server, steps, { ...all, removeToBin: true }),
    extras => deleteRemoteExtras(server, extras, signal))
}

async function fromServer(job: Job, argv: CecArgv): Promise<TransferReport> {
  const { server, context: { signal } } = job
  const place = await downloadSides(server, job.sides, signal)
  const inside = place.existing === undefined ? dirname(place.path) : place.path
  return carryOut<DownloadStep, LocalExtra>(job, planDownload(server, place, planOptions(job, argv)),
    (steps, all) => carryOutDownload(server, steps, all, { inside }),
    extras => deleteLocalExtras(extras, signal))
}

const planOptions = ({ context, options, mayDelete }: Job, argv: CecArgv): UploadPlanOptions & DownloadPlanOptions =>
  ({ signal: context.signal, select: options.select, compare: comparisonOf(argv), extras: mayDelete })

/** Prints the plan, or carries it out; `remove` comes last. */
async function carryOut<S extends UploadStep | DownloadStep, E extends RemoteExtra | LocalExtra>(
  job: Job, plan: AsyncIterable<S>, work: (steps: AsyncIterable<S>, options: TransferOptions) => Promise<TransferReport>, remove: (extras: readonly E[]) => Promise<Deletion>,
): Promise<TransferReport> {
  const { context, settings, options, mayDelete } = job
  const steps = cautious(plan, mayDelete)
  if (settings.dryRun) return printPlan(steps, settings.json)
  const extras = new Extras<E>()
  const report = await withProgress(context, settings, true, options, all => work(extras.collect(steps, step => announce(job, step)), all))
  return conclusion(job, report, extras, () => remove(extras.items))
}

/** A deletion is named before it is done. */
function announce({ settings }: Job, step: UploadStep | DownloadStep): void {
  const planned = describeStep(step)
  print(settings.json ? JSON.stringify({ event: 'plan', ...planned }) : lineOf(planned))
}

/** Deletes at last, if nothing speaks against it. */
async function conclusion(job: Job, report: TransferReport, extras: Extras<RemoteExtra | LocalExtra>, remove: () => Promise<Deletion>): Promise<TransferReport> {
  if (extras.items.length === 0) return report
  const refuse = (why: string): TransferReport => ({ ...report, failures: [...report.failures, { path: 'deletion', error: new TransferError('unsupported', `${why}, so nothing was deleted`) }] })
  if (report.failures.length > 0) return refuse('not everything could be read or transferred')
  // A disk that is not mounted looks just like this.
  if (extras.sourceSteps === 0) return refuse('the source is empty')
  const { deleted, failures } = await remove()
  if (job.settings.json) for (const path of deleted) print(JSON.stringify({ event: 'deleted', path }))
  else job.context.logger.info(`${counted(deleted.length, 'item')} deleted${job.sides.toServer ? ' (to the recycle bin)' : ''}.`)
  return { ...report, removals: report.removals + deleted.length, failures }
}

async function handler(argv: CecArgv): Promise<void> {
  const settings = resolveScpSettings({ ...argv, force: true })
  comparisonOf(argv)
  const sides = sidesOf(String(argv['source']), String(argv['target']))
  await withFiles(settings.log === undefined ? argv : { ...argv, log: settings.log }, [sides.remote], async (server, context) => {
    const options: TransferOptions = { ...settings.transfer, signal: context.signal, state: await transferState(server, context) }
    const job: Job = { server, context, settings, options, sides, mayDelete: argv['delete'] === true }
    try {
      conclude(await (sides.toServer ? toServer(job, argv) : fromServer(job, argv)), context, settings)
    } catch (error) {
      throw asCommandError(error)
    }
  }, { retry: settings.retry })
}

/** Those of scp; replacing is what a synchronisation does, so there is no --force. */
const OPTIONS: OptionSpecs = Object.fromEntries(Object.entries(SCP_OPTIONS).filter(([key]) => key !== 'force'))

export const command: CecCommand = {
  command: 'sync <source> <target>',
  describe: 'Make a folder like another, in one direction',
  builder: yargs => declareOptions(yargs.parserConfiguration(LIST_PARSER), OPTIONS, 'Options:')
    .positional('source', { type: 'string', describe: 'Folder here, or cells://workspace/folder' })
    .positional('target', { type: 'string', describe: 'Folder that becomes like it; made if it is missing' })
    // No CEC_ variable may ever make a command delete.
    .option('delete', { type: 'boolean', describe: 'Delete what the source does not have; on the server to the recycle bin' })
    .option('compare', { type: 'string', requiresArg: true, describe: `How files are compared: ${COMPARISONS.join(', ')}; hash unless told otherwise` })
    .epilogue([
      'What is in the source folder goes into the target folder. Files that agree are left alone. Without --delete nothing is',
      'ever removed. With it, each deletion is printed first, and done last, unless something else went wrong. What is',
      'left out by --exclude or --include is not deleted either.',
    ].join('\n')),
  handler,
}
