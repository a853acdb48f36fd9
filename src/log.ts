/**
 * The log: one line per fact, to stderr or to a file. Values are data (key=value), and a redactor
 * keeps tokens and passwords out even when a caller is careless (design, invariant 9).
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

const ORDER: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

export interface Logger {
  debug(message: string, facts?: Facts): void
  info(message: string, facts?: Facts): void
  warn(message: string, facts?: Facts): void
  error(message: string, facts?: Facts): void
}

export type Facts = Readonly<Record<string, unknown>>

const SECRET_KEY = /token|password|secret|authorization|jwt|cookie|^code$/i

function printable(key: string, value: unknown): string {
  if (SECRET_KEY.test(key)) return '***'
  if (value instanceof Error) {
    const cause = value.cause instanceof Error ? ` (${value.cause.message})` : ''
    return JSON.stringify(value.message + cause)
  }
  if (typeof value === 'string') return /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value) ?? 'undefined'
}

/** A logger that writes lines at `level` and above through `write`. */
export function createLogger(level: LogLevel, write: (line: string) => void): Logger {
  const emit = (at: LogLevel, message: string, facts: Facts = {}): void => {
    if (ORDER[at] < ORDER[level]) return
    const tail = Object.entries(facts).map(([key, value]) => ` ${key}=${printable(key, value)}`).join('')
    write(`${new Date().toISOString()} ${at.toUpperCase()} ${message}${tail}\n`)
  }
  return {
    debug: (message, facts) => emit('debug', message, facts),
    info: (message, facts) => emit('info', message, facts),
    warn: (message, facts) => emit('warn', message, facts),
    error: (message, facts) => emit('error', message, facts),
  }
}

/** Says nothing. */
export const silentLogger: Logger = createLogger('error', () => {})
