/** `cec mkdir`: makes one folder, or with -p all that are missing on the way (cec-reference 6.2). */
import { workspaceOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { CommandError } from './errors.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath } from './remote-path.js'

/** `ws/a/b/c` → `ws`, `ws/a`, `ws/a/b`, `ws/a/b/c`. */
function pathsDownTo(path: string): string[] {
  const segments = path.split('/')
  return segments.map((_, index) => segments.slice(0, index + 1).join('/'))
}

/**
 * The folders to make, parents first; none when the folder is there.
 *
 * @throws CommandError for a missing workspace, a missing ancestor without `parents`, a file in the way
 */
async function missingFolders(server: CellsServer, path: string, parents: boolean, signal: AbortSignal): Promise<string[]> {
  if (await server.stat(workspaceOf(path), { signal }) === undefined) throw new CommandError(`the workspace ${workspaceOf(path)} does not exist`)
  const all = pathsDownTo(path)
  const found = await server.statMany(all, { signal })
  const file = all.find(each => found.get(each)?.kind === 'file')
  if (file !== undefined) throw new CommandError(file === path ? `${file} already exists and is a file` : `${file} is a file, not a folder`)
  const missing = all.filter(each => !found.has(each))
  const ancestor = missing.find(each => each !== path)
  if (ancestor !== undefined && !parents) throw new CommandError(`the folder ${ancestor} does not exist, use -p to create it too`)
  return missing
}

/** JSON: `{ created }`, parents first. */
async function handler(argv: CecArgv): Promise<void> {
  const path = cleanPath(argv['path'] as string)
  if (!path.includes('/')) throw new CommandError('please name a workspace and a folder: workspace/folder')
  await withFiles(argv, [path], async (server, { signal }) => {
    const missing = await missingFolders(server, path, argv['parents'] === true, signal)
    const json = wantsJson(argv)
    if (missing.length === 0) {
      if (json) printJson({ created: [] })
      else print(`All folders already exist at ${path}`)
      return
    }
    if (!json) print(`Creating folders:\n${missing.map(each => `- ${each}`).join('\n')}`)
    await server.mkdir(missing, { signal })
    await server.waitFor(path, node => node?.kind === 'folder', { signal })
    if (json) printJson({ created: missing })
    else print(`SUCCESS: created ${path}`)
  })
}

export const command: CecCommand = {
  command: 'mkdir <path>',
  describe: 'Create folders',
  builder: yargs => declareJson(yargs)
    .positional('path', { type: 'string', describe: 'workspace/folder' })
    .option('parents', { alias: 'p', type: 'boolean', describe: 'Create missing folders on the way too' }),
  handler,
}
