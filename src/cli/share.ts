/**
 * `cec share`: public links. `cec share <path>` makes one, as cec does (cec-reference 6.6); `share ls` and `share rm` list and
 * take back. The words ls and rm are never paths: a link needs something inside a workspace.
 */
import type { Argv } from 'yargs'
import type { CellsConnection } from '../cells/client.js'
import { baseOf } from '../cells/names.js'
import { createLink, deleteLink, getLink, linksAt, ownLinks, type PublicLink, type SharedPath } from '../cells/shares.js'
import { isCellsError } from '../cells/errors.js'
import { textOf } from './argv.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withFiles, withServer } from './context.js'
import { CommandError, UsageError } from './errors.js'
import { humanDate } from './human.js'
import { declareJson, isoTime, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath, demandNode } from './remote-path.js'
import { wishesFrom } from './share-wishes.js'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** JSON of a link; `path` is null where the user no longer sees what it leads to. */
const linkJson = (path: string, link: PublicLink): object => ({
  id: link.uuid, url: link.url, path: path === '' ? null : path, label: link.label, permissions: link.permissions.map((each) => each.toLowerCase()),
  passwordRequired: link.passwordRequired, expires: isoTime(link.expires), maxDownloads: link.maxDownloads === 0 ? null : link.maxDownloads, downloads: link.downloads,
})

/** JSON: `{ id, url, path, label, permissions, passwordRequired, expires, maxDownloads, downloads }`. */
async function share(argv: CecArgv): Promise<void> {
  // Optional for yargs alone, which would want it from "share ls" too.
  const path = cleanPath(textOf(argv, 'path'))
  if (path === '') throw new UsageError('what is to be shared? cec share <path>')
  await withFiles(argv, [path], async (server, { signal }) => {
    const wishes = await wishesFrom(argv, signal)
    const node = await demandNode(server, path, signal)
    if (node.kind === 'file' && wishes.permissions.includes('Upload')) throw new CommandError(`${path} is a file; only folders take uploads`)
    const link = await createLink(server.rest, node, baseOf(path), wishes, { signal })
    if (wantsJson(argv)) printJson(linkJson(path, link))
    else print(`Public link created at ${link.url}`)
  })
}

/** JSON: `[{ id, url, path, ... }]` as above. */
async function list(argv: CecArgv): Promise<void> {
  const path = cleanPath(textOf(argv, 'path'))
  await withServer(argv, async (server, { signal }) => {
    const found = await linksOf(server, path, signal)
    if (wantsJson(argv)) return printJson(found.map((each) => linkJson(each.path, each.link)))
    const { formatTable } = await import('./table.js')
    print(formatTable(['Id', 'Path', 'URL', 'Permissions', 'Password', 'Expires', 'Downloads'], found.map((each) => row(each)), { wrap: false }))
  })
}

async function linksOf(server: CellsConnection, path: string, signal: AbortSignal): Promise<SharedPath[]> {
  if (path === '') return await ownLinks(server.rest, { signal })
  await demandNode(server, path, signal)
  return await linksAt(server.rest, path, { signal })
}

function row({ path, link }: SharedPath): string[] {
  const downloads = link.maxDownloads === 0 ? String(link.downloads) : `${link.downloads} of ${link.maxDownloads}`
  return [link.uuid, path, link.url, link.permissions.join(', ').toLowerCase(), link.passwordRequired ? 'yes' : 'no', link.expires === 0 ? 'never' : humanDate(link.expires), downloads]
}

/** JSON: `{ id, url, path, ..., removed: true }` as above. */
async function remove(argv: CecArgv): Promise<void> {
  const wanted = String(argv['link'])
  await withServer(argv, async (server, { signal }) => {
    const { path, link } = await findLink(server, wanted, signal)
    await deleteLink(server.rest, link.uuid, { signal })
    if (wantsJson(argv)) printJson({ ...linkJson(path, link), removed: true })
    else print(`Removed the public link ${link.url}`)
  })
}

/**
 * The one link that is meant: by its id, its URL (or the last part of it), or the path that it shares.
 *
 * @throws CommandError when there is none, or more than one
 */
async function findLink(server: CellsConnection, wanted: string, signal: AbortSignal): Promise<SharedPath> {
  if (UUID.test(wanted)) {
    try {
      return { path: '', link: await getLink(server.rest, wanted, { signal }) }
    } catch (error) {
      if (isCellsError(error, 'not-found')) throw new CommandError(`there is no link ${wanted}`)
      throw error
    }
  }
  const isUrl = /^https?:\/\//.test(wanted)
  const byPath = !isUrl && wanted.includes('/')
  const candidates = byPath ? await linksOf(server, cleanPath(wanted), signal) : await ownLinks(server.rest, { signal })
  const found = byPath ? candidates : candidates.filter(({ link }) => (isUrl ? link.url === wanted : link.hash === wanted))
  if (found[0] === undefined) throw new CommandError(`there is no public link ${byPath ? 'on' : 'at'} ${wanted}`)
  if (found.length > 1) throw new CommandError(`${wanted} has ${found.length} public links; name one: ${found.map(({ link }) => link.uuid).join(', ')}`)
  return found[0]
}

/** A short path may look like "ls" or "rm" and is none of them. The types of yargs lack the parameter. */
const withoutRecommendations = (yargs: Argv): Argv => (yargs as unknown as { recommendCommands(on: boolean): Argv }).recommendCommands(false)

export const command: CecCommand = {
  command: 'share [path]',
  describe: 'Make, list and take back public links',
  builder: (yargs) => declareJson(withoutRecommendations(yargs))
    .usage('$0 share <path>\n$0 share ls [path]\n$0 share rm <link>\n\nMake, list and take back public links')
    .positional('path', { type: 'string', describe: 'workspace/folder or workspace/file' })
    .option('permissions', { global: false, type: 'string', requiresArg: true, describe: 'What visitors may do, of preview,download,upload', defaultDescription: 'download,preview' })
    .option('ask-password', { global: false, type: 'boolean', describe: 'Ask for a password that visitors must know' })
    .option('password-stdin', { global: false, type: 'boolean', describe: 'Read that password from the first line of standard input' })
    .option('expires', { global: false, type: 'string', requiresArg: true, describe: 'End of the link: 12h, 7d, 2w, 2026-12-31 or 2026-12-31T12:00:00Z' })
    .option('max-downloads', { global: false, type: 'number', requiresArg: true, describe: 'The link ends after this many downloads' })
    .option('label', { global: false, type: 'string', requiresArg: true, describe: 'Title that visitors see', defaultDescription: 'the name' })
    .command('ls [path]', 'List your public links, or those of one file or folder', (own) => declareJson(own)
      .positional('path', { type: 'string', describe: 'workspace/folder or workspace/file' }),
    async (argv) => await list(argv))
    .command('rm <link>', 'Take a public link back', (own) => declareJson(own)
      .positional('link', { type: 'string', demandOption: true, describe: 'Its id or URL, or the path that it shares' }),
    async (argv) => await remove(argv)),
  handler: async (argv) => await share(argv),
}
