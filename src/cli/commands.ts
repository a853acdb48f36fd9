/** The overview of cec's commands. Lines here, code in the modules, loaded on use (see command.ts). */
import type { CecCommand } from './command.js'

export interface CommandLine {
  readonly command: string
  readonly describe: string | false
  /** What a hidden command is, for the manual; without it the command is for other programs only. */
  readonly about?: string
  readonly load: () => Promise<{ readonly command: CecCommand }>
}

export const COMMANDS: readonly CommandLine[] = [
  { command: 'cat <path>', describe: 'Print the content of files', load: () => import('./cat.js') },
  { command: 'check <source> <target>', describe: 'Compare a local folder with one on the server', load: () => import('./check.js') },
  { command: 'clear', describe: 'Erase every account and its secrets', load: () => import('./clear.js') },
  { command: 'complete-paths [folder]', describe: false, load: () => import('./complete-paths.js') },
  { command: 'completion <shell>', describe: 'Print the completion script for bash, zsh or fish', load: () => import('./completion.js') },
  { command: 'config', describe: 'Add, choose, list and remove accounts', load: () => import('./config.js') },
  { command: 'configure [method]', describe: false, about: 'Sign in and store the account: the old name of "cec config add"', load: () => import('./configure.js') },
  { command: 'cp <source> <target>', describe: 'Copy on the server; with cells:// on one side, upload or download', load: () => import('./cp.js') },
  { command: 'doc', describe: false, about: 'Write a page about each command, in Markdown', load: () => import('./doc.js') },
  { command: 'du [path]', describe: 'Show how much space folders take', load: () => import('./du.js') },
  { command: 'find <path>', describe: 'Search files and folders by name, type, size and time', load: () => import('./find.js') },
  { command: 'idm', describe: 'List users, groups, roles, workspaces and ACLs', load: () => import('./idm.js') },
  { command: 'info', describe: 'Show the active connection', load: () => import('./info.js') },
  { command: 'jobs', describe: 'List and delete jobs of the server', load: () => import('./jobs.js') },
  { command: 'ls [path]', describe: 'List files and folders', load: () => import('./ls.js') },
  { command: 'meta', describe: 'Show and set user metadata', load: () => import('./meta.js') },
  { command: 'mkdir <path>', describe: 'Create folders', load: () => import('./mkdir.js') },
  { command: 'mv <source> <target>', describe: 'Move or rename on the server', load: () => import('./mv.js') },
  { command: 'oauth', describe: false, about: 'Sign in with the browser: the old name of "cec config add oauth"', load: () => import('./oauth.js') },
  { command: 'put <target>', describe: 'Write standard input to a file', load: () => import('./put.js') },
  { command: 'rm <path>', describe: 'Delete files and folders', load: () => import('./rm.js') },
  { command: 'scp <source> <target>', describe: 'Upload or download', load: () => import('./scp.js') },
  { command: 'share [path]', describe: 'Make, list and take back public links', load: () => import('./share.js') },
  { command: 'stat <path>', describe: 'Show all facts about files and folders', load: () => import('./stat.js') },
  { command: 'storage', describe: 'List data sources and read them anew', load: () => import('./storage.js') },
  { command: 'sync <source> <target>', describe: 'Make a folder like another, in one direction', load: () => import('./sync.js') },
  { command: 'tools', describe: false, about: 'Compute the internal hash of a local file; compare version numbers', load: () => import('./tools.js') },
  { command: 'trash', describe: 'List, restore and empty recycle bins', load: () => import('./trash.js') },
  { command: 'tree [path]', describe: 'Draw a folder as a tree', load: () => import('./tree.js') },
  { command: 'update', describe: 'Tell how to update cec', load: () => import('./update.js') },
  { command: 'version', describe: 'Show version information', load: () => import('./version.js') },
  { command: 'versions', describe: 'List, fetch and restore earlier versions of a file', load: () => import('./versions.js') },
  { command: 'watch [path]', describe: 'Print what changes on the server, as it happens', load: () => import('./watch.js') },
]
