/** `cellsfs umount MOUNTPOINT`: asks the process of the mount, so that all is saved when it returns. */
import { ask, controlSocket } from '../../fs/mount-control.js'
import { detach, realMountpoint } from '../../fs/mountpoint.js'
import { MountError } from '../../fs/mount-error.js'
import { print, type CecCommand } from '../command.js'
import { CommandError } from '../errors.js'
import type { CecArgv } from '../options.js'

async function handler(argv: CecArgv): Promise<void> {
  const path = argv['mountpoint'] as string
  const lazy = argv['lazy'] === true
  const mountpoint = await realMountpoint(path).catch((cause: unknown) => {
    throw new MountError('mountpoint-missing', `${path} does not exist.`, { cause })
  })
  const report = await ask(controlSocket(mountpoint), { op: 'unmount', lazy })
  // Nobody behind it: the process died, or it is not ours.
  if (report === undefined) await detach(mountpoint, { lazy })
  else if (report.failed.length > 0) {
    throw new CommandError(`unmounted, but not everything is on the server; it is kept for the next mount:\n${report.failed.map(({ path: name, reason }) => `  ${name}: ${reason}`).join('\n')}`)
  }
  if (argv['quiet'] !== true) print(`unmounted ${mountpoint}`)
}

export const command: CecCommand = {
  command: 'umount <mountpoint>',
  describe: 'Save everything and unmount',
  builder: (yargs) => yargs
    .positional('mountpoint', { type: 'string' })
    .option('quiet', { alias: 'q', type: 'boolean', describe: 'Say nothing when all is well' })
    .option('lazy', { alias: 'z', type: 'boolean', describe: 'Also while programs use it' }),
  handler,
}
