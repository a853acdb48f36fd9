/**
 * What a command needs around it: its global flags, a logger on stderr, and a server that is
 * connected before it starts and closed after it ends.
 */
import { AuthError } from '../auth/errors.js'
import type { ConnectionSettings } from '../auth/types.js'
import type { CellsConnection, ConnectOptions } from '../cells/client.js'
import type { Logger } from '../log.js'
import { createCliLogger } from './logger.js'
import { resolveGlobals, type CecArgv, type GlobalOptions } from './options.js'

export interface CommandContext {
  readonly globals: GlobalOptions
  readonly logger: Logger
  /** Fires at the first Ctrl-C or SIGTERM: finish what must be finished and throw. */
  readonly signal: AbortSignal
}

export interface ServerContext extends CommandContext {
  readonly settings: ConnectionSettings
}

/** Flags and logger of this invocation. */
export function commandContext(argv: CecArgv, signal: AbortSignal = new AbortController().signal): CommandContext {
  const globals = resolveGlobals(argv)
  return { globals, logger: createCliLogger(globals.log), signal }
}

/**
 * Runs `work` with a signal that the first SIGINT or SIGTERM aborts; a second one ends the process at once.
 * Work that passes the signal on ends in one sentence and exit code 1.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(130)
    stop.abort(new AuthError('aborted', 'aborted by user'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    return await work(stop.signal)
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

/**
 * Resolves the connection (flags, environment, active account), connects, runs `work`, closes; interruptible.
 *
 * @throws what `work` throws; AuthError or CellsError when there is no way to connect
 */
export async function withServer<T>(argv: CecArgv, work: (server: CellsConnection, context: ServerContext) => Promise<T>, options: Pick<ConnectOptions, 'retry'> = {}): Promise<T> {
  return await interruptible(async (signal) => {
    const context = commandContext(argv, signal)
    // Loaded here, and not by commands that only need their flags: HTTP takes its time.
    const [{ resolveConnection }, { connect }] = await Promise.all([import('../auth/connection.js'), import('../cells/client.js')])
    const settings = await resolveConnection(context.globals, { logger: context.logger })
    const server = connect(settings, { ...options, logger: context.logger })
    try {
      return await work(server, { ...context, settings })
    } finally {
      await server.close()
    }
  })
}

/**
 * `withServer` for commands that look at files: what mounts on this computer have at and below `paths` and not sent yet is sent first.
 *
 * @param paths on the server, clean; a wildcard as the last name stands for its folder
 */
export async function withFiles<T>(
  argv: CecArgv, paths: readonly string[], work: (server: CellsConnection, context: ServerContext) => Promise<T>, options: Pick<ConnectOptions, 'retry'> = {},
): Promise<T> {
  return await withServer(argv, async (server, context) => {
    const { settleMounts } = await import('./running-mounts.js')
    await settleMounts(context.settings.url, paths.map((path) => path.replace(/\/[*%]$/, '')), context)
    return await work(server, context)
  }, options)
}
