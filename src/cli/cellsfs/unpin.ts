/** `cellsfs unpin PATH`: what was kept is an ordinary part of the cache again. */
import { ask } from '../../fs/mount-control.js'
import { type CecCommand } from '../command.js'
import { CommandError } from '../errors.js'
import type { CecArgv } from '../options.js'
import { mountOf } from './mounts.js'

async function handler(argv: CecArgv): Promise<void> {
  const { socket, path } = await mountOf(argv['path'] as string)
  if (await ask(socket, { op: 'unpin', path }) === undefined) throw new CommandError('the mount has ended')
}

export const command: CecCommand = {
  command: 'unpin <path>',
  describe: 'Keep a folder no longer',
  builder: (yargs) => yargs.positional('path', { type: 'string', describe: 'as it was pinned' }),
  handler,
}
