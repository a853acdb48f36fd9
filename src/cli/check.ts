/** `cec check`: compares a local folder or file with one on the server. Exit code 1 when they differ. */
import { stat } from 'node:fs/promises'
import type { CellsServer } from '../cells/server.js'
import { COMPARISONS, isSameContent } from '../transfer/compare.js'
import { Selection } from '../transfer/select.js'
import { planUpload } from '../transfer/upload-plan.js'
import type { UploadStep } from '../transfer/upload-plan.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { SilentFailure } from './errors.js'
import { counted } from './human.js'
import { printJson } from './json.js'
import { declareOptions, resolveOptions } from './options.js'
import type { CecArgv, OptionSpecs } from './options.js'
import { LIST_PARSER } from './parser.js'
import { demandNode } from './remote-path.js'
import { SCP_OPTIONS } from './scp-options.js'
import { comparisonOf, sidesOf, uploadSides } from './sync-plan.js'
import type { Sides } from './sync-plan.js'
import { printable } from './table.js'
import { asCommandError } from './transfer.js'

const OPTIONS = { include: SCP_OPTIONS.include, exclude: SCP_OPTIONS.exclude } as const satisfies OptionSpecs

class Findings {
  same = 0
  readonly differ: string[] = []
  readonly onlyLocal: string[] = []
  readonly onlyRemote: string[] = []
  readonly errors: { path: string; message: string }[] = []

  get agree(): boolean {
    return this.differ.length + this.onlyLocal.length + this.onlyRemote.length + this.errors.length === 0
  }

  take(step: UploadStep): void {
    switch (step.kind) {
      case 'same': this.same++; break
      // What follows about the same path says the same.
      case 'remove': this.differ.push(step.path); break
      case 'folder': if (this.differ.at(-1) !== step.path) this.onlyLocal.push(`${step.path}/`); break
      case 'file': if (this.differ.at(-1) !== step.path) (step.replaces ? this.differ : this.onlyLocal).push(step.path); break
      case 'extra': this.onlyRemote.push(step.node.kind === 'folder' ? `${step.path}/` : step.path); break
      case 'failure': this.errors.push({ path: step.path, message: step.error.message }); break
    }
  }
}

async function compare(server: CellsServer, sides: Sides, argv: CecArgv, signal: AbortSignal): Promise<Findings> {
  const findings = new Findings()
  const comparison = comparisonOf(argv)
  const stats = await stat(sides.local)
  if (stats.isFile()) {
    const node = await demandNode(server, sides.remote, signal)
    if (await isSameContent(sides.local, stats, node, comparison, sides.toServer ? 'upload' : 'download')) findings.same++
    else findings.differ.push(sides.remote)
    return findings
  }
  const place = await uploadSides(server, sides, signal)
  // A missing folder is an answer: everything is here only.
  for await (const step of planUpload(server, place, { signal, compare: comparison, extras: true, select: new Selection(resolveOptions(OPTIONS, argv)) })) findings.take(step)
  return findings
}

/** JSON: `{ same, differ, onlyLocal, onlyRemote, errors }`. */
async function handler(argv: CecArgv): Promise<void> {
  const sides = sidesOf(String(argv['source']), String(argv['target']))
  comparisonOf(argv)
  await withFiles(argv, [sides.remote], async (server, { signal, logger }) => {
    let findings: Findings
    try {
      findings = await compare(server, sides, argv, signal)
    } catch (error) {
      throw asCommandError(error)
    }
    const { same, differ, onlyLocal, onlyRemote, errors } = findings
    if (argv['json'] === true) {
      printJson({ same, differ, onlyLocal, onlyRemote, errors })
    } else {
      for (const path of differ) print(`differs: ${printable(path)}`)
      for (const path of onlyLocal) print(`only here: ${printable(path)}`)
      for (const path of onlyRemote) print(`only on the server: ${printable(path)}`)
      for (const { path, message } of errors) logger.warn(`${printable(path)}: ${printable(message)}`)
      print(`${counted(same, 'file')} the same, ${differ.length} differ, ${onlyLocal.length} only here, ${onlyRemote.length} only on the server${errors.length === 0 ? '' : `, ${counted(errors.length, 'error')}`}.`)
    }
    if (!findings.agree) throw new SilentFailure()
  })
}

export const command: CecCommand = {
  command: 'check <source> <target>',
  describe: 'Compare a local folder with one on the server',
  builder: yargs => declareOptions(yargs.parserConfiguration(LIST_PARSER), OPTIONS, 'Options:')
    .positional('source', { type: 'string', describe: 'Folder or file here, or cells://workspace/path' })
    .positional('target', { type: 'string', describe: 'The other side' })
    .option('compare', { type: 'string', requiresArg: true, describe: `How files are compared: ${COMPARISONS.join(', ')}; hash unless told otherwise` })
    .option('json', { type: 'boolean', describe: 'Print JSON (docs/json.md)' }),
  handler,
}
