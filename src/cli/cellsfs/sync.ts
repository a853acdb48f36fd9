/** `cellsfs sync [PATH]`: returns when everything is on the server. */
import { isAbsolute, relative, resolve } from 'node:path'
import { ask, liveSockets } from '../../fs/mount-control.js'
import { print, type CecCommand } from '../command.js'
import { CommandError, SilentFailure } from '../errors.js'
import type { CecArgv } from '../options.js'

interface Wanted {
  readonly socket: string
  readonly mountpoint: string
  readonly path?: string
}

/** The mounts to ask: all of them, or the one that `path` is in. */
async function wanted(path: string | undefined): Promise<Wanted[]> {
  const mounts: Wanted[] = []
  for (const socket of await liveSockets()) {
    const status = await ask(socket, { op: 'status' })
    if (status !== undefined) mounts.push({ socket, mountpoint: status.mountpoint })
  }
  if (path === undefined) return mounts
  const inside = mounts
    .map((mount) => ({ ...mount, path: relative(mount.mountpoint, resolve(path)) }))
    .filter((mount) => mount.path !== '..' && !mount.path.startsWith('../') && !isAbsolute(mount.path))
    // A mount inside a mount: the inner one.
    .sort((a, b) => b.mountpoint.length - a.mountpoint.length)
  if (inside[0] === undefined) throw new CommandError(`${path} is not in a mount of cellsfs`)
  return [inside[0]]
}

async function handler(argv: CecArgv): Promise<void> {
  const path = argv['path'] as string | undefined
  const failed: string[] = []
  for (const mount of await wanted(path)) {
    const report = await ask(mount.socket, { op: 'sync', ...(mount.path !== undefined && mount.path !== '' && { path: mount.path }) })
    if (report === undefined) throw new CommandError(`the mount at ${mount.mountpoint} ended before it had saved everything`)
    failed.push(...report.failed.map(({ path: name, reason }) => `${mount.mountpoint}/${name}: ${reason}`))
  }
  if (failed.length === 0) return
  for (const line of failed) print(line)
  process.stderr.write(`cellsfs: not everything is on the server (${failed.length} failed)\n`)
  throw new SilentFailure('told')
}

export const command: CecCommand = {
  command: 'sync [path]',
  describe: 'Wait until everything is on the server',
  builder: (yargs) => yargs.positional('path', { type: 'string', describe: 'only this file or folder' }),
  handler,
}
