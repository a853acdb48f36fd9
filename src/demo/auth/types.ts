/**
 * The seam between the embedded server's storage half (src/demo) and its sign-in half
 * (src/demo/auth): who is this bearer, who exists, and which routes the sign-in half answers.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '../../log.js'

/** Which generation of Cells the embedded server behaves as (newer-servers.md). */
export type ServerVersion = 2 | 4 | 5

/** A person of the embedded server. Never carries the password. */
export interface DemoUser {
  readonly uuid: string
  readonly login: string
  readonly displayName: string
  readonly email: string
  /** Sees and changes other users; everybody else gets 401 on admin calls (contract, section 3). */
  readonly isAdmin: boolean
  /** `/` for everybody in the sample users. */
  readonly groupPath: string
  /**
   * Slugs of workspaces in which this user may only read. A workspace that is in neither list is
   * readable and writeable.
   */
  readonly readOnlyWorkspaces: readonly string[]
  /** Slugs of workspaces that this user does not see at all. */
  readonly hiddenWorkspaces: readonly string[]
}

/** What a bearer (access token or personal access token) stands for. */
export interface Authenticator {
  /**
   * The user behind a live token, undefined for an unknown, expired or revoked one. Used for the
   * Authorization header, S3 access keys, `pydio_jwt`, `X-Pydio-Bearer` and the websocket.
   */
  verifyBearer(token: string): DemoUser | undefined | Promise<DemoUser | undefined>
}

/** The people, kept on disk by the sign-in half. */
export interface UserStore {
  list(): readonly DemoUser[]
  find(login: string): DemoUser | undefined
  /** Creates or replaces. A missing password keeps the stored one. */
  put(user: DemoUser, password?: string): void
  /** False if there was none. */
  remove(login: string): boolean
}

export interface AuthOptions {
  /** Own folder of the sign-in half, exists already, mode 0700. */
  readonly dataDir: string
  /** Public base URL without a trailing slash, e.g. `http://localhost:8080`; known once the server listens. */
  readonly publicUrl: () => string
  readonly serverVersion: ServerVersion
  /** Seconds an access token lives; 600 on a real server. */
  readonly accessTokenTtlS?: number
  /** Seconds a refresh token lives; 1 hour on 2.x, 60 days on 4.x and later. */
  readonly refreshTokenTtlS?: number
  /** Whether personal access tokens can be made over REST; by default from 4.x on (there an Enterprise feature). */
  readonly personalTokenRest?: boolean
  readonly logger: Logger
}

/** The sign-in half: `/oidc/*`, `/oauth2/*`, `/login*`, `/a/frontend/session`, `/a/auth/*`. */
export interface DemoAuth extends Authenticator {
  readonly users: UserStore
  /**
   * Answers the request if the route is one of its own and resolves to true; resolves to false, with the
   * request untouched, otherwise. Called before any other route and before the bearer check.
   */
  handle(req: IncomingMessage, res: ServerResponse): Promise<boolean>
  close(): Promise<void>
}
