/** `cec config`: add, list, choose, renew and remove accounts (cec-reference section 5). The work is in config-actions.ts. */
import type { Argv } from 'yargs'
import type { CecCommand } from './command.js'
import type * as Actions from './config-actions.js'
import { declareJson } from './json.js'
import type { CecArgv } from './options.js'

type Action = (actions: typeof Actions, argv: CecArgv) => Promise<void>

/** Loads the actions when one is run, not when somebody reads the help. */
export const run = (action: Action) => async (argv: unknown): Promise<void> => {
  await action(await import('./config-actions.js'), argv as CecArgv)
}

/** `--id-token` of `config add oauth`, and its old spelling. It has no variable. */
export const declareIdToken = (yargs: Argv): Argv => yargs
  .option('id-token', { type: 'string', requiresArg: true, describe: 'Access token to store, with --url; it is never renewed' })
  .option('id_token', { type: 'string', requiresArg: true, hidden: (process.env['CEC_DISPLAY_HIDDEN_FLAGS'] ?? '') === '', describe: 'Deprecated, use --id-token' })

export const command: CecCommand = {
  command: 'config',
  describe: 'Add, choose, list and remove accounts',
  builder: (yargs) => yargs
    .usage('$0 config <command>')
    .command('add [method]', 'Sign in and store the account', (own) => declareIdToken(own)
      .positional('method', { choices: ['oauth', 'token', 'client-auth'] as const, describe: 'How to sign in; asked for when missing' }),
    run((actions, argv) => actions.add(argv)))
    .command('ls', 'List the accounts', (own) => declareJson(own), run((actions, argv) => actions.list(argv)))
    .command('use [id]', 'Choose the active account', (own) => own
      .positional('id', { type: 'string', describe: 'Id or label of the account; asked for when missing' }),
    run((actions, argv) => actions.use(argv)))
    .command('relog [id]', 'Sign in again to an account', (own) => own
      .positional('id', { type: 'string', describe: 'Id or label of the account; asked for when missing' }),
    run((actions, argv) => actions.relog(argv)))
    .command('rm [id]', 'Remove an account and its secret', (own) => own
      .positional('id', { type: 'string', describe: 'Id or label of the account; asked for when missing' })
      .option('force', { alias: 'f', type: 'boolean', describe: 'Do not ask for confirmation' }),
    run((actions, argv) => actions.remove(argv)))
    .command('check-keyring', 'Test whether secrets can be kept in the keyring', (own) => own, run((actions, argv) => actions.testKeyring(argv)))
    .demandCommand(1, 'which of add, ls, use, relog, rm, check-keyring?'),
  handler: () => {},
}
