/**
 * Names that live in the mount but never reach the server: lock and scratch files of editors, desktops and git.
 * A rename to an ordinary name makes them ordinary (design, section 4).
 */
const LOCAL_ONLY: readonly RegExp[] = [
  /^\.~lock\..*#$/, // LibreOffice
  /^4913$/, // vim's probe, and its successors 5036, 5159 ... are rare enough to be files
  /^\.[^/]*\.sw[a-px]$/, /^\.sw[a-p]$/, // vim swap files
  /^\.goutputstream-/, // GLib's atomic save
  /^\.DS_Store$/, /^\._/, // macOS
  /^~\$/, // Microsoft Office owner files
  /^\.#/, // emacs locks
  /^\.fuse_hidden/, // libfuse 2
  /^\.nfs[0-9a-f]{8,}/,
]

/** Scratch files of git, inside a .git folder only: elsewhere `yarn.lock` and friends are documents. */
const GIT_SCRATCH = /^(?:.*\.lock|tmp_(?:obj|pack|idx|rev|bitmap|graph|midx)_.*|\.tmp-.*)$/

/** @param folders names of the folders above, innermost last */
export function isLocalOnly(name: string, folders: readonly string[]): boolean {
  if (LOCAL_ONLY.some((pattern) => pattern.test(name))) return true
  return GIT_SCRATCH.test(name) && folders.includes('.git')
}

/**
 * Does `to` look like the name under which an editor sets the old content aside before it writes the new one
 * to `from`? (vim and emacs: `x~`; office suites and others: `x.bak`, `x.old`, `~x.tmp`, any `.tmp`).
 */
export function isBackupName(from: string, to: string): boolean {
  if (to === `${from}~` || to === `.${from}~` || to === `${from}.bak` || to === `${from}.old` || to === `${from}.orig`) return true
  return /\.(?:tmp|bak|old)$/i.test(to)
}
