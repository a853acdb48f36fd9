/** What this library itself throws. */
import { constants } from 'node:os'

/** A message that breaks the protocol. Answered with EIO. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** A system call that failed. */
export class SystemError extends Error {
  override readonly name = 'SystemError'
  /** Positive number. */
  readonly errno: number
  /** ENOENT, ... */
  readonly code: string

  constructor(call: string, errno: number) {
    const code = errnoName(errno)
    super(`${call}: ${code}`)
    this.errno = errno
    this.code = code
  }
}

/** The first name of each: ENOTSUP is also EOPNOTSUPP. */
const NAMES = new Map(Object.entries(constants.errno).reverse().map(([name, errno]) => [errno, name]))

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`
}
