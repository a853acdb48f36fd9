/**
 * The scripts for the shells. Commands and flags are known to the script; remote paths are asked for with the hidden
 * `cec complete-paths`. Behind `scp` and its like remote paths begin with `cells//`: a colon would split the word in bash.
 *
 * Names go through the shell's own quoting, never through eval: a file called $(reboot) is only a name.
 */
import { flagWords, GLOBAL_FLAGS, GLOBAL_VALUE_FLAGS, TAKES_BARE_REMOTE } from './completion-words.js'
import type { ArgumentKind, CompletionEntry } from './completion-words.js'

const first = (entries: readonly CompletionEntry[]): CompletionEntry[] => entries.filter(entry => !entry.name.includes(' '))
const named = (entries: readonly CompletionEntry[], kind: ArgumentKind): string => entries.filter(entry => entry.argument === kind).map(entry => `"${entry.name}"`).join('|')
const groups = (entries: readonly CompletionEntry[]): string => [...new Set(entries.filter(entry => entry.name.includes(' ')).map(entry => entry.name.split(' ')[0] ?? ''))].join('|')

const flagCases = (entries: readonly CompletionEntry[]): string => entries.map(entry => `    "${entry.name}") flags="${flagWords(entry)}" ;;`).join('\n')
const wordCases = (entries: readonly CompletionEntry[]): string => entries.filter(entry => entry.argument === 'words').map(entry => `    "${entry.name}") values="${entry.words.join(' ')}" ;;`).join('\n')

export const bash = (entries: readonly CompletionEntry[]): string => `# bash completion for cec; use it with: source <(cec completion bash)
_cec_remote() {
  local prefix="$1" word="$2" folder="" path
  # What stands on the line is quoted for the shell; the server knows the plain name.
  word="\${word//\\\\/}"; word="\${word#[\\"\\']}"
  [[ "$word" == */* ]] && folder="\${word%/*}"
  while IFS= read -r path; do
    [[ "$path" == "$word"* ]] && COMPREPLY+=("$prefix$(printf '%q' "$path")")
  done < <("\${COMP_WORDS[0]}" complete-paths "$folder" 2>/dev/null </dev/null)
  # One can go on into a folder.
  [[ \${#COMPREPLY[@]} -eq 1 && "\${COMPREPLY[0]}" == */ ]] && compopt -o nospace 2>/dev/null
  return 0
}

_cec() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="" flags="" values="" index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "\${COMP_WORDS[index]}" in
      ${GLOBAL_VALUE_FLAGS.join('|')}) ((index++)) ;;
      -*) ;;
      *)
        if [[ -z "$command" ]]; then
          command="\${COMP_WORDS[index]}"
          case "$command" in ${groups(entries)}) ;; *) break ;; esac
        else
          command="$command \${COMP_WORDS[index]}"
          break
        fi ;;
    esac
  done
  case "$command" in
${flagCases(entries)}
  esac
  case "$command" in
${wordCases(entries)}
  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags ${GLOBAL_FLAGS.join(' ')}" -- "$word"))
    return 0
  fi
  case "$command" in
    "") COMPREPLY=($(compgen -W "${first(entries).map(entry => entry.name).join(' ')}" -- "$word")) ;;
    ${named(entries, 'remote')}) _cec_remote "" "$word" ;;
    ${named(entries, 'either')})
      if [[ "$word" == cells//* ]]; then
        _cec_remote "cells//" "\${word#cells//}"
      elif [[ "$command" == ${TAKES_BARE_REMOTE} ]]; then
        _cec_remote "" "$word"
      else
        COMPREPLY=($(compgen -W "cells//" -- "$word"))
        compopt -o nospace -o default 2>/dev/null
        [[ -n "$word" || \${#COMPREPLY[@]} -eq 0 ]] || COMPREPLY=()
      fi ;;
    *)
      if [[ -n "$values" ]]; then COMPREPLY=($(compgen -W "$values" -- "$word"))
      else compopt -o default 2>/dev/null
      fi ;;
  esac
  return 0
}
complete -F _cec cec`

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

export const zsh = (entries: readonly CompletionEntry[]): string => `#compdef cec
# zsh completion for cec; use it with: source <(cec completion zsh)
_cec_remote() {
  local prefix="$1" word="$2" folder="" entry
  local -a folders files
  word="\${(Q)word}"
  [[ "$word" == */* ]] && folder="\${word%/*}"
  for entry in "\${(@f)$("\${words[1]}" complete-paths "$folder" 2>/dev/null </dev/null)}"; do
    [[ -z "$entry" ]] && continue
    if [[ "$entry" == */ ]]; then folders+=("$prefix$entry"); else files+=("$prefix$entry"); fi
  done
  compadd -S '' -- $folders
  compadd -- $files
}

_cec() {
  local word="\${words[CURRENT]}" command="" flags="" values="" index
  local -a commands
  commands=(${first(entries).map(entry => quoted(`${entry.name}:${entry.describe}`)).join(' ')})
  for ((index = 2; index < CURRENT; index++)); do
    case "\${words[index]}" in
      ${GLOBAL_VALUE_FLAGS.join('|')}) ((index++)) ;;
      -*) ;;
      *)
        if [[ -z "$command" ]]; then
          command="\${words[index]}"
          case "$command" in ${groups(entries)}) ;; *) break ;; esac
        else
          command="$command \${words[index]}"
          break
        fi ;;
    esac
  done
  case "$command" in
${flagCases(entries)}
  esac
  case "$command" in
${wordCases(entries)}
  esac
  if [[ "$word" == -* ]]; then
    compadd -- \${=flags} ${GLOBAL_FLAGS.join(' ')}
    return
  fi
  case "$command" in
    "") _describe 'command' commands ;;
    ${named(entries, 'remote')}) _cec_remote "" "$word" ;;
    ${named(entries, 'either')})
      if [[ "$word" == cells//* ]]; then _cec_remote "cells//" "\${word#cells//}"
      elif [[ "$command" == ${TAKES_BARE_REMOTE} ]]; then _cec_remote "" "$word"
      else compadd -S '' -- 'cells//'; _files
      fi ;;
    *)
      if [[ -n "$values" ]]; then compadd -- \${=values}
      else _files
      fi ;;
  esac
}
# Sourced, or found through fpath and called to complete at once.
if [[ "\${funcstack[1]}" == _cec ]]; then _cec "$@"; else compdef _cec cec; fi`

/** In single quotes fish knows two escapes. */
const fishQuoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

function fishLines(entry: CompletionEntry): string[] {
  const [command = '', sub] = entry.name.split(' ')
  const when = `-n "__cec_is ${entry.name}"`
  const lines = [sub === undefined
    ? `complete -c cec -n "__cec_is" -a ${command} -d ${fishQuoted(entry.describe)}`
    : `complete -c cec -n "__cec_is ${command}" -a ${sub} -d ${fishQuoted(entry.describe)}`]
  for (const flag of entry.flags) {
    const short = flag.aliases.find(alias => alias.length === 1)
    const value = flag.type === 'boolean' ? '' : flag.choices.length > 0 ? ` -x -a ${fishQuoted(flag.choices.join(' '))}` : ' -r'
    lines.push(`complete -c cec ${when} -l ${flag.name}${short === undefined ? '' : ` -s ${short}`}${value} -d ${fishQuoted(flag.describe)}`)
  }
  if (entry.argument === 'remote') lines.push(`complete -c cec ${when} -a "(__cec_remote '' (commandline -ct))"`)
  if (entry.argument === 'either') lines.push(`complete -c cec ${when} -F -a "(__cec_either ${command})"`)
  if (entry.argument === 'local') lines.push(`complete -c cec ${when} -F`)
  const values = entry.argument === 'words' && sub === undefined && entry.flags.length === 0 ? entry.words : []
  if (values.length > 0) lines.push(`complete -c cec ${when} -a ${fishQuoted(values.join(' '))}`)
  return lines
}

export const fish = (entries: readonly CompletionEntry[]): string => `# fish completion for cec; use it with: cec completion fish | source
function __cec_words
  set -l words (commandline -opc)[2..-1]
  set -l skip 0
  for word in $words
    if test $skip = 1
      set skip 0
    else if contains -- $word ${GLOBAL_VALUE_FLAGS.join(' ')}
      set skip 1
    else if not string match -q -- '-*' $word
      echo $word
    end
  end
end

# Is this the command that stands on the line? With no argument: is there none yet?
function __cec_is
  set -l have (__cec_words)
  set -l groups ${groups(entries).replaceAll('|', ' ')}
  set -l depth (count $argv)
  if test $depth = 0
    test (count $have) = 0
    return
  end
  test (count $have) -ge $depth; or return 1
  test "$have[1..$depth]" = "$argv"; or return 1
  # A group by itself stands for its subcommands' names only.
  if test $depth = 1; and contains -- $argv[1] $groups
    test (count $have) = 1; or not contains -- "$have[2]" (__cec_subs $argv[1])
    return
  end
end

function __cec_subs
  switch $argv[1]
${entries.filter(entry => !entry.name.includes(' ') && entry.words.length > 0).map(entry => `    case ${entry.name}\n      printf '%s\\n' ${entry.words.join(' ')}`).join('\n')}
  end
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
${GLOBAL_FLAGS.map(flag => `complete -c cec -l ${flag.slice(2)}${GLOBAL_VALUE_FLAGS.includes(flag) ? ' -r' : ''}`).join('\n')}
${entries.flatMap(fishLines).join('\n')}`
