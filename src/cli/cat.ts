/** `cec cat`: the content of files on standard output, checked against what the server reports. */
import { once } from 'node:events'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import type { CecCommand } from './command.js'
import { withFiles } from './context.js'
import { CommandError } from './errors.js'
import type { CecArgv } from './options.js'
import { cleanPath, demandNode } from './remote-path.js'
import { asCommandError, withoutPrefix } from './transfer.js'
import { declareWords, wordsOf } from './words.js'

/** As fast as the reader takes it. */
export async function writeContent(server: CellsServer, node: CellsNode, options: { readonly signal: AbortSignal; readonly versionId?: string }): Promise<void> {
  const { contentOf } = await import('../transfer/stream-download.js')
  try {
    for await (const chunk of contentOf(server, node, options)) {
      if (!process.stdout.write(chunk)) await once(process.stdout, 'drain', { signal: options.signal })
    }
  } catch (error) {
    options.signal.throwIfAborted()
    throw asCommandError(error)
  }
}

async function handler(argv: CecArgv): Promise<void> {
  const paths = wordsOf(argv).map(word => cleanPath(withoutPrefix(word)))
  await withFiles(argv, paths, async (server, { signal }) => {
    for (const path of paths) {
      const node = path === '' ? undefined : await demandNode(server, path, signal)
      if (node?.kind !== 'file') throw new CommandError(`${path === '' ? '/' : path} is a folder`)
      await writeContent(server, node, { signal })
    }
  })
}

export const command: CecCommand = {
  command: 'cat <path>',
  describe: 'Print the content of files',
  builder: yargs => declareWords(yargs, 'cec cat <path..>\n\nPrint the content of files', 'workspace/path'),
  handler,
}
