/** `cec version` (cec-reference 11.3). Without flags version-block.ts alone answers. */
import { VERSION } from '../version.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { declareJson, printJson, wantsJson } from './json.js'
import { compileTemplate } from './template.js'
import { versionAttributes, versionBlock } from './version-block.js'
import type { CecArgv } from './options.js'
import { declareChecks } from './version-checks.js'

/** JSON: `{ version, node, os, arch }`. */
function handler(argv: CecArgv): void {
  const format = argv['format']
  if (wantsJson(argv)) printJson({ version: VERSION, node: process.version, os: process.platform, arch: process.arch })
  else if (typeof format === 'string' && format !== '') process.stdout.write(compileTemplate(format)(versionAttributes()))
  else print(versionBlock())
}

export const command: CecCommand = {
  command: 'version',
  describe: 'Show version information',
  builder: yargs => declareChecks(declareJson(yargs), false, () => {
    process.stderr.write('WARN\tThis command is deprecated, use "cec tools version"\n')
  }).option('format', {
    alias: 'f', type: 'string', requiresArg: true,
    describe: 'Template, e.g. "{{.Version}}"; also PackageLabel OS Arch NodeVersion',
  }),
  handler,
}
