import type { CecCommand } from './command.js'
import { run } from './config.js'

export const command: CecCommand = {
  command: 'clear',
  describe: 'Erase every account and its secrets',
  builder: (yargs) => yargs.option('force', { alias: 'f', type: 'boolean', describe: 'Do not ask for confirmation' }),
  handler: run((actions, argv) => actions.clear(argv)),
}
