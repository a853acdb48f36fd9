/** `cec tools` (hidden): the internal hash of a local file, questions about version numbers (cec-reference 11.1, 11.2). */
import { open } from 'node:fs/promises'
import type { Argv } from 'yargs'
import { Digester } from '../cells/digest.js'
import { textOf } from './argv.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { CommandError } from './errors.js'
import { humanSize } from './human.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { declareChecks } from './version-checks.js'

/** JSON: `{ path, size, hash, md5 }`. */
async function hash(argv: CecArgv): Promise<void> {
  const path = textOf(argv, 'file')
  if (path === '') throw new CommandError('please name a file with --file')
  const quiet = argv['raw'] === true || wantsJson(argv)
  const began = performance.now()
  const digester = new Digester()
  try {
    const file = await open(path)
    if (!quiet) print(`Computing the internal hash of ${path}`)
    for await (const chunk of file.createReadStream({ highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) digester.update(chunk)
  } catch (error) {
    throw new CommandError(`could not read ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
  const { size, cellsHash, md5 } = digester.finish()
  if (wantsJson(argv)) printJson({ path, size, hash: cellsHash, md5 })
  else if (argv['raw'] === true) print(cellsHash)
  else print(`${cellsHash}\nHashed ${humanSize(size)} in ${((performance.now() - began) / 1000).toFixed(2)}s`)
}

export const command: CecCommand = {
  command: 'tools',
  describe: false,
  builder: (yargs: Argv) => yargs
    .usage('$0 tools <command>')
    .command('hash', 'Compute the internal hash of a local file, as the server shows it', (own) => declareJson(own)
      .option('file', { alias: 'f', type: 'string', requiresArg: true, describe: 'Path of the file' })
      .option('raw', { alias: 'r', type: 'boolean', describe: 'Print the hash and nothing else' }),
    async (argv) => await hash(argv))
    .command('version', 'Check and compare version numbers', (own) => declareChecks(own, true)
      .usage('$0 tools version <command>')
      .option('quiet', { alias: 'q', type: 'boolean', describe: 'Print 1 or 0 instead of using the exit code' })
      .demandCommand(1, 'which of isvalid, isrelease, isgreater?'))
    .demandCommand(1, 'which of hash, version?'),
  handler: () => {},
}
