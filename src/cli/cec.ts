/** cec, the command line for Pydio Cells: its commands (commands.ts) and flags (options.ts) made into a program. */
import { applyLegacyEnv } from '../auth/legacy-env.js'
import { COMMANDS } from './commands.js'
import { GLOBAL_OPTIONS } from './options.js'
import { runProgram } from './program.js'

/**
 * Runs one command line.
 *
 * @param words arguments after `cec`
 * @returns the exit code: 0 done, 1 failed, 2 the command line is wrong
 */
export async function main(words: readonly string[]): Promise<number> {
  for (const sentence of applyLegacyEnv(process.env)) process.stderr.write(`WARN\t${sentence}\n`)
  return await runProgram({ name: 'cec', describe: 'Command line for Pydio Cells', commands: COMMANDS, globals: GLOBAL_OPTIONS }, words)
}
