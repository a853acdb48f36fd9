/** `cellsfs mount [REMOTE] MOUNTPOINT`. */
import { isAuthError } from '../../auth/errors.js'
import { resolveConnection } from '../../auth/connection.js'
import { checkFuse, checkMountpoint } from '../../fs/mountpoint.js'
import { print, type CecCommand } from '../command.js'
import { createCliLogger } from '../logger.js'
import type { CecArgv } from '../options.js'
import { declareMountOptions, mountSettings, type MountSettings } from './options.js'

/** `/` for all workspaces. */
export const remoteName = (remote: string): string => (remote === '' ? '/' : remote)

async function handler(argv: CecArgv): Promise<void> {
  const settings = mountSettings(argv)
  // What is wrong with the folder or the machine is told before anybody is asked for a password.
  await checkMountpoint(settings.mountpoint)
  await checkFuse({ allowOther: settings.allowOther })
  await ensureAccount(settings)
  if (argv['foreground'] === true) {
    const { serveMount } = await import('./session.js')
    await serveMount(settings, {
      onReady: (mountpoint, note) => tellMounted(settings, mountpoint, note),
      signals: ['SIGINT', 'SIGTERM', 'SIGHUP'],
      log: { write: (line) => process.stderr.write(line) },
    })
    return
  }
  const { startWorker } = await import('./background.js')
  const { mountpoint, note } = await startWorker({ settings, attached: false })
  tellMounted(settings, mountpoint, note)
}

function tellMounted({ remote }: MountSettings, mountpoint: string, note: string | undefined): void {
  if (note !== undefined) process.stderr.write(`WARN\t${note}\n`)
  print(`mounted ${remoteName(remote)} at ${mountpoint}`)
}

/** Starts the sign-in when there is no account and somebody to ask. */
async function ensureAccount({ globals }: MountSettings): Promise<void> {
  const logger = createCliLogger(globals.log)
  try {
    await resolveConnection(globals, { logger })
  } catch (error) {
    if (!isAuthError(error, 'no-account') || !process.stdin.isTTY) throw error
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
