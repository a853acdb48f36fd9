/**
 * The server under the benchmark, and a client of our own beside all mounts: it lays out what the workloads need and
 * looks what has arrived. It asks one thing at a time, so that it takes little from those who are timed.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveConnection } from '../src/auth/connection.js'
import { connect } from '../src/cells/client.js'
import type { CellsServer } from '../src/cells/server.js'
import { ETAG_TEMPORARY } from '../src/cells/types.js'
import { GLOBAL_OPTIONS, resolveOptions } from '../src/cli/options.js'
import { daemon, Late, until } from './processes.js'

const CELLSFS = fileURLToPath(new URL('../bin/cellsfs.js', import.meta.url))
const WORKSPACE = process.env['CELLS_WORKSPACE'] ?? 'personal-files'
const SEED_STREAMS = 4
const POLL_MS = 250
const PATIENCE_MS = 300_000

/** The tree of the workloads: 1,000 files of 1 to 16 KiB in 50 folders. */
const FOLDERS = 50
const FILES_PER_FOLDER = 20
export const TREE_FILES = FOLDERS * FILES_PER_FOLDER
/** Folders to write to; each has one file already. */
export const WRITTEN = ['written', 'many', 'archive', 'saved', 'clone'] as const
export const BIG_BYTES = 256 * 1024 * 1024
export const ALL_FILES = TREE_FILES + 1 + WRITTEN.length

export interface Seed {
  /** `<workspace>/a/b`: what is mounted. */
  readonly path: string
  /** Name of the tree in it; the big file is called `big`. */
  readonly tree: string
}

export interface BenchServer {
  readonly url: string
  readonly login: string
  readonly password: string
  /** For the record: what kind of server this is. */
  readonly description: string
  /** Has it a WebDAV view? */
  readonly webdav: boolean
  /** Folder of this benchmark on the server, removed at the end. */
  readonly root: string
  /** A bearer token that has just been issued. */
  readonly token: () => Promise<string>
  /** Makes a folder with the tree and the big file in it; resolves when the server shows all of it. */
  readonly seed: (name: string) => Promise<Seed>
  /** Makes the folder `<root>/<name>` with files in it, and resolves when the server shows them all; returns its path. */
  readonly fill: (name: string, files: readonly (readonly [string, Buffer])[]) => Promise<string>
  /** Resolves when exactly `count` files with content are below `path`, one of them with this md5, as the server's own index says; to false when it does not say so in time. */
  readonly shows: (path: string, count: number, one: readonly [name: string, md5: string] | undefined, timeoutMs: number) => Promise<boolean>
  readonly close: () => Promise<void>
}

interface Account {
  readonly url: string
  readonly login: string
  readonly password: string
}

/** The server named by CELLS_URL, CELLS_LOGIN, CELLS_PASSWORD. @throws Error in one sentence when they are missing */
export async function namedServer(): Promise<BenchServer> {
  const [url = '', login = '', password = ''] = ['CELLS_URL', 'CELLS_LOGIN', 'CELLS_PASSWORD'].map((name) => process.env[name])
  if (url === '' || login === '' || password === '') throw new Error('give the server with CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD')
  const dav = await fetch(new URL(`/dav/${WORKSPACE}/`, url), {
    method: 'PROPFIND', headers: { depth: '0', authorization: `Basic ${Buffer.from(`${login}:${password}`).toString('base64')}` },
  })
  await dav.text()
  return openServer({ url, login, password }, `Cells server at ${url}`, dav.status === 207, async () => {})
}

/** The embedded server, in a process of its own. */
export async function embeddedServer(latencyMs: number): Promise<BenchServer> {
  const data = await mkdtemp(join(tmpdir(), 'cellsfs-bench-'))
  const process_ = daemon(process.execPath, [CELLSFS, 'demo', '--server-only', '--json', '--port', '0', '--data', data, '--latency', String(latencyMs)], process.env)
  const account = JSON.parse(await process_.firstLine) as Account
  return openServer(account, `embedded server, ${latencyMs} ms added to each request`, false, async () => {
    await process_.stop()
    await rm(data, { recursive: true, force: true })
  })
}

async function openServer(account: Account, description: string, webdav: boolean, stop: () => Promise<void>): Promise<BenchServer> {
  const settings = await resolveConnection({ ...resolveOptions(GLOBAL_OPTIONS, {}, {}), ...account })
  const client = connect(settings)
  const id = randomBytes(4).toString('hex')
  const root = `${WORKSPACE}/bench-${id}`
  await client.mkdir([root])
  await client.waitFor(root, (node) => node !== undefined)
  const seeded: string[] = []
  return {
    url: account.url, login: account.login, password: account.password, description, webdav, root,
    // What is asked for now must outlive a whole workload.
    token: () => settings.tokens.get({ minValidityMs: 500_000 }),
    seed: async (name) => {
      const [path, tree] = [`${root}/${name}`, `tree-${name}-${id}`]
      seeded.push(tree)
      await seed(client, path, tree)
      await shows(client, path, ALL_FILES)
      return { path, tree }
    },
    fill: async (name, files) => {
      const path = `${root}/${name}`
      await client.mkdir([path])
      await client.waitFor(path, (node) => node !== undefined)
      await inStreams(files, ([file, content]) => put(client, `${path}/${file}`, content))
      await shows(client, path, files.length)
      return path
    },
    shows: (path, count, one, timeoutMs) => shows(client, path, count, one, timeoutMs).then(() => true, (error: unknown) => {
      if (error instanceof Late) return false
      throw error
    }),
    close: async () => {
      // What was removed through a mount lies in the bin.
      const binned = await client.statMany(seeded.map((name) => `${WORKSPACE}/recycle_bin/${name}`)).catch(() => new Map())
      await client.remove([root, ...binned.keys()], { permanently: true }).catch((error: unknown) => {
        process.stderr.write(`${root} could not be removed: ${String(error)}\n`)
      })
      await client.close()
      await stop()
    },
  }
}

/**
 * `<path>/<tree>/folder-NN/file-NN.txt` and `<path>/big`, with content nobody can compress or guess; and the folders that the
 * workloads write to, with a file in each: rclone's S3 mount cannot write to a folder that has none (a listing of it is an error 500 of
 * a 2.x server, tried again for a minute and a half).
 */
async function seed(client: CellsServer, path: string, tree: string): Promise<void> {
  const folders = Array.from({ length: FOLDERS }, (_, index) => `${path}/${tree}/folder-${String(index).padStart(2, '0')}`)
  await client.mkdir([path, `${path}/${tree}`, ...folders])
  const files = folders.flatMap((folder) => Array.from({ length: FILES_PER_FOLDER }, (_, index) => `${folder}/file-${String(index).padStart(2, '0')}.txt`))
  await inStreams(files, (file, index) => put(client, file, contentOf(index)))
  await put(client, `${path}/big`, randomBytes(BIG_BYTES))
  for (const folder of WRITTEN) await put(client, `${path}/${folder}/first`, Buffer.from('text\n'))
}

/** Lines of text that nobody can guess, one with the word that is looked for. */
function contentOf(index: number): Buffer {
  const size = 1024 * (1 + index % 16)
  return Buffer.from(`needle\n${randomBytes(size).toString('base64').replace(/.{76}/g, '$&\n')}`.slice(0, size - 1).concat('\n'))
}

async function inStreams<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: SEED_STREAMS }, async () => {
    for (let index = next++; index < items.length; index = next++) await work(items[index]!, index)
  }))
}

async function put(client: CellsServer, path: string, content: Buffer): Promise<void> {
  // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
  await client.put(path, async function * () { yield content }, content.length)
}

async function shows(client: CellsServer, path: string, count: number, one?: readonly [name: string, md5: string], timeoutMs = PATIENCE_MS): Promise<void> {
  let seen = -1
  await until(`${count} files below ${path}${one === undefined ? '' : `, ${one[0]} with its last content`}`, async () => {
    seen = await countFiles(client, path)
    if (seen !== count) return false
    return one === undefined || (await client.stat(`${path}/${one[0]}`))?.etag === one[1]
  }, POLL_MS, timeoutMs).catch((error: unknown) => {
    if (error instanceof Late) throw new Late(`${error.message}, but ${seen}`)
    throw error
  })
}

async function countFiles(client: CellsServer, path: string): Promise<number> {
  let count = 0
  try {
    for await (const page of client.list(path)) {
      for (const node of page) {
        if (node.kind === 'folder') count += await countFiles(client, node.path)
        else if (node.etag !== ETAG_TEMPORARY && node.etag !== '') count++
      }
    }
  } catch (error) {
    if ((error as { kind?: string }).kind !== 'not-found') throw error
  }
  return count
}
