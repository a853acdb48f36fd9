/**
 * `cec completion bash|zsh`: prints a script for the shell. Commands and flags are known to the script, remote paths are
 * asked for with `cec ls --raw` (cec-reference 11.5). `scp` and `cp` complete remote paths behind `cells//`: a
 * colon would split the word in bash.
 */
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { COMMANDS } from './commands.js'

/** Names of the visible commands, with their descriptions. */
const visible = (): [string, string][] => COMMANDS.flatMap(line =>
  line.describe === false ? [] : [[line.command.split(' ')[0] ?? '', line.describe] as [string, string]])

const CONFIG_WORDS = 'add ls use rm relog check-keyring'

const FLAGS: Readonly<Record<string, string>> = {
  ls: '--details --raw --exists --format',
  mkdir: '--parents',
  rm: '--force --permanently',
  scp: '--force --no-progress --quiet --verbose --very-verbose --max-parts-number --part-size --parts-concurrency --skip-md5 --multipart-threshold --retry-max-attempts --retry-max-backoff',
  cp: '--force --no-progress --quiet --verbose --very-verbose',
  version: '--format',
}

const GLOBAL_FLAGS = '--config --url --token --login --password --skip-verify --skip-keyring --no-cache --log --help'

const flagCases = (): string => Object.entries(FLAGS).map(([name, flags]) => `    ${name}) flags="${flags}" ;;`).join('\n')

// Names go through printf %q, never through eval: a file called $(reboot) is only a name.
const bash = (): string => `# bash completion for cec; use it with: source <(cec completion bash)
_cec_remote() {
  local prefix="$1" word="$2" folder="" path
  # What stands on the line is quoted for the shell; the server knows the plain name.
  word="\${word//\\\\/}"; word="\${word#[\\"\\']}"
  [[ "$word" == */* ]] && folder="\${word%/*}"
  while IFS= read -r path; do
    [[ "$path" == "$word"* ]] && COMPREPLY+=("$prefix$(printf '%q' "$path")")
  done < <("\${COMP_WORDS[0]}" ls --raw "$folder" 2>/dev/null </dev/null)
  # One can go on into a folder.
  [[ \${#COMPREPLY[@]} -eq 1 && "\${COMPREPLY[0]}" == */ ]] && compopt -o nospace 2>/dev/null
  return 0
}

_cec() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="" flags="" index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "\${COMP_WORDS[index]}" in
      --config|--url|-u|--token|-t|--login|--password|--log|--format) ((index++)) ;;
      -*) ;;
      *) command="\${COMP_WORDS[index]}"; break ;;
    esac
  done
  case "$command" in
${flagCases()}
  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags ${GLOBAL_FLAGS}" -- "$word"))
    return 0
  fi
  case "$command" in
    "") COMPREPLY=($(compgen -W "${visible().map(([name]) => name).join(' ')}" -- "$word")) ;;
    ls|rm|mv|mkdir) _cec_remote "" "$word" ;;
    cp|scp)
      if [[ "$word" == cells//* ]]; then
        _cec_remote "cells//" "\${word#cells//}"
      elif [[ "$command" == cp ]]; then
        _cec_remote "" "$word"
      else
        COMPREPLY=($(compgen -W "cells//" -- "$word"))
        compopt -o nospace -o default 2>/dev/null
        [[ -n "$word" || \${#COMPREPLY[@]} -eq 0 ]] || COMPREPLY=()
      fi ;;
    config) COMPREPLY=($(compgen -W "${CONFIG_WORDS}" -- "$word")) ;;
    completion) COMPREPLY=($(compgen -W "bash zsh" -- "$word")) ;;
  esac
  return 0
}
complete -F _cec cec`

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

const zsh = (): string => `#compdef cec
# zsh completion for cec; use it with: source <(cec completion zsh)
_cec_remote() {
  local prefix="$1" word="$2" folder="" entry
  local -a folders files
  word="\${(Q)word}"
  [[ "$word" == */* ]] && folder="\${word%/*}"
  for entry in "\${(@f)$("\${words[1]}" ls --raw "$folder" 2>/dev/null </dev/null)}"; do
    [[ -z "$entry" ]] && continue
    if [[ "$entry" == */ ]]; then folders+=("$prefix$entry"); else files+=("$prefix$entry"); fi
  done
  compadd -S '' -- $folders
  compadd -- $files
}

_cec() {
  local word="\${words[CURRENT]}" command="" flags="" index
  local -a commands
  commands=(${visible().map(([name, describe]) => quoted(`${name}:${describe}`)).join(' ')})
  for ((index = 2; index < CURRENT; index++)); do
    case "\${words[index]}" in
      --config|--url|-u|--token|-t|--login|--password|--log|--format) ((index++)) ;;
      -*) ;;
      *) command="\${words[index]}"; break ;;
    esac
  done
  case "$command" in
${flagCases()}
  esac
  if [[ "$word" == -* ]]; then
    compadd -- \${=flags} ${GLOBAL_FLAGS}
    return
  fi
  case "$command" in
    "") _describe 'command' commands ;;
    ls|rm|mv|mkdir) _cec_remote "" "$word" ;;
    cp|scp)
      if [[ "$word" == cells//* ]]; then _cec_remote "cells//" "\${word#cells//}"
      elif [[ "$command" == cp ]]; then _cec_remote "" "$word"
      else compadd -S '' -- 'cells//'; _files
      fi ;;
    config) compadd -- ${CONFIG_WORDS} ;;
    completion) compadd -- bash zsh ;;
    *) _files ;;
  esac
}
# Sourced, or found through fpath and called to complete at once.
if [[ "\${funcstack[1]}" == _cec ]]; then _cec "$@"; else compdef _cec cec; fi`

export const command: CecCommand = {
  command: 'completion <shell>',
  describe: 'Print the completion script for bash or zsh',
  builder: yargs => yargs.positional('shell', { type: 'string', choices: ['bash', 'zsh'], describe: 'bash or zsh' }),
  handler: argv => print(argv['shell'] === 'zsh' ? zsh() : bash()),
}
