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
import { booleanFrom, declareOptions, type CecArgv, type OptionSpecs } from './options.js'
import { LIST_PARSER, PARSER } from './parser.js'

export interface Program {
  readonly name: string
  readonly describe: string
  readonly commands: readonly CommandLine[]
  readonly globals: OptionSpecs
}

/** The command line says what is meant in words that the parser takes for something else. */
class OtherWords extends Error {
  readonly words: readonly string[]

  constructor(words: readonly string[]) {
    super()
    this.words = words
  }
}

/**
 * The parser has understood the words and has come to its command. Thrown, so that the parser ends here: after a handler that
 * returns it makes up its help text, for 50 ms, in case that somebody will ask for it.
 */
class Understood extends Error {
  readonly line: CommandLine
  readonly argv: CecArgv

  constructor(line: CommandLine, argv: CecArgv) {
    super()
    this.line = line
    this.argv = argv
  }
}

/**
 * The parser takes every `--flag=value` of a boolean flag but `true` for false: `--dry-run=1` would do what it should only show. Here all
 * words count that the original takes.
 *
 * @throws OtherWords with `true` for its other spellings; UsageError for what is neither true nor false
 */
function checkBooleans(argv: CecArgv, words: readonly string[]): void {
  const end = words.indexOf('--')
  const plain = words.map((word, index) => {
    const [, dashes, name, value] = (end >= 0 && index > end ? null : /^(--?)([A-Za-z][\w-]*)=(.*)$/s.exec(word)) ?? []
    if (name === undefined || value === undefined || typeof argv[name] !== 'boolean') return word
    const meant = booleanFrom(value)
    if (meant === undefined) throw new UsageError(`${dashes}${name} is true or false, not "${value}"`)
    return `${dashes}${name}=${meant}`
  })
  if (plain.some((word, index) => word !== words[index])) throw new OtherWords(plain)
}

/** Flags whose values are random characters, or what a person thought of. */
const ANY_VALUE = ['--token', '-t', '--id-token', '--password']

/** The parser takes a word that begins with a dash for a flag. A token may begin with one (one in 64 of those that Cells makes), and a password: as in the original, the word after such a flag is its value. */
function withValues(words: readonly string[]): string[] {
  const joined: string[] = []
  for (let at = 0; at < words.length; at++) {
    const [word, next] = [words[at]!, words[at + 1]]
    if (word === '--') return [...joined, ...words.slice(at)]
    if (ANY_VALUE.includes(word) && next?.startsWith('-') === true) {
      joined.push(`${word}=${next}`)
      at++
    } else {
      joined.push(word)
    }
  }
  return joined
}

function addCommand(cli: Argv, line: CommandLine): Argv {
  return cli.command(
    line.command,
    // yargs hides a command described by false, and awaits a builder that gives a promise; its types know neither here.
    line.describe as string,
    (async (own: Argv) => (await line.load()).command.builder(own)) as unknown as (own: Argv) => Argv,
    (argv) => { throw new Understood(line, argv) },
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
    .middleware((argv) => checkBooleans(argv, words))
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
  const argv = await assemble(program, words).parseAsync().catch((result: unknown) => {
    if (result instanceof Understood) return result
    throw result
  }) as CecArgv | Understood
  if (argv instanceof Understood) return (await argv.line.load()).command.handler(argv.argv)
  if (argv['help'] === true) return
  const positionals = argv['_'] as (string | number)[]
  if (positionals.length === 0) await assemble(program, ['--help']).parseAsync()
  else if (positionals[0] === 'help') {
    const topic = (argv['words'] as string[] | undefined) ?? []
    if (topic[0] !== undefined && !program.commands.some(({ command }) => command.split(' ')[0] === topic[0])) throw new UsageError(`Unknown command: ${topic[0]}`)
    await assemble(program, [...topic, '--help']).parseAsync()
  }
}

/** What yargs itself complains about below a command does not always pass by `fail`. */
const asUsageError = (error: unknown): unknown => (error instanceof Error && error.name === 'YError' ? new UsageError(error.message) : error)

/**
 * Runs one command line.
 *
 * @param words arguments after the program's name
 * @returns the exit code
 */
export async function runProgram(program: Program, words: readonly string[]): Promise<number> {
  try {
    await dispatch(program, withValues(words))
    return 0
  } catch (problem) {
    if (problem instanceof OtherWords) return await runProgram(program, problem.words)
    const error = asUsageError(problem)
    const sentence = sentenceOf(error)
    if (sentence !== '') process.stderr.write(`${program.name}: ${sentence}\n`)
    if (error instanceof UsageError) process.stderr.write(`Try "${program.name} --help".\n`)
    else if (process.env['CEC_LOG']?.toLowerCase() === 'debug' && error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`)
    return exitCodeOf(error)
  }
}
