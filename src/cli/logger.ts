/**
 * cec's log lines on stderr (cec-reference 1.5): info lines bare, others `LEVEL<TAB>message`; with
 * `--log debug` a time stamp and the level on every line. Facts are shown at debug level only, since a person
 * reads the others. `scp --verbose` lies between: the details, but of requests only those that failed.
 */
import { createLogger, type Facts, type Logger, type LogLevel } from '../log.js'

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** `debug`/`DEBUG` and so on; anything else is `info`, as in cec. */
export function parseLevel(text: string): LogLevel {
  return LEVELS.find((level) => text === level || text === level.toUpperCase()) ?? 'info'
}

const toStderr = (line: string): void => {
  process.stderr.write(line)
}

/** The level of `scp --verbose`. */
export const VERBOSE = 'verbose'

function createVerboseLogger(write: (line: string) => void): Logger {
  const debug = (message: string, facts: Facts = {}): void => {
    const { method, path, status, error } = facts
    if (message !== 'http') write(`${message}\n`)
    else if (error !== undefined || Number(status) >= 400) write(`${String(method)} ${String(path)}: ${error instanceof Error ? error.message : String(status)}\n`)
  }
  return { ...createCliLogger('info', write), debug }
}

export function createCliLogger(level: string, write: (line: string) => void = toStderr): Logger {
  if (level === VERBOSE) return createVerboseLogger(write)
  const threshold = parseLevel(level)
  if (threshold === 'debug') return createLogger('debug', write)
  const at = LEVELS.indexOf(threshold)
  const emit = (own: LogLevel) => (message: string, _facts?: Facts): void => {
    if (LEVELS.indexOf(own) < at) return
    write(own === 'info' ? `${message}\n` : `${own.toUpperCase()}\t${message}\n`)
  }
  return { debug: () => {}, info: emit('info'), warn: emit('warn'), error: emit('error') }
}
