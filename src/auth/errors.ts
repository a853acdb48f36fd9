/**
 * What went wrong while signing in or getting a token, as data. One class with a closed set of
 * kinds, like CellsError on the wire above it: callers branch on `kind`, people read `message`
 * (one sentence, no secret in it), the log gets `cause`.
 */
export type AuthErrorKind =
  /** The sign-in has ended (revoked, expired, secret gone); only a person can help. */
  | 'login-needed'
  /** The server refused login and password, or a token that was just given. */
  | 'wrong-password'
  /** No account is stored, or none of that name. */
  | 'no-account'
  /** An input or an answer of the sign-in is not acceptable (URL, state, code, account file). */
  | 'invalid'
  /** The server is there but cannot answer now (5xx, 429). The account is still good. */
  | 'unavailable'
  /** DNS, refused, reset. The account is still good. */
  | 'network'
  | 'timeout'
  | 'tls'
  /** The address answers, but not as Cells does (a web page, say). */
  | 'not-cells'
  /** No keyring, or it refused. */
  | 'keyring'
  /** The accounts file cannot be read, written or locked. */
  | 'storage'
  /** Ctrl-C at a prompt, or the caller's AbortSignal. */
  | 'aborted'

/** The names CellsErrorKind has for the same things (cells/errors.ts; auth must not import cells). */
export type AuthWireKind =
  | 'login-needed' | 'invalid' | 'unavailable' | 'network' | 'timeout' | 'tls' | 'not-cells' | 'aborted'

const WIRE: Readonly<Record<AuthErrorKind, AuthWireKind>> = {
  'login-needed': 'login-needed',
  'wrong-password': 'login-needed',
  'no-account': 'login-needed',
  keyring: 'login-needed',
  invalid: 'invalid',
  unavailable: 'unavailable',
  // A full disk or a held lock is about this moment, not about the account.
  storage: 'unavailable',
  network: 'network',
  timeout: 'timeout',
  tls: 'tls',
  'not-cells': 'not-cells',
  aborted: 'aborted',
}

export class AuthError extends Error {
  override readonly name = 'AuthError'
  readonly kind: AuthErrorKind
  /** HTTP status, 0 if there was no answer. */
  readonly status: number

  constructor(kind: AuthErrorKind, message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = kind
    this.status = options.status ?? 0
  }

  /** This kind in the words of CellsError. */
  get wireKind(): AuthWireKind {
    return WIRE[this.kind]
  }
}

export function isAuthError(error: unknown, ...kinds: AuthErrorKind[]): error is AuthError {
  return error instanceof AuthError && (kinds.length === 0 || kinds.includes(error.kind))
}
