/**
 * `cec ls`: one listing, shown as a table, as details, as bare paths or through a template
 * (cec-reference 6.1). Bare paths and templates are printed page by page, tables need all rows first.
 */
import type { CellsServer } from '../cells/server.js'
import type { CellsNode, Workspace } from '../cells/types.js'
import { baseOf } from '../cells/names.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { entryJson, rawPath, typeOf, workspaceNode } from './entry.js'
import { CommandError, SilentFailure } from './errors.js'
import { humanDate, humanSize } from './human.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { forStdout } from './printable.js'
import { cleanPath, demandNode } from './remote-path.js'
import { compileTemplate } from './template.js'
import type { Template } from './template.js'

/** Attributes of an entry for `--format`, all of them text. */
function attributes(node: CellsNode): Record<string, string> {
  return {
    Type: typeOf(node),
    Uuid: node.uuid,
    Name: forStdout(baseOf(node.path)),
    Path: forStdout(node.path),
    Hash: node.kind === 'file' ? node.hash : '',
    HumanSize: humanSize(node.size),
    SizeBytes: String(node.size),
    TimeStamp: String(node.mtime),
    Date: humanDate(node.mtime),
  }
}

async function * entries(server: CellsServer, path: string, signal: AbortSignal): AsyncGenerator<CellsNode[]> {
  if (path === '') {
    const workspaces = await server.workspaces({ signal })
    yield workspaces.map(workspaceNode)
    return
  }
  const node = await demandNode(server, path, signal)
  if (node.kind === 'file') yield [node]
  else yield * server.list(path, { signal })
}

async function printLines(server: CellsServer, path: string, line: (node: CellsNode) => string, signal: AbortSignal): Promise<void> {
  for await (const page of entries(server, path, signal)) {
    if (page.length > 0) print(page.map(line).join('\n'))
  }
}

/** JSON: a list of entries; of a folder what is in it. */
async function printEntries(server: CellsServer, path: string, signal: AbortSignal): Promise<void> {
  const found: CellsNode[] = []
  for await (const page of entries(server, path, signal)) found.push(...page)
  printJson(found.map(entryJson))
}

async function printWorkspaces(server: CellsServer, details: boolean, signal: AbortSignal): Promise<void> {
  const { formatTable } = await import('./table.js')
  const workspaces = await server.workspaces({ signal })
  print(`Listing ${workspaces.length} workspaces:`)
  const type = (workspace: Workspace): string => typeOf(workspaceNode(workspace))
  if (!details) {
    print(formatTable(['Type', 'Name'], workspaces.map(workspace => [type(workspace), workspace.slug])))
    hint()
    return
  }
  print(formatTable(
    ['Type', 'Uuid', 'Name', 'Label', 'Description', 'Permissions'],
    workspaces.map(workspace => [type(workspace), workspace.wsUuid, workspace.slug, workspace.label, workspace.description, workspace.permissions]),
  ))
}

async function printFolder(server: CellsServer, path: string, details: boolean, signal: AbortSignal): Promise<void> {
  const { formatTable } = await import('./table.js')
  const node = await demandNode(server, path, signal)
  const children: CellsNode[] = []
  if (node.kind === 'folder') for await (const page of server.list(path, { signal })) children.push(...page)
  print(`Found ${children.length + 1} nodes at ${path}:`)
  const rows = [{ node, name: node.kind === 'folder' ? '.' : baseOf(node.path) }, ...children.map(child => ({ node: child, name: baseOf(child.path) }))]
  if (details) {
    print(formatTable(['Type', 'Uuid', 'Name', 'Size', 'Modified', 'Internal Hash'], rows.map(row => [
      typeOf(row.node), row.node.uuid, row.name, humanSize(row.node.size), humanDate(row.node.mtime), row.node.kind === 'file' ? row.node.hash : '',
    ])))
  } else {
    print(formatTable(['Type', 'Name'], rows.map(row => [typeOf(row.node), row.name])))
    hint()
  }
}

function hint(): void {
  print('Use the -d (--details) flag to get more information.')
}

async function printExists(server: CellsServer, path: string, signal: AbortSignal): Promise<void> {
  const exists = await server.stat(path, { signal }) !== undefined
  print(String(exists))
  if (!exists) throw new SilentFailure()
}

async function handler(argv: CecArgv): Promise<void> {
  const format = typeof argv['format'] === 'string' ? argv['format'] : ''
  const modes = [argv['details'] === true, argv['raw'] === true, argv['exists'] === true, format !== '', wantsJson(argv)].filter(Boolean)
  if (modes.length > 1) throw new CommandError('please use at most one of --details, --raw, --exists, --format and --json')
  const template: Template | undefined = format === '' ? undefined : compileTemplate(format)
  const path = cleanPath((argv['path'] as string | undefined) ?? '')
  await withFiles(argv, [path], async (server, { signal }) => {
    if (argv['exists'] === true) await printExists(server, path, signal)
    else if (argv['raw'] === true) await printLines(server, path, node => forStdout(rawPath(node)), signal)
    else if (wantsJson(argv)) await printEntries(server, path, signal)
    else if (template !== undefined) await printLines(server, path, node => template(attributes(node)), signal)
    else if (path === '') await printWorkspaces(server, argv['details'] === true, signal)
    else await printFolder(server, path, argv['details'] === true, signal)
  })
}

export const command: CecCommand = {
  command: 'ls [path]',
  describe: 'List files and folders',
  builder: yargs => declareJson(yargs)
    .positional('path', { type: 'string', describe: 'workspace/folder or workspace/file; nothing lists the workspaces' })
    .option('details', { alias: 'd', type: 'boolean', describe: 'Show more columns' })
    .option('raw', { alias: 'r', type: 'boolean', describe: 'One full path per line, folders end with a slash' })
    .option('exists', { alias: 'f', type: 'boolean', describe: 'Print true (exit code 0) or false (exit code 1)' })
    .option('format', {
      type: 'string',
      requiresArg: true,
      describe: 'Template for each entry, e.g. "{{.Name}} {{.SizeBytes}}"; also Type Uuid Path Hash HumanSize TimeStamp Date',
    }),
  handler,
}
