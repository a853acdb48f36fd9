/**
 * `cec du`: the space that folders take, summed over their files (the server's own sum counts its markers too).
 */
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { CommandError, SilentFailure } from './errors.js'
import { humanSize } from './human.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath } from './remote-path.js'
import { printable } from './table.js'
import { walk, WalkErrors } from './walk.js'

interface Usage {
  readonly path: string
  size: number
  files: number
  folders: number
}

/** JSON: a list of `{ path, size, files, folders }`, what is inside before what is around it. */
async function handler(argv: CecArgv): Promise<void> {
  const deepest = argv['summarize'] === true ? 0 : (argv['max-depth'] as number | undefined) ?? Infinity
  if (Number.isNaN(deepest) || deepest < 0) throw new CommandError('--max-depth needs a whole number')
  const json = wantsJson(argv)
  const path = cleanPath((argv['path'] as string | undefined) ?? '')
  await withFiles(argv, [path], async (server, { signal, logger }) => {
    const errors = new WalkErrors(message => logger.warn(message))
    const open: Usage[] = []
    const told: Usage[] = []
    const tell = (usage: Usage, depth: number): void => {
      if (depth > deepest) return
      if (json) told.push(usage)
      else print(`${argv['bytes'] === true ? usage.size : humanSize(usage.size)}\t${printable(usage.path === '' ? '/' : usage.path)}`)
    }
    const close = (depth: number): void => {
      const usage = open[depth]
      if (usage === undefined) return
      open.length = depth
      const around = open[depth - 1]
      if (around !== undefined) {
        around.size += usage.size
        around.files += usage.files
        around.folders += usage.folders + 1
      }
      tell(usage, depth)
    }
    for await (const entry of walk(server, path, { signal, leaves: true })) {
      const { node, depth } = entry
      if (errors.take(entry) || entry.left === true) {
        close(depth)
      } else if (node.kind === 'folder') {
        open[depth] = { path: node.path, size: 0, files: 0, folders: 0 }
      } else if (depth === 0) {
        tell({ path: node.path, size: node.size, files: 1, folders: 0 }, 0)
      } else {
        const around = open[depth - 1]
        if (around !== undefined) {
          around.size += node.size
          around.files++
        }
        if (argv['all'] === true) tell({ path: node.path, size: node.size, files: 1, folders: 0 }, depth)
      }
    }
    if (json) printJson(told)
    if (errors.count > 0) throw new SilentFailure()
  })
}

export const command: CecCommand = {
  command: 'du [path]',
  describe: 'Show how much space folders take',
  builder: yargs => declareJson(yargs)
    .positional('path', { type: 'string', describe: 'workspace/folder; nothing takes all workspaces' })
    .option('summarize', { alias: 's', type: 'boolean', describe: 'The sum only' })
    .option('all', { alias: 'a', type: 'boolean', describe: 'Files too' })
    .option('bytes', { alias: 'b', type: 'boolean', describe: 'Plain numbers of bytes' })
    .option('max-depth', { type: 'number', requiresArg: true, describe: 'Show folders down to this level only' }),
  handler,
}
