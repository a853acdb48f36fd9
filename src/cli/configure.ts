/** `cec configure`, the spelling of 2.x for `cec config add` (cec-reference 5.1). */
import type { CecCommand } from './command.js'
import { declareIdToken, run } from './config.js'

export const command: CecCommand = {
  command: 'configure [method]',
  describe: false,
  builder: (yargs) => declareIdToken(yargs)
    .positional('method', { choices: ['oauth', 'token', 'client-auth', 'check-keyring'] as const, describe: 'How to sign in' }),
  handler: run(async (actions, argv) => {
    const keyring = argv['method'] === 'check-keyring'
    process.stderr.write(`WARN\t"cec configure" is deprecated, use "cec config ${keyring ? 'check-keyring' : 'add'}"\n`)
    await (keyring ? actions.testKeyring(argv) : actions.add(argv))
  }),
}
