/** `cec stat`: everything that the server says about files and folders. */
import type { CellsNode } from '../cells/types.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { entryJson, typeOf } from './entry.js'
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

/** JSON: a list of entries, those that exist. */
async function handler(argv: CecArgv): Promise<void> {
  const paths = wordsOf(argv).map(cleanPath)
  if (paths.includes('')) throw new CommandError('please name a file or folder: workspace/path')
  await withFiles(argv, paths, async (server, { signal, logger }) => {
    const found = await server.statMany(paths, { signal })
    const nodes = paths.flatMap(path => found.get(path) ?? [])
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
