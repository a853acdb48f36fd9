/**
 * Tells the desktop of conflicts and of changes that cannot be sent, through the program notify-send. Many at once are one message, and what
 * was told is not told again. Without the program, or without a desktop, nothing happens: a drive does not depend on it.
 */
import { spawn } from 'node:child_process'
import type { MountSession } from '../../fs/mount.js'
import type { FailedChange } from '../../fs/status.js'
import type { Logger } from '../../log.js'
import { printable } from '../printable.js'

const LOOK_MS = 2_000
/** A failure that mends itself within this time was none. */
const PATIENCE_MS = 10_000
/** Messages are so far apart. */
const BETWEEN_MS = 30_000

interface Message {
  readonly title: string
  readonly body: string
}

/** What there is to tell. Pure: `now` is milliseconds. */
export class Troubles {
  private readonly told = new Set<string>()
  private readonly since = new Map<string, number>()
  private lastAt = -Infinity

  /** A message about what is new, or undefined: now, or not yet. */
  message(conflicts: readonly string[], failures: readonly FailedChange[], now: number): Message | undefined {
    const present = new Map<string, string>()
    for (const path of conflicts) present.set(`c${path}`, `Conflict: ${printable(path)} holds your version; somebody else changed the original.`)
    for (const { path, reason } of failures) present.set(`f${path}\0${reason}`, `Not sent: ${printable(path)}: ${printable(reason)}`)
    for (const known of [this.told, this.since.keys()]) for (const key of [...known]) if (!present.has(key)) this.forget(key)
    for (const key of present.keys()) if (!this.since.has(key)) this.since.set(key, now)
    const due = [...present].filter(([key]) => !this.told.has(key) && (key.startsWith('c') || now - this.since.get(key)! >= PATIENCE_MS))
    if (due.length === 0 || now - this.lastAt < BETWEEN_MS) return undefined
    this.lastAt = now
    for (const [key] of due) this.told.add(key)
    const [first] = due
    return {
      title: due.length === 1 ? 'cellsfs: a change needs you' : `cellsfs: ${due.length} changes need you`,
      body: due.length === 1 ? first![1] : `${first![1]}\nand ${due.length - 1} more: see "cellsfs status"`,
    }
  }

  private forget(key: string): void {
    this.told.delete(key)
    this.since.delete(key)
  }
}

/** Looks until it is closed. */
export function followTroubles(session: Pick<MountSession, 'status'>, logger: Logger): { close(): void } {
  const troubles = new Troubles()
  const timer = setInterval(() => {
    const { conflicts, failures } = session.status()
    const message = troubles.message(conflicts, failures, performance.now())
    if (message !== undefined) notify(message, logger)
  }, LOOK_MS)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

function notify({ title, body }: Message, logger: Logger): void {
  const child = spawn('notify-send', ['--app-name=cellsfs', '--icon=drive-harddisk', '--', title, body], { stdio: 'ignore' })
  child.on('error', (error) => logger.debug('the desktop was not told', { error }))
  child.unref()
}
