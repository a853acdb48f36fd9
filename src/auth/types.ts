/**
 * Where every other room gets its bearer token from.
 *
 * A token lives ten minutes on a real server and its refresh token works once, so nobody
 * keeps a token: ask for it right before each request.
 */
export interface TokenSource {
  /**
   * A bearer token that is valid for at least `minValidityMs` more (default 30 s), refreshed
   * first if need be (once across all processes of this machine).
   *
   * @throws AuthError `login-needed` when only a person can help (revoked, expired, no secret);
   *         `unavailable` when the server could not be asked (the account is still good).
   */
  get(options?: { minValidityMs?: number; signal?: AbortSignal }): Promise<string>
  /**
   * The server answered 401 to this very token. The next `get` must not return it again: it
   * re-reads the store (another process may have refreshed), then refreshes, then gives up
   * with `login-needed`. Tokens other than the current one are ignored.
   */
  reject(token: string): void
}

/** How to reach a server and who to be there; what accounts.ts and the CEC_* variables resolve to. */
export interface ConnectionSettings {
  /** `scheme://host[:port]`, no trailing slash. */
  readonly url: string
  readonly tokens: TokenSource
  readonly skipVerify: boolean
  readonly customHeaders: Readonly<Record<string, string>>
  /** `user@host:port` of the stored account; for flag/env connections a stable id made the same way, with '' for an unknown user. */
  readonly accountId: string
  readonly authType: 'pat' | 'session' | 'oauth2'
  /** Login as the server reports it; '' where it has not been asked (a token from a flag or the environment). */
  readonly user?: string
}
