/** `cellsfs service`: a systemd user unit that mounts at sign-in and again after a failure. */
import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { homedir } from 'node:os'
import { AuthError } from '../../auth/errors.js'
import { openStore } from '../../auth/store.js'
import { inPath } from '../../fs/mountpoint.js'
import { print, type CecCommand } from '../command.js'
import { CommandError, UsageError } from '../errors.js'
import { createCliLogger } from '../logger.js'
import type { CecArgv } from '../options.js'
import { accountNamed } from './connection.js'
import { declareMountOptions, mountSettings, mountWords, type MountSettings } from './options.js'
import { unitName, unitText } from './service-unit.js'

const ACTIONS = ['install', 'remove', 'show'] as const
type Action = (typeof ACTIONS)[number]
const isAction = (word: unknown): word is Action => (ACTIONS as readonly unknown[]).includes(word)

/** What makes a difference to a mount and is not in the environment of a user's systemd. Proxies may hold a password and stay out. */
const VARIABLES = ['XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'XDG_STATE_HOME', 'NODE_EXTRA_CA_CERTS'] as const

interface Wish {
  readonly action: Action
  /** The rest as `cellsfs mount` understands it. */
  readonly argv: CecArgv
}

function readWish(argv: CecArgv): Wish {
  const { action, place, mountpoint } = argv
  const wish: Wish = isAction(action) ? { action, argv } : { action: 'show', argv: { ...argv, place: action, mountpoint: place } }
  if (!isAction(action) && mountpoint !== undefined) throw new UsageError(`"${String(action)}" is none of ${ACTIONS.join(', ')}`)
  if (wish.argv['place'] === undefined) throw new UsageError('which mountpoint?')
  return wish
}

const unitFolder = (): string => {
  const config = process.env['XDG_CONFIG_HOME']
  return join(config !== undefined && isAbsolute(config) ? config : join(homedir(), '.config'), 'systemd', 'user')
}

async function handler(argv: CecArgv): Promise<void> {
  if (process.platform !== 'linux') throw new CommandError('systemd is there on Linux only')
  const { action, argv: rest } = readWish(argv)
  const settings = mountSettings(rest)
  const name = unitName(settings.mountpoint)
  const file = join(unitFolder(), name)
  const now = argv['now'] === true
  if (action === 'remove') return remove(name, file)
  const text = await textFor(settings)
  if (action === 'show') return print(text.trimEnd())
  if (!await stat(settings.mountpoint).then((info) => info.isDirectory(), () => false)) {
    throw new CommandError(`the mountpoint ${settings.mountpoint} is not there: make it first with \`mkdir -p ${settings.mountpoint}\``)
  }
  await mkdir(unitFolder(), { recursive: true })
  const draft = `${file}.${process.pid}`
  await writeFile(draft, text)
  await rename(draft, file)
  process.stderr.write(`written ${file}\n`)
  const enable = [['--user', 'daemon-reload'], ['--user', 'enable', '--now', name]]
  if (now) {
    for (const words of enable) await systemctl(words)
    print(`${settings.mountpoint} is mounted, and will be at each sign-in`)
  } else {
    print(['Start it, now and at each sign-in:', ...enable.map((words) => `  systemctl ${words.map(shellWord).join(' ')}`)].join('\n'))
  }
  print('To have it also while you are not signed in:\n  loginctl enable-linger')
}

/** @throws AuthError, CommandError when it could not work */
async function textFor(settings: MountSettings): Promise<string> {
  const { globals } = settings
  if (globals.token !== '' || globals.password !== '') throw new CommandError('a unit can be read by others, so it takes no token or password: store an account with `cec config add`, or give --credentials FILE')
  const pinned = settings.credentials === '' ? await activeAccount(settings) : settings.account
  return unitText({
    mountpoint: settings.mountpoint,
    program: [process.execPath, realpathSync(process.argv[1]!)],
    words: mountWords({ ...settings, account: pinned }),
    environment: Object.fromEntries(VARIABLES.map((name) => [name, process.env[name] ?? '']).filter(([, value]) => value !== '')) as Record<string, string>,
    notify: await inPath('systemd-notify') !== undefined,
  })
}

/** Its id: another account that becomes the active one later must not change what is mounted. @throws AuthError */
async function activeAccount({ globals, account }: MountSettings): Promise<string> {
  const accounts = await openStore({ config: globals.config, logger: createCliLogger(globals.log) }).list()
  if (account !== '') return accountNamed(accounts, account)
  if (accounts === undefined || !accounts.byId.has(accounts.active)) throw new AuthError('no-account', 'no account is configured on this machine; run "cec config add" first')
  return accounts.active
}

async function remove(name: string, file: string): Promise<void> {
  if (!existsSync(file)) throw new CommandError(`there is no service ${file}`)
  // Without a systemd that listens there is nothing to stop.
  await systemctl(['--user', 'disable', '--now', name]).catch((error: unknown) => process.stderr.write(`WARN\t${(error as Error).message}\n`))
  await rm(file)
  await systemctl(['--user', 'daemon-reload']).catch(() => {})
  print(`removed ${file}`)
}

const shellWord = (word: string): string => (/^[\w./:@=-]+$/.test(word) ? word : `'${word.replaceAll('\'', '\'\\\'\'')}'`)

async function systemctl(words: readonly string[]): Promise<void> {
  const said = await new Promise<string | undefined>((settle) => {
    const child = spawn('systemctl', words, { stdio: ['ignore', 'ignore', 'pipe'] })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
    child.on('error', (error) => settle(error.message))
    child.on('close', (code) => settle(code === 0 ? undefined : stderr.trim().split('\n')[0] || `exit code ${code}`))
  })
  if (said !== undefined) throw new CommandError(`systemctl ${words.join(' ')} failed: ${said}`)
}

export const command: CecCommand = {
  command: 'service <action> [place] [mountpoint]',
  describe: 'Mount at each sign-in: install, remove or show a systemd user unit',
  builder: (yargs) => declareMountOptions(yargs
    .usage('$0 service [install|remove|show] [REMOTE] MOUNTPOINT\n\nWrites, removes or shows a systemd unit of this user that mounts at sign-in, and again after a failure. '
      + 'Takes the flags of `cellsfs mount`; the account in use now is written down by name.')
    .positional('action', { describe: 'install, remove or show (which is what happens without)', type: 'string' })
    .positional('place', { describe: 'remote folder, or the mountpoint if it stands alone', type: 'string' })
    .positional('mountpoint', { describe: 'folder', type: 'string' })
    .option('now', { type: 'boolean', describe: 'install: start it at once' })),
  handler,
}
