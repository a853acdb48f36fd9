/**
 * The shape of one cec command. Each lives in a module of its own, `src/cli/<name>.ts`, that
 * exports `command: CecCommand`; it is imported only when that command is invoked (or its help
 * asked for), so `cec version` does not pay for S3 or OAuth. Its line in the overview of commands
 * stands in src/cli/commands.ts.
 *
 * A handler returns for exit code 0 and throws for anything else (src/cli/errors.ts); it never calls
 * process.exit. Results go to stdout (`print`), everything else to stderr (the logger).
 */
import type { Argv } from 'yargs'
import type { CecArgv } from './options.js'

export interface CecCommand {
  /** Positionals as yargs writes them: `ls [path]`. Must equal the line in commands.ts. */
  readonly command: string
  /** One line for the overview; false hides the command. */
  readonly describe: string | false
  /** Declares flags and positionals. Global flags are already there. */
  builder(yargs: Argv): Argv
  handler(argv: CecArgv): Promise<void> | void
}

/** One line of results on stdout. */
export const print = (line: string): void => {
  process.stdout.write(line + '\n')
}
