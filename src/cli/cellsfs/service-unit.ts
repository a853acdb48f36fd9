/**
 * The text of a systemd user unit that keeps a mount (systemd.service(5), systemd.syntax(7)).
 *
 * Type=notify: the unit is started when the drive answers, so that what comes after it finds the files. Node has no datagram
 * sockets of the Unix kind, so the word is sent by the program systemd-notify, a child of ours: hence NotifyAccess=all.
 * Where that program is missing the unit is Type=exec, which says less and works too. Type=forking with our usual
 * background process would leave systemd to guess which process is the mount, and the journal without its log.
 *
 * A user's systemd has no network-online.target of its own, so After= alone would not do: a mount that does not reach the server
 * ends with an error, and Restart= tries until it does.
 */
import { createHash } from 'node:crypto'

export interface UnitFacts {
  readonly mountpoint: string
  /** Program and its first arguments, absolute: a user's systemd has another PATH. */
  readonly program: readonly string[]
  /** Arguments of `cellsfs mount --foreground`, remote and mountpoint included. */
  readonly words: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** Is there systemd-notify? */
  readonly notify: boolean
}

/** NAME_MAX of file systems; systemd's own bound for names of units is 255 too. */
const LONGEST_NAME = 255
const SUFFIX = '.service'

/** `cellsfs-home-alice-Cells.service`: the path as systemd-escape(1) writes it. */
export function unitName(mountpoint: string): string {
  const path = mountpoint.replace(/^\/+|\/+$/g, '').replace(/\/+/g, '/')
  const escaped = [...Buffer.from(path === '' ? '/' : path)].map((byte, index) => {
    const char = String.fromCharCode(byte)
    if (char === '/') return '-'
    return /[a-zA-Z0-9:_]/.test(char) || (char === '.' && index > 0) ? char : `\\x${byte.toString(16).padStart(2, '0')}`
  }).join('')
  const name = `cellsfs-${escaped}`
  if (name.length + SUFFIX.length <= LONGEST_NAME) return name + SUFFIX
  return `cellsfs-${createHash('sha256').update(mountpoint).digest('hex').slice(0, 32)}${SUFFIX}`
}

/** In double quotes, with the escapes of systemd.syntax(7); `%` begins a specifier. */
function quoted(text: string): string {
  const escapes: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r', '%': '%%' }
  return `"${text.replace(/["\\\n\t\r%]/g, (char) => escapes[char]!)}"`
}

/** One line of ExecStart=: in arguments, but not in the path of the program, `$` begins a variable. */
function commandLine([program, ...words]: readonly string[]): string {
  return [quoted(program!), ...words.map((word) => (/^[\w./:@=,+-]+$/.test(word) ? word : quoted(word.replaceAll('$', '$$$$'))))].join(' ')
}

export function unitText({ mountpoint, program, words, environment, notify }: UnitFacts): string {
  // Quotes and backslashes mean nothing here, specifiers do.
  const plain = mountpoint.replace(/[\n\r\t]/g, ' ').replaceAll('%', '%%')
  return [
    '# Made by `cellsfs service install`; `cellsfs service remove` takes it away.',
    '[Unit]',
    `Description=Pydio Cells at ${plain}`,
    'After=network-online.target',
    // Without a network it may fail as often as it takes.
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    ...(notify ? ['Type=notify', 'NotifyAccess=all'] : ['Type=exec']),
    ...Object.entries(environment).map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`),
    `ExecStart=${commandLine([...program, 'mount', '--foreground', ...words])}`,
    // Refused while a program is inside; the signal that follows saves and unmounts in any case.
    `ExecStop=-${commandLine([...program, 'umount', mountpoint])}`,
    'Restart=on-failure',
    'RestartSec=10',
    'TimeoutStartSec=2min',
    // What is not sent by then is kept and sent at the next start.
    'TimeoutStopSec=5min',
    '',
    '[Install]',
    'WantedBy=default.target',
    '',
  ].join('\n')
}
