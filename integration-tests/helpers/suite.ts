/**
 * One server and one mount of it, shared by the tests of a `describe`; each test works in a corner of its own. The server, the
 * mount and all programs are processes of their own, the server with the index latency of a real one.
 *
 * With CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD set, the same tests run against that server, in a folder made for the run.
 * CELLSFS_DRIVER chooses the driver.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { resolveConnection } from '../../src/auth/connection.js'
import { connect } from '../../src/cells/client.js'
import type { CellsServer } from '../../src/cells/server.js'
import type { CellsNode } from '../../src/cells/types.js'
import { GLOBAL_OPTIONS, resolveOptions } from '../../src/cli/options.js'
import { WS, WS2 } from './files-server.js'
import { openFolder } from './folders.js'
import { CELLSFS, driver, realServer, startMount, type Drive, type MountHow } from './mount.js'
import { Service, run, sh, until, type RunOptions } from './process.js'
import { ServerProcess } from './server-process.js'

/** The same folder from two sides: in the mount and on the server. */
export interface Corner {
  /** In the mount. */
  readonly dir: string
  /** On the server, `<workspace>/...`. */
  readonly remote: string
  /** Runs a bash script in `dir`; returns its stdout. @throws when it fails */
  readonly sh: (script: string, options?: RunOptions) => Promise<string>
  /** Starts a bash script in `dir` that stays; its lines are awaited one by one. */
  readonly stay: (script: string) => Service
  /** Runs a Python script in `dir`. */
  readonly python: (script: string) => Promise<string>
  /** Uuid of a file or folder as the mount tells it, without the server's help. */
  readonly uuid: (name: string) => Promise<string>
  /** The server's node as soon as it is one that is indexed. @throws when it stays away */
  readonly node: (name: string, wanted?: (node: CellsNode) => boolean) => Promise<CellsNode>
  /** Awaits that the server has exactly this content at a name, as another client reads it. Returns the node. */
  readonly serverHas: (name: string, content: string | Buffer) => Promise<CellsNode>
  /** Awaits that the server has nothing at a name. */
  readonly serverLacks: (name: string) => Promise<void>
  /** Somebody else writes a file; resolves when the server shows it, and the mount its size. */
  readonly putByOther: (name: string, content: string | Buffer) => Promise<CellsNode>
  /** Names on the server, sorted. */
  readonly serverNames: (name?: string) => Promise<string[]>
}

export interface SuiteOptions {
  /** No mount is started; tests start their own. */
  readonly bare?: boolean
  readonly flags?: readonly string[]
}

const GIT = { GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@example.org', GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@example.org', GIT_CONFIG_NOSYSTEM: '1' }

export const md5 = (data: Buffer | string): string => createHash('md5').update(data).digest('hex')

/** Call it inside `describe`: starts before its tests and ends after them. */
export function useSuite(options: SuiteOptions = {}): Suite {
  const suite = new Suite()
  before(() => suite.start(options), { timeout: 120_000 })
  after(() => suite.stop(), { timeout: 120_000 })
  return suite
}

export class Suite {
  folder!: Awaited<ReturnType<typeof openFolder>>
  /** The embedded server; undefined with a real one. */
  server: ServerProcess | undefined
  /** A client beside all mounts: a colleague, or the check of what the server really has. */
  client!: CellsServer
  drive!: Drive
  url!: string
  /** Folder of the server that belongs to this suite. */
  root!: string
  env!: NodeJS.ProcessEnv
  readonly #rubbish = new Set<string>()
  readonly #services: Service[] = []
  readonly #drives: Drive[] = []

  async start({ bare = false, flags = [] }: SuiteOptions): Promise<void> {
    this.folder = await openFolder()
    this.server = realServer ? undefined : await ServerProcess.start(this.folder)
    this.url = this.server?.url ?? process.env['CELLS_URL']!
    const login = process.env['CELLS_LOGIN'] ?? 'alice'
    const password = process.env['CELLS_PASSWORD'] ?? 'alice-P4ss'
    this.client = connect(await resolveConnection({ ...resolveOptions(GLOBAL_OPTIONS, {}, {}), url: this.url, login, password }))
    this.env = { ...this.folder.env, ...GIT, LC_ALL: 'C.UTF-8', CEC_URL: this.url, CEC_LOGIN: login, CEC_PASSWORD: password }
    this.root = await this.remoteFolder(WS2)
    if (!bare) this.drive = await this.mount({ flags })
  }

  /** A new folder on the server, removed at the end. */
  async remoteFolder(parent: string): Promise<string> {
    const path = `${parent}/suite-${randomBytes(4).toString('hex')}`
    await this.client.mkdir([path])
    if (realServer) this.#rubbish.add(path)
    await this.client.waitFor(path, (node) => node !== undefined)
    return path
  }

  /** Mounts once more; `name` tells mountpoints apart. */
  async mount(how: MountHow = {}): Promise<Drive> {
    const drive = await startMount(this.folder, this.root, this.env, how)
    this.#drives.push(drive)
    return drive
  }

  /** The last lines of what the mounts logged: what a test that fails seldom leaves behind. */
  #said(): string {
    return this.#drives.map(({ service }) => `a mount said last:\n${service.stderr.split('\n').slice(-30).join('\n')}`).join('\n')
  }

  /** A folder of a test's own, made through the mount. */
  async corner(name: string, drive = this.drive): Promise<Corner> {
    await run('mkdir', ['-p', join(drive.dir, name)])
    return this.cornerAt(join(drive.dir, name), `${this.root}/${name}`)
  }

  cornerAt(dir: string, remote: string): Corner {
    const { client, env } = this
    const node = async (name: string, wanted: (node: CellsNode) => boolean = () => true): Promise<CellsNode> => {
      const found = await client.waitFor(`${remote}/${name}`, (it) => it !== undefined && it.etag !== 'temporary' && wanted(it))
      return found!
    }
    const content = async (name: string): Promise<Buffer> => {
      const body = await client.get(`${remote}/${name}`)
      const chunks: Buffer[] = []
      for await (const chunk of body.stream) chunks.push(chunk)
      return Buffer.concat(chunks)
    }
    const script = (text: string, own: RunOptions = {}): Promise<string> => sh(text, { cwd: dir, ...own, env: { ...env, ...own.env } })
      .catch((error: unknown) => { throw new Error(`${String(error)}\n${this.#said()}`, { cause: error }) })
    return {
      dir, remote,
      sh: script,
      stay: (text) => {
        const service = new Service('bash', ['-c', `set -eu -o pipefail\n${text}`], { cwd: dir, env })
        this.#services.push(service)
        return service
      },
      python: (text) => script('python3 -', { input: text }),
      uuid: async (name) => script('getfattr --only-values -n user.cells.uuid -- "$NAME"', { env: { NAME: name } }),
      node,
      serverHas: async (name, wanted) => {
        const data = Buffer.from(wanted)
        const found = await node(name, (it) => it.size === data.length && (it.etag === md5(data) || !/^[0-9a-f]{32}$/.test(it.etag)))
          .catch(async (error: unknown) => {
            // What is there instead tells more than that the wait was in vain.
            const instead = await content(name).then((it) => JSON.stringify(it.subarray(0, 200).toString()), String)
            throw new Error(`${remote}/${name} on the server is not as written, but: ${instead}`, { cause: error })
          })
        assert.ok((await content(name)).equals(data), `${name}: the server gives another content than its etag says`)
        return found
      },
      serverLacks: async (name) => {
        // A busy 2.x server takes a second for each folder of a delete.
        await client.waitFor(`${remote}/${name}`, (it) => it === undefined, realServer ? { timeoutMs: 90_000 } : {})
      },
      putByOther: async (name, text) => {
        const data = Buffer.from(text)
        // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
        await client.put(`${remote}/${name}`, async function * () { yield data }, data.length)
        const shown = await node(name, (it) => it.etag === md5(data) || (it.size === data.length && !/^[0-9a-f]{32}$/.test(it.etag)))
        await until(`${name} of somebody else in the mount`, async () => (await run('stat', ['-c', '%s', join(dir, name)])).stdout === `${data.length}\n`)
        return shown
      },
      serverNames: async (name = '') => {
        const names: string[] = []
        for await (const page of client.list(name === '' ? remote : `${remote}/${name}`)) names.push(...page.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)))
        return names.sort()
      },
    }
  }

  /** `cellsfs sync` of the first mount: resolves when everything is on the server. @throws when something is not */
  async sync(): Promise<void> {
    const result = await run(process.execPath, [CELLSFS, 'sync', this.drive.path], { env: this.env })
    assert.deepEqual([result.code, result.stderr], [0, ''])
  }

  async stop(): Promise<void> {
    this.server?.resume()
    await Promise.all(this.#services.map((service) => service.stop('SIGKILL')))
    await Promise.all(this.#drives.map((drive) => drive.stop()))
    if (this.#rubbish.size > 0) await this.client.remove([...this.#rubbish], { permanently: true }).catch(() => {})
    await this.client?.close()
    await this.server?.stop()
    await this.folder?.remove()
  }
}

const found = new Map<string, Promise<boolean>>()

/** Is a program installed? */
export function has(program: string): Promise<boolean> {
  let answer = found.get(program)
  if (answer === undefined) {
    answer = run('bash', ['-c', `command -v ${program}`]).then(({ code }) => code === 0)
    found.set(program, answer)
  }
  return answer
}

/** Reason to skip a test for want of programs, or false. */
export async function missing(...programs: string[]): Promise<string | false> {
  const absent: string[] = []
  for (const program of programs) if (!await has(program)) absent.push(program)
  return absent.length === 0 ? false : `not installed: ${absent.join(', ')}`
}

export { driver, WS, WS2 }

/** The embedded server can be killed and paused; a real one belongs to somebody. */
export const onlyEmbedded = realServer ? 'needs a server that can be killed' : false
