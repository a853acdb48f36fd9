/** Tests' own world: an embedded server, a folder of it, engines over that folder, and a client that looks at the server itself. */
import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../cells/client.js'
import { CellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsEvent, CellsNode } from '../cells/types.js'
import { type DemoServer, startDemoServer } from '../demo/index.js'
import { type EngineOptions, openEngine } from './engine.js'
import { modelLogger as logger } from './model/site.testing.js'
import { PathFs } from './posix.testing.js'
import type { Engine } from './status.js'

const BASE = 'personal-files/engine'

export class World {
  readonly server: CellsServer
  private readonly demo: DemoServer
  private readonly token: string
  private readonly folder: string
  private readonly engines: Engine[] = []

  private constructor(demo: DemoServer, token: string, folder: string) {
    this.demo = demo
    this.token = token
    this.folder = folder
    this.server = this.connect()
  }

  static async start(options: Parameters<typeof startDemoServer>[0] = {}): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'cellsfs-engine-'))
    const demo = await startDemoServer(options)
    const answer = await fetch(`${demo.url}/a/frontend/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ AuthInfo: { type: 'credentials', login: 'alice', password: 'alice-P4ss' } }),
    })
    const { JWT } = await answer.json() as { JWT: string }
    const world = new World(demo, JWT, folder)
    await world.server.mkdir([BASE])
    await world.server.waitFor(BASE, (it) => it !== undefined)
    return world
  }

  private connect(): CellsServer {
    const tokens = { get: () => Promise.resolve(this.token), reject: () => {} }
    return connect({ url: this.demo.url, tokens, skipVerify: false, customHeaders: {}, accountId: 'a', authType: 'session' }, { logger })
  }

  /** Tells the engine that was opened last of something, as the server's event stream would. */
  tell: (event: CellsEvent) => void = () => {}

  /** Tells it how its event stream is. */
  tellState: Parameters<CellsServer['events']>[0]['onState'] = () => {}

  /** Do the engines hear of their event streams? */
  streams = true

  /** Which events of the server the engines get. */
  passes: (event: CellsEvent) => boolean = () => true

  /** Listings are empty, of files and of workspaces, and successful. */
  emptyListings = false

  /** Listings that the server has answered wait for this before an engine gets them. */
  answered: (() => Promise<void>) | undefined

  /** Nothing can be sent. */
  unreachable = false

  /** What the engines' requests of a kind wait for before they go out. */
  readonly before: Partial<Record<keyof CellsServer, (...call: unknown[]) => Promise<void>>> = {}

  /** What the answers to them wait for before an engine gets them. */
  readonly after: Partial<Record<keyof CellsServer, (...call: unknown[]) => Promise<void>>> = {}

  private listenedTo(server: CellsServer): CellsServer {
    const events: CellsServer['events'] = (listener) => {
      this.tell = (event) => listener.onEvent(event)
      this.tellState = (state) => listener.onState(state)
      return server.events({ ...listener, onState: (state) => { if (this.streams) listener.onState(state) }, onEvent: (event) => { if (this.passes(event)) listener.onEvent(event) } })
    }
    const put: CellsServer['put'] = (...call) => this.unreachable ? Promise.reject(new CellsError('network', 'not reachable')) : server.put(...call)
    // eslint-disable-next-line @typescript-eslint/require-await -- a listing is an async sequence
    const nothing = async function * (): AsyncGenerator<CellsNode[]> { yield [] }
    const late = async function * (pages: AsyncIterable<CellsNode[]>, handedOn: () => Promise<void>): AsyncGenerator<CellsNode[]> {
      const all: CellsNode[] = []
      for await (const page of pages) all.push(...page)
      await handedOn()
      yield all
    }
    const list: CellsServer['list'] = (...call) => {
      const pages = this.emptyListings ? nothing() : server.list(...call)
      return this.answered === undefined ? pages : late(pages, this.answered)
    }
    const workspaces: CellsServer['workspaces'] = (...call) => this.emptyListings ? Promise.resolve([]) : server.workspaces(...call)
    const own: Partial<CellsServer> = { events, put, list, workspaces }
    return new Proxy(server, {
      get: (target, name) => {
        const member = own[name as keyof CellsServer] ?? bound(target, name)
        const [before, after] = [this.before[name as keyof CellsServer], this.after[name as keyof CellsServer]]
        return before === undefined && after === undefined ? member : async (...call: unknown[]) => {
          await before?.(...call)
          const answer: unknown = await (member as (...all: unknown[]) => unknown)(...call)
          await after?.(...call)
          return answer
        }
      },
    })
  }

  /** An engine with its own state; the same name is the same state. */
  async open(name: string, remote = BASE, more: Partial<EngineOptions> = {}): Promise<{ engine: Engine; fs: PathFs }> {
    const engine = await openEngine({
      server: this.listenedTo(this.connect()), remote, stateDir: join(this.folder, name, 'state'), cacheDir: join(this.folder, name, 'cache'),
      uid: 1, gid: 1, umask: 0o022, readOnly: false, logger, ...more,
    })
    this.engines.push(engine)
    return { engine, fs: new PathFs(engine.fs) }
  }

  /** Where the engine of this name keeps the contents that it has not sent. */
  draftsOf(name: string): string {
    return join(this.folder, name, 'state', 'drafts')
  }

  /** What there is left of an engine that is killed now, for one of another name. */
  async asKilled(name: string, other: string): Promise<void> {
    await cp(join(this.folder, name), join(this.folder, other), { recursive: true, filter: (path) => !path.endsWith('lock') })
  }

  /** What an engine may lose. */
  async dropCache(name: string): Promise<void> {
    await rm(join(this.folder, name, 'cache'), { recursive: true, force: true })
  }

  /** The server's path of a name of the engines. */
  path(name: string): string {
    return `${BASE}/${name}`
  }

  async onServer(name: string): Promise<boolean> {
    return await this.server.stat(this.path(name)) !== undefined
  }

  async close(): Promise<void> {
    // What is not sent by now is not asked for any more.
    for (const engine of this.engines) await engine.close(AbortSignal.timeout(5_000)).catch(() => {})
    await this.server.close()
    await this.demo.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** A test with a world of its own, which ends with it. */
export const withWorld = (options: Parameters<typeof World.start>[0], work: (world: World) => Promise<void>) => async (): Promise<void> => {
  const world = await World.start(options)
  try {
    await work(world)
  } finally {
    await world.close()
  }
}

function bound(target: CellsServer, name: string | symbol): unknown {
  const member = Reflect.get(target, name) as unknown
  return typeof member === 'function' ? (member as (...all: unknown[]) => unknown).bind(target) : member
}

/** For assert.rejects: an error with this errno. */
export const code = (expected: string) => (error: unknown): boolean => {
  assert.equal((error as { code?: string }).code, expected, String(error))
  return true
}
