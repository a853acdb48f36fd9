/**
 * Mounts of the same server on this computer, before a command looks at files: what they have not sent yet, or what the server does not
 * show yet, is content too. They are asked to bring it to the server, and waited for a while; then the server is asked as ever. So
 * there is one truth for a command, and a mount that cannot send costs a warning and not the command.
 */
import { existsSync } from 'node:fs'
import { isWithin } from '../cells/names.js'
import { runtimeHome } from '../paths.js'
import { timeLimit } from '../signals.js'
import type * as Control from '../fs/mount-control.js'
import type { CommandContext } from './context.js'

/** For a mount to say which server it is of. */
const STATUS_MS = 2_000
/** For a mount to send what it has. */
const SYNC_MS = 15_000

/**
 * What to ask of a mount of `remote` before `path` is looked at: a path in the mount, '' for all of it; undefined when they have nothing in common.
 */
export function pathInMount(remote: string, path: string): string | undefined {
  if (remote === '' || path === remote) return path === remote ? '' : path
  if (isWithin(path, remote)) return path.slice(remote.length + 1)
  return path === '' || isWithin(remote, path) ? '' : undefined
}

/**
 * Resolves when the mounts of `server` have brought everything at and below `paths` to the server, or the time is up.
 *
 * @param server URL as the connection has it
 * @throws the signal's reason
 */
export async function settleMounts(server: string, paths: readonly string[], { logger, signal }: Pick<CommandContext, 'logger' | 'signal'>): Promise<void> {
  // Usually there is none, and nothing to load.
  if (!existsSync(runtimeHome())) return
  const control = await import('../fs/mount-control.js')
  const sockets = await control.liveSockets().catch(() => [])
  await Promise.all(sockets.map(async (socket) => {
    const status = await control.ask(socket, { op: 'status' }, timeLimit(STATUS_MS, signal)).catch(() => undefined)
    if (status?.server !== server) return
    const wanted = paths.map((path) => pathInMount(status.remote, path)).filter((path) => path !== undefined)
    if (wanted.length === 0) return
    const reason = await sync(control, socket, status, [...new Set(wanted)], signal)
    signal.throwIfAborted()
    if (reason !== '') logger.warn(`the mount at ${status.mountpoint} has changes that are not on the server yet: ${reason}`)
  }))
  signal.throwIfAborted()
}

/** '' when everything has arrived, else why it has not. */
async function sync(control: typeof Control, socket: string, status: Control.MountStatus, paths: readonly string[], signal: AbortSignal): Promise<string> {
  const deadline = timeLimit(SYNC_MS + STATUS_MS, signal)
  if (status.connection !== 'online') {
    if (status.pending.count === 0) return ''
    return status.connection === 'offline' ? 'it cannot reach the server' : 'it needs a sign-in, run "cec config relog"'
  }
  try {
    const all = paths.includes('') ? [''] : paths
    const reports = await Promise.all(all.map((path) => control.ask(socket, { op: 'sync', timeoutMs: SYNC_MS, ...(path !== '' && { path }) }, deadline)))
    const failed = reports.flatMap((report) => report?.failed ?? [])
    if (reports.some((report) => (report?.unsent ?? 0) > 0)) return `still sending after ${SYNC_MS / 1000} seconds`
    return failed.map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`)).join('; ')
  } catch (error) {
    return deadline.aborted ? `still sending after ${SYNC_MS / 1000} seconds` : (error as Error).message
  }
}
