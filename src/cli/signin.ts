/** The sign-in as commands use it: flags in, account and sentences out; also for `cellsfs mount` without an account. */
import type { Account, AuthType } from '../auth/goconfig.js'
import type { Known, SignInContext } from '../auth/signin.js'
import { idOf, openStore } from '../auth/store.js'
import type { ConnectionSettings } from '../auth/types.js'
import type { Logger } from '../log.js'
import { UsageError } from './errors.js'
import type { GlobalOptions } from './options.js'
import { hasTerminal, terminalPrompter } from './prompts.js'

const HINT = 'give --url with --token, with --login and --password, or with --id-token'

export const knownFrom = (globals: GlobalOptions, idToken = ''): Known => ({ ...globals, idToken })

export function signInContext(globals: GlobalOptions, logger: Logger, signal?: AbortSignal): SignInContext {
  return {
    store: openStore({ config: globals.config, logger }),
    prompter: terminalPrompter(HINT),
    say: (line) => process.stderr.write(`${line}\n`),
    logger,
    ...(signal === undefined ? {} : { signal }),
  }
}

/** Asks for the method; without a terminal the flags tell it. */
export async function chooseMethod(context: SignInContext, known: Known): Promise<AuthType> {
  if (hasTerminal()) return await context.prompter.choose('How do you want to sign in?', (await import('../auth/signin.js')).METHODS)
  if (known.token !== '') return 'pat'
  if (known.idToken !== '') return 'oauth2'
  if (known.login !== '') return 'session'
  throw new UsageError(`there is no terminal to ask on; ${HINT}`)
}

export const savedLine = (account: Account): string => `✔ Signed in as ${account.user} on ${account.url}`

/**
 * Signs a person in and saves the account as the active one; for a program that needs a connection and has found none.
 *
 * @throws UsageError without a terminal; AuthError
 */
export async function interactiveSignIn(globals: GlobalOptions, options: { logger: Logger; signal?: AbortSignal }): Promise<ConnectionSettings> {
  const context = signInContext(globals, options.logger, options.signal)
  const known = knownFrom(globals)
  const [{ signIn }, { accountConnection }] = await Promise.all([import('../auth/signin.js'), import('../auth/connection.js')])
  const account = await signIn(context, await chooseMethod(context, known), known)
  context.say(savedLine(account))
  return await accountConnection(context.store, idOf(account), options.logger)
}
