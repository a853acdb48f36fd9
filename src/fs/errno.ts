/**
 * The one table between "what went wrong" and the number a program gets (design, invariant 7).
 * It is total: an error nobody foresaw is EIO, never ENOENT.
 */
import { constants } from 'node:os'
import { AuthError } from '../auth/errors.js'
import { CellsError, type CellsErrorKind } from '../cells/errors.js'

export type ErrnoCode = keyof typeof constants.errno

/** An engine error that is born knowing its errno. */
export class FsError extends Error {
  override readonly name = 'FsError'
  readonly code: ErrnoCode

  constructor(code: ErrnoCode, message: string = code, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}

const BY_KIND: Readonly<Record<CellsErrorKind, ErrnoCode>> = {
  'not-found': 'ENOENT',
  forbidden: 'EACCES',
  'login-needed': 'EACCES',
  exists: 'EEXIST',
  locked: 'EBUSY',
  invalid: 'EINVAL',
  quota: 'EDQUOT',
  range: 'EIO',
  precondition: 'ESTALE',
  unavailable: 'EIO',
  network: 'EHOSTUNREACH',
  timeout: 'ETIMEDOUT',
  tls: 'EIO',
  'not-cells': 'EIO',
  protocol: 'EIO',
  job: 'EIO',
  aborted: 'EINTR',
  unknown: 'EIO',
}

/** errno codes of local system calls that say something true to the program; others become EIO. */
const LOCAL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'EFBIG', 'EROFS', 'ENOMEM'])

/** Symbolic errno of any thrown value. */
export function errnoCode(error: unknown): ErrnoCode {
  if (error instanceof FsError) return error.code
  if (error instanceof CellsError) return BY_KIND[error.kind]
  if (error instanceof AuthError) return BY_KIND[error.wireKind]
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code === 'string' && LOCAL.has(code)) return code as ErrnoCode
  return 'EIO'
}

/** Positive errno of any thrown value. */
export function toErrno(error: unknown): number {
  const code = errnoCode(error)
  return constants.errno[code] ?? constants.errno.EIO
}
