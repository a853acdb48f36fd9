/** `cec stat`: everything that the server says about files and folders. */
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { entryJson, typeOf, workspaceNode } from './entry.js'
import { humanDate, humanSize } from './human.js'
import { declareJson, isoTime, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath } from './remote-path.js'
import { printable } from './table.js'
import { declareWords, wordsOf } from './words.js'

function describe(node: CellsNode): string {
  const lines: [string, string][] = [
    ['Path', node.path],
    ['Type', typeOf(node)],
    ['Size', `${node.size} (${humanSize(node.size)})`],
    ['Modified', node.mtime > 0 ? `${isoTime(node.mtime) ?? ''} (${humanDate(node.mtime)})` : '-'],
    ['Uuid', node.uuid],
  ]
  if (node.kind === 'file') lines.push(['Etag', node.etag], ['Internal hash', node.hash])
  lines.push(['Rights', node.readOnly ? 'read' : 'read, write'])
  return lines.map(([name, value]) => `${`${name}:`.padEnd(15)}${printable(value === '' ? '-' : value)}`).join('\n')
}

/** A workspace is a folder to the server's own stat; what kind of workspace its list tells. */
async function withScopes(server: CellsServer, nodes: CellsNode[], signal: AbortSignal): Promise<CellsNode[]> {
  if (nodes.every(({ path }) => path.includes('/'))) return nodes
  const workspaces = new Map((await server.workspaces({ signal })).map(each => [each.slug, workspaceNode(each)]))
  return nodes.map(node => ({ ...node, meta: { ...workspaces.get(node.path)?.meta, ...node.meta } }))
}

/** JSON: a list of entries, those that exist. */
async function handler(argv: CecArgv): Promise<void> {
  const paths = wordsOf(argv).map(cleanPath)
  if (paths.includes('')) throw new CommandError('please name a file or folder: workspace/path')
  await withFiles(argv, paths, async (server, { signal, logger }) => {
    const found = await server.statMany(paths, { signal })
    const nodes = await withScopes(server, paths.flatMap(path => found.get(path) ?? []), signal)
    if (wantsJson(argv)) printJson(nodes.map(entryJson))
    else if (nodes.length > 0) print(nodes.map(describe).join('\n\n'))
    const missing = paths.filter(path => !found.has(path))
    for (const path of missing) logger.warn(`${printable(path)} does not exist on the server`)
    if (missing.length > 0) throw new SilentFailure()
  })
}

export const command: CecCommand = {
  command: 'stat <path>',
  describe: 'Show all facts about files and folders',
  builder: yargs => declareJson(declareWords(yargs, 'cec stat <path..>\n\nShow all facts about files and folders', 'workspace/path')),
  handler,
}
