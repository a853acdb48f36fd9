/**
 * cec: yargs put together from the overview of commands, and the one place where the result of a
 * command becomes an exit code: 0 done, 1 failed, 2 the command line is wrong (cec-reference
 * 1.5, "wanted").
 *
 * yargs is told the command lines only; a command's module is imported by its (asynchronous)
 * builder, thus when yargs has decided which command it is, not by looking at raw words.
 */
import yargs, { type Argv } from 'yargs'
import { applyLegacyEnv } from '../auth/legacy-env.js'
import { COMMANDS, type CommandLine } from './commands.js'
import { exitCodeOf, sentenceOf, UsageError } from './errors.js'
import { declareOptions, GLOBAL_OPTIONS, type CecArgv } from './options.js'

/** cobra's rules, not yargs': `--no-cache` is a name, `a.b` is no path, `007` is a text, the last of two wins. */
const PARSER = {
  'boolean-negation': false,
  'dot-notation': false,
  'camel-case-expansion': false,
  'parse-numbers': true,
  'parse-positional-numbers': false,
  'duplicate-arguments-array': false,
}

function addCommand(cli: Argv, line: CommandLine): Argv {
  return cli.command(
    line.command,
    // yargs hides a command described by false, and awaits a builder that gives a promise; its types know neither here.
    line.describe as string,
    (async (own: Argv) => (await line.load()).command.builder(own)) as unknown as (own: Argv) => Argv,
    async (argv) => (await line.load()).command.handler(argv as CecArgv),
  )
}

/** A yargs made as all of cec's are, for sub-commands (config add ...) too. */
function assemble(words: readonly string[]): Argv {
  let cli = yargs([...words])
    .scriptName('cec')
    .usage('$0 <command>\n\nCommand line for Pydio Cells')
    .parserConfiguration(PARSER)
    .help('help').alias('help', 'h')
    .version(false)
    .strict()
    .recommendCommands()
    .exitProcess(false)
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .fail((message: string | null, error: Error | undefined) => {
      // yargs wraps its own complaints in a YError; what a handler threw passes through.
      if (error !== undefined && error.name !== 'YError') throw error
      throw new UsageError((message ?? error?.message ?? 'wrong command line').replace(/\s+/g, ' '))
    })
  cli = declareOptions(cli, GLOBAL_OPTIONS, 'Global options:')
  for (const line of COMMANDS) cli = addCommand(cli, line)
  return cli
    .command('help [words..]', false, (own) => own, () => {})
    .command('$0', false, (own) => own, () => {})
}

/** `cec help scp` is `cec scp --help`; no command is `cec --help`. */
async function dispatch(words: readonly string[]): Promise<void> {
  const argv = await assemble(words).parseAsync() as CecArgv
  if (argv['help'] === true) return
  const positionals = argv['_'] as (string | number)[]
  if (positionals.length === 0) await assemble(['--help']).parseAsync()
  else if (positionals[0] === 'help') await assemble([...((argv['words'] as string[] | undefined) ?? []), '--help']).parseAsync()
}

/**
 * Runs one command line.
 *
 * @param words arguments after `cec`
 * @returns the exit code
 */
export async function main(words: readonly string[]): Promise<number> {
  try {
    for (const sentence of applyLegacyEnv(process.env)) process.stderr.write(`WARN\t${sentence}\n`)
    await dispatch(words)
    return 0
  } catch (error) {
    const sentence = sentenceOf(error)
    if (sentence !== '') process.stderr.write(`cec: ${sentence}\n`)
    if (error instanceof UsageError) process.stderr.write('Try "cec --help".\n')
    else if (process.env['CEC_LOG']?.toLowerCase() === 'debug' && error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`)
    return exitCodeOf(error)
  }
}
