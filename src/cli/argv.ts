/** Reading the flags of a command from what yargs parsed. */
import { CommandError } from './errors.js'
import type { CecArgv } from './options.js'

/** '' when the flag is absent. */
export const textOf = (argv: CecArgv, name: string): string => (typeof argv[name] === 'string' ? argv[name] : '')

/** cec's `--format`. @throws CommandError for another word, as cec does: exit code 1 */
export function formatOf(argv: CecArgv): 'table' | 'json' {
  const format = textOf(argv, 'format') || 'table'
  if (format !== 'table' && format !== 'json') throw new CommandError(`unknown format "${format}"; use table or json`)
  return format
}
