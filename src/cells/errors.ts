/**
 * What went wrong on the wire, as data. One class with a closed set of kinds: callers branch on
 * `kind`, fs/errno.ts maps every kind to an errno, people read `message` (one sentence, no
 * secret in it), the log gets `cause`.
 */
export type CellsErrorKind =
  /** A complete, authenticated answer says the name does not exist. The only proof of absence. */
  | 'not-found'
  | 'forbidden'
  /** The sign-in has ended; only a person can help. */
  | 'login-needed'
  | 'exists'
  /** Locked by a running job (423). Transient. */
  | 'locked'
  /** The server refuses this input (name, size, field). */
  | 'invalid'
  | 'quota'
  /** 416 or a range outside the object. */
  | 'range'
  /** 412, or the object is not the version that was asked for. */
  | 'precondition'
  /** 5xx, 429, 502 ...: the server is there but cannot answer. Transient. */
  | 'unavailable'
  /** DNS, refused, reset, unreachable. Transient. */
  | 'network'
  | 'timeout'
  | 'tls'
  /** The address answers, but not as Cells does (a web page, say). */
  | 'not-cells'
  /** The answer breaks its own word: short body, bad JSON, missing field. Transient. */
  | 'protocol'
  /** A server job ended in error. */
  | 'job'
  /** Our caller's AbortSignal fired. */
  | 'aborted'
  | 'unknown'

const TRANSIENT: ReadonlySet<CellsErrorKind> = new Set(['locked', 'unavailable', 'network', 'timeout', 'protocol', 'unknown'])

export class CellsError extends Error {
  override readonly name = 'CellsError'
  readonly kind: CellsErrorKind
  /** HTTP status, 0 if there was no answer. */
  readonly status: number
  /** Server's own words (Title/Detail, S3 Code), for the log. */
  readonly detail: string

  constructor(kind: CellsErrorKind, message: string, options: { status?: number; detail?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = kind
    this.status = options.status ?? 0
    this.detail = options.detail ?? ''
  }

  /** Worth the same request again after a pause. */
  get transient(): boolean {
    return TRANSIENT.has(this.kind)
  }
}

export function isCellsError(error: unknown, ...kinds: CellsErrorKind[]): error is CellsError {
  return error instanceof CellsError && (kinds.length === 0 || kinds.includes(error.kind))
}
