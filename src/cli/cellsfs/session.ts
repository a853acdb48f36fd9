/**
 * One mount from connection to the last byte saved, in this process: what `mount -f` and the background worker
 * share. Signals end it: everything is saved, then unmounted, also while programs still use the mount.
 */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VERSION } from '../../version.js'
import { AccountsFile, configFolder } from '../../auth/accounts.js'
import { takeLock } from '../../cache/lock.js'
import { connect } from '../../cells/client.js'
import { openEngine } from '../../fs/engine.js'
import { FsError } from '../../fs/errno.js'
import { mountFolders, runMount, type MountSession } from '../../fs/mount.js'
import type { MountStatus } from '../../fs/mount-control.js'
import { checkFuse, checkMountpoint } from '../../fs/mountpoint.js'
import { createLogger, type Logger } from '../../log.js'
import { CommandError } from '../errors.js'
import { parseLevel } from '../logger.js'
import { mountConnection } from './connection.js'
import { followTroubles } from './desktop.js'
import { chooseDriver } from './drivers.js'
import { keepHeapSmall, keepYoungHeapSmall } from './heap.js'
import { leftOver } from './left-over.js'
import { hasState, identify, watchSignIn } from './identity.js'
import type { MountSettings } from './options.js'

/** A log is set aside at this size when a mount starts. */
const LOG_BYTES = 10 * 1024 * 1024
/** A process that was killed a moment ago is given so long to go. */
const LOCK_MS = 2_000
const LOCK_RETRY_MS = 50
const OFFLINE_NOTE = 'the server does not answer now: the drive shows what was known; what is saved is sent when it answers'
/** Time for the last words after the end. */
const EXIT_MS = 1_000

export interface SessionHooks {
  /** The drive answers. `note`: something that the person should know. */
  onReady(mountpoint: string, note?: string): void
  readonly signals: readonly NodeJS.Signals[]
  /** Where the log goes without --log-file. */
  /** It is being ended: what is still to be sent can be shown until the function that is returned is called. */
  readonly onEnding?: (status: () => MountStatus) => () => void
  readonly log: { readonly write: (line: string) => void } | 'file'
}

/**
 * Mounts and stays until the mount has ended and all is saved.
 * @throws MountError, CellsError, AuthError before it is ready; CommandError when something could not be saved
 */
export async function serveMount(settings: MountSettings, hooks: SessionHooks): Promise<void> {
  keepYoungHeapSmall()
  const { remote } = settings
  const mountpoint = await checkMountpoint(settings.mountpoint)
  let write = (_line: string): void => {}
  const logger = createLogger(parseLevel(settings.globals.log), (line) => write(line))
  if (settings.logFile !== '') write = fileLog(settings.logFile)
  else if (hooks.log !== 'file') ({ write } = hooks.log)

  // What this machine lacks is told before the server is asked.
  await checkFuse({ allowOther: settings.allowOther })
  const { driver, note } = await chooseDriver(settings.driver, logger)

  const connection = await mountConnection(settings, logger)
  let unlock = (): void => {}
  const server = connect(connection, { logger, userAgent: `cellsfs/${VERSION}` })
  try {
    // Also the proof that the server can be reached and lets us in. A token alone does not say whose folders these are.
    const { account, proven } = await identify(server, connection, (it) => hasState(mountFolders(it, remote, mountpoint).stateDir), logger)
    const folders = mountFolders(account, remote, mountpoint)
    const logFile = settings.logFile === '' && hooks.log === 'file' ? folders.logFile : settings.logFile
    if (settings.logFile === '' && logFile !== '') write = fileLog(logFile)
    const cacheDir = settings.cacheDir === '' ? folders.cacheDir : settings.cacheDir
    unlock = await lockCache(cacheDir)
    const session = await runMount({
      openEngine: () => openEngine({
        server, remote, stateDir: folders.stateDir, cacheDir, away: !proven,
        ...(settings.cacheBytes !== undefined && { cacheBytes: settings.cacheBytes }),
        uid: settings.uid ?? process.getuid?.() ?? 0, gid: settings.gid ?? process.getgid?.() ?? 0, umask: settings.umask ?? process.umask(), readOnly: settings.readOnly, writeThrough: settings.writeThrough === true, logger,
      }),
      driver,
      mountpoint,
      fsname: `cellsfs#${account}${remote === '' ? '' : `/${remote}`}`,
      allowOther: settings.allowOther,
      readOnly: settings.readOnly,
      noExec: settings.noExec,
      writeback: settings.writeback,
      autoUnmount: settings.autoUnmount,
      ...(logFile !== '' && { logFile }),
      writeThrough: settings.writeThrough === true,
      ...(settings.metricsPort !== undefined && { metricsPort: settings.metricsPort }),
      logger,
    })
    keepHeapSmall()
    const release = endOnSignals(session, hooks, logger)
    const bell = settings.notify === true ? followTroubles(session, logger) : undefined
    const unwatch = watchSignIn(new AccountsFile(configFolder(settings.globals.config)).path, () => session.status().connection, () => session.wake())
    hooks.onReady(mountpoint, proven ? note : OFFLINE_NOTE)
    const report = await session.finished
    bell?.close()
    unwatch()
    release()
    const left = leftOver(report)
    if (left !== undefined) throw new CommandError(left)
  } finally {
    unlock()
    await server.close()
    // libfuse's threads do not keep a mount alive that has ended, but they keep the process while programs have files open.
    setTimeout(() => process.exit(), EXIT_MS).unref()
  }
}

/** The engine locks its own folder; this one can be given by hand. */
async function lockCache(folder: string): Promise<() => void> {
  const end = Date.now() + LOCK_MS
  for (;;) {
    const lock = tryLock(folder)
    if (typeof lock !== 'number') return lock
    if (Date.now() > end) throw new CommandError(`the cache folder ${folder} is in use by another mount (process ${lock})`)
    await sleep(LOCK_RETRY_MS)
  }
}

function tryLock(folder: string): (() => void) | number {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return takeLock(join(folder, 'lock'))
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const full = code === 'ENOSPC' || code === 'EDQUOT'
    throw new CommandError(full ? `the disk of the cache folder ${folder} is full: free some space, or name another one with --cache-dir` : `the cache folder ${folder} cannot be used (${code ?? String(cause)})`, { cause })
  }
}

function endOnSignals(session: MountSession, { signals, onEnding }: SessionHooks, logger: Logger): () => void {
  let asked = false
  let shown = (): void => {}
  const onSignal = (signal: NodeJS.Signals): void => {
    if (asked) {
      logger.warn('asked to stop again: leaving at once; what was written is kept for the next mount')
      process.exit(1)
    }
    asked = true
    logger.info('saving and unmounting', { signal })
    shown = onEnding?.(() => session.status()) ?? shown
    session.stop().catch((error: unknown) => {
      if (!(error instanceof FsError) || error.code !== 'EBUSY') throw error
      logger.warn('programs still use the mount; it is taken away under them after all is saved')
      return session.stop({ lazy: true })
    }).catch((error: unknown) => {
      asked = false
      shown()
      logger.error('could not unmount', { error })
    })
  }
  for (const signal of signals) process.on(signal, onSignal)
  return () => {
    shown()
    for (const signal of signals) process.off(signal, onSignal)
  }
}

function fileLog(path: string): (line: string) => void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) renameSync(path, `${path}.1`)
  // Synchronous on a local file: a log that loses its last lines in a crash is of no use.
  return (line) => {
    try {
      appendFileSync(path, line, { mode: 0o600 })
    } catch {
      // A full disk must not end the mount.
    }
  }
}
