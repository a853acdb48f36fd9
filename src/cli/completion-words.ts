/**
 * What there is to complete, from the declarations of the commands themselves: names, subcommands, flags and their values, and which
 * kind of argument they take.
 */
import { COMPARISONS } from '../transfer/compare.js'
import { COMMANDS } from './commands.js'
import { describeCommand } from './describe.js'
import type { CommandInfo, FlagInfo } from './describe.js'
import { globalFlags } from './doc.js'

/** `either`: local, or on the server behind `cells//`; `accounts` and `datasources` are asked for as paths are. */
export type ArgumentKind = 'remote' | 'either' | 'local' | 'accounts' | 'datasources' | 'none'

export interface CompletionFlag extends FlagInfo {
  /** What can follow it, as far as that is known. */
  readonly values: readonly string[]
  readonly kind: 'remote' | 'local' | 'none'
}

export interface CompletionEntry {
  /** `ls`, `trash restore`. */
  readonly name: string
  readonly describe: string
  /** Not proposed, but completed by who knows it. */
  readonly hidden: boolean
  readonly flags: readonly CompletionFlag[]
  readonly argument: ArgumentKind
  /** Last words of its subcommands. */
  readonly below: readonly string[]
  /** Values of the first argument. */
  readonly words: readonly string[]
}

/** Paths on the server, as `ls` takes them. */
const REMOTE = new Set(['ls', 'rm', 'mv', 'mkdir', 'cat', 'put', 'stat', 'tree', 'find', 'du', 'watch', 'share', 'share ls', 'share rm', 'trash ls', 'trash restore', 'trash empty', 'versions ls', 'versions get', 'versions restore'])
/** Local paths, and paths on the server behind `cells//`; `cp` takes those without a prefix too. */
const EITHER = new Set(['scp', 'cp', 'sync', 'check'])
const ACCOUNTS = new Set(['config use', 'config rm', 'config relog'])

export const TAKES_BARE_REMOTE = 'cp'

/** What the declarations leave open because a wrong word has its own message. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  '--log': ['debug', 'info', 'warn', 'error'], '--compare': COMPARISONS, '--operation': ['update', 'delete'], '--permissions': ['preview', 'download', 'upload'],
  'jobs get --format': ['table', 'json'], 'jobs delete --format': ['table', 'json'], 'meta get --format': ['table', 'json'],
}
const REMOTE_FLAGS = new Set(['meta get --path', 'meta set --path'])
const LOCAL_FLAGS = new Set(['--config', 'tools hash --file', 'doc --path'])

function withValues(flag: FlagInfo, command: string): CompletionFlag {
  const [long, full] = [`--${flag.name}`, `${command} --${flag.name}`]
  const kind = REMOTE_FLAGS.has(full) ? 'remote' : LOCAL_FLAGS.has(full) || LOCAL_FLAGS.has(long) ? 'local' : 'none'
  return { ...flag, values: flag.choices.length > 0 ? flag.choices : VALUES[full] ?? VALUES[long] ?? [], kind }
}

function kindOf({ name, positionals }: CommandInfo): ArgumentKind {
  if (REMOTE.has(name)) return 'remote'
  if (EITHER.has(name)) return 'either'
  if (ACCOUNTS.has(name)) return 'accounts'
  if (name === 'storage resync-ds') return 'datasources'
  return positionals.length > 0 && (positionals[0]?.choices ?? []).length === 0 ? 'local' : 'none'
}

function entriesOf(info: CommandInfo): CompletionEntry[] {
  const own: CompletionEntry = {
    name: info.name, describe: info.describe, hidden: info.hidden, argument: kindOf(info), words: info.positionals[0]?.choices ?? [],
    flags: info.flags.filter(flag => !flag.hidden).map(flag => withValues(flag, info.name)),
    below: info.commands.filter(each => !each.hidden).map(each => each.name.split(' ').at(-1) ?? ''),
  }
  return [own, ...info.commands.filter(each => !each.hidden).flatMap(entriesOf)]
}

/** All commands and subcommands but those for other programs. */
export async function completionEntries(): Promise<CompletionEntry[]> {
  const infos = await Promise.all(COMMANDS.filter(line => line.describe !== false || line.about !== undefined).map(line => describeCommand(line)))
  const words = infos.filter(info => !info.hidden).map(info => info.name)
  return [...infos.flatMap(entriesOf), { name: 'help', describe: 'Show help', hidden: true, flags: [], argument: 'none', below: [], words }]
}

export const GLOBAL_FLAGS: readonly CompletionFlag[] =
  [...globalFlags(), { name: 'help', aliases: [], type: 'boolean' as const, describe: 'Show help', default: '', hidden: false, choices: [] }].map(flag => withValues(flag, ''))

/** `--format`, `-f`: what stands on a command line. */
export const spellings = ({ name, aliases }: FlagInfo): string[] => [name, ...aliases].map(each => (each.length === 1 ? `-${each}` : `--${each}`))
