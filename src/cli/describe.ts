/**
 * What a command declares, as data: its usage, flags, positionals and subcommands. A builder is run against a recorder in place
 * of yargs, so help, generated pages and the parser come from one declaration.
 */
import type { Argv, Options } from 'yargs'
import type { CommandLine } from './commands.js'

export interface FlagInfo {
  readonly name: string
  /** Other spellings; one letter each for the short ones. */
  readonly aliases: readonly string[]
  readonly type: 'string' | 'boolean' | 'number'
  readonly describe: string
  /** For people; '' when there is none to speak of. */
  readonly default: string
  readonly hidden: boolean
  readonly choices: readonly string[]
}

export interface CommandInfo {
  /** All words, without the program: `idm list-acls`. */
  readonly name: string
  /** With positionals: `idm list-acls`, `ls [path]`. */
  readonly synopsis: string
  /** Also of a hidden command, where there is something to say; else ''. */
  readonly describe: string
  readonly hidden: boolean
  readonly flags: readonly FlagInfo[]
  readonly positionals: readonly FlagInfo[]
  readonly commands: readonly CommandInfo[]
  /** More for the reader, below the flags; '' when there is nothing. */
  readonly epilogue: string
}

interface Recording {
  flags: FlagInfo[]
  positionals: FlagInfo[]
  commands: Promise<CommandInfo>[]
  epilogue: string
}

type Builder = (yargs: Argv) => unknown

/** @param before words in front of the command's own */
export async function describeCommand(line: CommandLine, before = ''): Promise<CommandInfo> {
  const { command } = await line.load()
  const info = await record(command.command, line.describe, (yargs) => command.builder(yargs), before)
  return { ...info, describe: info.describe || (line.about ?? '') }
}

async function record(synopsis: string, describe: string | false, builder: Builder | undefined, before: string): Promise<CommandInfo> {
  const name = `${before} ${synopsis.split(' ')[0] ?? ''}`.trim()
  const recording: Recording = { flags: [], positionals: [], commands: [], epilogue: '' }
  await builder?.(recorder(recording, name))
  return {
    name, synopsis: `${before} ${synopsis}`.trim(), describe: describe === false ? '' : describe, hidden: describe === false,
    flags: recording.flags, positionals: recording.positionals, commands: await Promise.all(recording.commands), epilogue: recording.epilogue,
  }
}

/** Stands in for yargs: keeps what describes the command; every other call (usage, demandCommand ...) has no effect. */
function recorder(recording: Recording, name: string): Argv {
  const calls: Readonly<Record<string, (...words: never[]) => void>> = {
    option: (flag: string, spec: Options) => { recording.flags.push(flagInfo(flag, spec)) },
    positional: (flag: string, spec: Options) => { recording.positionals.push(flagInfo(flag, spec)) },
    epilogue: (text: string) => { recording.epilogue = text },
    command: (synopsis: string, describe: string | false, builder?: Builder) => {
      recording.commands.push(record(synopsis, describe, builder, name))
    },
  }
  const self: Argv = new Proxy({} as Argv, {
    // A promise would be waited for: the recorder must not look like one.
    get: (_target, key) => (key === 'then' ? undefined : (...words: never[]): Argv => {
      if (typeof key === 'string' && Object.hasOwn(calls, key)) calls[key]?.(...words)
      return self
    }),
  })
  return self
}

function flagInfo(name: string, spec: Options): FlagInfo {
  const { alias, type, describe, defaultDescription, choices } = spec
  return {
    name, aliases: alias === undefined ? [] : ([] as string[]).concat(alias), type: type === 'boolean' || type === 'number' ? type : 'string',
    describe: describe ?? '', default: defaultDescription ?? (spec.default === undefined ? '' : String(spec.default)), hidden: spec.hidden === true,
    choices: Array.isArray(choices) ? choices.map(String) : [],
  }
}
