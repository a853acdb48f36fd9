/**
 * What bash and zsh have in common: two functions of the shell that know the commands. `_cec_facts <command>` sets `flags`, `takes` (the
 * flags that are followed by a value), `below` (subcommands), `terms` (values of the first argument) and `args` (what kind of arguments
 * follow); `_cec_values <command> <flag>` sets `terms` and `args` for the value of a flag. Only names of ours are in them.
 */
import { GLOBAL_FLAGS, spellings } from './completion-words.js'
import type { CompletionEntry, CompletionFlag } from './completion-words.js'

const takesValue = (flag: CompletionFlag): boolean => flag.type !== 'boolean'

function factsCase(entry: CompletionEntry): string {
  const flags = entry.flags.map(({ name }) => `--${name}`).join(' ')
  const takes = entry.flags.filter(takesValue).flatMap(spellings).join(' ')
  return `    "${entry.name}") flags="${flags}" takes="${takes}" below="${entry.below.join(' ')}" terms="${entry.words.join(' ')}" args=${entry.argument} ;;`
}

function valueCases(command: string, flags: readonly CompletionFlag[]): string[] {
  return flags.filter(flag => takesValue(flag) && (flag.values.length > 0 || flag.kind !== 'none')).map((flag) => {
    const patterns = spellings(flag).map(each => (command === '' ? `*" ${each}"` : `"${command} ${each}"`)).join('|')
    return `    ${patterns}) terms="${flag.values.join(' ')}" args=${flag.kind} ;;`
  })
}

export const factFunctions = (entries: readonly CompletionEntry[]): string => `_cec_facts() {
  flags="" takes="" below="" terms="" args=none
  case "$1" in
    "") below="${entries.filter(entry => !entry.name.includes(' ')).map(entry => entry.name).join(' ')}" ;;
${entries.map(factsCase).join('\n')}
  esac
}

_cec_values() {
  terms="" args=none
  case "$1 $2" in
${[...entries.flatMap(entry => valueCases(entry.name, entry.flags)), ...valueCases('', GLOBAL_FLAGS)].join('\n')}
  esac
}`

/** Commands to propose. */
export const proposed = (entries: readonly CompletionEntry[]): CompletionEntry[] => entries.filter(entry => !entry.name.includes(' ') && !entry.hidden)
export const GLOBAL_TAKES = GLOBAL_FLAGS.filter(takesValue).flatMap(spellings).join(' ')
export const GLOBAL_NAMES = GLOBAL_FLAGS.map(({ name }) => `--${name}`).join(' ')
