/** The mounts of this user, as the commands that talk to them find them, and what such a command shows while it waits. */
import { isAbsolute, relative, resolve } from 'node:path'
import { ask, liveSockets, type MountStatus } from '../../fs/mount-control.js'
import { CommandError, UsageError } from '../errors.js'
import { humanSize } from '../human.js'
import type { CecArgv } from '../options.js'

/** A process that is stopped must not keep the others from being shown. */
const ANSWER_MS = 5_000
const LOOK_MS = 500

export interface FoundMount {
  readonly socket: string
  readonly status: MountStatus
  /** What was asked for, in the mount; '' for all of it. */
  readonly path: string
}

const statusOf = (socket: string, verbose = false): Promise<MountStatus | undefined> => ask(socket, { op: 'status', verbose }, AbortSignal.timeout(ANSWER_MS)).catch(() => undefined)

/** All mounts that answer, by mountpoint. */
export async function allMounts({ verbose = false } = {}): Promise<FoundMount[]> {
  const found = await Promise.all((await liveSockets()).map(async (socket) => ({ socket, status: await statusOf(socket, verbose), path: '' })))
  return found.filter((it): it is FoundMount => it.status !== undefined).sort((a, b) => a.status.mountpoint.localeCompare(b.status.mountpoint))
}

/** The mount that `path` is in. @throws CommandError */
export async function mountOf(path: string): Promise<FoundMount> {
  const inside = (await allMounts())
    .map((mount) => ({ ...mount, path: relative(mount.status.mountpoint, resolve(path)) }))
    .filter((mount) => mount.path !== '..' && !mount.path.startsWith('../') && !isAbsolute(mount.path))
    // A mount inside a mount: the inner one.
    .sort((a, b) => b.status.mountpoint.length - a.status.mountpoint.length)
  if (inside[0] === undefined) throw new CommandError(`${path} is not in a mount of cellsfs`)
  return inside[0]
}

/** Seconds of a flag, as milliseconds. @throws UsageError */
export function secondsFlag(argv: CecArgv, name: string): number | undefined {
  const value = argv[name] as number | undefined
  if (value === undefined) return undefined
  if (!Number.isFinite(value) || value < 0 || value > 1_000_000) throw new UsageError(`--${name} needs a number of seconds`)
  return value * 1000
}

/** `3 changes, 1.2 MiB to send, 400 KiB/s`; what is left to wait for when all is sent. */
export function remaining(status: MountStatus): string {
  const { pending, unconfirmed, traffic } = status
  if (pending.count === 0) return unconfirmed === 0 ? 'nothing to send' : `waiting until the server shows ${unconfirmed} change${unconfirmed === 1 ? '' : 's'}`
  return `${pending.count} change${pending.count === 1 ? '' : 's'}, ${humanSize(pending.bytes)} to send${traffic.up > 0 ? `, ${humanSize(traffic.up)}/s` : ''}`
}

/** Shows on a terminal, on one line of stderr, what `line` says, again and again. Returns how to end it. */
export function showWhile(line: () => Promise<string | undefined> | string | undefined): () => void {
  const { stderr } = process
  if (!stderr.isTTY) return () => {}
  let over = false
  const draw = async (): Promise<void> => {
    const text = await line()
    if (!over && text !== undefined) stderr.write(`\r${text.slice(0, Math.max(10, (stderr.columns ?? 80) - 1))}\u001b[K`)
  }
  const timer = setInterval(() => { draw().catch(() => {}) }, LOOK_MS)
  return () => {
    over = true
    clearInterval(timer)
    stderr.write('\r\u001b[K')
  }
}

/** What the mounts have still to send, while `work` goes on. */
export async function showingProgress<T>(sockets: readonly string[], work: Promise<T>): Promise<T> {
  const done = showWhile(async () => {
    const all = (await Promise.all(sockets.map((socket) => statusOf(socket)))).filter((it) => it !== undefined)
    return all.length === 0 ? undefined : all.map((it) => (all.length === 1 ? remaining(it) : `${it.mountpoint}: ${remaining(it)}`)).join('; ')
  })
  try {
    return await work
  } finally {
    done()
  }
}
