/** cellsfs: the drive. Its commands; each is a module of its own in cellsfs/, loaded on use. */
import { applyLegacyEnv } from '../auth/legacy-env.js'
import { asHelper, isHelperCall } from './cellsfs/mount-helper.js'
import type { CommandLine } from './commands.js'
import { GLOBAL_OPTIONS } from './options.js'
import { runProgram } from './program.js'

export const CELLSFS_COMMANDS: readonly CommandLine[] = [
  { command: 'mount <place> [mountpoint]', describe: 'Mount a server, or a folder of it, as a drive', load: () => import('./cellsfs/mount.js') },
  { command: 'umount <mountpoint>', describe: 'Save everything and unmount', load: () => import('./cellsfs/umount.js') },
  { command: 'status', describe: 'Show all mounts and what they still have to send', load: () => import('./cellsfs/status.js') },
  { command: 'sync [path]', describe: 'Wait until everything is on the server', load: () => import('./cellsfs/sync.js') },
  { command: 'pin [path]', describe: 'Keep a folder on this machine, readable without the server', load: () => import('./cellsfs/pin.js') },
  { command: 'unpin <path>', describe: 'Keep a folder no longer', load: () => import('./cellsfs/unpin.js') },
  { command: 'service <action> [place] [mountpoint]', describe: 'Mount at each sign-in: install, remove or show a systemd user unit', load: () => import('./cellsfs/service.js') },
  { command: 'demo', describe: 'Start the embedded server with sample content and mount it', load: () => import('./cellsfs/demo.js') },
  { command: 'version', describe: 'Show version information', load: () => import('./cellsfs/version.js') },
  { command: 'mount-worker', describe: false, load: () => import('./cellsfs/mount-worker.js') },
]

/** @returns the exit code */
export async function main(words: readonly string[]): Promise<number> {
  for (const sentence of applyLegacyEnv(process.env)) process.stderr.write(`WARN\t${sentence}\n`)
  const program = process.argv[1] ?? ''
  return isHelperCall(program, words) ? asHelper(program, words, run) : run(words)
}

function run(words: readonly string[]): Promise<number> {
  return runProgram({ name: 'cellsfs', describe: 'Pydio Cells as a drive', commands: CELLSFS_COMMANDS, globals: GLOBAL_OPTIONS }, words)
}
