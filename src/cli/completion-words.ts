/**
 * What there is to complete, from the declarations of the commands themselves: names, subcommands, flags, and which kind of
 * argument they take.
 */
import { COMMANDS } from './commands.js'
import { describeCommand } from './describe.js'
import type { CommandInfo, FlagInfo } from './describe.js'
import { GLOBAL_OPTIONS } from './options.js'

export type ArgumentKind = 'remote' | 'either' | 'local' | 'words'

export interface CompletionEntry {
  /** `ls`, `trash restore`. */
  readonly name: string
  readonly describe: string
  readonly flags: readonly FlagInfo[]
  readonly argument: ArgumentKind
  /** Subcommands, or the values of the first argument. */
  readonly words: readonly string[]
}

/** Paths on the server, as `ls` takes them. */
const REMOTE = new Set(['ls', 'rm', 'mv', 'mkdir', 'cat', 'put', 'stat', 'tree', 'find', 'du', 'watch', 'share', 'trash ls', 'trash restore', 'trash empty', 'versions ls', 'versions get', 'versions restore'])
/** Local paths, and paths on the server behind `cells//`; `cp` takes those without a prefix too. */
const EITHER = new Set(['scp', 'cp', 'sync', 'check'])

export const TAKES_BARE_REMOTE = 'cp'

function entriesOf(info: CommandInfo): CompletionEntry[] {
  if (info.hidden) return []
  const below = info.commands.filter(each => !each.hidden)
  const choices = info.positionals[0]?.choices ?? []
  const words = [...below.map(each => each.name.split(' ').at(-1) ?? ''), ...choices]
  const argument = REMOTE.has(info.name) ? 'remote' : EITHER.has(info.name) ? 'either' : words.length > 0 ? 'words' : 'local'
  return [{ name: info.name, describe: info.describe, flags: info.flags.filter(flag => !flag.hidden), argument, words }, ...below.flatMap(entriesOf)]
}

/** All visible commands and subcommands. */
export async function completionEntries(): Promise<CompletionEntry[]> {
  const infos = await Promise.all(COMMANDS.filter(line => line.describe !== false).map(line => describeCommand(line)))
  return infos.flatMap(entriesOf)
}

export const GLOBAL_FLAGS: readonly string[] = [...Object.values(GLOBAL_OPTIONS).map(({ name }) => `--${name}`), '--help']

/** Global flags that are followed by a value, in all spellings. */
export const GLOBAL_VALUE_FLAGS: readonly string[] = Object.values(GLOBAL_OPTIONS).flatMap(spec =>
  (spec.type === 'boolean' ? [] : [`--${spec.name}`, ...('alias' in spec ? [`-${spec.alias}`] : [])]))

export const flagWords = (entry: CompletionEntry): string => entry.flags.map(({ name }) => `--${name}`).join(' ')
