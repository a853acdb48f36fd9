/** `cec rm`: deletes to the recycle bin, or for good (cec-reference 6.5). */
import { isWithin, RECYCLE_BIN, workspaceOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { Logger } from '../log.js'
import type { CecCommand } from './command.js'
import { withFiles } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { counted } from './human.js'
import type { CecArgv } from './options.js'
import { hasTerminal } from './prompts.js'
import { childrenOf, cleanPath, isWildcard } from './remote-path.js'

/** Paths in one request: what fails then costs no more than its batch. */
const BATCH = 100

interface Found {
  readonly paths: readonly string[]
  readonly missing: number
}

/** What the arguments stand for: existing paths, none inside another (the server refuses a request with one that is gone). */
async function find(server: CellsServer, words: readonly string[], logger: Logger, signal: AbortSignal): Promise<Found> {
  const named: string[] = []
  const found = new Set<string>()
  for (const word of words) {
    const path = cleanPath(word)
    if (path === '' || (!path.includes('/') && path !== '%')) throw new CommandError(path === '' || path === '%' ? 'please name what to delete: workspace/path' : `${path} is a workspace and cannot be deleted here`)
    if (!isWildcard(path, '%')) named.push(path)
    else for (const child of await childrenOf(server, path, signal)) found.add(child.path)
  }
  const existing = await server.statMany(named, { signal })
  const missing = named.filter(path => !existing.has(path))
  for (const path of missing) logger.warn(`${path} does not exist on the server`)
  for (const path of existing.keys()) found.add(path)
  const all = [...found]
  return { paths: all.filter(path => !all.some(other => other !== path && isWithin(path, other))), missing: missing.length }
}

/**
 * One question for the whole command. Anything but a clear Yes deletes nothing.
 * @throws CommandError without a terminal; the prompt's own error at Ctrl-C
 */
async function confirmed(paths: readonly string[], signal: AbortSignal): Promise<boolean> {
  if (!hasTerminal()) throw new CommandError('there is no terminal to ask for confirmation, nothing was deleted; use --force to delete without asking')
  const { select } = await import('@inquirer/prompts')
  const what = paths.length === 1 ? paths[0] ?? '' : `${paths.length} items`
  return select({ message: `Delete ${what}?`, choices: [{ name: 'No', value: false }, { name: 'Yes', value: true }] }, { output: process.stderr, signal })
}

async function remove(server: CellsServer, paths: readonly string[], permanently: boolean, signal: AbortSignal): Promise<void> {
  for (let start = 0; start < paths.length; start += BATCH) {
    await server.remove(paths.slice(start, start + BATCH), { permanently, signal })
  }
}

const inBin = (path: string): boolean => isWithin(path, `${workspaceOf(path)}/${RECYCLE_BIN}`)

async function handler(argv: CecArgv): Promise<void> {
  const words = [argv['path'], ...(argv['_'] as unknown[]).slice(1)].map(String)
  const permanently = argv['permanently'] === true
  await withFiles(argv, words.map(cleanPath), async (server, { signal, logger }) => {
    const { paths, missing } = await find(server, words, logger, signal)
    if (paths.length === 0) {
      logger.info('Nothing to delete.')
    } else if (argv['force'] !== true && !await confirmed(paths, signal)) {
      logger.info('Aborted, nothing was deleted.')
      return
    } else {
      await remove(server, paths, permanently, signal)
      const forGood = permanently || paths.every(inBin)
      const verb = paths.length === 1 ? 'has been' : 'have been'
      logger.info(`${counted(paths.length, 'item')} ${verb} ${forGood ? 'permanently removed' : 'moved to the Recycle Bin'}.`)
    }
    if (missing > 0) throw new SilentFailure()
  })
}

export const command: CecCommand = {
  command: 'rm <path>',
  describe: 'Delete files and folders',
  // A variadic <path..> keeps its last word only, since repeated flags are parsed as "the last one wins"; so the further
  // paths are let through as extra words, while unknown flags stay errors.
  builder: yargs => yargs
    .usage('cec rm <path..>\n\nDelete files and folders')
    .strict(false)
    .strictOptions()
    .positional('path', { type: 'string', describe: 'workspace/path; workspace/folder/% for all that is in a folder' })
    .option('force', { alias: 'f', type: 'boolean', describe: 'Do not ask for confirmation' })
    .option('permanently', { alias: 'p', type: 'boolean', describe: 'Bypass the recycle bin' }),
  handler,
}
