/**
 * cellsfs as mount(8) calls it: `mount -t fuse.cellsfs SOURCE DIR -o OPTIONS` and a line of fstab.
 *
 * Two callers, one convention (mount(8), "External helpers"; mount.fuse3(8)):
 * - `mount.fuse3` takes the program's name from the type and runs `cellsfs SOURCE DIR -o OPTIONS`.
 * - a link /sbin/mount.fuse.cellsfs to cellsfs is run by mount(8) itself, with further flags; and
 *   /sbin/umount.fuse.cellsfs by umount(8), so that `umount DIR` returns when all is saved.
 *
 * All becomes a command line of `cellsfs mount` or `umount`; nothing is done here. What mount(8) and systemd mean for
 * themselves is passed over; what nobody knows is refused, since a misspelt option should not be a silent one.
 */
import { execFileSync } from 'node:child_process'
import { userInfo } from 'node:os'
import { basename, resolve } from 'node:path'
import { accountIdOf, cleanUrl } from '../../auth/url.js'
import { CommandError, UsageError, sentenceOf } from '../errors.js'

export interface HelperCall {
  /** For `cellsfs`. */
  readonly words: readonly string[]
  /** Mount as this user (option setuid=). */
  readonly user?: string
  /** Only checked (mount -f). */
  readonly fake?: boolean
}

/** Is this a call of mount(8)'s, by the name of the program or by its words? */
export function isHelperCall(program: string, words: readonly string[]): boolean {
  // Our own worker is started by the same name.
  if (/^u?mount\./.test(basename(program))) return words[0] !== 'mount-worker'
  return words[2] === '-o' && !words[0]!.startsWith('-')
}

/** Options that mount(8), systemd or libfuse's helper mean for themselves, or that are so in any case. */
const PASSED_OVER: ReadonlySet<string> = new Set([
  'defaults', 'rw', 'auto', 'noauto', 'user', 'nouser', 'users', 'owner', 'group', '_netdev', 'nofail', 'comment', 'helper',
  'exec', 'suid', 'nosuid', 'dev', 'nodev', 'sync', 'async', 'dirsync', 'mand', 'nomand', 'silent', 'loud', 'iversion', 'noiversion',
  'atime', 'noatime', 'diratime', 'nodiratime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime', 'lazytime', 'nolazytime',
  'default_permissions', 'fsname', 'subtype', 'big_writes', 'nonempty',
])
const SWITCHES: Readonly<Record<string, string>> = {
  ro: '--read-only', noexec: '--noexec', allow_other: '--allow-other', auto_unmount: '--auto-unmount', writeback_cache: '--writeback-cache',
  notify: '--notify', skip_verify: '--skip-verify', skip_keyring: '--skip-keyring',
}
const VALUES: Readonly<Record<string, string>> = {
  config: '--config', uid: '--uid', gid: '--gid', umask: '--umask', driver: '--driver', cache_dir: '--cache-dir', cache_size: '--cache-size', log: '--log', log_file: '--log-file',
  write_mode: '--write-mode', metrics_port: '--metrics-port',
}
/** Together they say whose connection it is. */
const WHO: Readonly<Record<string, keyof Who>> = { url: 'url', login: 'login', username: 'login', account: 'account', credentials: 'credentials', cred: 'credentials' }

interface Who {
  url?: string
  login?: string
  account?: string
  credentials?: string
}

/** Read by everybody in fstab, in `ps` and in /proc/mounts. */
const SECRETS: ReadonlySet<string> = new Set(['password', 'pass', 'token'])

/** Splits at commas that no backslash protects, as libfuse does. */
export function splitOptions(text: string): string[] {
  return (text.match(/(?:\\.|[^,\\])+/g) ?? []).map((option) => option.replace(/\\(.)/g, '$1'))
}

interface Meaning {
  readonly flags: string[]
  readonly who: Who
  user?: string
}

function readOption(option: string, sloppy: boolean, meaning: Meaning): void {
  const at = option.indexOf('=')
  const name = (at < 0 ? option : option.slice(0, at)).replaceAll('-', '_')
  const value = at < 0 ? undefined : option.slice(at + 1)
  const flag = VALUES[name]
  const who = WHO[name]
  if (/^x_/i.test(name) || PASSED_OVER.has(name)) return
  if (SECRETS.has(name)) throw new UsageError(`mount option ${name}= would show a secret to everybody: put it into a file and give credentials=FILE`)
  if (flag !== undefined || who !== undefined || name === 'setuid') {
    if (value === undefined || value === '') throw new UsageError(`mount option ${name} needs a value`)
    if (flag !== undefined) meaning.flags.push(`${flag}=${value}`)
    else if (who !== undefined) meaning.who[who] = value
    else meaning.user = value
  } else if (SWITCHES[name] !== undefined && value === undefined) meaning.flags.push(SWITCHES[name])
  else if (name === 'remount') throw new UsageError('a mount of cellsfs cannot be remounted: unmount it and mount it again')
  else if (!sloppy) throw new UsageError(`mount option "${option}" is not known`)
}

/** What SOURCE names: an address of a server with or without a folder (`https://alice@files.example.com/common-files`), or a folder, or `/`. */
function readSource(source: string, who: Who): string {
  if (!/^https?:/i.test(source)) return source === 'none' || source === '' ? '/' : source
  const origin = cleanUrl(source)
  const { username, password, pathname } = new URL(source.trim())
  if (password !== '') throw new UsageError('a password in the source would be shown to everybody: put it into a file and give credentials=FILE')
  who.url ??= origin
  if (username !== '') who.login ??= decodeURIComponent(username)
  try {
    return decodeURIComponent(pathname)
  } catch {
    throw new UsageError(`"${source}" is not an address: a percent sign is written %25`)
  }
}

function whoFlags({ url, login, account, credentials }: Who): string[] {
  if (credentials !== undefined) {
    return [`--credentials=${credentials}`, ...(url === undefined ? [] : [`--url=${url}`]), ...(login === undefined ? [] : [`--login=${login}`])]
  }
  if (account !== undefined) return [`--account=${account}`]
  if (url === undefined) return []
  // Without a secret an account must be there.
  return [`--account=${login === undefined ? cleanUrl(url) : accountIdOf(cleanUrl(url), login)}`]
}

/**
 * A call of mount(8) or umount(8) as one of cellsfs.
 * @throws UsageError
 */
export function translate(program: string, words: readonly string[]): HelperCall {
  const unmounting = basename(program).startsWith('umount.')
  const places: string[] = []
  const options: string[] = []
  const letters = new Set<string>()
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!
    const [, cluster = '', glued = ''] = /^-([a-zA-Z])(.*)$/.exec(word) ?? []
    if (cluster === '') places.push(word)
    else if ('oNt'.includes(cluster)) {
      const value = glued === '' ? words[++index] : glued
      if (value === undefined) throw new UsageError(`-${cluster} needs a value`)
      if (cluster === 'o') options.push(...splitOptions(value))
    } else for (const letter of cluster + glued) letters.add(letter)
  }
  if (unmounting) {
    if (places.length !== 1) throw new UsageError('umount needs one mountpoint')
    return { words: ['umount', '--quiet', ...(letters.has('l') ? ['--lazy'] : []), resolve(places[0]!)] }
  }
  const [source = '', mountpoint] = places
  if (mountpoint === undefined || places.length > 2) throw new UsageError('mount needs a source and a mountpoint')
  const meaning: Meaning = { flags: letters.has('r') ? ['--read-only'] : [], who: {} }
  for (const option of options) readOption(option, letters.has('s'), meaning)
  const remote = readSource(source, meaning.who)
  return {
    words: ['mount', '--quiet', ...meaning.flags, ...whoFlags(meaning.who), remote, resolve(mountpoint)],
    ...(meaning.user !== undefined && { user: meaning.user }),
    ...(letters.has('f') && { fake: true }),
  }
}

/** Exit codes of mount(8). */
const WRONG_CALL = 1
const FAILED = 32

/** Runs the call through `run`, our own command line. @returns the exit code that mount(8) expects */
export async function asHelper(program: string, words: readonly string[], run: (words: readonly string[]) => Promise<number>): Promise<number> {
  try {
    const call = translate(program, words)
    if (call.fake === true) return 0
    if (call.user !== undefined) becomeUser(call.user)
    const code = await run(call.words)
    return code === 0 ? 0 : code === 2 ? WRONG_CALL : FAILED
  } catch (error) {
    process.stderr.write(`cellsfs: ${sentenceOf(error)}\n`)
    return error instanceof UsageError ? WRONG_CALL : FAILED
  }
}

/** As mount.fuse3 does it for setuid=: everything from here on belongs to that user. @throws CommandError */
function becomeUser(name: string): void {
  if (process.getuid?.() !== 0) {
    if (userInfo().username === name) return
    throw new CommandError('only root can mount as somebody else (setuid=)')
  }
  let group: number
  try {
    group = Number(execFileSync('id', ['-g', '--', name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch (cause) {
    throw new CommandError(`there is no user "${name}" (setuid=)`, { cause })
  }
  // Missing in the type definitions.
  ;(process as unknown as { initgroups(user: string, group: number): void }).initgroups(name, group)
  process.setgid!(group)
  process.setuid!(name)
  for (const variable of Object.keys(process.env)) if (variable.startsWith('XDG_')) delete process.env[variable]
  Object.assign(process.env, { HOME: userInfo().homedir, USER: name, LOGNAME: name })
}
