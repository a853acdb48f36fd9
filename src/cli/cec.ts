/** cec, the command line for Pydio Cells: its commands (commands.ts) and flags (options.ts) made into a program. */
import { applyLegacyEnv } from '../auth/legacy-env.js'

/**
 * What is called so often, or awaited so impatiently, that loading the parser first (100 ms) would be felt. Only command
 * lines about which there is nothing to parse.
 */
async function runAtOnce(words: readonly string[]): Promise<boolean> {
  const [name, ...others] = words
  if (name === 'version' && others.length === 0) process.stdout.write(`${(await import('./version-block.js')).versionBlock()}\n`)
  else if (name === 'complete-paths' && others.length === 1 && others[0]?.startsWith('-') === false) await (await import('./complete-paths.js')).command.handler({ folder: others[0] })
  else return false
  return true
}

/**
 * Runs one command line.
 *
 * @param words arguments after `cec`
 * @returns the exit code: 0 done, 1 failed, 2 the command line is wrong
 */
export async function main(words: readonly string[]): Promise<number> {
  for (const sentence of applyLegacyEnv(process.env)) process.stderr.write(`WARN\t${sentence}\n`)
  if (await runAtOnce(words)) return 0
  const [{ runProgram }, { COMMANDS }, { GLOBAL_OPTIONS }] = await Promise.all([import('./program.js'), import('./commands.js'), import('./options.js')])
  return await runProgram({ name: 'cec', describe: 'Command line for Pydio Cells', commands: COMMANDS, globals: GLOBAL_OPTIONS }, words)
}
