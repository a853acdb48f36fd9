/** A folder of a server, the embedded one or a real one named by CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD; engines over it, and a client that looks at the server itself. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TokenSource } from '../auth/types.js'
import type { CellsServer } from '../cells/server.js'
import { type DemoServer, startDemoServer } from '../demo/index.js'
import { openEngine } from './engine.js'
import { clientOf, login, modelLogger as logger } from './model/site.testing.js'
import { PathFs } from './posix.testing.js'
import type { Engine } from './status.js'

export class EngineSite {
  /** The embedded server; undefined with a real one. */
  readonly demo: DemoServer | undefined
  readonly base = `personal-files/engine-${randomBytes(4).toString('hex')}`
  readonly server: CellsServer
  readonly folder: string
  private readonly url: string
  private readonly tokens: TokenSource
  private readonly engines: Engine[] = []

  private constructor(demo: DemoServer | undefined, url: string, tokens: TokenSource, folder: string) {
    this.demo = demo
    this.url = url
    this.tokens = tokens
    this.folder = folder
    this.server = this.newServer()
  }

  static async start(): Promise<EngineSite> {
    const folder = await mkdtemp(join(tmpdir(), 'cellsfs-engine-'))
    const demo = process.env['CELLS_URL'] === undefined ? await startDemoServer({}) : undefined
    const url = process.env['CELLS_URL'] ?? demo!.url
    const tokens = await login(url, process.env['CELLS_LOGIN'] ?? 'alice', process.env['CELLS_PASSWORD'] ?? 'alice-P4ss')
    const site = new EngineSite(demo, url, tokens, folder)
    await site.server.mkdir([site.base])
    await site.server.waitFor(site.base, (it) => it !== undefined)
    return site
  }

  newServer(): CellsServer {
    return clientOf(this.url, this.tokens)
  }

  /** An engine with its own state; the same name is the same state. */
  async open(name: string, remote = this.base, server = this.newServer()): Promise<{ engine: Engine; fs: PathFs }> {
    const engine = await openEngine({
      server, remote, stateDir: join(this.folder, name, 'state'), cacheDir: join(this.folder, name, 'cache'),
      uid: 1, gid: 1, umask: 0o022, readOnly: false, logger,
    })
    this.engines.push(engine)
    return { engine, fs: new PathFs(engine.fs) }
  }

  /** Content on the server, seen by another client. */
  async onServer(path: string): Promise<{ uuid: string; text: string } | undefined> {
    const node = await this.server.waitFor(`${this.base}/${path}`, (it) => it === undefined || (it.etag !== 'temporary' && it.etag !== ''))
    if (node === undefined) return undefined
    const body = await this.server.get(`${this.base}/${path}`)
    const parts: Buffer[] = []
    for await (const part of body.stream) parts.push(part)
    return { uuid: node.uuid, text: Buffer.concat(parts).toString() }
  }

  async close(): Promise<void> {
    for (const engine of this.engines) await engine.close().catch(() => {})
    await this.server.remove([this.base], { permanently: true }).catch(() => {})
    await this.server.close()
    await this.demo?.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}
