/** `cec mv`: moves or renames on the server (cec-reference 6.4). */
import { randomBytes } from 'node:crypto'
import { parentOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CecCommand } from './command.js'
import { withFiles } from './context.js'
import { CommandError } from './errors.js'
import type { CecArgv } from './options.js'
import { demandArrival, demandFreeTargets, relocateMany, resolveSources } from './relocate.js'
import { cleanPath } from './remote-path.js'

/**
 * The server takes names that differ in case only for one and would make `x-1` (trap 4), so there is a stop on
 * the way. If the second step fails the old name is restored.
 */
async function renameCase(server: CellsServer, source: string, target: string, signal: AbortSignal): Promise<void> {
  const between = `${source}.cec-${randomBytes(4).toString('hex')}`
  await server.move(source, between, { signal })
  try {
    await server.move(between, target, { signal })
  } catch (error) {
    await server.move(between, source).catch((second: unknown) => {
      throw new CommandError(`the rename stopped half-way: ${source} is now called ${between}`, { cause: second })
    })
    throw error
  }
}

/**
 * With a slash at its end, or if it is a workspace, the target is the folder to move into (made when missing); else the full new
 * path. What exists there is never replaced and never silently renamed.
 */
async function move(server: CellsServer, sources: readonly string[], wildcard: boolean, rawTarget: string, signal: AbortSignal): Promise<void> {
  const target = cleanPath(rawTarget)
  if (target === '') throw new CommandError('please name a target: workspace/path')
  const [first] = sources
  const slash = rawTarget.endsWith('/') || !target.includes('/')
  const there = await server.stat(target, { signal })
  const into = slash || (wildcard && there?.kind === 'folder')
  const onlyCase = first !== undefined && !into && !wildcard && first !== target && first.toLowerCase() === target.toLowerCase() && parentOf(first) === parentOf(target)
  if (onlyCase && there === undefined) {
    await renameCase(server, first, target, signal)
    return
  }
  if (into) await demandFolder(server, target, there?.kind, signal)
  else if (wildcard) throw new CommandError(`${target} is not a folder`)
  else if (there !== undefined) {
    throw new CommandError(there.kind === 'folder' && first !== target ? `${target} already exists; to move into it write ${target}/` : `${target} already exists, delete it first`)
  } else if (await server.stat(parentOf(target), { signal }) === undefined) throw new CommandError(`the folder ${parentOf(target)} does not exist`)

  const targets = await demandFreeTargets(server, sources, target, into, signal)
  if (first !== undefined && sources.length === 1) await server.move(first, targets[0] ?? '', { signal })
  else await relocateMany(server, 'move', sources, target, signal)
  await demandArrival(server, targets, signal)
}

/** A folder named with a slash is made when it is missing, as the server itself would. */
async function demandFolder(server: CellsServer, path: string, kind: 'file' | 'folder' | undefined, signal: AbortSignal): Promise<void> {
  if (kind === 'file') throw new CommandError(`${path} is a file, not a folder`)
  if (kind === 'folder') return
  if (!path.includes('/')) throw new CommandError(`the workspace ${path} does not exist`)
  await server.mkdir([path], { signal })
  await server.waitFor(path, node => node?.kind === 'folder', { signal })
}

async function handler(argv: CecArgv): Promise<void> {
  const source = cleanPath(String(argv['source']))
  await withFiles(argv, [source, cleanPath(String(argv['target']))], async (server, { signal, logger }) => {
    if (source !== '' && !source.includes('/')) throw new CommandError(`${source} is a workspace and cannot be moved`)
    const { paths, wildcard } = await resolveSources(server, source, logger, signal)
    await move(server, paths, wildcard, String(argv['target']), signal)
  })
}

export const command: CecCommand = {
  command: 'mv <source> <target>',
  describe: 'Move or rename on the server',
  builder: yargs => yargs
    .positional('source', { type: 'string', describe: 'workspace/path, or "workspace/folder/*" for all that is in a folder' })
    .positional('target', { type: 'string', describe: 'The new path; with a slash at its end, the folder to move into' }),
  handler,
}
