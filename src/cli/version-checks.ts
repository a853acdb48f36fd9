/** `isvalid`, `isrelease`, `isgreater`: questions about version numbers for build scripts, below `tools version` and, as before, `version`. */
import type { Argv } from 'yargs'
import { print } from './command.js'
import { CommandError } from './errors.js'
import type { CecArgv } from './options.js'
import { compareVersions, isRelease, parseVersion, type VersionNumber } from './version-number.js'

interface Verdict {
  readonly holds: boolean
  /** Why it does not. */
  readonly reason: string
}

const invalid = (text: string): Verdict => ({ holds: false, reason: `"${text}" is not a valid version` })

function judge(words: readonly string[], what: (versions: readonly VersionNumber[]) => Verdict): Verdict {
  const versions = words.map(parseVersion)
  const wrong = versions.indexOf(undefined)
  return wrong < 0 ? what(versions.filter((version) => version !== undefined)) : invalid(words[wrong] ?? '')
}

/** With `--quiet` prints 1 or 0; else silent, or the reason and exit code 1. */
function answer(argv: CecArgv, { holds, reason }: Verdict): void {
  if (argv['quiet'] === true) print(holds ? '1' : '0')
  else if (!holds) throw new CommandError(reason)
}

/**
 * @param describe false hides the commands
 * @param before runs first, for the notice of the old place
 */
export function declareChecks(yargs: Argv, describe: boolean, before: () => void = () => {}): Argv {
  const text = (words: string): string => (describe ? words : (false as unknown as string))
  const run = (verdict: (argv: CecArgv) => Verdict) => (argv: unknown): void => {
    before()
    answer(argv as CecArgv, verdict(argv as CecArgv))
  }
  const one = (own: Argv): Argv => own.positional('version', { type: 'string', describe: 'e.g. 4.2.1-rc.1' })
  const word = (argv: CecArgv, name: string): string => String(argv[name])
  return yargs
    .command('isvalid <version>', text('Is this a version?'), one, run((argv) => judge([word(argv, 'version')], () => ({ holds: true, reason: '' }))))
    .command('isrelease <version>', text('Is this a version without a pre-release?'), one, run((argv) => judge([word(argv, 'version')], ([version]) => ({
      holds: version !== undefined && isRelease(version), reason: `"${word(argv, 'version')}" is not a release`,
    }))))
    .command('isgreater <version> <than>', text('Is the first version greater than the second?'), (own) => one(own).positional('than', { type: 'string', describe: 'The other version' }),
      run((argv) => judge([word(argv, 'version'), word(argv, 'than')], ([version, than]) => ({
        holds: version !== undefined && than !== undefined && compareVersions(version, than) > 0, reason: `"${word(argv, 'version')}" is not greater than "${word(argv, 'than')}"`,
      }))))
}
