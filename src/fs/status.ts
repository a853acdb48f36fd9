/** What the engine tells about itself, and what a mount session needs of it. All of it can be sent as JSON. */
import type { FileSystem, KernelNotices } from './drivers/driver.js'

export type ConnectionState = 'online' | 'offline' | 'login-needed'

/** A change that did not reach the server; its content is kept. */
export interface FailedChange {
  /** Path in the mount, without a leading slash. */
  readonly path: string
  /** One sentence. */
  readonly reason: string
  /** What a person can do about it, where that is known. */
  readonly advice?: string
}

/** A change that the server does not have yet. */
export interface PendingChange {
  /** Path in the mount, without a leading slash; of a delete the one it had. */
  readonly path: string
  readonly change: 'content' | 'folder' | 'rename' | 'delete'
  readonly state: 'waiting' | 'sending' | 'failed'
  /** Of a content; else 0. */
  readonly bytes: number
  /** When it was made, ISO 8601. */
  readonly since: string
}

/** A folder or file that is kept here (pins.ts). */
export interface PinStatus {
  /** Path in the mount. */
  readonly path: string
  readonly files: number
  readonly bytes: number
  /** Of which are not here yet. */
  readonly missingFiles: number
  readonly missingBytes: number
  /** `complete`: all of it can be read without the server. */
  readonly state: 'complete' | 'fetching' | 'waiting'
  /** Why it waits. */
  readonly reason?: string
}

/** What the server has of a file, or of everything in and below a folder; a `failed` one is followed by its reason: `failed: no room`. */
export const FILE_STATES = ['synced', 'pending', 'sending', 'conflict', 'failed'] as const
export type FileState = (typeof FILE_STATES)[number]

export interface EngineStatus {
  readonly version: string
  /** `scheme://host[:port]`. */
  readonly server: string
  /** Folder of the server that is the root of the mount; '' for all workspaces. */
  readonly remote: string
  readonly connection: ConnectionState
  /** Is the event stream connected, so that changes of others are seen at once? */
  readonly live: boolean
  /** Changes that the server does not have yet. `oldest`: when the oldest one was made, ISO 8601; null when there is none. */
  readonly pending: { readonly count: number; readonly bytes: number; readonly oldest: string | null }
  /** Sent, and not shown by the server yet. */
  readonly unconfirmed: number
  /** The pending ones, the oldest first; the first few hundred, and only where they were asked for. */
  readonly changes?: readonly PendingChange[]
  readonly failures: readonly FailedChange[]
  /** Paths on the server of versions of ours that were kept beside somebody else's. */
  readonly conflicts: readonly string[]
  /** Contents sent and received: bytes since the start, and bytes per second over the last few. */
  readonly traffic: { readonly sent: number; readonly received: number; readonly up: number; readonly down: number }
  /** Blocks on disk; what is pinned comes on top of `bytes` and is not bounded by `limit`. Reads that found their block here, and that did not. */
  readonly cache: { readonly bytes: number; readonly limit: number; readonly pinned: number; readonly hits: number; readonly misses: number }
  readonly pins: readonly PinStatus[]
  /** What was found damaged in the store at the start, sentences; contents without a record are in `lost+found` then. */
  readonly damage: readonly string[]
  readonly openHandles: number
}

export interface SyncReport {
  readonly failed: readonly FailedChange[]
  /** Changes that were neither sent nor refused before the time was up; absent when there was time enough. */
  readonly unsent?: number
}

/** The engine as a mount session sees it; engine.ts makes one. */
export interface Engine {
  readonly fs: FileSystem
  attachNotices(notices: KernelNotices): void
  /**
   * Resolves when everything below `path` (default: everything) is on the server, or has failed, or `signal` fires: sending goes on
   * then, and the report says how much is left. Never rejects because of the signal.
   */
  sync(path?: string, signal?: AbortSignal): Promise<SyncReport>
  /** `verbose`: with the list of pending changes. */
  status(options?: { verbose?: boolean }): EngineStatus
  /** Tries at once what waits for the server, or for a sign-in. */
  wake(): void
  /** In the text format of Prometheus. */
  metrics(): string
  /** Keeps a file or folder here, with all that is in it. @throws FsError ENOENT; CellsError */
  pin(path: string): Promise<void>
  /** @throws FsError ENOENT when it is not pinned */
  unpin(path: string): Promise<void>
  /** Brings what is left to safety and ends; sends until `signal` fires. The file system answers nothing after it. */
  close(signal?: AbortSignal): Promise<SyncReport>
}
