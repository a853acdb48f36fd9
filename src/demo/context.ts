/** What the routes of the embedded server share. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '../log.js'
import type { Access } from './access.js'
import type { DemoAuth, DemoUser, ServerVersion } from './auth/types.js'
import type { BlobStore } from './blobs.js'
import type { EventBus } from './event-bus.js'
import type { Indexer } from './indexer.js'
import type { Jobs } from './jobs.js'
import type { Metadata } from './metadata.js'
import type { Mutations } from './mutations.js'
import type { Store } from './store.js'
import type { Strays } from './strays.js'
import type { Tree } from './tree.js'

export interface Context {
  readonly version: ServerVersion
  /** Flat data sources (versions 4 and 5). */
  readonly flat: boolean
  /** Answers the calls of an Enterprise edition too. */
  readonly enterprise: boolean
  readonly url: () => string
  readonly logger: Logger
  readonly store: Store
  readonly tree: Tree
  readonly blobs: BlobStore
  readonly bus: EventBus
  readonly strays: Strays
  readonly indexer: Indexer
  readonly access: Access
  readonly jobs: Jobs
  readonly mutations: Mutations
  readonly metadata: Metadata
  readonly auth: DemoAuth
}

/** One authenticated REST request. */
export interface Call {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly user: DemoUser
  readonly query: URLSearchParams
  /** What `*` of the route matched, decoded: a path or an id. */
  readonly rest: string
}
