/**
 * The embedded Cells-compatible server: one node:http server with a websocket, its content and index on disk. It behaves
 * as the recorded contract says, traps and delays included; `serverVersion` chooses the generation. Loopback only.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '../log.js'
import type { Logger } from '../log.js'
import { Access } from './access.js'
import { createAuth } from './auth/auth.js'
import type { FullDemoAuth } from './auth/auth.js'
import type { ServerVersion, UserStore } from './auth/types.js'
import { BlobStore } from './blobs.js'
import type { Context } from './context.js'
import { EventBus } from './event-bus.js'
import { applyFault, routeName } from './faults.js'
import type { RequestHook } from './faults.js'
import { sendText } from './http.js'
import { Indexer } from './indexer.js'
import { Jobs } from './jobs.js'
import { Metadata } from './metadata.js'
import { Mutations } from './mutations.js'
import { handleRest } from './rest/router.js'
import { handleS3 } from './s3/gateway.js'
import { uploadsOf } from './s3/multipart.js'
import { addReadOnlyWorkspace, addSampleContent } from './sample.js'
import { Store } from './store.js'
import { Strays } from './strays.js'
import { FOLDER_MARKER, Tree } from './tree.js'
import { EventStream } from './ws-events.js'
import type { MessageHook } from './ws-events.js'

export type { MessageHook } from './ws-events.js'
export type { Fault, RequestHook, RequestInfo } from './faults.js'
export { SAMPLE_LOGINS } from './auth/users.js'
export type { DemoUser, ServerVersion } from './auth/types.js'

export interface DemoOptions {
  /** Where content, index and users are kept. Default: a temporary folder that close() removes. */
  readonly dataDir?: string
  /** 0 (default) takes a free port. */
  readonly port?: number
  /** Loopback address to listen on; the public URL always says `localhost`. */
  readonly host?: '127.0.0.1' | '::1' | 'localhost'
  readonly serverVersion?: ServerVersion
  /** Offers what Enterprise servers offer beyond Home: the deletion of jobs. */
  readonly enterprise?: boolean
  /** Added to each request, milliseconds. */
  readonly latencyMs?: number
  /** How far the index lags behind the storage (versions 2) and how long events are batched; 1000 as on a real server. */
  readonly indexDelayMs?: number
  /** Puts a few documents into an empty server. */
  readonly sampleContent?: boolean
  readonly accessTokenTtlS?: number
  readonly logger?: Logger
  readonly https?: { readonly key: string | Buffer; readonly cert: string | Buffer }
}

export interface DemoServer {
  /** `http://localhost:<port>`, no trailing slash. */
  readonly url: string
  readonly port: number
  readonly dataDir: string
  readonly users: UserStore
  readonly auth: FullDemoAuth
  /** How often each route was called; keys as in RequestInfo.route. */
  readonly requests: Map<string, number>
  /** Asked before each request; what it returns is done to it. Set to undefined to stop. */
  onRequest: RequestHook | undefined
  /** Added to each request, milliseconds; may be changed while running. */
  latencyMs: number
  /** How far the index lags behind the storage, milliseconds; may be changed while running. */
  indexDelayMs: number
  readonly events: {
    /** Sessions that have subscribed. */
    readonly subscribed: number
    /** Cuts all websockets. */
    drop(): void
    /** Gets each event before it leaves: may delay, drop, repeat or reorder it. */
    onMessage: MessageHook | undefined
    /** Events a second and session; 30 as on a real server. */
    perSecond: number
  }
  /** Ends connections, writes everything down. Idempotent. */
  close(): Promise<void>
}

/** @throws NodeJS.ErrnoException EADDRINUSE and the like, when it cannot listen or use its folder */
export async function startDemoServer(options: DemoOptions = {}): Promise<DemoServer> {
  const temporary = options.dataDir === undefined
  const dataDir = options.dataDir ?? await mkdtemp(join(tmpdir(), 'cellsfs-demo-'))
  const version = options.serverVersion ?? 2
  const logger = options.logger ?? silentLogger
  let url = ''
  await mkdir(join(dataDir, 'auth'), { recursive: true, mode: 0o700 })
  const auth = createAuth({ dataDir: join(dataDir, 'auth'), publicUrl: () => url, serverVersion: version, logger, ...(options.accessTokenTtlS === undefined ? {} : { accessTokenTtlS: options.accessTokenTtlS }) })
  const ctx = await openContext({ dataDir, version, enterprise: options.enterprise ?? false, delayMs: options.indexDelayMs ?? 1000, logger, auth, url: () => url })
  addReadOnlyWorkspace(ctx)
  if (options.sampleContent && !ctx.store.table<boolean>('flags').has('sample')) await addSampleContent(ctx)
  await ctx.store.commit()

  const events = new EventStream(ctx)
  const requests = new Map<string, number>()
  const handler = (req: IncomingMessage, res: ServerResponse): void => {
    serve(req, res).catch((error: unknown) => {
      logger.error('demo: request failed', { path: req.url?.split('?')[0], error })
      res.destroy()
    })
  }
  const server: Server = options.https ? createTlsServer(options.https, handler) : createServer(handler)
  // A real server keeps idle connections for minutes (contract, section 8) and takes an upload however long it lasts.
  server.keepAliveTimeout = 240_000
  server.requestTimeout = 0
  server.on('upgrade', (req, socket, head) => {
    if (req.url?.split('?')[0] === '/ws/event') events.accept(req, socket, head)
    else socket.destroy()
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    socket.setNoDelay(true)
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const target = req.url ?? '/'
    const path = target.split('?')[0] ?? '/'
    const route = routeName(req.method ?? '', path)
    const count = (requests.get(route) ?? 0) + 1
    requests.set(route, count)
    const began = performance.now()
    res.on('close', () => logger.debug('demo: request', { method: req.method, path: safeDecode(path), status: res.headersSent ? res.statusCode : 'none', ms: Math.round(performance.now() - began) }))
    if (demo.onRequest) {
      const fault = await demo.onRequest({ method: req.method ?? '', path: safeDecode(path), route, query: new URLSearchParams(target.split('?')[1] ?? ''), headers: req.headers, count })
      if (fault && await applyFault(fault, req, res)) return
    }
    if (demo.latencyMs > 0) await new Promise(resolve => setTimeout(resolve, demo.latencyMs))
    if (await auth.handle(req, res)) return
    if (path.startsWith('/a/')) return handleRest(ctx, req, res)
    if (await handleS3(ctx, req, res)) return
    if (path.startsWith('/dav')) return sendText(res, 401, 'Unauthorized.\n', 'text/plain; charset=utf-8', { 'WWW-Authenticate': 'Basic realm=""' })
    if (path === '/') return sendText(res, 302, '<a href="/login">Found</a>.\n\n', 'text/html; charset=utf-8', { Location: '/login' })
    sendText(res, 200, PAGE, 'text/html; charset=utf-8')
  }

  let closing: Promise<void> | undefined
  const demo: DemoServer = {
    url: '', port: 0, dataDir, users: auth.users, auth, requests, onRequest: undefined, latencyMs: options.latencyMs ?? 0, events,
    get indexDelayMs() { return ctx.indexer.delayMs },
    set indexDelayMs(delay) { ctx.indexer.delayMs = delay },
    close: () => closing ??= close(),
  }
  async function close(): Promise<void> {
    events.close()
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
    // What a client was told is under way is done before the end.
    await ctx.jobs.idle()
    ctx.indexer.close()
    ctx.bus.close()
    await auth.close()
    await ctx.store.close()
    if (temporary) await rm(dataDir, { recursive: true, force: true })
  }

  const host = options.host === undefined || options.host === 'localhost' ? '127.0.0.1' : options.host
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(options.port ?? 0, host, resolve)
    })
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
  const port = (server.address() as AddressInfo).port
  url = `${options.https ? 'https' : 'http'}://localhost:${port}`
  return Object.assign(demo, { url, port })
}

interface ContextParts extends Pick<Context, 'version' | 'enterprise' | 'logger' | 'url'> {
  readonly dataDir: string
  readonly delayMs: number
  readonly auth: FullDemoAuth
}

async function openContext({ dataDir, version, enterprise, delayMs, logger, auth, url }: ContextParts): Promise<Context> {
  const flat = version !== 2
  const store = await Store.open(dataDir)
  const tree = new Tree(store, flat ? 0 : FOLDER_MARKER, version === 2)
  const blobs = await BlobStore.open(join(dataDir, 'blobs'), flat)
  const bus = new EventBus(tree, 0.98 * delayMs, flat)
  const access = new Access(store, tree)
  const strays = new Strays(store, access)
  const indexer = new Indexer({ store, tree, blobs, bus, strays, flat, delayMs, logger })
  const metadata = new Metadata(store, access)
  const jobs = new Jobs(bus, flat ? 0 : 3.2 * delayMs, logger)
  const mutations = new Mutations({ version, tree, blobs, bus, strays, indexer, access, jobs })
  const ctx: Context = { version, flat, enterprise, url, logger, store, tree, blobs, bus, strays, indexer, access, jobs, mutations, metadata, auth }
  const used = new Set<string>()
  for (const node of tree.all()) for (const segment of node.blob?.segments ?? []) used.add(segment.id)
  for (const blob of strays.all()) for (const segment of blob.segments) used.add(segment.id)
  for (const upload of uploadsOf(ctx).values()) for (const part of Object.values(upload.parts)) used.add(part.id)
  await blobs.sweep(used)
  await indexer.settleAll()
  return ctx
}

function safeDecode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

const PAGE = '<!DOCTYPE html>\n<html><head><title>Pydio Cells</title><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body>Embedded Cells-compatible server. This is the page that a real server shows for every path it does not know.</body></html>\n'
