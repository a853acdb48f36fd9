/** `cec put`: standard input to a file on the server, whatever its length. */
import { baseOf, nameProblem, parentOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CecCommand } from './command.js'
import { withFiles } from './context.js'
import { CommandError } from './errors.js'
import { entryJson } from './entry.js'
import { humanSize } from './human.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath } from './remote-path.js'
import { parseRate } from './scp-options.js'
import { asCommandError, withoutPrefix } from './transfer.js'

/** @throws CommandError when the content cannot go there */
async function demandPlace(server: CellsServer, path: string, force: boolean, signal: AbortSignal): Promise<void> {
  const problem = nameProblem(baseOf(path), { fourByte: true })
  if (problem !== undefined) throw new CommandError(problem)
  const there = await server.stat(path, { signal })
  if (there?.kind === 'folder') throw new CommandError(`${path} is a folder, please name a file in it`)
  if (there !== undefined && !force) throw new CommandError(`${path} already exists on the server, use --force to replace it`)
  const parent = await server.stat(parentOf(path), { signal })
  if (parent?.kind !== 'folder') throw new CommandError(`the folder ${parentOf(path)} does not exist on the server`)
  if ((there ?? parent).readOnly) throw new CommandError(`you have no right to write to ${path}`)
}

/** JSON: the entry of the new file. */
async function handler(argv: CecArgv): Promise<void> {
  const word = withoutPrefix(String(argv['target']))
  const path = cleanPath(word)
  if (!path.includes('/') || word.endsWith('/')) throw new CommandError('please name a file: workspace/folder/file')
  const limiter = parseRate(typeof argv['bwlimit'] === 'string' ? argv['bwlimit'] : '')
  await withFiles(argv, [path], async (server, { signal, logger }) => {
    await demandPlace(server, path, argv['force'] === true, signal)
    const { uploadStream } = await import('../transfer/stream-upload.js')
    const stopReading = (): void => { process.stdin.destroy() }
    signal.addEventListener('abort', stopReading, { once: true })
    try {
      const node = await uploadStream(server, process.stdin, path, { signal, limiter })
      if (node === undefined) return
      if (wantsJson(argv)) printJson(entryJson(node))
      else logger.info(`Wrote ${humanSize(node.size)} to ${path}`)
    } catch (error) {
      signal.throwIfAborted()
      throw asCommandError(error)
    }
  })
}

export const command: CecCommand = {
  command: 'put <target>',
  describe: 'Write standard input to a file',
  builder: yargs => declareJson(yargs)
    .positional('target', { type: 'string', describe: 'workspace/folder/file' })
    .option('force', { alias: 'f', type: 'boolean', describe: 'Replace what exists' })
    .option('bwlimit', { type: 'string', requiresArg: true, describe: 'Bytes per second, e.g. 500K or 10M' }),
  handler,
}
