/**
 * `cec update`: there is no update channel of our own (cec-reference 11.4), the package manager is one. The flags of cec are
 * understood, so that a script learns what happened: without --version, or with the one that runs, there is nothing to
 * do; any other cannot be installed from here.
 */
import { VERSION } from '../version.js'
import { textOf } from './argv.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { CommandError } from './errors.js'

const HOW = 'cec has no update channel of its own: update the package that it came with, for instance with "npm install --global cellsfs"'

export const command: CecCommand = {
  command: 'update',
  describe: 'Tell how to update cec',
  builder: (yargs) => yargs
    .option('version', { alias: 'v', type: 'string', requiresArg: true, describe: 'Version that is wanted' })
    .option('dry_run', { alias: ['d', 'dry-run'], type: 'boolean', describe: 'Accepted and without effect' })
    .option('dev', { type: 'boolean', describe: 'Accepted and without effect' }),
  handler: (argv) => {
    const wanted = textOf(argv, 'version').replace(/^v/, '')
    if (wanted !== '' && wanted !== VERSION) throw new CommandError(`version ${wanted} cannot be installed from here; ${HOW}`)
    print(`This is cec ${VERSION}. ${HOW}.`)
  },
}
