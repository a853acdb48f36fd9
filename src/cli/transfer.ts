/** Uploads and downloads for `scp`, and for `cp` with a `cells://` side: sides, messages, plan, report, exit code. */
import { join, resolve } from 'node:path'
import { CellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { stateHome } from '../paths.js'
import { explain } from '../transfer/run.js'
import { TransferState } from '../transfer/state.js'
import { TransferError } from '../transfer/types.js'
import type { TransferOptions, TransferReport } from '../transfer/types.js'
import type { ServerContext } from './context.js'
import { withFiles } from './context.js'
import { CommandError } from './errors.js'
import { counted } from './human.js'
import type { CecArgv } from './options.js'
import { printPlan } from './plan.js'
import { createProgress } from './progress.js'
import { cleanPath } from './remote-path.js'
import { resolveScpSettings } from './scp-options.js'
import type { ScpSettings } from './scp-options.js'
import { printable } from './table.js'

/** `cells://`, or `cells//` which shells complete better. */
const PREFIX = /^cells:?\/\//

export const isRemote = (word: string): boolean => PREFIX.test(word)
export const withoutPrefix = (word: string): string => word.replace(PREFIX, '')

/**
 * Carries out `scp <source> <target>`.
 * @throws CommandError with the list of failures; UsageError
 */
export async function transfer(argv: CecArgv, source: string, target: string): Promise<void> {
  const settings = resolveScpSettings(argv)
  if (isRemote(source) && isRemote(target)) throw new CommandError('both sides are on the server, use "cec cp" to copy there')
  if (!isRemote(source) && !isRemote(target)) throw new CommandError('one side must be on the server and begin with cells://; to copy on the server use "cec cp"')
  const remote = cleanPath(withoutPrefix(isRemote(source) ? source : target))
  await withFiles(settings.log === undefined ? argv : { ...argv, log: settings.log }, [remote], async (server, context) => {
    try {
      const state = await transferState(server, context)
      const options: TransferOptions = { ...settings.transfer, signal: context.signal, state }
      const report = isRemote(target)
        ? await send(server, context, settings, options, source, withoutPrefix(target))
        : await fetch(server, context, settings, options, withoutPrefix(source), target)
      if (!settings.dryRun) await state.sweep(server)
      conclude(report, context, settings)
    } catch (error) {
      throw asCommandError(error)
    }
  }, { retry: settings.retry })
}

/** What is remembered of unfinished transfers of this account. */
export async function transferState(server: CellsServer, context: ServerContext): Promise<TransferState> {
  const { user } = context.settings
  const login = user === undefined || user === '' ? await server.whoami({ signal: context.signal }) : user
  return new TransferState(join(stateHome(), 'transfers'), `${login}@${server.url}`)
}

async function send(server: CellsServer, context: ServerContext, settings: ScpSettings, options: TransferOptions, source: string, target: string): Promise<TransferReport> {
  const [{ planUpload, resolveUpload }, { upload, uploadPlanOptions }] = await Promise.all([import('../transfer/upload-plan.js'), import('../transfer/upload.js')])
  const place = await resolveUpload(server, source, target, settings.force, context.signal, options.state)
  if (settings.dryRun) return printPlan(planUpload(server, place, uploadPlanOptions(place, options)), settings.json)
  context.logger.info(`${place.resumed ? 'Going on uploading' : 'Uploading'} ${printable(resolve(source))} to cells://${printable(cleanPath(target))}`)
  return withProgress(context, settings, place.isFolder, options, all => upload(server, place, all))
}

async function fetch(server: CellsServer, context: ServerContext, settings: ScpSettings, options: TransferOptions, source: string, target: string): Promise<TransferReport> {
  const [{ planDownload, resolveDownload }, { download, downloadPlanOptions }] = await Promise.all([import('../transfer/download-plan.js'), import('../transfer/download.js')])
  const place = await resolveDownload(server, source, target, settings.force, context.signal, options.state)
  if (settings.dryRun) return printPlan(planDownload(server, place, downloadPlanOptions(place, options)), settings.json)
  context.logger.info(`${place.resumed ? 'Going on downloading' : 'Downloading'} cells://${printable(cleanPath(source))} to ${printable(resolve(target))}`)
  return withProgress(context, settings, place.node.kind === 'folder', options, all => download(server, place, all))
}

/** Shows how `work` gets on, in the way that was asked for. */
export async function withProgress(
  context: ServerContext, settings: Pick<ScpSettings, 'bars' | 'redrawMs' | 'json'>, many: boolean, options: TransferOptions, work: (options: TransferOptions) => Promise<TransferReport>,
): Promise<TransferReport> {
  const progress = await createProgress({ ...settings, many, logger: context.logger })
  try {
    return await work({ ...options, listener: progress.listener })
  } catch (error) {
    throw context.signal.aborted ? new CommandError(`aborted by user. ${GO_ON}`, { cause: error }) : error
  } finally {
    progress.stop()
  }
}

const GO_ON = 'The same command goes on where this one stopped.'

/** Says how it ended. @throws CommandError with the numbered list of failures */
export function conclude(report: TransferReport, context: ServerContext, settings: Pick<ScpSettings, 'json' | 'dryRun'>): void {
  const { failures } = report
  if (settings.json) {
    const { removals, folders, files, bytes, same, aborted } = report
    process.stdout.write(`${JSON.stringify({ event: 'end', removals, folders, files, bytes, same, failures: failures.length, aborted })}\n`)
  }
  if (failures.length > 0) {
    const list = failures.map(({ path, error }, index) => `  ${index + 1}. ${printable(path)}: ${printable(explain(error))}`).join('\n')
    const how = settings.dryRun ? 'The plan has' : `Transfer ${report.aborted ? 'aborted after' : 'finished with'}`
    throw new CommandError(`${how} ${counted(failures.length, 'error')}:\n${list}${report.aborted ? `\n${GO_ON}` : ''}`)
  }
  if (settings.dryRun || report.files + report.folders + report.same <= 1) return
  const same = report.same === 0 ? '' : `, ${counted(report.same, 'file')} unchanged`
  context.logger.info(`Transfer terminated: ${counted(report.files, 'file')}, ${counted(report.folders, 'new folder')}${same}.`)
}

/** Errors of a transfer, and of the disk here, as sentences. */
export function asCommandError(error: unknown): unknown {
  if (error instanceof TransferError) return new CommandError(error.message, { cause: error })
  if (error instanceof CellsError || !(error instanceof Error)) return error
  const { code, path } = error as NodeJS.ErrnoException
  return code !== undefined && path !== undefined ? new CommandError(`${printable(path)}: ${explain(error)}`, { cause: error }) : error
}
