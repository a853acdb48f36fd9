/** `cec tree`: a folder and what is in it, drawn. */
import { baseOf } from '../cells/names.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { entryJson } from './entry.js'
import type { EntryJson } from './entry.js'
import { counted } from './human.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath } from './remote-path.js'
import { printable } from './table.js'
import { walk, WalkErrors } from './walk.js'

type Branch = EntryJson & { readonly children?: Branch[] }

/** JSON: an entry; a folder has `children`, unless it lies at the deepest level that was asked for. */
async function handler(argv: CecArgv): Promise<void> {
  const level = argv['level'] as number | undefined
  if (level !== undefined && !(Number.isInteger(level) && level > 0)) throw new CommandError('--level needs a whole number from 1')
  const path = cleanPath((argv['path'] as string | undefined) ?? '')
  await withFiles(argv, [path], async (server, { signal, logger }) => {
    const errors = new WalkErrors(message => logger.warn(message))
    const json = wantsJson(argv)
    const branches: Branch[] = []
    const counts = { folders: 0, files: 0 }
    const edges: string[] = []
    for await (const entry of walk(server, path, { signal, maxDepth: level, foldersOnly: argv['folders'] === true })) {
      if (errors.take(entry)) continue
      const { node, depth, isLast } = entry
      if (depth > 0) counts[node.kind === 'folder' ? 'folders' : 'files']++
      if (json) {
        const branch: Branch = { ...entryJson(node), ...(node.kind === 'folder' && depth < (level ?? Infinity) ? { children: [] } : {}) }
        branches[depth] = branch
        if (depth > 0) branches[depth - 1]?.children?.push(branch)
        continue
      }
      edges.length = depth
      const name = depth === 0 ? (path === '' ? '.' : path) : baseOf(node.path)
      print(`${edges.slice(1).join('')}${depth === 0 ? '' : isLast ? '└── ' : '├── '}${printable(name)}${node.kind === 'folder' ? '/' : ''}`)
      edges[depth] = depth === 0 ? '' : isLast ? '    ' : '│   '
    }
    if (json) printJson(branches[0] ?? null)
    else print(`\n${counted(counts.folders, 'folder')}, ${counted(counts.files, 'file')}`)
    if (errors.count > 0) throw new SilentFailure()
  })
}

export const command: CecCommand = {
  command: 'tree [path]',
  describe: 'Draw a folder as a tree',
  builder: yargs => declareJson(yargs)
    .positional('path', { type: 'string', describe: 'workspace/folder; nothing draws all workspaces' })
    .option('level', { alias: 'L', type: 'number', requiresArg: true, describe: 'How many levels to go down' })
    .option('folders', { alias: 'd', type: 'boolean', describe: 'Folders only' }),
  handler,
}
