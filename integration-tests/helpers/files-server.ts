/**
 * A server for tests of file commands: the embedded one, or a real one named by CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD
 * (and CELLS_WORKSPACE, CELLS_WORKSPACE_2 if its workspaces have other names). Each test works in a folder of its own, removed afterwards.
 */
import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { resolveConnection } from '../../src/auth/connection.js'
import { connect } from '../../src/cells/client.js'
import type { CellsServer } from '../../src/cells/server.js'
import { resolveGlobals } from '../../src/cli/options.js'
import { startDemoServer } from '../../src/demo/index.js'
import type { DemoOptions, DemoServer } from '../../src/demo/index.js'
import { silentLogger } from '../../src/log.js'
import { Confirmer } from '../../src/transfer/confirm.js'

export interface FilesServer {
  readonly url: string
  /** The CEC_ variables that lead there. */
  readonly env: NodeJS.ProcessEnv
  /** A connection of the test's own, to prepare and to look. */
  readonly server: CellsServer
  /** The embedded server, to make it misbehave; undefined for a real one. */
  readonly demo: DemoServer | undefined
  /** A new folder in `workspace`, gone after the test. */
  folder(test: TestContext, workspace?: string): Promise<string>
  /** Writes files below `folder` and waits until they are indexed; names with a slash at the end are folders. */
  seed(folder: string, tree: Readonly<Record<string, string>>): Promise<void>
  /** All paths below `folder`, folders with a slash at the end. */
  tree(folder: string): Promise<string[]>
  content(path: string): Promise<string>
  close(): Promise<void>
}

export const WS = process.env['CELLS_WORKSPACE'] ?? 'common-files'
/** For moves and copies across workspaces. */
export const WS2 = process.env['CELLS_WORKSPACE_2'] ?? 'personal-files'

/** @param options for the embedded server; its index lags 200 ms unless they say otherwise */
export async function startFilesServer(options: DemoOptions = {}): Promise<FilesServer> {
  const real = process.env['CELLS_URL']
  const demo = real === undefined ? await startDemoServer({ indexDelayMs: 200, ...options }) : undefined
  const url = real ?? demo?.url ?? ''
  const env = {
    CEC_URL: url, CEC_SKIP_KEYRING: 'true',
    CEC_LOGIN: real === undefined ? 'alice' : process.env['CELLS_LOGIN'] ?? '',
    CEC_PASSWORD: real === undefined ? 'alice-P4ss' : process.env['CELLS_PASSWORD'] ?? '',
  }
  const globals = resolveGlobals({}, env)
  const server = connect(await resolveConnection(globals, { logger: silentLogger }))

  // Asks for all paths together: a real server that is asked for a hundred paths at once stops answering others.
  const confirmer = new Confirmer(server, new AbortController().signal)
  const shown = async (path: string, kind: 'file' | 'folder'): Promise<void> => {
    await confirmer.confirm(path, node => node?.kind === kind && node.etag !== 'temporary', 60_000)
  }
  return {
    url, env, server, demo,
    close: async () => {
      await server.close()
      await demo?.close()
    },
    folder: async (test, workspace = WS) => {
      const path = `${workspace}/test-${randomBytes(5).toString('hex')}`
      await server.mkdir([path])
      await shown(path, 'folder')
      test.after(() => server.remove([path], { permanently: true }))
      return path
    },
    seed: async (folder, tree) => {
      for (const [name, content] of Object.entries(tree)) {
        const path = `${folder}/${name}`.replace(/\/$/, '')
        if (name.endsWith('/')) await server.mkdir([path])
        else await server.put(path, () => bytes(content), Buffer.byteLength(content))
      }
      await Promise.all(Object.keys(tree).map(name => shown(`${folder}/${name}`.replace(/\/$/, ''), name.endsWith('/') ? 'folder' : 'file')))
    },
    tree: async folder => (await listAll(server, folder)).map(path => path.slice(folder.length + 1)).sort(),
    content: async path => {
      const body = await server.get(path)
      const chunks: Buffer[] = []
      for await (const chunk of body.stream) chunks.push(chunk)
      return Buffer.concat(chunks).toString()
    },
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
async function * bytes(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
}

async function listAll(server: CellsServer, folder: string): Promise<string[]> {
  const paths: string[] = []
  for await (const page of server.list(folder)) {
    for (const node of page) {
      if (node.kind === 'file') paths.push(node.path)
      else paths.push(`${node.path}/`, ...await listAll(server, node.path))
    }
  }
  return paths
}
