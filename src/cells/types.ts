/** The vocabulary of Cells' wire, cleaned: everything here has been validated and normalised. */

/** Etag that a real 2.x server shows while a new file is not indexed yet (contract, trap 2). */
export const ETAG_TEMPORARY = 'temporary'

export type NodeKind = 'file' | 'folder'

/** A file or folder as the server reports it. Immutable. */
export interface CellsNode {
  /** Stable over rename, move and overwrite. '' only for a node whose answer carried none. */
  readonly uuid: string
  /** `<workspace-slug>/a/b`: NFC, no leading or trailing slash; '' is the server's root. Never contains '..', '.', NUL or empty segments. */
  readonly path: string
  readonly kind: NodeKind
  /** Bytes; for a folder the server's recursive sum (only informative). */
  readonly size: number
  /** Seconds since the epoch, server clock. 0 when absent. */
  readonly mtime: number
  /** md5 hex of a file's content when it is indexed by a 2.x server; `temporary`; `hex-N`; '' when absent. Useless for folders. */
  readonly etag: string
  /** `MetaStore["x-cells-hash"]` (4.x and later), '' when absent. */
  readonly hash: string
  /** The signed-in user may not write here. */
  readonly readOnly: boolean
  /** MetaStore with each value parsed from its JSON text (a value that does not parse is left as the text). */
  readonly meta: Readonly<Record<string, unknown>>
}

/** A first-level folder of the server. */
export interface Workspace {
  readonly slug: string
  readonly label: string
  readonly description: string
  /** Server's own scope word: ADMIN, ROOM (a cell), LINK ... */
  readonly scope: string
  /** `read`, `read,write`, ... as sent. */
  readonly permissions: string
  readonly readOnly: boolean
  /** Real Uuid of the root node, '' when the server only gave a pseudo id. */
  readonly uuid: string
  readonly wsUuid: string
  /** Bytes; undefined when the server sets no quota. */
  readonly quota?: number
  readonly quotaUsage?: number
  readonly node: CellsNode
}

/** One change announced by the server's event stream (contract, section 7). */
export type CellsEvent =
  | { readonly type: 'create' | 'content' | 'meta'; readonly node: CellsNode }
  | { readonly type: 'path'; readonly source: CellsNode; readonly target: CellsNode }
  | { readonly type: 'delete'; readonly source: CellsNode }
  /** Rights, workspaces, shares or locks changed: what may be seen is uncertain. */
  | { readonly type: 'idm' }
  | { readonly type: 'task'; readonly jobId: string; readonly status: JobStatus; readonly message: string; readonly progress: number }

/** State of the stream. After every `connected` the holder must assume that events were missed. */
export type StreamState =
  | { readonly state: 'connected' }
  | { readonly state: 'disconnected'; readonly reason: string }

export type JobStatus = 'Unknown' | 'Idle' | 'Running' | 'Finished' | 'Interrupted' | 'Paused' | 'Error' | 'Queued'

/** The body of an object, or a range of it. */
export interface ObjectBody {
  /** Total size of the object, from Content-Range or Content-Length: the *index's* word (trap 1). */
  readonly totalSize: number
  /** Bytes that `stream` will give if the server keeps its word. */
  readonly length: number
  readonly etag: string
  /** Errors with CellsError `protocol` if it ends before `length` bytes. Must be consumed or destroyed. */
  readonly stream: AsyncIterable<Buffer> & {
    destroy(error?: Error): void
    /** Hands over every piece the moment it comes, at less cost than an iteration; resolves after the last one. */
    each?(take: (chunk: Buffer) => void): Promise<void>
  }
}

export interface MultipartPart {
  readonly number: number
  readonly etag: string
  readonly size: number
}
