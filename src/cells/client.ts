/** One connection to a Cells server: puts the parts together behind the CellsServer interface. */
import type { ConnectionSettings } from '../auth/types.js'
import type { Logger } from '../log.js'
import { EventStream } from './events.js'
import { Features } from './features.js'
import { Http } from './http.js'
import { whoami } from './idm.js'
import { Jobs } from './jobs.js'
import { Listing } from './listing.js'
import { checkExistingPath } from './names.js'
import { Objects } from './objects.js'
import { Rest } from './rest.js'
import type { RetryLimits } from './retry.js'
import { S3 } from './s3.js'
import type { CallOptions, CellsServer } from './server.js'
import { Tombstones } from './tombstones.js'
import { TIMEOUTS } from './timeouts.js'
import { Tree } from './tree.js'
import type { CellsNode } from './types.js'
import { touches, waitUntil } from './wait.js'

export interface ConnectOptions {
  readonly logger?: Logger
  readonly userAgent?: string
  readonly limits?: {
    /** Sockets for REST calls; default 16. */
    readonly restConnections?: number
    /** Sockets for bodies; default 16. */
    readonly dataConnections?: number
  }
  /** For requests about file content (S3); calls about the tree keep their own. */
  readonly retry?: RetryLimits
}

/** The files of a server, and what the calls of administration need (usermeta.ts, shares.ts, idm.ts ...), which take `rest`. */
export type CellsConnection = CellsServer & { readonly features: Features; readonly rest: Rest }

/** Nothing is sent before the first call. */
export function connect(settings: ConnectionSettings, options: ConnectOptions = {}): CellsConnection {
  const http = new Http(settings, { logger: options.logger, userAgent: options.userAgent, ...options.limits })
  const rest = new Rest(http, settings.tokens)
  const features = new Features(rest)
  const tree = new Tree(rest, features)
  const events = new EventStream(rest, settings)

  const waitFor = async (path: string, wanted: (node: CellsNode | undefined) => boolean, call: CallOptions = {}): Promise<CellsNode | undefined> => {
    const clean = checkExistingPath(path)
    const deadline = http.deadline(call.timeoutMs ?? TIMEOUTS.index, `see the change of ${clean}`, call.signal)
    try {
      return await waitUntil({ look: () => tree.stat(clean, { signal: deadline.signal }), wanted, wakesOn: (event) => touches(event, clean), wakeUps: events, deadline })
    } catch (error) {
      throw deadline.signal.aborted ? deadline.signal.reason : error
    } finally {
      deadline.end()
    }
  }

  const tombstones = new Tombstones(async (path, timeoutMs, signal) => {
    await waitFor(path, (node) => node === undefined, { timeoutMs, signal })
  })
  const objects = new Objects({ http, s3: new S3(http, settings.tokens), tree, features, tombstones, retry: options.retry })
  const listing = new Listing(tree, objects, http.logger)
  const jobs = new Jobs({ rest, tree, features, wakeUps: events, listChildren: (path, call) => listing.list(path, call) })
  let login: string | undefined

  return {
    url: http.url.origin,
    features,
    rest,
    whoami: async (call) => (login ??= await whoami(rest, call)),
    workspaces: (call) => tree.workspaces(call),
    stat: (path, call) => tree.stat(path, call),
    statMany: (paths, call) => tree.statMany(paths, call),
    list: (path, call) => listing.list(path, call),
    dotNames: (path, call) => listing.dotNames(path, call),
    mkdir: (paths, call) => tree.mkdir(paths, call),
    remove: (paths, call) => jobs.remove(paths, call),
    restore: (paths, call) => jobs.restore(paths, call),
    move: async (source, target, call) => {
      const shown = await jobs.move(source, target, call)
      tombstones.taken(checkExistingPath(target))
      return shown
    },
    copy: async (source, target, call) => {
      await jobs.copy(source, target, call)
      tombstones.taken(checkExistingPath(target))
    },
    startJob: (name, sources, target, targetIsParent, call) => jobs.startJob(name, sources, target, targetIsParent, call),
    waitForJob: (job, call) => jobs.waitForJob(job, call),
    waitFor,
    get: (path, range, call) => objects.get(path, range, call),
    put: (path, body, size, call) => objects.put(path, body, size, call),
    multipartStart: (path, call) => objects.multipartStart(path, call),
    multipartPart: (path, uploadId, number, body, size, call) => objects.multipartPart(path, uploadId, number, body, size, call),
    multipartComplete: (path, uploadId, parts, call) => objects.multipartComplete(path, uploadId, parts, call),
    multipartExists: (path, uploadId, call) => objects.multipartExists(path, uploadId, call),
    multipartAbort: (path, uploadId, call) => objects.multipartAbort(path, uploadId, call),
    removeObject: (path, call) => objects.removeObject(path, call),
    events: (listener) => events.listen(listener),
    close: async () => {
      events.stop()
      await http.close()
    },
  }
}
