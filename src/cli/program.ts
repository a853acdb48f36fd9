/**
 * A command line program: yargs put together from an overview of commands, and the one place where the
 * result of a command becomes an exit code: 0 done, 1 failed, 2 the command line is wrong.
 *
 * yargs is told the command lines only; a command's module is imported by its (asynchronous)
 * builder, thus when yargs has decided which command it is, not by looking at raw words.
 */
import yargs, { type Argv } from 'yargs'
import type { CommandLine } from './commands.js'
import { exitCodeOf, sentenceOf, UsageError } from './errors.js'
import { declareOptions, type CecArgv, type OptionSpecs } from './options.js'
import { LIST_PARSER, PARSER } from './parser.js'

export interface Program {
  readonly name: string
  readonly describe: string
  readonly commands: readonly CommandLine[]
  readonly globals: OptionSpecs
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

function assemble(program: Program, words: readonly string[]): Argv {
  let cli = yargs([...words])
    .scriptName(program.name)
    .usage(`$0 <command>\n\n${program.describe}`)
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
  cli = declareOptions(cli, program.globals, 'Global options:')
  for (const line of program.commands) cli = addCommand(cli, line)
  return cli
    .command('help [words..]', false, (own) => own.parserConfiguration(LIST_PARSER), () => {})
    .command('$0', false, (own) => own, () => {})
}

/** `cec help scp` is `cec scp --help`; no command is `cec --help`. */
async function dispatch(program: Program, words: readonly string[]): Promise<void> {
  const argv = await assemble(program, words).parseAsync() as CecArgv
  if (argv['help'] === true) return
  const positionals = argv['_'] as (string | number)[]
  if (positionals.length === 0) await assemble(program, ['--help']).parseAsync()
  else if (positionals[0] === 'help') await assemble(program, [...((argv['words'] as string[] | undefined) ?? []), '--help']).parseAsync()
}

/**
 * Runs one command line.
 *
 * @param words arguments after the program's name
 * @returns the exit code
 */
export async function runProgram(program: Program, words: readonly string[]): Promise<number> {
  try {
    await dispatch(program, words)
    return 0
  } catch (error) {
    const sentence = sentenceOf(error)
    if (sentence !== '') process.stderr.write(`${program.name}: ${sentence}\n`)
    if (error instanceof UsageError) process.stderr.write(`Try "${program.name} --help".\n`)
    else if (process.env['CEC_LOG']?.toLowerCase() === 'debug' && error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`)
    return exitCodeOf(error)
  }
}
