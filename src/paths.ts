/** Where things are kept: the XDG base directories, and nothing outside them. */
import { statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'

function base(variable: string, fallback: string): string {
  const value = process.env[variable]
  // The XDG specification: a relative path is to be ignored.
  return value !== undefined && isAbsolute(value) ? value : join(homedir(), fallback)
}

/** Blocks of file versions: may be deleted at any time without loss. */
export const cacheHome = (): string => join(base('XDG_CACHE_HOME', '.cache'), 'cellsfs')
/** Drafts, journal, POSIX facts: must never be deleted behind our back. */
export const stateHome = (): string => join(base('XDG_STATE_HOME', '.local/state'), 'cellsfs')
/** Content of the embedded server. */
export const dataHome = (): string => join(base('XDG_DATA_HOME', '.local/share'), 'cellsfs')
/** The folder of cec's config.json (cec-reference 2.1), shared with Pydio's own cec. */
export const accountsHome = (): string => join(base('XDG_CONFIG_HOME', '.config'), 'pydio', 'cells-client')
/** Sockets of running mounts. */
export function runtimeHome(): string {
  const value = process.env['XDG_RUNTIME_DIR']
  if (value !== undefined && isAbsolute(value)) return join(value, 'cellsfs')
  // Who comes from cron, su or a system service has no such variable, but may have the folder.
  const usual = `/run/user/${process.getuid?.() ?? 0}`
  if (statSync(usual, { throwIfNoEntry: false })?.uid === process.getuid?.()) return join(usual, 'cellsfs')
  return lastRuntimeHome()
}

/** Where the sockets are of what was mounted without any of that, as at boot. */
export const lastRuntimeHome = (): string => join(tmpdir(), `cellsfs-${process.getuid?.() ?? 0}`)
