/**
 * A server and mounts of it for one test. The embedded server runs in the test's own process (so that a test can
 * slow it down or break it); each mount is a process of its own, and so is every command that touches one.
 *
 * With CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD set the same tests run against that server, in a folder of their own.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveConnection } from '../../src/auth/connection.js'
import { connect } from '../../src/cells/client.js'
import type { CellsServer } from '../../src/cells/server.js'
import { GLOBAL_OPTIONS, resolveOptions } from '../../src/cli/options.js'
import { DEFAULT_DRIVER } from '../../src/cli/cellsfs/options.js'
import { startDemoServer, type DemoOptions, type DemoServer } from '../../src/demo/index.js'
import { withFolder, type TestFolder } from './folders.js'
import { Service, run, sh, type RunOptions, type RunResult } from './process.js'

export const CELLSFS = fileURLToPath(new URL('../../bin/cellsfs.js', import.meta.url))
export const CEC = fileURLToPath(new URL('../../bin/cec.js', import.meta.url))

/** Is there a real server to test against? */
export const realServer = (process.env['CELLS_URL'] ?? '') !== ''

export interface Drive {
  /** Mountpoint. */
  readonly path: string
  /** The test's own folder inside it: where commands run. */
  readonly dir: string
  /** The process behind it. */
  readonly service: Service
  /** Runs a bash script in `dir`; returns its stdout. @throws when it fails */
  readonly sh: (script: string, options?: RunOptions) => Promise<string>
  /** Ends the mount (SIGTERM: everything saved, unmounted) and returns its exit code. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number>
}

export interface World {
  readonly url: string
  readonly login: string
  readonly password: string
  /** Folder of the server that belongs to this test: `personal-files`, or a sub-folder of it on a real server. */
  readonly root: string
  /** The embedded server; undefined with a real one. */
  readonly demo: DemoServer | undefined
  readonly folder: TestFolder
  /** Environment of all commands: own home, and CEC_URL, CEC_LOGIN, CEC_PASSWORD. */
  readonly env: NodeJS.ProcessEnv
  /** Mounts once more; `name` tells folders apart. `flags` for `cellsfs mount -f`. */
  readonly mount: (options?: MountHow) => Promise<Drive>
  /** A client of the server beside all mounts: a colleague, or the check of what the server really has. */
  readonly client: CellsServer
  readonly cellsfs: (args: readonly string[], options?: RunOptions) => Promise<RunResult>
  readonly cec: (args: readonly string[], options?: RunOptions) => Promise<RunResult>
}

export interface WorldOptions extends Omit<DemoOptions, 'dataDir'> {
  readonly login?: 'alice' | 'bob'
}

/** A server without a mount. Everything that was started has ended when it resolves. */
export async function withServer<T>(options: WorldOptions, work: (world: World) => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    const { login = 'alice', ...demoOptions } = options
    const demo = realServer ? undefined : await startDemoServer({ ...demoOptions, dataDir: await folder.folder('server') })
    const account = {
      url: demo?.url ?? process.env['CELLS_URL']!,
      login: demo === undefined ? process.env['CELLS_LOGIN'] ?? login : login,
      password: demo === undefined ? process.env['CELLS_PASSWORD'] ?? `${login}-P4ss` : `${login}-P4ss`,
    }
    const client = connect(await resolveConnection({ ...resolveOptions(GLOBAL_OPTIONS, {}, {}), ...account }))
    const root = demo === undefined ? `personal-files/cellsfs-test-${randomBytes(4).toString('hex')}` : 'personal-files'
    const env = { ...folder.env, CEC_URL: account.url, CEC_LOGIN: account.login, CEC_PASSWORD: account.password }
    const drives: Drive[] = []
    const command = (program: string) => (args: readonly string[], own: RunOptions = {}) => run(process.execPath, [program, ...args], { ...own, env: { ...env, ...own.env } })
    const world: World = {
      ...account, root, demo, folder, env, client, cellsfs: command(CELLSFS), cec: command(CEC),
      mount: async (how = {}) => {
        const drive = await startMount(folder, root, env, how)
        drives.push(drive)
        return drive
      },
    }
    try {
      if (demo === undefined) {
        await client.mkdir([root])
        await client.waitFor(root, (node) => node !== undefined)
      }
      return await work(world)
    } finally {
      await Promise.all(drives.map((drive) => drive.stop()))
      if (demo === undefined) await client.remove([root], { permanently: true }).catch(() => {})
      await client.close()
      await demo?.close()
    }
  })
}

/** A server and one mount of all its workspaces. */
export async function withMount<T>(options: WorldOptions & { readonly flags?: readonly string[] }, work: (drive: Drive & World) => Promise<T>): Promise<T> {
  const { flags = [], ...server } = options
  return withServer(server, async (world) => work({ ...world, ...await world.mount({ flags }) }))
}

export interface MountHow {
  /** Tells mountpoints apart. */
  readonly name?: string
  readonly remote?: string
  /** For `cellsfs mount -f`. */
  readonly flags?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

/** CELLSFS_DRIVER chooses how the kernel is reached. */
export const driver = process.env['CELLSFS_DRIVER'] ?? DEFAULT_DRIVER

/** `cellsfs mount -f` as a process; resolves when it is ready. */
export async function startMount(folder: TestFolder, root: string, env: NodeJS.ProcessEnv, { name = 'drive', remote, flags = [], env: more = {} }: MountHow): Promise<Drive> {
  const path = await folder.folder(name)
  const all = { ...env, ...more }
  const service = new Service(process.execPath, [CELLSFS, 'mount', '-f', '--driver', driver, ...flags, ...(remote === undefined ? [] : [remote]), path], { env: all })
  const line = await service.line()
  if (!line.startsWith('mounted ')) throw new Error(`not the ready line: ${line}`)
  const dir = remote === undefined ? join(path, root) : path
  return {
    path, dir, service,
    sh: (script, own = {}) => sh(script, { cwd: dir, ...own, env: { ...all, ...own.env } }),
    stop: (signal) => service.stop(signal),
  }
}
