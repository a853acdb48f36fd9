/**
 * Manual pages in man(7), from the same declarations as the help: cec(1) and one page for each of its commands, cellsfs(1) with all of
 * its commands. `npm run build` writes them to dist/man.
 */
import { VERSION } from '../version.js'
import { CELLSFS_COMMANDS } from './cellsfs.js'
import { COMMANDS, type CommandLine } from './commands.js'
import { describeCommand, type CommandInfo, type FlagInfo } from './describe.js'
import { globalFlags } from './doc.js'

export interface ManPage {
  /** `cec-scp.1`. */
  readonly file: string
  readonly text: string
}

/** Text as it is: no character of it is a request or an escape. */
export function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^(?=[.'])/gm, '\\&')
}

const bold = (text: string): string => `\\fB${escaped(text)}\\fR`
const italic = (text: string): string => `\\fI${escaped(text)}\\fR`

const quoted = (text: string): string => `"${escaped(text).replaceAll('"', '\\(dq')}"`

function spelling(flag: FlagInfo): string {
  const names = [...flag.aliases, flag.name].map((name) => bold(name.length === 1 ? `-${name}` : `--${name}`))
  const value = flag.type === 'boolean' ? '' : ` ${italic(flag.choices.length > 0 ? flag.choices.join('|') : flag.type)}`
  return names.join(', ') + value
}

function flagParagraph(flag: FlagInfo): string[] {
  const initial = flag.default === '' ? '' : ` (default: ${flag.default})`
  return ['.TP', spelling(flag), escaped(`${flag.describe}${initial}`)]
}

const shown = (flags: readonly FlagInfo[]): readonly FlagInfo[] => flags.filter((flag) => !flag.hidden)

/** `scp <source> <target>` with its parts set as they are meant. */
function synopsis(program: string, info: CommandInfo): string {
  const words = info.synopsis.split(' ').map((word) => (/^[<[]/.test(word) ? italic(word.replace(/^<(.*)>$/, '$1')) : bold(word)))
  return [bold(program), ...words, ...(shown(info.flags).length > 0 ? [`[${italic('options')}]`] : [])].join(' ')
}

function details(info: CommandInfo): string[] {
  return [
    ...info.positionals.flatMap((each) => ['.TP', italic(each.name), escaped(each.choices.length > 0 ? `${each.describe}: ${each.choices.join(', ')}` : each.describe)]),
    ...shown(info.flags).flatMap(flagParagraph),
  ]
}

const epilogue = (info: CommandInfo): string[] => (info.epilogue === '' ? [] : ['.PP', ...escaped(info.epilogue).split('\n')])

/** A group of commands by itself does nothing. */
const isGroup = (info: CommandInfo): boolean => info.commands.length > 0 && info.flags.length + info.positionals.length === 0

/** The command and all below it, without groups. */
const callable = (info: CommandInfo): CommandInfo[] => [...(isGroup(info) ? [] : [info]), ...info.commands.flatMap(callable)]

const lines = (all: readonly string[]): string[] => all.flatMap((each, index) => (index === 0 ? [each] : ['.br', each]))

/** The command as a section of a page, and what is below it. */
function subsection(program: string, info: CommandInfo): string[] {
  const own = isGroup(info) ? [] : [`.SS ${quoted(`${program} ${info.synopsis}`)}`, escaped(info.describe), ...details(info), ...epilogue(info)]
  return [...own, ...info.commands.flatMap((each) => subsection(program, each))]
}

const head = (name: string, describe: string): string[] =>
  [`.TH ${quoted(name.toUpperCase())} 1 "" ${quoted(`cellsfs ${VERSION}`)} "User Commands"`, '.SH NAME', `${escaped(name)} \\- ${escaped(describe)}`]

const EXIT = ['.SH EXIT STATUS', '.TP', '0', 'Done.', '.TP', '1', 'Something failed; a sentence on standard error says what.', '.TP', '2', 'The command line is wrong.']

function commandPage(info: CommandInfo): ManPage {
  const name = `cec-${info.name}`
  const text = [
    ...head(name, info.describe), '.SH SYNOPSIS', ...lines(callable(info).map((each) => synopsis('cec', each))),
    '.SH DESCRIPTION', escaped(`${info.describe}.`), ...epilogue(info),
    ...(info.positionals.length + info.flags.length === 0 ? [] : ['.SH OPTIONS', ...details(info)]),
    ...(info.commands.length === 0 ? [] : ['.SH COMMANDS', ...info.commands.flatMap((each) => subsection('cec', each))]),
    ...EXIT, '.SH SEE ALSO', `${bold('cec')}(1) for the options that all commands have.`,
  ]
  return { file: `${name}.1`, text: `${text.join('\n')}\n` }
}

const FILES = [
  '.SH FILES', '.TP', italic('$XDG_CONFIG_HOME/pydio/cells-client/config.json'), 'Accounts, in the format of Pydio\\(aqs own cec. Secrets are in the keyring where there is one.',
  '.TP', italic('$XDG_STATE_HOME/cellsfs'), 'What is not yet on the server, and what is remembered of unfinished transfers: not to be deleted.',
  '.TP', italic('$XDG_CACHE_HOME/cellsfs'), 'May be deleted.',
]

async function infosOf(lines: readonly CommandLine[]): Promise<CommandInfo[]> {
  return await Promise.all(lines.filter((line) => line.describe !== false || line.about !== undefined).map((line) => describeCommand(line)))
}

async function cecPages(): Promise<ManPage[]> {
  const infos = await infosOf(COMMANDS)
  const listed = (hidden: boolean): string[] => infos.filter((info) => info.hidden === hidden).flatMap((info) => ['.TP', `${bold(`cec-${info.name}`)}(1)`, escaped(info.describe)])
  const text = [
    ...head('cec', 'Command line for Pydio Cells'), '.SH SYNOPSIS', `${bold('cec')} [${italic('global options')}] ${italic('command')} [${italic('options')}]`,
    '.SH DESCRIPTION', escaped('Works with the files of a Pydio Cells server, and with its users, links and jobs. A path on the server is workspace/folder/file.'),
    escaped('"cec config add" signs in and stores an account; --url with --token, or with --login and --password, do without one.'),
    '.SH COMMANDS', ...listed(false), '.SS Hidden and deprecated', ...listed(true),
    '.SH GLOBAL OPTIONS', escaped('Each can be given by the environment variable in brackets too.'), ...globalFlags().flatMap(flagParagraph), ...flagParagraph(HELP),
    ...EXIT, ...FILES, '.SH SEE ALSO', `${bold('cellsfs')}(1)`,
  ]
  return [{ file: 'cec.1', text: `${text.join('\n')}\n` }, ...infos.map(commandPage)]
}

const HELP: FlagInfo = { name: 'help', aliases: ['h'], type: 'boolean', describe: 'Show help', default: '', hidden: false, choices: [] }

async function cellsfsPage(): Promise<ManPage> {
  const infos = await infosOf(CELLSFS_COMMANDS)
  const text = [
    ...head('cellsfs', 'Pydio Cells as a drive'), '.SH SYNOPSIS', ...lines(infos.flatMap(callable).map((each) => synopsis('cellsfs', each))),
    '.SH DESCRIPTION', escaped('Shows the files of a Pydio Cells server as a folder of this computer.'),
    '.SH COMMANDS', ...infos.flatMap((info) => subsection('cellsfs', info)),
    '.SH GLOBAL OPTIONS', escaped('Each can be given by the environment variable in brackets too.'), ...globalFlags().flatMap(flagParagraph), ...flagParagraph(HELP),
    ...EXIT, ...FILES, '.SH SEE ALSO', `${bold('cec')}(1)`,
  ]
  return { file: 'cellsfs.1', text: `${text.join('\n')}\n` }
}

/** All pages. */
export async function manPages(): Promise<ManPage[]> {
  return [...await cecPages(), await cellsfsPage()]
}
