/** `cec meta`: user metadata of files and folders (cec-reference 8). */
import type { Argv } from 'yargs'
import type { CellsConnection } from '../cells/client.js'
import type { CellsNode } from '../cells/types.js'
import { metadataOf, namespaces, updateMetadata } from '../cells/usermeta.js'
import { formatOf, textOf } from './argv.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles, withServer } from './context.js'
import { CommandError } from './errors.js'
import { declareJson, printJson, wantsJson } from './json.js'
import { EMPTY, valueFor, withTag } from './meta-values.js'
import type { CecArgv } from './options.js'
import { cleanPath, demandNode } from './remote-path.js'

/**
 * JSON with `--all`: `[{ namespace, label, type, indexable, definition }]`; else `{ path, uuid, metadata }`, metadata an object
 * with the parsed values by namespace. `--format json`: the server's own object, in which each value is JSON text.
 */
async function get(argv: CecArgv): Promise<void> {
  const format = formatOf(argv)
  if (argv['all'] === true) return await withServer(argv, async (server, { signal }) => await printNamespaces(server, argv, format, signal))
  const path = demandPath(argv)
  const wanted = textOf(argv, 'namespace')
  await withFiles(argv, [path], async (server, { signal }) => {
    const node = await demandNode(server, path, signal)
    const all = [...await metadataOf(server.rest, path, { signal })]
    const found = wanted === '' ? all : all.filter(([name]) => name === wanted)
    if (wanted !== '' && found.length === 0) throw new CommandError(`${path} has no value for ${wanted}`)
    if (wantsJson(argv)) printJson({ path: node.path, uuid: node.uuid, metadata: Object.fromEntries(found.map(([name, text]) => [name, parsed(text)])) })
    else if (format === 'json') printJson(Object.fromEntries(found))
    else {
      const { formatTable } = await import('./table.js')
      print(formatTable(['Meta name', 'Value'], found))
    }
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function printNamespaces({ rest }: CellsConnection, argv: CecArgv, format: 'table' | 'json', signal: AbortSignal): Promise<void> {
  const all = await namespaces(rest, { signal })
  if (wantsJson(argv) || format === 'json') {
    printJson(all.map(({ name, label, type, indexable, definition }) => ({ namespace: name, label, type, indexable, definition: parsed(definition) })))
    return
  }
  const { formatTable } = await import('./table.js')
  print(formatTable(['Namespace', 'Label', 'JSONDefinition'], all.map(({ name, label, definition }) => [name, label, definition])))
}

/** @throws CommandError without --path */
function demandPath(argv: CecArgv): string {
  const path = cleanPath(textOf(argv, 'path'))
  if (path === '') throw new CommandError('please name a file or folder with --path')
  return path
}

/** Silent when it works. Everything is checked before anything is sent. */
async function set(argv: CecArgv): Promise<void> {
  const path = demandPath(argv)
  const operation = textOf(argv, 'operation')
  if (operation !== 'update' && operation !== 'delete') throw new CommandError('please say what to do: --operation update or --operation delete')
  const wanted = textOf(argv, 'namespace')
  if (wanted === '') throw new CommandError('please name a namespace with --namespace; "cec meta get --all" shows them')
  await withFiles(argv, [path], async (server, { signal }) => {
    const namespace = (await namespaces(server.rest, { signal })).find(({ name }) => name === wanted)
    if (namespace === undefined) throw new CommandError(`the server has no namespace ${wanted}; "cec meta get --all" shows those it has`)
    const node = await demandNode(server, path, signal)
    let value: string | undefined
    if (namespace.type === 'tags') value = await tagsFor(server, node, wanted, operation, argv, signal)
    else value = operation === 'delete' ? EMPTY : valueFor(namespace, argv)
    if (value === undefined) return
    await updateMetadata(server.rest, [{ namespace: wanted, nodeUuid: node.uuid, value }], { signal })
  })
}

async function tagsFor({ rest }: CellsConnection, node: CellsNode, namespace: string, operation: 'update' | 'delete', argv: CecArgv, signal: AbortSignal): Promise<string | undefined> {
  if (argv['string-value'] === undefined) throw new CommandError(`${namespace} has the type tags: please give --string-value`)
  const stored = (await metadataOf(rest, node.path, { signal })).get(namespace)
  return withTag(stored, textOf(argv, 'string-value'), operation)
}

const declarePath = (yargs: Argv): Argv => yargs.option('path', { alias: 'p', type: 'string', requiresArg: true, describe: 'workspace/folder or workspace/file' })

export const command: CecCommand = {
  command: 'meta',
  describe: 'Show and set user metadata',
  builder: (yargs) => yargs
    .usage('$0 meta <command>')
    .command('get', 'Show the metadata of a file or folder, or what there can be', (own) => declareJson(declarePath(own))
      .option('format', { alias: 'f', type: 'string', requiresArg: true, describe: 'table, or json for what the server sent' })
      .option('all', { alias: 'a', type: 'boolean', describe: 'List the namespaces of the server' })
      .option('namespace', { alias: 'n', type: 'string', requiresArg: true, describe: 'Only the value in this namespace' }),
    async (argv) => await get(argv))
    .command('set', 'Set or delete a value', (own) => declarePath(own)
      .option('operation', { alias: 'o', type: 'string', requiresArg: true, describe: 'update or delete' })
      .option('namespace', { alias: 'n', type: 'string', requiresArg: true, describe: 'Namespace of the value' })
      .option('string-value', { alias: 's', type: 'string', requiresArg: true, describe: 'For textarea, string, choice, tags (one), css_label, date (2026-01-31 12:00:00, UTC)' })
      .option('json-value', { alias: 'j', type: 'string', requiresArg: true, describe: 'For json' })
      .option('numeric-value', { alias: 'r', type: 'number', requiresArg: true, describe: 'For integer and stars_rate (0 to 5)' })
      .option('boolean-value', { alias: 'b', type: 'boolean', describe: 'For boolean' }),
    async (argv) => await set(argv))
    .demandCommand(1, 'which of get, set?'),
  handler: () => {},
}
