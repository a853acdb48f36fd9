/**
 * Setuid and setgid end when somebody without the right to keep them writes, truncates or changes the owner. The kernel
 * leaves that to us (HANDLE_KILLPRIV_V2) and says when, which spares it a GETXATTR for each write(2).
 */
import type { Attr } from '../../driver.js'

const S_ISUID = 0o4000
const S_ISGID = 0o2000
const S_IXGRP = 0o010

/** The mode without them; undefined when there is nothing to end. Setgid without group execution is no privilege. */
export function withoutPrivileges({ type, mode }: Attr): number | undefined {
  if (type === 'folder') return undefined
  const ends = (mode & S_ISUID) | ((mode & S_IXGRP) !== 0 ? mode & S_ISGID : 0)
  return ends === 0 ? undefined : mode & ~ends
}
