/** What `cellsfs mount` is told, as data that can be handed to a process of its own. */
import { resolve } from 'node:path'
import type { Argv } from 'yargs'
import { UsageError } from '../errors.js'
import { GLOBAL_OPTIONS, resolveGlobals, type CecArgv, type GlobalOptions } from '../options.js'

export const WRITE_MODES = ['back', 'through'] as const
export const DRIVERS = ['kernel', 'fuse-native'] as const
export type DriverName = (typeof DRIVERS)[number]
/** /dev/fuse of other systems speaks another protocol. Where it cannot work and nobody asked for it by name, the other one is taken (drivers.ts). */
export const DEFAULT_DRIVER: DriverName = process.platform === 'linux' ? 'kernel' : 'fuse-native'

export interface MountSettings {
  /** Secrets included: they travel over a pipe, never in an argument. */
  readonly globals: GlobalOptions
  /** Id or label of an account, or its server's address; '' for the active one. */
  readonly account: string
  /** A file with address, login and secret; '' for none. */
  readonly credentials: string
  /** `<workspace>/a/b`, '' for all workspaces. */
  readonly remote: string
  readonly mountpoint: string
  readonly allowOther: boolean
  readonly readOnly: boolean
  /** No program can be started from it. */
  readonly noExec: boolean
  /** Owner and missing rights of what is shown; undefined: this process's own. */
  readonly uid?: number
  readonly gid?: number
  readonly umask?: number
  /** Undefined: the default one. */
  readonly driver?: DriverName
  readonly writeback?: boolean
  readonly autoUnmount?: boolean
  /** A change is answered when the server has it, not when it is safe on this disk. */
  readonly writeThrough?: boolean
  /** Metrics also on this port of the loopback address. */
  readonly metricsPort?: number
  /** Tell the desktop of conflicts and failures. */
  readonly notify?: boolean
  /** '' for the usual folder. */
  readonly cacheDir: string
  /** Undefined: the engine's default. */
  readonly cacheBytes?: number
  /** '' for the usual place: stderr in front, a file in the background. */
  readonly logFile: string
}

export function declareMountOptions(yargs: Argv): Argv {
  return yargs
    .option('foreground', { alias: 'f', type: 'boolean', describe: 'Stay in front; prints `mounted <remote> at <folder>` when ready' })
    .option('quiet', { alias: 'q', type: 'boolean', describe: 'Say nothing when all is well' })
    .option('account', { type: 'string', requiresArg: true, describe: 'Account to use, as in `cec config ls`; without it the active one' })
    .option('credentials', { type: 'string', requiresArg: true, describe: 'File with lines url=, username=, password= or token=, readable by you only' })
    .option('read-only', { type: 'boolean', describe: 'Nothing can be changed' })
    .option('allow-other', { type: 'boolean', describe: 'Let other users of this machine in' })
    .option('noexec', { type: 'boolean', describe: 'No program can be started from it' })
    .option('uid', { type: 'number', requiresArg: true, describe: 'User that owns all files; without it you' })
    .option('gid', { type: 'number', requiresArg: true, describe: 'Group of all files; without it yours' })
    .option('umask', { type: 'string', requiresArg: true, describe: 'Rights that files do not have, octal; without it yours' })
    .option('driver', { type: 'string', choices: DRIVERS, describe: 'How the kernel is reached: its own protocol, or libfuse 2', defaultDescription: DEFAULT_DRIVER })
    .option('writeback-cache', { type: 'boolean', describe: 'Let the kernel collect writes (driver kernel)' })
    .option('auto-unmount', { type: 'boolean', describe: 'Take the mount away if its process dies (driver kernel)' })
    .option('write-mode', { type: 'string', choices: WRITE_MODES, requiresArg: true, describe: 'back: a save is done when it is safe on this disk, and sent then; through: when the server has it', defaultDescription: 'back' })
    .option('notify', { type: 'boolean', describe: 'Tell the desktop of conflicts and of what cannot be sent' })
    .option('metrics-port', { type: 'number', requiresArg: true, describe: 'Metrics for Prometheus also on this port of 127.0.0.1; 0 for any', defaultDescription: 'a Unix socket only' })
    .option('cache-dir', { type: 'string', requiresArg: true, describe: 'Folder for cached content; one mount at a time' })
    .option('cache-size', { type: 'string', requiresArg: true, describe: 'Bound of the cached content, like 500M or 10G' })
    .option('log-file', { type: 'string', requiresArg: true, describe: 'Append the log to this file' })
}

/** @throws UsageError */
export function mountSettings(argv: CecArgv): MountSettings {
  const text = (name: string): string => (argv[name] as string | undefined) ?? ''
  // Absolute: a process in the background has another working folder.
  const path = (given: string): string => (given === '' ? '' : resolve(given))
  const globals = resolveGlobals(argv)
  const remote = argv['mountpoint'] === undefined ? '' : text('place')
  return {
    globals: { ...globals, config: path(globals.config) },
    account: text('account'),
    credentials: path(text('credentials')),
    remote: cleanRemote(remote),
    mountpoint: path(text('mountpoint') || text('place')),
    allowOther: argv['allow-other'] === true,
    readOnly: argv['read-only'] === true,
    noExec: argv['noexec'] === true,
    ...(argv['uid'] !== undefined && { uid: identifier(argv, 'uid') }),
    ...(argv['gid'] !== undefined && { gid: identifier(argv, 'gid') }),
    ...(text('umask') !== '' && { umask: parseUmask(text('umask')) }),
    ...(argv['driver'] !== undefined && { driver: argv['driver'] as DriverName }),
    writeback: argv['writeback-cache'] === true,
    autoUnmount: argv['auto-unmount'] === true,
    writeThrough: argv['write-mode'] === 'through',
    notify: argv['notify'] === true,
    ...(argv['metrics-port'] !== undefined && { metricsPort: portOf(argv, 'metrics-port') }),
    cacheDir: path(text('cache-dir')),
    ...(text('cache-size') !== '' && { cacheBytes: parseSize(text('cache-size')) }),
    logFile: path(text('log-file')),
  }
}

/** The arguments of `cellsfs mount` that give `settings` again, without those that hold secrets: a connection is named by account or file. */
export function mountWords(settings: MountSettings): string[] {
  const { globals } = settings
  const switches: readonly (readonly [string, boolean | undefined])[] = [
    ['read-only', settings.readOnly], ['allow-other', settings.allowOther], ['noexec', settings.noExec],
    ['writeback-cache', settings.writeback], ['auto-unmount', settings.autoUnmount], ['notify', settings.notify], ['skip-verify', globals.skipVerify],
  ]
  const values: readonly (readonly [string, string | number | undefined])[] = [
    ['config', globals.config], ['log', globals.log === GLOBAL_OPTIONS.log.default ? '' : globals.log],
    ['account', settings.account], ['credentials', settings.credentials], ...(settings.credentials === '' ? [] : [['url', globals.url], ['login', globals.login]] as const),
    ['uid', settings.uid], ['gid', settings.gid], ['umask', settings.umask?.toString(8).padStart(3, '0')],
    ['driver', settings.driver], ['write-mode', settings.writeThrough === true ? 'through' : ''], ['metrics-port', settings.metricsPort], ['cache-dir', settings.cacheDir], ['cache-size', settings.cacheBytes], ['log-file', settings.logFile],
  ]
  return [
    ...switches.filter(([, on]) => on === true).map(([name]) => `--${name}`),
    ...values.filter(([, value]) => value !== undefined && value !== '').map(([name, value]) => `--${name}=${value}`),
    ...(settings.remote === '' ? [] : [`cells://${settings.remote}`]),
    settings.mountpoint,
  ]
}

function cleanRemote(text: string): string {
  const segments = text.replace(/^cells:\/\//, '').split('/').filter((segment) => segment !== '')
  if (segments.some((segment) => segment === '.' || segment === '..')) throw new UsageError(`"${text}" is not a path on the server`)
  return segments.join('/')
}

function identifier(argv: CecArgv, name: 'uid' | 'gid'): number {
  const value = argv[name]
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= 2 ** 32 - 1) throw new UsageError(`--${name} needs a number`)
  return value as number
}

function portOf(argv: CecArgv, name: string): number {
  const value = argv[name]
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 65_535) throw new UsageError(`--${name} needs a whole number up to 65535`)
  return value as number
}

function parseUmask(text: string): number {
  if (!/^[0-7]{1,4}$/.test(text)) throw new UsageError(`"${text}" is not a umask; give one like 077`)
  return parseInt(text, 8) & 0o777
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** `500M`, `10G`, `1.5 GiB`, plain bytes. @throws UsageError */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim())
  const bytes = match === null ? 0 : Math.floor(Number(match[1]) * UNITS[match[2]!.toUpperCase()]!)
  if (bytes <= 0) throw new UsageError(`"${text}" is not a size; give one like 500M or 10G`)
  return bytes
}
