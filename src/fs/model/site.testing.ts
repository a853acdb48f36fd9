/** Where model runs happen: an embedded server with a short index delay, a second client, and engines over it. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TokenSource } from '../../auth/types.js'
import { connect } from '../../cells/client.js'
import type { CellsServer } from '../../cells/server.js'
import type { CellsNode } from '../../cells/types.js'
import { type DemoServer, type ServerVersion, startDemoServer } from '../../demo/index.js'
import { createLogger, type Logger, silentLogger } from '../../log.js'
import { type EngineOptions, openEngine } from '../engine.js'
import type { Engine } from '../status.js'
import { MOUNT_HEADER } from './trouble.testing.js'

/** Milliseconds by which the index lags; real servers take 50 times as long. */
export const INDEX_DELAY_MS = 20
/** The engine's pauses, likewise; not by as much, because a busy machine is as slow as ever. */
const PACE = 0.06
/** Four times this passes within a quiescence, also on a busy machine. */
const RESEND_MS = 1_000

export const modelLogger: Logger = process.env['TEST_LOG'] === undefined ? silentLogger : createLogger('debug', (line) => process.stderr.write(line))

export async function login(url: string, name = 'alice', password = 'alice-P4ss'): Promise<TokenSource> {
  const answer = await fetch(`${url}/a/frontend/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ AuthInfo: { type: 'credentials', login: name, password } }),
  })
  const { JWT } = await answer.json() as { JWT: string }
  return { get: () => Promise.resolve(JWT), reject: () => {} }
}

export function clientOf(url: string, tokens: TokenSource, customHeaders: Readonly<Record<string, string>> = {}): CellsServer {
  return connect({ url, tokens, skipVerify: false, customHeaders, accountId: 'model', authType: 'session' }, { logger: modelLogger })
}

export interface ServerFile {
  readonly type: 'file' | 'folder'
  readonly node: CellsNode
}

export class Site {
  readonly demo: DemoServer
  readonly folder: string
  /** The second client. */
  readonly other: CellsServer
  private readonly tokens: TokenSource
  private runs = 0

  private constructor(demo: DemoServer, folder: string, tokens: TokenSource) {
    this.demo = demo
    this.folder = folder
    this.tokens = tokens
    this.other = clientOf(demo.url, tokens)
  }

  static async open(serverVersion: ServerVersion, indexDelayMs = INDEX_DELAY_MS): Promise<Site> {
    const demo = await startDemoServer({ serverVersion, indexDelayMs, accessTokenTtlS: 1_000_000 })
    return new Site(demo, await mkdtemp(join(tmpdir(), 'cellsfs-model-')), await login(demo.url))
  }

  /** A token for a process of its own. */
  token(): Promise<string> {
    return this.tokens.get()
  }

  /** A new folder on the server, and a name for a state folder of its own. */
  async place(): Promise<{ remote: string; state: string }> {
    const name = `run-${++this.runs}`
    const remote = `personal-files/${name}`
    await this.other.mkdir([remote])
    await this.other.waitFor(remote, (it) => it !== undefined)
    return { remote, state: join(this.folder, name) }
  }

  engine(remote: string, state: string, watch: (server: CellsServer) => CellsServer, more: Partial<EngineOptions> = {}): Promise<Engine> {
    return openEngine({
      server: watch(clientOf(this.demo.url, this.tokens, { [MOUNT_HEADER]: 'mount' })), remote, stateDir: join(state, 'state'), cacheDir: join(state, 'cache'),
      uid: 1, gid: 1, umask: 0o022, readOnly: false, pace: PACE, resendMs: RESEND_MS, logger: modelLogger, ...more,
    })
  }

  /** Everything below a folder of the server, by path below it. */
  async tree(remote: string): Promise<Map<string, CellsNode>> {
    const found = new Map<string, CellsNode>()
    const walk = async (folder: string): Promise<void> => {
      const below: string[] = []
      for await (const page of this.other.list(folder)) {
        for (const node of page) {
          found.set(node.path.slice(remote.length + 1), node)
          if (node.kind === 'folder') below.push(node.path)
        }
      }
      await Promise.all(below.map(walk))
    }
    await walk(remote)
    return found
  }

  async content(path: string): Promise<Buffer> {
    const body = await this.other.get(path)
    const parts: Buffer[] = []
    for await (const part of body.stream) parts.push(Buffer.from(part))
    return Buffer.concat(parts)
  }

  /** Of the content of a file, whatever its size. */
  async md5(path: string): Promise<string> {
    const hash = createHash('md5')
    for await (const part of (await this.other.get(path)).stream) hash.update(part)
    return hash.digest('hex')
  }

  async close(): Promise<void> {
    await this.other.close()
    await this.demo.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

export function md5(content: Buffer | string): string {
  return createHash('md5').update(content).digest('hex')
}
