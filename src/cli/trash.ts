/** `cec trash`: what waits in the recycle bins, back to where it was, or gone for good. */
import type { Argv } from 'yargs'
import { isWithin, RECYCLE_BIN, workspaceOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withServer } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { entryJson, rawPath } from './entry.js'
import { counted, humanDate, humanSize } from './human.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { forStdout } from './printable.js'
import { hasTerminal } from './prompts.js'
import { cleanPath } from './remote-path.js'
import { formatTable, printable } from './table.js'
import { declareWords, wordsOf } from './words.js'

const BATCH = 100

const binOf = (workspace: string): string => `${workspace}/${RECYCLE_BIN}`

/** What lies in the bin of one workspace, or of all; a workspace without a bin has had nothing deleted. */
async function binned(server: CellsServer, argv: CecArgv, signal: AbortSignal): Promise<CellsNode[]> {
  const named = cleanPath((argv['workspace'] as string | undefined) ?? '')
  if (named.includes('/')) throw new CommandError(`please name a workspace, not ${named}`)
  if (named !== '' && await server.stat(named, { signal }) === undefined) throw new CommandError(`the workspace ${named} does not exist`)
  const workspaces = named !== '' ? [named] : (await server.workspaces({ signal })).map(workspace => workspace.slug)
  const bins = await server.statMany(workspaces.map(binOf), { signal })
  const found: CellsNode[] = []
  for (const bin of bins.keys()) for await (const page of server.list(bin, { signal })) found.push(...page)
  return found
}

/** JSON: a list of entries. */
async function list(argv: CecArgv): Promise<void> {
  await withServer(argv, async (server, { signal }) => {
    const found = await binned(server, argv, signal)
    if (wantsJson(argv)) printJson(found.map(entryJson))
    else if (argv['raw'] === true) for (const node of found) print(forStdout(rawPath(node)))
    else if (found.length === 0) print('The recycle bin is empty.')
    else print(formatTable(['Path', 'Size', 'Modified'], found.map(node => [rawPath(node), humanSize(node.size), humanDate(node.mtime)]), { wrap: false }))
  })
}

/** JSON: `{ restored, missing }`, lists of paths in the bin. */
async function restore(argv: CecArgv): Promise<void> {
  const words = wordsOf(argv, 2).map(cleanPath)
  const paths = [...new Set(words)]
  const stray = paths.find(path => !path.startsWith(`${binOf(workspaceOf(path))}/`))
  if (stray !== undefined) throw new CommandError(`${stray} is not in a recycle bin; "cec trash ls" shows what is`)
  await withServer(argv, async (server, { signal, logger }) => {
    const there = await server.statMany(paths, { signal })
    const missing = paths.filter(path => !there.has(path))
    for (const path of missing) logger.warn(`${printable(path)} does not exist on the server`)
    const existing = [...there.keys()]
    const wanted = existing.filter(path => !existing.some(other => other !== path && isWithin(path, other)))
    for (let start = 0; start < wanted.length; start += BATCH) await server.restore(wanted.slice(start, start + BATCH), { signal })
    if (wantsJson(argv)) printJson({ restored: wanted, missing })
    else logger.info(`${counted(wanted.length, 'item')} restored.`)
    if (missing.length > 0) throw new SilentFailure()
  })
}

/** JSON: `{ removed }`, the paths that were in the bin. */
async function empty(argv: CecArgv): Promise<void> {
  await withServer(argv, async (server, { signal, logger }) => {
    const found = await binned(server, argv, signal)
    if (found.length > 0 && argv['force'] !== true && !await confirmed(found, signal)) {
      logger.info('Aborted, nothing was deleted.')
      return
    }
    for (let start = 0; start < found.length; start += BATCH) {
      await server.remove(found.slice(start, start + BATCH).map(node => node.path), { permanently: true, signal })
    }
    if (wantsJson(argv)) printJson({ removed: found.map(node => node.path) })
    else logger.info(found.length === 0 ? 'Nothing to delete.' : `${counted(found.length, 'item')} permanently removed.`)
  })
}

/** @throws CommandError without a terminal; the prompt's own error at Ctrl-C */
async function confirmed(found: readonly CellsNode[], signal: AbortSignal): Promise<boolean> {
  if (!hasTerminal()) throw new CommandError('there is no terminal to ask for confirmation, nothing was deleted; use --force to delete without asking')
  const { select } = await import('@inquirer/prompts')
  return select({ message: `Delete ${counted(found.length, 'item')} for good?`, choices: [{ name: 'No', value: false }, { name: 'Yes', value: true }] }, { output: process.stderr, signal })
}

const declareWorkspace = (own: Argv): Argv => declareJson(own).positional('workspace', { type: 'string', describe: 'Only that of this workspace' })

export const command: CecCommand = {
  command: 'trash',
  describe: 'List, restore and empty recycle bins',
  builder: (yargs: Argv) => yargs
    .usage('$0 trash <command>')
    .command('ls [workspace]', 'List what is in the recycle bins', own => declareWorkspace(own)
      .option('raw', { alias: 'r', type: 'boolean', describe: 'One full path per line' }), async argv => await list(argv))
    .command('restore <path>', 'Put back where it was', own => declareJson(declareWords(own, 'cec trash restore <path..>', 'workspace/recycle_bin/name')), async argv => await restore(argv))
    .command('empty [workspace]', 'Delete for good what is in the recycle bins', own => declareWorkspace(own)
      .option('force', { alias: 'f', type: 'boolean', describe: 'Do not ask for confirmation' }), async argv => await empty(argv))
    .demandCommand(1, 'which of ls, restore, empty?'),
  handler: () => {},
}
