/** `cec oauth`, the spelling of 1.x for `cec config add oauth`. */
import type { CecCommand } from './command.js'
import { declareIdToken, run } from './config.js'

export const command: CecCommand = {
  command: 'oauth',
  describe: false,
  builder: (yargs) => declareIdToken(yargs),
  handler: run(async (actions, argv) => {
    process.stderr.write('WARN\t"cec oauth" is deprecated, use "cec config add oauth"\n')
    await actions.add({ ...argv, method: 'oauth' })
  }),
}
