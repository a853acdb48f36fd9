/** `cellsfs umount MOUNTPOINT`: asks the process of the mount, so that all is saved when it returns. */
import { ask, findSocket } from '../../fs/mount-control.js'
import { MountError } from '../../fs/mount-error.js'
import { SAVE_MS } from '../../fs/mount.js'
import { mountUsers } from '../../fs/mount-users.js'
import { detach, isDeadMount, mounts, realMountpoint } from '../../fs/mountpoint.js'
import { print, type CecCommand } from '../command.js'
import { CommandError } from '../errors.js'
import type { CecArgv } from '../options.js'
import { leftOver } from './left-over.js'
import { secondsFlag, showingProgress } from './mounts.js'

/** Names of processes in a sentence, at most. */
const MOST_USERS = 5

async function handler(argv: CecArgv): Promise<void> {
  const path = argv['mountpoint'] as string
  const lazy = argv['lazy'] === true
  const timeoutMs = secondsFlag(argv, 'wait')
  const mountpoint = await realMountpoint(path).catch((cause: unknown) => {
    throw new MountError('mountpoint-missing', `${path} does not exist.`, { cause })
  })
  try {
    const socket = findSocket(mountpoint)
    const report = await showingProgress([socket], ask(socket, { op: 'unmount', lazy, ...(timeoutMs !== undefined && { timeoutMs }) }))
    if (report === undefined) await unmountAlone(path, mountpoint, lazy)
    const left = report === undefined ? undefined : leftOver(report)
    if (left !== undefined) throw new CommandError(`unmounted, but ${left}`)
  } catch (error) {
    const { code } = error as { code?: string }
    throw code === 'in-use' || code === 'EBUSY' ? new MountError('in-use', await inUse(mountpoint), { cause: error }) : error
  }
  if (argv['quiet'] !== true) print(`unmounted ${mountpoint}`)
}

/** Nobody answers behind it: the process has died, or belongs to somebody else and then saves by itself. */
async function unmountAlone(path: string, mountpoint: string, lazy: boolean): Promise<void> {
  const all = await mounts()
  const mount = all.findLast((it) => it.mountpoint === mountpoint)
  const around = all.filter((it) => it.fstype === 'fuse.cellsfs' && mountpoint.startsWith(`${it.mountpoint}/`)).pop()
  if (mount === undefined && around !== undefined) throw new MountError('not-mounted', `${path} is not mounted, but a folder of the mount at ${around.mountpoint}.`)
  if (mount !== undefined && mount.fstype !== 'fuse.cellsfs') {
    throw new MountError('not-mounted', `${path} is mounted, but not by cellsfs (${mount.fstype}): use \`umount ${path}\`.`)
  }
  // Nothing works in a dead one any more, whoever is still inside.
  await detach(mountpoint, { lazy: lazy || await isDeadMount(mountpoint) })
}

async function inUse(mountpoint: string): Promise<string> {
  const users = await mountUsers(mountpoint)
  const names = users.slice(0, MOST_USERS).map(({ pid, name }) => `${name} (process ${pid})`)
  if (users.length > MOST_USERS) names.push(`${users.length - MOST_USERS} more`)
  const who = names.length === 0 ? ': a program has a file open or works inside it.' : ` by ${names.join(', ')}.`
  return `${mountpoint} is in use${who} Leave the folder and close its files, or add --lazy.`
}

export const command: CecCommand = {
  command: 'umount <mountpoint>',
  describe: 'Save everything and unmount',
  builder: (yargs) => yargs
    .positional('mountpoint', { type: 'string' })
    .option('quiet', { alias: 'q', type: 'boolean', describe: 'Say nothing when all is well' })
    .option('wait', { type: 'number', requiresArg: true, describe: 'Seconds for sending what the server does not have yet; the rest is kept and sent at the next mount', defaultDescription: String(SAVE_MS / 1000) })
    .option('lazy', { alias: 'z', type: 'boolean', describe: 'Also while programs use it' }),
  handler,
}
