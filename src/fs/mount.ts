/**
 * A mount session: the engine, a driver and the control socket, from the first check to the last byte
 * saved. Knows nothing of command lines and signals (src/cli/cellsfs).
 *
 * The order at the end: what can be saved in some seconds while programs still look on is saved (`sync`), then the mount goes, then
 * the rest and what the last closes left behind is saved (`close`). Nothing is reported as unmounted before that.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Logger } from '../log.js'
import { cacheHome, stateHome } from '../paths.js'
import { orLate, timeLimit } from '../signals.js'
import type { Driver, Mounted } from './drivers/driver.js'
import { refuseAdding } from './full-disk.js'
import { metricsSocket, serveControl, type MountStatus } from './mount-control.js'
import { type MetricsServer, serveMetrics } from './metrics-server.js'
import { checkMountpoint } from './mountpoint.js'
import type { Engine, SyncReport } from './status.js'

/** How long is saved while programs look on: one that writes without end must not keep the mount. */
const LOOK_ON_MS = 5_000
/** How long the end of a mount sends what is left, when somebody waits for it. What is not sent by then is kept for the next mount. */
export const SAVE_MS = 60_000
/** Time for programs to close their files after a lazy unmount, before they can add nothing more and the engine goes away under them. */
const LAZY_MS = 3_000

export interface MountSessionOptions {
  /** Opens the engine once the mountpoint is known to be usable. */
  readonly openEngine: () => Promise<Engine>
  readonly driver: Driver
  readonly mountpoint: string
  /** Shown by mount(8) and df(1). */
  readonly fsname: string
  readonly allowOther: boolean
  readonly readOnly: boolean
  readonly noExec?: boolean
  /** See MountOptions. */
  readonly writeback?: boolean
  readonly autoUnmount?: boolean
  /** Where the log is, for `cellsfs status`. */
  readonly logFile?: string
  readonly writeThrough?: boolean
  /** Metrics also on this port of the loopback address; 0 for any. */
  readonly metricsPort?: number
  readonly logger: Logger
}

export interface MountSession {
  readonly mountpoint: string
  /**
   * Saves what it can in `timeoutMs` (default SAVE_MS), unmounts, ends the engine. Lazy: also while programs use the mount.
   * @throws FsError EBUSY when it is in use and not lazy; the mount goes on then
   */
  stop(options?: { lazy?: boolean; timeoutMs?: number }): Promise<SyncReport>
  status(options?: { verbose?: boolean }): MountStatus
  /** See Engine.wake. */
  wake(): void
  /** Resolves when all is over, whoever ended it, with what could not be saved. */
  readonly finished: Promise<SyncReport>
}

/** Folders of one mount: the same account, remote and mountpoint find their drafts and blocks again. */
export function mountFolders(accountId: string, remote: string, mountpoint: string): { key: string; stateDir: string; cacheDir: string; logFile: string } {
  const key = createHash('sha256').update([accountId, remote, mountpoint].join('\0')).digest('hex').slice(0, 16)
  return {
    key,
    stateDir: join(stateHome(), 'mounts', key),
    cacheDir: join(cacheHome(), 'mounts', key),
    logFile: join(stateHome(), 'log', `${key}.log`),
  }
}

/** Mounts; resolves when the drive answers. @throws MountError, and what opening the engine throws */
export async function runMount(options: MountSessionOptions): Promise<MountSession> {
  const { driver, logger } = options
  const mountpoint = await checkMountpoint(options.mountpoint)
  const engine = await options.openEngine()
  const since = new Date().toISOString()

  let metrics: MetricsServer | undefined
  const status = (wish?: { verbose?: boolean }): MountStatus => ({
    ...engine.status(wish), mountpoint, pid: process.pid, driver: driver.name, since, writeMode: options.writeThrough === true ? 'through' : 'back',
    metrics: { socket: metricsSocket(mountpoint), ...(metrics?.url !== undefined && { url: metrics.url }) }, ...(options.logFile !== undefined && { log: options.logFile }),
  })
  const control = await serveControl(mountpoint, {
    status,
    sync: ({ path, timeoutMs }) => engine.sync(path, timeoutMs === undefined ? undefined : timeLimit(timeoutMs)),
    unmount: (request) => stop(request),
    pin: async ({ path }) => engine.pin(path).then(() => true),
    unpin: async ({ path }) => engine.unpin(path).then(() => true),
  }).catch(async (error: unknown) => {
    await engine.close()
    throw error
  })

  let over: Promise<SyncReport> | undefined
  // Who still works inside a mount that was taken away would make the last save endless.
  refuseAdding(engine.fs, () => (over === undefined ? undefined : 'EIO'))
  const mounted = await mount().catch(async (error: unknown) => {
    await metrics?.close()
    await control.close()
    await engine.close()
    throw error
  })
  async function mount(): Promise<Mounted> {
    metrics = await serveMetrics(() => engine.metrics(), metricsSocket(mountpoint), options.metricsPort)
    return driver.mount(engine.fs, {
      mountpoint, fsname: options.fsname, allowOther: options.allowOther, readOnly: options.readOnly, noExec: options.noExec, debug: false,
      writeback: options.writeback, autoUnmount: options.autoUnmount,
    })
  }
  engine.attachNotices(mounted.notices)
  logger.info('mounted', { mountpoint, driver: driver.name })

  const { promise: finished, resolve: finish, reject: fail } = deferred<SyncReport>()
  /** Of whoever asked for the end; somebody else's umount has none. */
  let deadline: AbortSignal | undefined
  const close = (): Promise<SyncReport> => {
    if (over === undefined) {
      over = engine.close(deadline)
      // The connection that asked for the unmount is still waiting for its reply, so nobody waits for the socket here.
      over.then(async (report) => {
        logger.info('unmounted', { mountpoint, unsaved: report.failed.length + (report.unsent ?? 0) })
        await metrics?.close()
        await control.close()
        finish(report)
      }).catch(fail)
    }
    return over
  }
  mounted.ended.then(close).catch(fail)

  async function end(lazy: boolean, timeoutMs: number): Promise<SyncReport> {
    if (over !== undefined) return over
    deadline = timeLimit(timeoutMs)
    if (!lazy) await engine.sync(undefined, timeLimit(LOOK_ON_MS, deadline)).catch(() => {})
    await mounted.unmount({ lazy })
    if (lazy) await within(mounted.ended, LAZY_MS)
    return close()
  }

  // One at a time: a second request either finds all done or tries again what was busy.
  let last: Promise<unknown> = Promise.resolve()
  function stop({ lazy = false, timeoutMs = SAVE_MS }: { lazy?: boolean; timeoutMs?: number } = {}): Promise<SyncReport> {
    const result = last.then(() => end(lazy, timeoutMs))
    last = result.catch(() => {})
    return result
  }

  return { mountpoint, stop, status, wake: () => engine.wake(), finished }
}

/** Does `promise` resolve within `ms`? */
async function within(promise: Promise<void>, ms: number): Promise<boolean> {
  return orLate(ms, promise.then(() => true), () => false)
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => { [resolve, reject] = [yes, no] })
  return { promise, resolve, reject }
}
