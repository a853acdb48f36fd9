/** What the flags of `cec share` wish for: permissions, end, password. */
import type { LinkPermission, LinkWishes } from '../cells/shares.js'
import { textOf } from './argv.js'
import { CommandError } from './errors.js'
import type { CecArgv } from './options.js'
import { hasTerminal, terminalPrompter } from './prompts.js'

const PERMISSIONS: Readonly<Record<string, LinkPermission>> = { preview: 'Preview', download: 'Download', upload: 'Upload' }
const UNIT_SECONDS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400, w: 7 * 86_400 }

/** cec's own choice is `download,preview`. @throws CommandError */
export function permissionsFrom(text: string): LinkPermission[] {
  const words = (text === '' ? 'download,preview' : text).split(',').map((word) => word.trim().toLowerCase()).filter((word) => word !== '')
  const permissions = words.map((word) => {
    const permission = Object.hasOwn(PERMISSIONS, word) ? PERMISSIONS[word] : undefined
    if (permission === undefined) throw new CommandError(`"${word}" is no permission; use preview, download, upload`)
    return permission
  })
  if (permissions.length === 0) throw new CommandError('a link needs at least one of preview, download, upload')
  return [...new Set(permissions)]
}

/**
 * `30m`, `12h`, `7d`, `2w` from now, `2026-12-31` (until the end of that day here) or a time with a zone as in ISO 8601.
 *
 * @param now milliseconds since the epoch
 * @returns seconds since the epoch
 * @throws CommandError for what is none of that, or is past
 */
export function expiryFrom(text: string, now: number = Date.now()): number {
  const [, count, unit] = /^(\d{1,6})([mhdw])$/.exec(text) ?? []
  let seconds: number
  if (count !== undefined && unit !== undefined) seconds = Math.floor(now / 1000) + Number(count) * (UNIT_SECONDS[unit] ?? 0)
  else if (/^\d{4}-\d\d-\d\d$/.test(text)) seconds = Math.floor(Date.parse(`${text}T23:59:59`) / 1000)
  else if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/.test(text)) seconds = Math.floor(Date.parse(text) / 1000)
  else seconds = NaN
  if (Number.isNaN(seconds)) throw new CommandError(`"${text}" is no expiry; write 12h, 7d, 2w, 2026-12-31 or 2026-12-31T12:00:00Z`)
  if (seconds * 1000 <= now) throw new CommandError(`"${text}" is over already`)
  return seconds
}

/** @throws CommandError, UsageError */
export async function wishesFrom(argv: CecArgv, signal: AbortSignal): Promise<LinkWishes> {
  const expires = textOf(argv, 'expires')
  const label = textOf(argv, 'label')
  const most = argv['max-downloads']
  if (most !== undefined && (typeof most !== 'number' || !Number.isSafeInteger(most) || most < 1)) throw new CommandError('--max-downloads needs a whole number above 0')
  return {
    permissions: permissionsFrom(textOf(argv, 'permissions')),
    ...(expires === '' ? {} : { expires: expiryFrom(expires) }),
    ...(label === '' ? {} : { label }),
    ...(most === undefined ? {} : { maxDownloads: most }),
    ...await passwordFrom(argv, signal),
  }
}

/** Never from the command line: every user of the machine can read that. */
async function passwordFrom(argv: CecArgv, signal: AbortSignal): Promise<{ password?: string }> {
  if (argv['password-stdin'] === true) {
    const password = await firstLine(signal)
    if (password === '') throw new CommandError('there is no password on standard input')
    return { password }
  }
  if (argv['ask-password'] !== true) return {}
  if (!hasTerminal()) throw new CommandError('there is no terminal to ask for the password on; use --password-stdin')
  const prompter = terminalPrompter()
  const password = await prompter.secret('Password of the link')
  if (await prompter.secret('Once more') !== password) throw new CommandError('the two passwords differ, nothing was shared')
  return { password }
}

async function firstLine(signal: AbortSignal): Promise<string> {
  const onAbort = (): void => { process.stdin.destroy(signal.reason as Error) }
  signal.addEventListener('abort', onAbort, { once: true })
  let text = ''
  try {
    for await (const chunk of process.stdin.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk
      if (text.includes('\n')) break
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
  return (text.split('\n')[0] ?? '').replace(/\r$/, '')
}
