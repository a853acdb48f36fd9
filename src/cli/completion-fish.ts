/** The script for fish: a rule for each flag and each kind of argument (completion-scripts.ts has the other shells). */
import { GLOBAL_TAKES } from './completion-facts.js'
import { GLOBAL_FLAGS, TAKES_BARE_REMOTE } from './completion-words.js'
import type { CompletionEntry, CompletionFlag } from './completion-words.js'

/** In single quotes fish knows two escapes. */
const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

function flagRule(flag: CompletionFlag, when: string): string {
  const short = flag.aliases.find(alias => alias.length === 1)
  const value = flag.type === 'boolean' ? ''
    : flag.values.length > 0 ? ` -x -a ${quoted(flag.values.join(' '))}`
      : flag.kind === 'remote' ? " -x -a \"(__cec_remote '' (commandline -ct))\"" : flag.kind === 'local' ? ' -r -F' : ' -x'
  return `complete -c cec${when} -l ${flag.name}${short === undefined ? '' : ` -s ${short}`}${value} -d ${quoted(flag.describe)}`
}

function rulesOf(entry: CompletionEntry): string[] {
  const words = entry.name.split(' ')
  const when = ` -n "__cec_is ${entry.name}"`
  const rules = entry.hidden ? [] : [`complete -c cec -n "__cec_at ${words.slice(0, -1).join(' ')}" -a ${words.at(-1)} -d ${quoted(entry.describe)}`]
  rules.push(...entry.flags.map(flag => flagRule(flag, when)))
  if (entry.words.length > 0) rules.push(`complete -c cec -n "__cec_at ${entry.name}" -a ${quoted(entry.words.join(' '))}`)
  if (entry.argument === 'remote') rules.push(`complete -c cec${when} -a "(__cec_remote '' (commandline -ct))"`)
  if (entry.argument === 'either') rules.push(`complete -c cec${when} -F -a "(__cec_either ${entry.name})"`)
  if (entry.argument === 'local') rules.push(`complete -c cec${when} -F`)
  if (entry.argument === 'accounts' || entry.argument === 'datasources') rules.push(`complete -c cec -n "__cec_at ${entry.name}" -a "(command cec complete-paths :${entry.argument} 2>/dev/null </dev/null)"`)
  return rules
}

export const fish = (entries: readonly CompletionEntry[]): string => `# fish completion for cec; use it with: cec completion fish | source
# The words of the command that stands on the line, and how many arguments follow it.
function __cec_state
  set -l known ${entries.map(entry => quoted(entry.name)).join(' ')}
  set -l command
  set -l count 0
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
    else if contains -- $word ${GLOBAL_TAKES}
      set skip 1
    else if string match -q -- '-*' $word
      continue
    else if test $count = 0; and contains -- (string join ' ' $command $word) $known
      set -a command $word
    else
      set count (math $count + 1)
    end
  end
  echo (string join ' ' $command)
  echo $count
end

# Is this the command?
function __cec_is
  set -l state (__cec_state)
  test "$state[1]" = "$argv"
end

# Is this the command, and nothing behind it yet?
function __cec_at
  set -l state (__cec_state)
  test "$state[1]" = "$argv"; and test $state[2] = 0
end

function __cec_remote
  set -l prefix $argv[1]
  set -l word $argv[2]
  set -l folder ''
  if string match -q -- '*/*' $word
    set folder (string replace -r '/[^/]*$' '' -- $word)
  end
  for path in (command cec complete-paths $folder 2>/dev/null </dev/null)
    printf '%s\\n' $prefix$path
  end
end

function __cec_either
  set -l word (commandline -ct)
  if string match -q -- 'cells//*' $word
    __cec_remote cells// (string replace 'cells//' '' -- $word)
  else if test $argv[1] = ${TAKES_BARE_REMOTE}
    __cec_remote '' $word
  else
    echo cells//
  end
end

complete -c cec -f
${GLOBAL_FLAGS.map(flag => flagRule(flag, '')).join('\n')}
${entries.flatMap(rulesOf).join('\n')}`
