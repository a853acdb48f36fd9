/** Uploads and downloads for `scp`, and for `cp` with a `cells://` side: sides, messages, report, exit code. */
import { resolve } from 'node:path'
import { CellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { explain } from '../transfer/run.js'
import { TransferError } from '../transfer/types.js'
import type { TransferOptions, TransferReport } from '../transfer/types.js'
import type { CommandContext } from './context.js'
import { withServer } from './context.js'
import { CommandError } from './errors.js'
import { counted } from './human.js'
import type { CecArgv } from './options.js'
import { createProgress } from './progress.js'
import { resolveScpSettings } from './scp-options.js'
import type { ScpSettings } from './scp-options.js'
import { cleanPath } from './remote-path.js'

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
  await withServer(settings.log === undefined ? argv : { ...argv, log: settings.log }, async (server, context) => {
    try {
      const report = isRemote(target)
        ? await send(server, context, settings, source, withoutPrefix(target))
        : await fetch(server, context, settings, withoutPrefix(source), target)
      conclude(report, context)
    } catch (error) {
      throw asCommandError(error)
    }
  }, { retry: settings.retry })
}

async function send(server: CellsServer, context: CommandContext, settings: ScpSettings, source: string, target: string): Promise<TransferReport> {
  const [{ resolveUpload }, { upload }] = await Promise.all([import('../transfer/upload-plan.js'), import('../transfer/upload.js')])
  const plan = await resolveUpload(server, source, target, settings.force, context.signal)
  context.logger.info(`Uploading ${resolve(source)} to cells://${cleanPath(target)}`)
  return withProgress(context, settings, plan.isFolder, options => upload(server, plan, options))
}

async function fetch(server: CellsServer, context: CommandContext, settings: ScpSettings, source: string, target: string): Promise<TransferReport> {
  const [{ resolveDownload }, { download }] = await Promise.all([import('../transfer/download-plan.js'), import('../transfer/download.js')])
  const plan = await resolveDownload(server, source, target, settings.force, context.signal)
  context.logger.info(`Downloading cells://${cleanPath(source)} to ${resolve(target)}`)
  return withProgress(context, settings, plan.node.kind === 'folder', options => download(server, plan, options))
}

async function withProgress(context: CommandContext, settings: ScpSettings, many: boolean, work: (options: TransferOptions) => Promise<TransferReport>): Promise<TransferReport> {
  const progress = await createProgress({ bars: settings.bars, redrawMs: settings.redrawMs, many, logger: context.logger })
  try {
    return await work({ ...settings.transfer, signal: context.signal, listener: progress.listener })
  } finally {
    progress.stop()
  }
}

function conclude(report: TransferReport, context: CommandContext): void {
  const { failures } = report
  if (failures.length > 0) {
    const list = failures.map(({ path, error }, index) => `  ${index + 1}. ${harmless(path)}: ${harmless(explain(error))}`).join('\n')
    throw new CommandError(`Transfer ${report.aborted ? 'aborted after' : 'finished with'} ${counted(failures.length, 'error')}:\n${list}`)
  }
  if (report.files + report.folders > 1) context.logger.info(`Transfer terminated: ${counted(report.files, 'file')}, ${counted(report.folders, 'new folder')}.`)
}

/** A name must not move the cursor. */
const harmless = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')

function asCommandError(error: unknown): unknown {
  if (error instanceof TransferError) return new CommandError(error.message, { cause: error })
  if (error instanceof CellsError || !(error instanceof Error)) return error
  const { code, path } = error as NodeJS.ErrnoException
  return code !== undefined && path !== undefined ? new CommandError(`${harmless(path)}: ${explain(error)}`, { cause: error }) : error
}
