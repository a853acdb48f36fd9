/** `cellsfs mount [REMOTE] MOUNTPOINT`. */
import { isAuthError } from '../../auth/errors.js'
import { checkFuse, checkMountpoint } from '../../fs/mountpoint.js'
import { print, type CecCommand } from '../command.js'
import { createCliLogger } from '../logger.js'
import type { CecArgv } from '../options.js'
import { mountConnection } from './connection.js'
import { remaining, showWhile } from './mounts.js'
import { declareMountOptions, mountSettings, type MountSettings } from './options.js'

/** `/` for all workspaces. */
export const remoteName = (remote: string): string => (remote === '' ? '/' : remote)

async function handler(argv: CecArgv): Promise<void> {
  const settings = mountSettings(argv)
  // What is wrong with the folder or the machine is told before anybody is asked for a password.
  await checkMountpoint(settings.mountpoint)
  await checkFuse({ allowOther: settings.allowOther })
  await ensureAccount(settings)
  const tell = (mountpoint: string, note?: string): void => {
    if (note !== undefined) process.stderr.write(`WARN\t${note}\n`)
    if (argv['quiet'] !== true) print(`mounted ${remoteName(settings.remote)} at ${mountpoint}`)
  }
  if (argv['foreground'] === true) {
    const [{ serveMount }, { notifySystemd }] = await Promise.all([import('./session.js'), import('./notify.js')])
    const logger = createCliLogger(settings.globals.log)
    await serveMount(settings, {
      onReady: (mountpoint, note) => {
        tell(mountpoint, note)
        void notifySystemd(['--ready', `--status=mounted at ${mountpoint}`], logger)
      },
      onEnding: (status) => showWhile(() => `unmounting: ${remaining(status())}; Ctrl-C again leaves at once, nothing is lost`),
      signals: ['SIGINT', 'SIGTERM', 'SIGHUP'],
      log: { write: (line) => process.stderr.write(line) },
    })
    return
  }
  const { startWorker } = await import('./background.js')
  const { mountpoint, note } = await startWorker({ settings, attached: false })
  tell(mountpoint, note)
}

/** Starts the sign-in when there is no account and somebody to ask. */
async function ensureAccount(settings: MountSettings): Promise<void> {
  const { globals, account } = settings
  const logger = createCliLogger(globals.log)
  try {
    await mountConnection(settings, logger)
  } catch (error) {
    if (!isAuthError(error, 'no-account') || account !== '' || !process.stdin.isTTY) throw error
    const { interactiveSignIn } = await import('../signin.js')
    await interactiveSignIn(globals, { logger })
  }
}

export const command: CecCommand = {
  command: 'mount <place> [mountpoint]',
  describe: 'Mount a server, or a folder of it, as a drive',
  builder: (yargs) => declareMountOptions(yargs
    .usage('$0 mount [REMOTE] MOUNTPOINT\n\nMounts all workspaces, or the folder REMOTE (workspace/folder), at MOUNTPOINT, an empty folder. '
      + 'Goes to the background when the drive answers.')
    .positional('place', { describe: 'remote folder, or the mountpoint if it stands alone', type: 'string' })
    .positional('mountpoint', { describe: 'empty folder', type: 'string' })),
  handler,
}
