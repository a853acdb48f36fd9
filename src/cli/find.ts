/** `cec find`: what in a tree has the wanted name, type, size and time; printed as it is found. */
import ignore from 'ignore'
import { baseOf } from '../cells/names.js'
import type { CellsNode } from '../cells/types.js'
import type { CecCommand } from './command.js'
import { withFiles } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { entryJson, rawPath } from './entry.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath } from './remote-path.js'
import { parseSize } from './scp-options.js'
import { forStdout } from './printable.js'
import { walk, WalkErrors } from './walk.js'

type Test = (node: CellsNode) => boolean

/** A whole name by a shell pattern. @throws CommandError */
export function nameTest(pattern: string, ignoreCase: boolean): Test {
  if (pattern.includes('/') || pattern === '') throw new CommandError('--name and --iname take the pattern of a name, without slashes')
  // In .gitignore these two have a meaning at the beginning, and a space at the end has none.
  const rules = ignore({ ignorecase: ignoreCase, allowRelativePaths: true }).add(pattern.replace(/^[!#]/, '\\$&').replace(/ $/, '\\ '))
  return node => node.path !== '' && rules.ignores(baseOf(node.path))
}

/** `+10M` larger, `-10M` smaller, `10M` just that. @throws CommandError */
export function sizeTest(text: string): Test {
  const [, sign, number] = /^([+-]?)(.*)$/.exec(text) ?? []
  const size = parseSize(number ?? '')
  const compare = sign === '+' ? (have: number) => have > size : sign === '-' ? (have: number) => have < size : (have: number) => have === size
  return node => node.kind === 'file' && compare(node.size)
}

const AGE: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/**
 * A moment in seconds since the epoch: `2026-01-31`, `2026-01-31T12:00`, or how long ago: `90m`, `2d`, `1w`.
 * @throws CommandError
 */
export function parseMoment(text: string, now: number = Date.now()): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text) ?? []
  if (number !== undefined) return now / 1000 - Number(number) * (AGE[unit ?? ''] ?? 0)
  const time = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : NaN
  if (Number.isNaN(time)) throw new CommandError(`${JSON.stringify(text)} is neither a date like 2026-01-31 nor an age like 2d`)
  return time / 1000
}

function compileTests(argv: CecArgv): Test[] {
  const tests: Test[] = []
  const given = (name: string, make: (text: string) => Test): void => {
    const text = argv[name]
    if (typeof text === 'string') tests.push(make(text))
  }
  given('name', text => nameTest(text, false))
  given('iname', text => nameTest(text, true))
  given('type', text => node => node.kind === (text === 'f' ? 'file' : 'folder'))
  given('size', sizeTest)
  given('newer', text => {
    const moment = parseMoment(text)
    return node => node.mtime > moment
  })
  given('older', text => {
    const moment = parseMoment(text)
    return node => node.mtime > 0 && node.mtime < moment
  })
  return tests
}

/** JSON: a list of entries. */
async function handler(argv: CecArgv): Promise<void> {
  const tests = compileTests(argv)
  const maxDepth = argv['max-depth'] as number | undefined
  if (maxDepth !== undefined && !(Number.isInteger(maxDepth) && maxDepth >= 0)) throw new CommandError('--max-depth needs a whole number')
  const json = wantsJson(argv)
  const end = argv['print0'] === true ? '\0' : '\n'
  const path = cleanPath(String(argv['path']))
  await withFiles(argv, [path], async (server, { signal, logger }) => {
    const errors = new WalkErrors(message => logger.warn(message))
    const found: CellsNode[] = []
    for await (const entry of walk(server, path, { signal, maxDepth })) {
      if (errors.take(entry) || entry.node.path === '' || !tests.every(test => test(entry.node))) continue
      if (json) found.push(entry.node)
      else process.stdout.write(forStdout(rawPath(entry.node)) + end)
    }
    if (json) printJson(found.map(entryJson))
    if (errors.count > 0) throw new SilentFailure()
  })
}

export const command: CecCommand = {
  command: 'find <path>',
  describe: 'Search files and folders by name, type, size and time',
  builder: yargs => declareJson(yargs)
    .positional('path', { type: 'string', describe: 'workspace/folder to search; / searches all workspaces' })
    .option('name', { type: 'string', requiresArg: true, describe: 'Pattern of the whole name, e.g. "*.jpg"' })
    .option('iname', { type: 'string', requiresArg: true, describe: 'The same, upper and lower case alike' })
    .option('type', { type: 'string', choices: ['f', 'd'], requiresArg: true, describe: 'f files, d folders' })
    .option('size', { type: 'string', requiresArg: true, describe: 'Files of this size; +10M larger, -10M smaller' })
    .option('newer', { type: 'string', requiresArg: true, describe: 'Changed since: a date (2026-01-31) or an age (2d, 12h)' })
    .option('older', { type: 'string', requiresArg: true, describe: 'Not changed since' })
    .option('max-depth', { type: 'number', requiresArg: true, describe: 'How many levels to go down' })
    .option('print0', { alias: '0', type: 'boolean', describe: 'End each path with a NUL, for xargs -0' }),
  handler,
}
