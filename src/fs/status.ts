/** What the engine tells about itself, and what a mount session needs of it. All of it can be sent as JSON. */
import type { FileSystem, KernelNotices } from './drivers/driver.js'

export type ConnectionState = 'online' | 'offline' | 'login-needed'

/** A change that did not reach the server; its content is kept. */
export interface FailedChange {
  /** Path in the mount, without a leading slash. */
  readonly path: string
  /** One sentence. */
  readonly reason: string
}

export interface EngineStatus {
  readonly version: string
  /** `scheme://host[:port]`. */
  readonly server: string
  /** Folder of the server that is the root of the mount; '' for all workspaces. */
  readonly remote: string
  readonly connection: ConnectionState
  /** Is the event stream connected, so that changes of others are seen at once? */
  readonly live: boolean
  /** Changes that the server does not have yet. */
  readonly pending: { readonly count: number; readonly bytes: number }
  readonly failures: readonly FailedChange[]
  /** Paths on the server of versions of ours that were kept beside somebody else's. */
  readonly conflicts: readonly string[]
  /** Blocks on disk. */
  readonly cache: { readonly bytes: number; readonly limit: number }
  readonly openHandles: number
}

export interface SyncReport {
  readonly failed: readonly FailedChange[]
}

/** The engine as a mount session sees it; engine.ts makes one. */
export interface Engine {
  readonly fs: FileSystem
  attachNotices(notices: KernelNotices): void
  /** Resolves when everything below `path` (default: everything) is on the server, or has failed for good. */
  sync(path?: string, signal?: AbortSignal): Promise<SyncReport>
  status(): EngineStatus
  /** Brings what is left to safety and ends. The file system answers nothing after it. */
  close(): Promise<void>
}
