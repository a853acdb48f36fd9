/** `cec version` (cec-reference 11.3). Nothing here may import the client: this must start fast. */
import { VERSION } from '../version.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { compileTemplate } from './template.js'
import type { CecArgv } from './options.js'
import { declareChecks } from './version-checks.js'

const NOT_KNOWN = 'N/A'

function attributes(): Record<string, string> {
  return {
    PackageLabel: 'Cells Client',
    Version: VERSION,
    // Known to a compiled program only; kept so that the templates of existing scripts work.
    GitCommit: NOT_KNOWN,
    GitTime: NOT_KNOWN,
    BuildTime: NOT_KNOWN,
    OS: process.platform,
    Arch: process.arch,
    GoVersion: NOT_KNOWN,
    NodeVersion: process.version,
  }
}

function handler(argv: CecArgv): void {
  const values = attributes()
  const format = argv['format']
  if (typeof format === 'string' && format !== '') {
    process.stdout.write(compileTemplate(format)(values))
    return
  }
  print([
    values['PackageLabel'],
    ` Version: \t${values['Version']}`,
    ` Git commit: \t${values['GitCommit']}`,
    ` Timestamp: \t${values['GitTime']}`,
    ` OS/Arch: \t${values['OS']}/${values['Arch']}`,
    ` Node version: \t${values['NodeVersion']}`,
  ].join('\n'))
}

export const command: CecCommand = {
  command: 'version',
  describe: 'Show version information',
  builder: yargs => declareChecks(yargs, false, () => {
    process.stderr.write('WARN\tThis command is deprecated, use "cec tools version"\n')
  }).option('format', {
    alias: 'f', type: 'string', requiresArg: true,
    describe: 'Template, e.g. "{{.Version}}"; also PackageLabel OS Arch NodeVersion',
  }),
  handler,
}
