/**
 * Remote paths on a command line: `<workspace>/a/b`, slashes at the ends without meaning unless said otherwise,
 * and the two wildcards of cec, each only as a whole last segment: `*` (cp, mv) and `%` (rm).
 */
import { baseOf, parentOf, RECYCLE_BIN } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import { cleanRemotePath } from '../transfer/names.js'
import { CommandError } from './errors.js'

export const cleanPath = cleanRemotePath

/** @throws CommandError when the server proves that there is nothing; CellsError */
export async function demandNode(server: CellsServer, path: string, signal?: AbortSignal): Promise<CellsNode> {
  const node = await server.stat(path, { signal })
  if (node === undefined) throw new CommandError(`${path} does not exist on the server`)
  return node
}

/** Whether the last segment of a cleaned path is just the wildcard. */
export const isWildcard = (path: string, wildcard: '*' | '%'): boolean => baseOf(path) === wildcard

/**
 * All children of the folder in front of a wildcard, the complete listing, without the recycle bin.
 *
 * @throws CommandError without a folder
 */
export async function childrenOf(server: CellsServer, pattern: string, signal?: AbortSignal): Promise<CellsNode[]> {
  const folder = parentOf(pattern)
  if (folder === '') throw new CommandError('a wildcard needs a workspace or folder in front of it')
  const node = await demandNode(server, folder, signal)
  if (node.kind !== 'folder') throw new CommandError(`${folder} is not a folder`)
  const children: CellsNode[] = []
  for await (const page of server.list(folder, { signal })) {
    children.push(...page.filter(child => baseOf(child.path) !== RECYCLE_BIN))
  }
  return children
}
