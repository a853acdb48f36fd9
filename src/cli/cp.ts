/** `cec cp`: copies on the server; with `cells://` on one side it transfers, as versions 1.x did (cec-reference 6.3, 12). */
import { parentOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CecCommand } from './command.js'
import { withFiles } from './context.js'
import { CommandError } from './errors.js'
import { declareOptions } from './options.js'
import type { CecArgv } from './options.js'
import { LIST_PARSER } from './parser.js'
import { demandArrival, demandFreeTargets, relocateMany, resolveSources } from './relocate.js'
import type { Sources } from './relocate.js'
import { cleanPath } from './remote-path.js'
import { SCP_OPTIONS } from './scp-options.js'
import { isRemote, transfer, withoutPrefix } from './transfer.js'

/**
 * An existing folder as the target is copied into, a missing name in an existing folder is the name of the copy.
 * @throws CommandError for an existing file, a missing parent
 */
async function goesInto(server: CellsServer, target: string, slash: boolean, wildcard: boolean, signal: AbortSignal): Promise<boolean> {
  if (target === '') throw new CommandError('please name a target: workspace/path')
  const node = await server.stat(target, { signal })
  if (node?.kind === 'folder') return true
  if (node !== undefined) throw new CommandError(`${target} already exists and is a file, delete it first`)
  if (wildcard || slash || !target.includes('/')) throw new CommandError(`the folder ${target} does not exist`)
  const parent = await server.stat(parentOf(target), { signal })
  if (parent?.kind !== 'folder') throw new CommandError(`the folder ${parentOf(target)} does not exist`)
  return false
}

async function copy(server: CellsServer, sources: Sources, rawTarget: string, signal: AbortSignal): Promise<void> {
  const target = cleanPath(rawTarget)
  const into = await goesInto(server, target, rawTarget.endsWith('/'), sources.wildcard, signal)
  const targets = await demandFreeTargets(server, sources.paths, target, into, signal)
  const [first] = sources.paths
  if (first !== undefined && sources.paths.length === 1) await server.copy(first, targets[0] ?? '', { signal })
  else await relocateMany(server, 'copy', sources.paths, target, signal)
  await demandArrival(server, targets, signal)
}

async function handler(argv: CecArgv): Promise<void> {
  const source = String(argv['source'])
  const target = String(argv['target'])
  if (isRemote(source) !== isRemote(target)) {
    await transfer(argv, source, target)
    return
  }
  if (argv['force'] === true) throw new CommandError('--force is for uploads and downloads; a copy on the server never replaces anything')
  await withFiles(argv, [source, target].map(word => cleanPath(withoutPrefix(word))), async (server, { signal, logger }) => {
    await copy(server, await resolveSources(server, cleanPath(withoutPrefix(source)), logger, signal), withoutPrefix(target), signal)
  })
}

export const command: CecCommand = {
  command: 'cp <source> <target>',
  describe: 'Copy on the server; with cells:// on one side, upload or download',
  builder: yargs => declareOptions(yargs.parserConfiguration(LIST_PARSER), SCP_OPTIONS, 'Options for uploads and downloads, as in scp:')
    .positional('source', { type: 'string', describe: 'workspace/path, or "workspace/folder/*" for all that is in a folder' })
    .positional('target', { type: 'string', describe: 'Existing folder to copy into, or the new path' }),
  handler,
}
