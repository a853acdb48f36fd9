/**
 * A server seen through a bare client, without any of the cleverness of src/cells: the embedded one, or the one that CELLS_URL,
 * CELLS_LOGIN and CELLS_PASSWORD name. For tests of what the *server* does: the same test must pass against both.
 */
import { createHash } from 'node:crypto'
import { randomBytes } from 'node:crypto'
import { startDemoServer } from '../../src/demo/index.js'
import type { DemoOptions } from '../../src/demo/index.js'
import { signIn } from '../../src/demo/test-client.js'
import type { Answer, TestClient } from '../../src/demo/test-client.js'

export const realUrl = process.env['CELLS_URL']

export const md5 = (content: string | Buffer): string => createHash('md5').update(content).digest('hex')

export interface Entry {
  readonly uuid: string
  /** As the index has it, which may differ from what was asked for. */
  readonly name: string
  readonly folder: boolean
  readonly etag: string
  readonly size: number
}

const CUT_MS = 10_000

export class BareServer {
  readonly url: string
  /** Time without a change after which the index looks at what happened, milliseconds. */
  readonly quietMs: number
  readonly client: TestClient
  /** A folder of our own in personal-files. */
  readonly base: string
  readonly #end: () => Promise<void>

  private constructor(url: string, quietMs: number, client: TestClient, base: string, end: () => Promise<void>) {
    this.url = url
    this.quietMs = quietMs
    this.client = client
    this.base = base
    this.#end = end
  }

  /** @param options of the embedded server */
  static async start(options: DemoOptions = {}): Promise<BareServer> {
    const demo = realUrl === undefined ? await startDemoServer({ indexDelayMs: 300, ...options }) : undefined
    return BareServer.#open(demo?.url ?? realUrl ?? '', demo?.indexDelayMs ?? 1000, () => demo?.close() ?? Promise.resolve())
  }

  /** The embedded server even where a real one is named, to compare the two. */
  static async startEmbedded(options: DemoOptions = {}): Promise<BareServer> {
    const demo = await startDemoServer({ indexDelayMs: 300, ...options })
    return BareServer.#open(demo.url, demo.indexDelayMs, () => demo.close(), 'alice')
  }

  static async #open(url: string, quietMs: number, end: () => Promise<void>, login = process.env['CELLS_LOGIN'] ?? 'alice'): Promise<BareServer> {
    const client = await signIn({ url }, login, login === process.env['CELLS_LOGIN'] ? process.env['CELLS_PASSWORD'] : undefined)
    const server = new BareServer(url, quietMs, client, `personal-files/behaviour-${randomBytes(4).toString('hex')}`, end)
    await server.save('keep', 'keep')
    return server
  }

  async close(): Promise<void> {
    if (this.url === realUrl) await this.client.rest('POST', '/tree/delete', { Nodes: [{ Path: this.base }] })
    await this.#end()
  }

  /** `path` is below `base`, or begins with a workspace. */
  at(path: string): string {
    return /^(personal|common)-files(\/|$)/.test(path) ? path : `${this.base}/${path}`
  }

  async put(path: string, content: string | Buffer): Promise<number> {
    return (await this.client.s3('PUT', this.at(path), { body: content })).status
  }

  async remove(path: string): Promise<number> {
    return (await this.client.s3('DELETE', this.at(path))).status
  }

  mkdir(path: string): Promise<Answer> {
    return this.client.rest('POST', '/tree/create', { Nodes: [{ Path: this.at(path), Type: 'COLLECTION' }] })
  }

  job(kind: 'move' | 'copy', source: string, target: string): Promise<Answer> {
    return this.client.rest('PUT', `/jobs/user/${kind}`, { JobName: kind, JsonParameters: JSON.stringify({ nodes: [this.at(source)], target: this.at(target), targetParent: false }) })
  }

  deleteJob(path: string): Promise<Answer> {
    return this.client.rest('POST', '/tree/delete', { Nodes: [{ Path: this.at(path) }] })
  }

  restoreJob(path: string): Promise<Answer> {
    return this.client.rest('POST', '/tree/restore', { Nodes: [{ Path: this.at(path) }] })
  }

  async stat(path: string): Promise<Entry | undefined> {
    const node = await this.client.stat(this.at(path))
    return node === undefined ? undefined : entryOf(node)
  }

  /** Children as REST lists them, in its order. */
  async list(path = ''): Promise<Entry[]> {
    const answer = await this.client.rest('POST', '/meta/bulk/get', { NodePaths: [`${path === '' ? this.base : this.at(path)}/*`] })
    return ((answer.json?.['Nodes'] ?? []) as Record<string, unknown>[]).map(entryOf)
  }

  /** Status and content; 'cut' for a body that ends early, or never: fetch does not always see that its connection has gone. */
  async read(path: string): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const never = new Promise<string>((resolve) => { timer = setTimeout(() => resolve('cut'), CUT_MS) })
    const answer = this.client.s3('GET', this.at(path)).then(({ status, text }) => status === 200 ? text : String(status), () => 'cut')
    return Promise.race([answer, never]).finally(() => clearTimeout(timer))
  }

  /** Writes and waits for the index. */
  async save(path: string, content: string | Buffer): Promise<Entry> {
    const status = await this.put(path, content)
    if (status !== 200) throw new Error(`PUT ${path}: ${status}`)
    return this.until(`${path} in the index`, async () => {
      const entry = await this.stat(path)
      return entry?.etag === md5(content) ? entry : undefined
    })
  }

  /**
   * Resolves when the index has seen everything that was done before: two files, one after the other, have been indexed since.
   * The first one falls into the batch of what was done, the second one into the next.
   */
  async settled(): Promise<void> {
    for (const name of ['.first', '.second']) await this.save(`${name}-${randomBytes(4).toString('hex')}`, randomBytes(8))
  }

  async until<T>(what: string, condition: () => Promise<T | undefined | false>): Promise<T> {
    for (const end = Date.now() + 20_000; Date.now() < end; ) {
      const value = await condition()
      if (value !== undefined && value !== false) return value
      await new Promise((resolve) => setTimeout(resolve, this.quietMs / 12))
    }
    throw new Error(`waited in vain for ${what}`)
  }
}

function entryOf(node: Record<string, unknown>): Entry {
  const meta = (node['MetaStore'] ?? {}) as Record<string, string>
  return {
    uuid: String(node['Uuid']), name: String(JSON.parse(meta['name'] ?? '""')), folder: node['Type'] === 'COLLECTION',
    etag: typeof node['Etag'] === 'string' ? node['Etag'] : '', size: Number(node['Size'] ?? 0),
  }
}
