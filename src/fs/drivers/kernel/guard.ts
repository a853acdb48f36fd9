/**
 * A mount that goes when its process dies, instead of answering "Transport endpoint is not connected" until somebody cleans
 * up. A shell waits at the end of a pipe that this process holds; when it closes without a word, the mount is taken away, but only
 * if it really is dead: something else may stand there by now.
 */
import { spawn } from 'node:child_process'

// The signals that end a whole session or terminal are not meant for it.
const SCRIPT = `
trap '' HUP INT QUIT TERM
read -r word
[ "$word" = done ] && exit 0
stat -- "$1" 2>&1 >/dev/null | grep -q 'Transport endpoint\\|connection abort' || exit 0
fusermount3 -u -z -q -- "$1" || fusermount -u -z -q -- "$1" || umount -l -- "$1"
`

/** Watches over `mountpoint`. The returned function calls it off. */
export function guardMount(mountpoint: string): () => void {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'cellsfs-guard', mountpoint], {
    stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/', env: { ...process.env, LC_ALL: 'C' },
  })
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.unref()
  // Its pipe alone must not keep a process alive that has nothing else to do.
  ;(child.stdin as unknown as { unref?: () => void }).unref?.()
  return () => { child.stdin.end('done\n') }
}
