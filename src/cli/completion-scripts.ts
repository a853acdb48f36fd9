/**
 * The scripts for bash and zsh. Commands and flags are known to the script; remote paths, accounts and data sources are asked for with the
 * hidden `cec complete-paths`. Behind `scp` and its like remote paths begin with `cells//`: a colon would split the word in bash.
 *
 * Names go through the shell's own quoting, never through eval: a file called $(reboot) is only a name.
 */
import { factFunctions, GLOBAL_NAMES, GLOBAL_TAKES, proposed } from './completion-facts.js'
import { TAKES_BARE_REMOTE } from './completion-words.js'
import type { CompletionEntry } from './completion-words.js'

export { fish } from './completion-fish.js'

export const bash = (entries: readonly CompletionEntry[]): string => `# bash completion for cec; use it with: source <(cec completion bash)
${factFunctions(entries)}

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

# Names that cec itself knows: accounts, data sources.
_cec_ask() {
  local name
  while IFS= read -r name; do
    [[ "$name" == "$2"* ]] && COMPREPLY+=("$(printf '%q' "$name")")
  done < <("\${COMP_WORDS[0]}" complete-paths "$1" 2>/dev/null </dev/null)
  return 0
}

_cec() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="" flag="" count=0 index next flags takes below terms args
  COMPREPLY=()
  _cec_facts ""
  for ((index = 1; index < COMP_CWORD; index++)); do
    next="\${COMP_WORDS[index]}"
    if [[ "$next" == -* ]]; then
      # Readline splits --flag=value at the sign.
      [[ "\${COMP_WORDS[index + 1]}" == = ]] && ((index++))
      if [[ " $takes ${GLOBAL_TAKES} " == *" $next "* ]]; then
        ((++index >= COMP_CWORD)) && flag="$next"
      fi
    elif [[ $count -eq 0 && " $below " == *" $next "* ]]; then
      command="\${command:+$command }$next"
      _cec_facts "$command"
    else
      ((count++))
    fi
  done
  [[ "$word" == = ]] && word=""
  if [[ -n "$flag" ]]; then
    _cec_values "$command" "$flag"
    below=""
  elif [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags ${GLOBAL_NAMES}" -- "$word"))
    return 0
  elif [[ -z "$command" ]]; then
    COMPREPLY=($(compgen -W "${proposed(entries).map(entry => entry.name).join(' ')} help" -- "$word"))
    return 0
  elif [[ $count -gt 0 ]]; then
    below="" terms=""
  fi
  COMPREPLY=($(compgen -W "$below $terms" -- "$word"))
  case "$args" in
    remote) _cec_remote "" "$word" ;;
    accounts|datasources) [[ $count -eq 0 ]] && _cec_ask ":$args" "$word" ;;
    either)
      if [[ "$word" == cells//* ]]; then
        _cec_remote "cells//" "\${word#cells//}"
      elif [[ "$command" == ${TAKES_BARE_REMOTE} ]]; then
        _cec_remote "" "$word"
      else
        COMPREPLY=($(compgen -W "cells//" -- "$word"))
        compopt -o nospace -o default 2>/dev/null
        [[ -n "$word" || \${#COMPREPLY[@]} -eq 0 ]] || COMPREPLY=()
      fi ;;
    local) compopt -o default 2>/dev/null ;;
  esac
  return 0
}
complete -F _cec cec`

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

export const zsh = (entries: readonly CompletionEntry[]): string => `#compdef cec
# zsh completion for cec; use it with: source <(cec completion zsh)
${factFunctions(entries)}

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
  local word="\${words[CURRENT]}" command="" flag="" next flags takes below terms args
  local -i count=0 index
  local -a commands
  commands=(${proposed(entries).map(entry => quoted(`${entry.name}:${entry.describe.replaceAll(':', '\\:')}`)).join(' ')})
  _cec_facts ""
  for ((index = 2; index < CURRENT; index++)); do
    next="\${words[index]}"
    if [[ "$next" == -* ]]; then
      if [[ " $takes ${GLOBAL_TAKES} " == *" $next "* ]]; then
        ((++index >= CURRENT)) && flag="$next"
      fi
    elif [[ $count -eq 0 && " $below " == *" $next "* ]]; then
      command="\${command:+$command }$next"
      _cec_facts "$command"
    else
      ((++count))
    fi
  done
  if [[ -n "$flag" ]]; then
    _cec_values "$command" "$flag"
    below=""
  elif [[ "$word" == -* ]]; then
    # The value of --flag=value is completed as one that follows.
    if [[ "$word" == --*=* ]]; then
      compset -P '*='
      _cec_values "$command" "\${word%%=*}"
      below=""
    else
      compadd -- \${=flags} ${GLOBAL_NAMES}
      return
    fi
  elif [[ -z "$command" ]]; then
    _describe 'command' commands
    return
  elif ((count > 0)); then
    below="" terms=""
  fi
  compadd -- \${=below} \${=terms}
  case "$args" in
    remote) _cec_remote "" "$PREFIX" ;;
    accounts|datasources) ((count == 0)) && compadd -- "\${(@f)$("\${words[1]}" complete-paths ":$args" 2>/dev/null </dev/null)}" ;;
    either)
      if [[ "$word" == cells//* ]]; then _cec_remote "cells//" "\${word#cells//}"
      elif [[ "$command" == ${TAKES_BARE_REMOTE} ]]; then _cec_remote "" "$word"
      else compadd -S '' -- 'cells//'; _files
      fi ;;
    local) _files ;;
  esac
}
# Sourced, or found through fpath and called to complete at once.
if [[ "\${funcstack[1]}" == _cec ]]; then _cec "$@"; else compdef _cec cec; fi`
