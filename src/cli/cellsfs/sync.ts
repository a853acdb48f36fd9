/** `cellsfs sync [PATH]`: returns when everything is on the server. */
import { ask } from '../../fs/mount-control.js'
import { print, type CecCommand } from '../command.js'
import { CommandError, SilentFailure } from '../errors.js'
import type { CecArgv } from '../options.js'
import { allMounts, mountOf, secondsFlag, showingProgress } from './mounts.js'

async function handler(argv: CecArgv): Promise<void> {
  const path = argv['path'] as string | undefined
  const timeoutMs = secondsFlag(argv, 'timeout')
  const mounts = path === undefined ? await allMounts() : [await mountOf(path)]
  const reports = await showingProgress(mounts.map(({ socket }) => socket), Promise.all(mounts.map(async (mount) => {
    const { mountpoint } = mount.status
    const report = await ask(mount.socket, { op: 'sync', ...(mount.path !== '' && { path: mount.path }), ...(timeoutMs !== undefined && { timeoutMs }) })
    if (report === undefined) throw new CommandError(`the mount at ${mountpoint} ended before it had sent everything`)
    return { mountpoint, ...report }
  })))
  const failed = reports.flatMap(({ mountpoint, failed: all }) => all.map(({ path: name, reason }) => `${mountpoint}${name === '' ? '' : `/${name}`}: ${reason}`))
  const unsent = reports.reduce((sum, report) => sum + (report.unsent ?? 0), 0)
  if (failed.length + unsent === 0) return
  for (const line of failed) print(line)
  const what = [...(failed.length > 0 ? [`${failed.length} failed`] : []), ...(unsent > 0 ? [`${unsent} not sent when the time was up`] : [])]
  process.stderr.write(`cellsfs: not everything is on the server (${what.join(', ')})\n`)
  throw new SilentFailure('told')
}

export const command: CecCommand = {
  command: 'sync [path]',
  describe: 'Wait until everything is on the server',
  builder: (yargs) => yargs
    .positional('path', { type: 'string', describe: 'only this file or folder' })
    .option('timeout', { type: 'number', requiresArg: true, describe: 'Seconds to wait at most; sending goes on afterwards', defaultDescription: 'as long as it takes' }),
  handler,
}
