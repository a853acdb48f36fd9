/** `cec versions`: earlier versions of a file, where the server keeps them (4.x and later, by policy). */
import type { Argv } from 'yargs'
import type { CellsConnection } from '../cells/client.js'
import type { CellsNode } from '../cells/types.js'
import { listVersions } from '../cells/versions.js'
import type { FileVersion } from '../cells/versions.js'
import { writeContent } from './cat.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles } from './context.js'
import { CommandError } from './errors.js'
import { humanDate, humanSize } from './human.js'
import { declareJson, isoTime, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath, demandNode } from './remote-path.js'
import { formatTable } from './table.js'
import { asCommandError } from './transfer.js'

const versionJson = ({ id, description, node }: FileVersion): object => ({
  id, description, size: node.size, modified: isoTime(node.mtime), etag: node.etag === '' ? null : node.etag,
})

async function demandFile(server: CellsConnection, argv: CecArgv, signal: AbortSignal): Promise<CellsNode> {
  const path = cleanPath(String(argv['path']))
  const node = path === '' ? undefined : await demandNode(server, path, signal)
  if (node?.kind !== 'file') throw new CommandError(`${path === '' ? '/' : path} is a folder; only files have versions`)
  return node
}

async function demandVersion(server: CellsConnection, node: CellsNode, id: string, signal: AbortSignal): Promise<FileVersion> {
  const found = (await listVersions(server.rest, server.features, node.path, { signal })).find(version => version.id === id)
  if (found === undefined) throw new CommandError(`${node.path} has no version ${id}; "cec versions ls" shows them`)
  return found
}

/** JSON: a list of `{ id, description, size, modified, etag }`, the newest first. */
async function list(argv: CecArgv): Promise<void> {
  await withFiles(argv, [cleanPath(String(argv['path']))], async (server, { signal }) => {
    const node = await demandFile(server, argv, signal)
    const versions = await listVersions(server.rest, server.features, node.path, { signal })
    if (wantsJson(argv)) printJson(versions.map(versionJson))
    else if (versions.length === 0) print(`The server keeps no versions of ${node.path}.`)
    else print(formatTable(['Version', 'Size', 'Modified', 'Description'], versions.map(each => [each.id, humanSize(each.node.size), humanDate(each.node.mtime), each.description]), { wrap: false }))
  })
}

/** To standard output. */
async function get(argv: CecArgv): Promise<void> {
  await withFiles(argv, [cleanPath(String(argv['path']))], async (server, { signal }) => {
    const node = await demandFile(server, argv, signal)
    const version = await demandVersion(server, node, String(argv['version']), signal)
    await writeContent(server, version.node, { signal, versionId: version.id })
  })
}

/** The content of that version becomes the newest one; nothing is lost. JSON: `{ path, restored }`. */
async function restore(argv: CecArgv): Promise<void> {
  await withFiles(argv, [cleanPath(String(argv['path']))], async (server, { signal, logger }) => {
    const node = await demandFile(server, argv, signal)
    if (node.readOnly) throw new CommandError(`you have no right to write to ${node.path}`)
    const version = await demandVersion(server, node, String(argv['version']), signal)
    const [{ contentOf }, { uploadStream }] = await Promise.all([import('../transfer/stream-download.js'), import('../transfer/stream-upload.js')])
    try {
      await uploadStream(server, contentOf(server, version.node, { signal, versionId: version.id }), node.path, { signal })
    } catch (error) {
      signal.throwIfAborted()
      throw asCommandError(error)
    }
    if (wantsJson(argv)) printJson({ path: node.path, restored: versionJson(version) })
    else logger.info(`${node.path} has the content of version ${version.id} again.`)
  })
}

const declarePath = (own: Argv): Argv => own.positional('path', { type: 'string', describe: 'workspace/file' })
const declareVersion = (own: Argv): Argv => declarePath(own).positional('version', { type: 'string', describe: 'Id, as "cec versions ls" shows it' })

export const command: CecCommand = {
  command: 'versions',
  describe: 'List, fetch and restore earlier versions of a file',
  builder: (yargs: Argv) => yargs
    .usage('$0 versions <command>')
    .command('ls <path>', 'List the versions of a file', own => declareJson(declarePath(own)), async argv => await list(argv))
    .command('get <path> <version>', 'Print the content of a version', declareVersion, async argv => await get(argv))
    .command('restore <path> <version>', 'Give the file the content of a version again', own => declareJson(declareVersion(own)), async argv => await restore(argv))
    .demandCommand(1, 'which of ls, get, restore?'),
  handler: () => {},
}
