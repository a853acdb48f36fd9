/**
 * Why a mount could not be made or ended, as one sentence for a person: what is wrong and, where
 * there is one, the exact command that helps. `code` is for tests and scripts.
 */
export type MountErrorCode =
  | 'mountpoint-missing'
  | 'mountpoint-not-folder'
  | 'mountpoint-not-empty'
  | 'mountpoint-busy'
  | 'already-mounted'
  | 'not-permitted'
  | 'no-device'
  | 'no-binding'
  | 'no-libfuse'
  | 'no-fusermount'
  | 'in-use'
  | 'not-mounted'
  | 'unsupported'
  | 'failed'

export class MountError extends Error {
  override readonly name = 'MountError'
  readonly code: MountErrorCode

  constructor(code: MountErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}
