/** What the commands of `cec config`, `clear` and the old spellings do. */
import { AuthError } from '../auth/errors.js'
import { NO_ACCOUNTS, type Account, type Accounts, type AuthType } from '../auth/goconfig.js'
import { checkKeyring, KEYRING_SERVICE, systemKeyring } from '../auth/keyring.js'
import type { Known, SignInContext } from '../auth/signin.js'
import { NO_KEYRING_WARNING } from '../auth/store.js'
import { accountsJson, accountsTable, sortedIds } from './accounts-view.js'
import { print } from './command.js'
import { commandContext, interruptible } from './context.js'
import { CommandError, SilentFailure, UsageError } from './errors.js'
import { printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { hasTerminal } from './prompts.js'
import { chooseMethod, knownFrom, savedLine, signInContext } from './signin.js'

const METHOD_OF: Readonly<Record<string, AuthType>> = { oauth: 'oauth2', token: 'pat', 'client-auth': 'session' }

const text = (argv: CecArgv, name: string): string => (typeof argv[name] === 'string' ? argv[name] : '')

/** Context and accounts of this invocation. */
async function open(argv: CecArgv, signal?: AbortSignal): Promise<{ context: SignInContext; accounts: Accounts }> {
  const { globals, logger } = commandContext(argv)
  const context = signInContext(globals, logger, signal)
  return { context, accounts: (await context.store.list()) ?? NO_ACCOUNTS }
}

const idTokenOf = (argv: CecArgv): string => text(argv, 'id-token') || text(argv, 'id_token')

/** `config add [method]`: signs in, saves, makes active. */
export async function add(argv: CecArgv): Promise<void> {
  await interruptible(async (signal) => {
    const { globals, logger } = commandContext(argv)
    const context = signInContext(globals, logger, signal)
    const known = knownFrom(globals, idTokenOf(argv))
    const { signIn } = await import('../auth/signin.js')
    const method = METHOD_OF[text(argv, 'method')] ?? await chooseMethod(context, known)
    print(savedLine(await signIn(context, method, known)))
  })
}

/** JSON: `[{ id, label, user, url, authType, active }]`; no secrets. */
export async function list(argv: CecArgv): Promise<void> {
  const { accounts } = await open(argv)
  if (wantsJson(argv)) printJson(accountsJson(accounts))
  else print(accountsTable(accounts))
}

/** The account that `wanted` means: an id, or a label that only one account has; without it a person chooses. */
async function pick(context: SignInContext, accounts: Accounts, wanted: string, question: string): Promise<string> {
  if (accounts.byId.size === 0) throw new CommandError('no account is configured; run "cec config add" first')
  if (wanted === '') {
    if (!hasTerminal()) throw new UsageError(`"${question}" needs an answer and there is no terminal to ask on; give the id of the account`)
    return await context.prompter.choose(question, sortedIds(accounts).map((id) => ({ name: id, value: id })), accounts.active)
  }
  if (accounts.byId.has(wanted)) return wanted
  const labelled = sortedIds(accounts).filter((id) => accounts.byId.get(id)?.label === wanted)
  if (labelled.length > 1) throw new CommandError(`several accounts have the label "${wanted}": ${labelled.join(', ')}; give an id`)
  if (labelled[0] === undefined) throw new AuthError('no-account', `there is no account "${wanted}"; "cec config ls" shows them`)
  return labelled[0]
}

export async function use(argv: CecArgv): Promise<void> {
  const { context, accounts } = await open(argv)
  const id = await pick(context, accounts, text(argv, 'id'), 'Which account do you want to use?')
  await context.store.activate(id)
  print(`The active configuration is: ${id}`)
}

/** Renews the sign-in of an account by its own method, with the old values as defaults; its secret need not be readable. */
export async function relog(argv: CecArgv): Promise<void> {
  await interruptible(async (signal) => {
    const { context, accounts } = await open(argv, signal)
    const id = await pick(context, accounts, text(argv, 'id'), 'Which account do you want to sign in to again?')
    const account = accounts.byId.get(id)
    if (account === undefined) return
    const { globals } = commandContext(argv)
    const method = account.authType === 'pat' || account.authType === 'session' ? account.authType : 'oauth2'
    const { signIn } = await import('../auth/signin.js')
    const saved = await signIn(context, method, renewed(account, knownFrom(globals)))
    print(savedLine(saved))
  })
}

/** Flags first, then what the account has. */
const renewed = (account: Account, flags: Known): Known => ({
  ...flags,
  url: flags.url || account.url,
  login: flags.login || account.user,
  skipVerify: flags.skipVerify || account.skipVerify,
  skipKeyring: flags.skipKeyring || account.skipKeyring,
})

export async function remove(argv: CecArgv): Promise<void> {
  const { context, accounts } = await open(argv)
  if (accounts.byId.size === 0) throw new CommandError('the list of accounts is empty')
  const only = accounts.byId.size === 1 ? sortedIds(accounts)[0] : undefined
  const id = await pick(context, accounts, text(argv, 'id') || (only ?? ''), 'Which account do you want to remove?')
  if (argv['force'] !== true && !await confirmRemoval(context, `Remove the account ${id} and its secret?`)) {
    context.say('Nothing was removed.')
    return
  }
  const rest = sortedIds(accounts).filter((other) => other !== id)
  await context.store.remove([id], accounts.active === id ? await nextActive(context, rest, argv['force'] === true) : accounts.active)
  print(`✔ The account ${id} was removed`)
  if (rest.length > 0) print(`The active configuration is: ${(await context.store.list())?.active || 'none; choose one with "cec config use"'}`)
}

async function confirmRemoval(context: SignInContext, question: string): Promise<boolean> {
  if (!hasTerminal()) throw new UsageError('removing needs a confirmation and there is no terminal to ask on; give --force')
  return await context.prompter.confirm(question)
}

/** Asked for before anything is removed, so that Ctrl-C leaves all as it was. */
async function nextActive(context: SignInContext, rest: readonly string[], force: boolean): Promise<string> {
  if (rest.length < 2) return rest[0] ?? ''
  if (force && !hasTerminal()) return ''
  return await context.prompter.choose('Which account shall be active now?', rest.map((id) => ({ name: id, value: id })))
}

/** `clear`: all accounts, all secrets, the file. */
export async function clear(argv: CecArgv): Promise<void> {
  const { context, accounts } = await open(argv)
  if ((await context.store.list()) === undefined) throw new CommandError(`there is nothing to clear: ${context.store.file.path} does not exist`)
  if (argv['force'] !== true && !await confirmRemoval(context, 'Remove all accounts and their secrets?')) {
    context.say('Nothing was removed.')
    return
  }
  await context.store.remove([...accounts.byId.keys()])
  // A file without any account is left by `remove`, which had nothing to do.
  await context.store.file.update((now) => (now.byId.size === 0 ? undefined : now))
  print('✔ All accounts and secrets were removed')
}

export async function testKeyring(_argv: CecArgv): Promise<void> {
  print(`Keyring service: ${KEYRING_SERVICE}`)
  try {
    await checkKeyring(await systemKeyring())
  } catch (error) {
    print(`⚠ There is no usable keyring: ${(error as Error).message}. Until there is one, ${NO_KEYRING_WARNING}.`)
    throw new SilentFailure()
  }
  print('✔ The keyring works')
}
