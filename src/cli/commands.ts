/** The overview of cec's commands. Lines here, code in the modules, loaded on use (see command.ts). */
import type { CecCommand } from './command.js'

export interface CommandLine {
  readonly command: string
  readonly describe: string | false
  readonly load: () => Promise<{ readonly command: CecCommand }>
}

export const COMMANDS: readonly CommandLine[] = [
  { command: 'clear', describe: 'Erase every account and its secrets', load: () => import('./clear.js') },
  { command: 'completion <shell>', describe: 'Print the completion script for bash or zsh', load: () => import('./completion.js') },
  { command: 'config', describe: 'Add, choose, list and remove accounts', load: () => import('./config.js') },
  { command: 'configure [method]', describe: false, load: () => import('./configure.js') },
  { command: 'cp <source> <target>', describe: 'Copy on the server; with cells:// on one side, upload or download', load: () => import('./cp.js') },
  { command: 'doc', describe: false, load: () => import('./doc.js') },
  { command: 'idm', describe: 'List users, groups, roles, workspaces and ACLs', load: () => import('./idm.js') },
  { command: 'info', describe: 'Show the active connection', load: () => import('./info.js') },
  { command: 'jobs', describe: 'List and delete jobs of the server', load: () => import('./jobs.js') },
  { command: 'ls [path]', describe: 'List files and folders', load: () => import('./ls.js') },
  { command: 'meta', describe: 'Show and set user metadata', load: () => import('./meta.js') },
  { command: 'mkdir <path>', describe: 'Create folders', load: () => import('./mkdir.js') },
  { command: 'mv <source> <target>', describe: 'Move or rename on the server', load: () => import('./mv.js') },
  { command: 'oauth', describe: false, load: () => import('./oauth.js') },
  { command: 'rm <path>', describe: 'Delete files and folders', load: () => import('./rm.js') },
  { command: 'scp <source> <target>', describe: 'Upload or download', load: () => import('./scp.js') },
  { command: 'share [path]', describe: 'Make, list and take back public links', load: () => import('./share.js') },
  { command: 'storage', describe: 'List data sources and read them anew', load: () => import('./storage.js') },
  { command: 'tools', describe: false, load: () => import('./tools.js') },
  { command: 'update', describe: 'Tell how to update cec', load: () => import('./update.js') },
  { command: 'version', describe: 'Show version information', load: () => import('./version.js') },
]
