/** `cec scp`: uploads or downloads a file or a folder (cec-reference 7). */
import type { CecCommand } from './command.js'
import { declareOptions } from './options.js'
import { LIST_PARSER } from './parser.js'
import { SCP_OPTIONS } from './scp-options.js'

export const command: CecCommand = {
  command: 'scp <source> <target>',
  describe: 'Upload or download',
  builder: yargs => declareOptions(yargs.parserConfiguration(LIST_PARSER), SCP_OPTIONS, 'Options:')
    .positional('source', { type: 'string', describe: 'File or folder; cells://workspace/path if it is on the server' })
    .positional('target', { type: 'string', describe: 'Existing folder to put it into, or a new name' })
    .epilogue([
      'One side begins with cells:// (or cells//). A folder is always transferred as a whole, under its own name.',
      'A missing target becomes the new name of a file; with a slash at its end, and for a folder, it',
      'becomes a new folder around it. What exists already is refused unless --force merges: same names are',
      'replaced, everything else stays. An interrupted transfer goes on where it stopped when the same command is given again.',
    ].join('\n')),
  handler: async argv => {
    const { transfer } = await import('./transfer.js')
    await transfer(argv, String(argv['source']), String(argv['target']))
  },
}
