/**
 * What the rest of the house sees of a Cells server: one interface over tree, objects, jobs
 * and events. client.ts implements it over HTTP; tests may fake it.
 *
 * Every method has a deadline of its own (see timeouts.ts) and takes an AbortSignal on top. Idempotent
 * calls are retried inside with backoff and jitter, with an end; others are not. All throw CellsError.
 * Paths are `<workspace>/a/b` as in CellsNode.path; they are normalised to NFC and checked
 * (names.ts) before anything is sent.
 */
import type { CellsEvent, CellsNode, JobStatus, MultipartPart, ObjectBody, StreamState, Workspace } from './types.js'

export interface CallOptions {
  readonly signal?: AbortSignal
  /** Replaces the method's own deadline, milliseconds. */
  readonly timeoutMs?: number
}

export interface ListOptions extends CallOptions {
  /** `meta` of the nodes is not wanted and left empty: it takes more room and time than all the rest of a large listing. */
  readonly bare?: boolean
  /** Told of entries of the answer that are left out because their path cannot be one of a child of the folder; maybe more than once of each. */
  readonly onUnusable?: (entry: string) => void
}

export interface PutOptions extends CallOptions {
  /** Lower-case hex md5 of the whole body, when known: sent as Content-MD5 so that the server refuses a damaged body. */
  readonly md5?: string
  readonly onProgress?: (sentBytes: number) => void
  /** Asked before it is sent once more, because it failed in passing or its answer was lost: somebody else may have written there since. What it throws ends it. */
  readonly again?: () => Promise<void>
}

export interface GetOptions extends CallOptions {
  readonly ifMatch?: string
  readonly versionId?: string
  /** The content is short, at most so many bytes, and wanted at once: it has come when `get` resolves. */
  readonly atOnce?: number
  /** Memory that threads share, as long as what is asked for: the content may be received there, and the pieces of the stream are views of it then. */
  readonly into?: readonly Buffer[]
}

/** A request body that can be sent again from its start: each call opens a new stream over the same bytes. */
export type BodySource = () => AsyncIterable<Uint8Array>

export interface Job {
  readonly id: string
}

export interface CellsServer {
  readonly url: string
  /** Login of the signed-in user (GET /a/frontend/state, cached). */
  whoami(options?: CallOptions): Promise<string>

  /** What this server's database holds in names (features.ts). Absent: assume the least. */
  nameRules?(options?: CallOptions): Promise<{ readonly fourByte?: boolean }>

  // -- tree
  workspaces(options?: CallOptions): Promise<Workspace[]>
  /** undefined only on proof of absence. '' gives a synthetic root folder. */
  stat(path: string, options?: CallOptions): Promise<CellsNode | undefined>
  /** Existing ones of `paths`, by path; a path not in the map is proven absent. Batches inside. */
  statMany(paths: readonly string[], options?: CallOptions): Promise<Map<string, CellsNode>>
  /**
   * Children of a folder, page by page, de-duplicated, dot-names included (found through the S3 list), `.pydio` markers
   * left out. Completing without a throw is the proof that the listing is complete.
   * @throws `not-found` when the folder is proven absent
   */
  list(path: string, options?: ListOptions): AsyncIterable<CellsNode[]>
  /**
   * Names in a folder that begin with a dot, with their ETags ('' for a folder), in one request of the S3 gateway: on a 2.x server
   * neither events nor REST listings tell of them. A hint: no proof that others are not there.
   */
  dotNames?(path: string, options?: CallOptions): Promise<Map<string, string>>
  /** Creates folders, parents first. Existing folders are no error. Returns the nodes at once; `stat` may lag (trap 12). */
  mkdir(paths: readonly string[], options?: CallOptions): Promise<CellsNode[]>
  /** To the recycle bin, or for good if already inside it / `permanently`. Resolves when the server's jobs are done. */
  remove(paths: readonly string[], options?: CallOptions & { permanently?: boolean }): Promise<void>
  restore(paths: readonly string[], options?: CallOptions): Promise<void>
  /**
   * Uuid kept. Never replaces: the caller proves that `target` is free. Resolves when `stat(target)` shows a node, to that node: another one than
   * the moved one if somebody took the name in that moment, in which case the server has called ours `name-1` (trap 4).
   */
  move(source: string, target: string, options?: CallOptions): Promise<CellsNode | undefined>
  /** Server-side copy to the full new path `target`. Resolves when `stat(target)` shows it. */
  copy(source: string, target: string, options?: CallOptions): Promise<void>
  /** Raw jobs, for cec's cp and mv: many sources, into a folder or as a name. */
  startJob(name: 'copy' | 'move', sources: readonly string[], target: string, targetIsParent: boolean, options?: CallOptions): Promise<Job>
  /** Resolves on Finished; throws `job` with the server's message on Error/Interrupted. */
  waitForJob(job: Job, options?: CallOptions & { onStatus?: (status: JobStatus, message: string) => void }): Promise<void>
  /**
   * Waits until stat agrees with `wanted` (a file's etag/md5, existence, absence), watching events where connected and polling otherwise.
   * @throws `timeout`
   */
  waitFor(path: string, wanted: (node: CellsNode | undefined) => boolean, options?: CallOptions): Promise<CellsNode | undefined>

  // -- objects (S3 gateway)
  /** `end` is inclusive. `versionId`: an earlier version (versions.ts). With `ifMatch` the etag of the answer must agree, else `precondition`. `not-found` is decided by stat, never by an S3 500. */
  get(path: string, range?: { start: number; end: number }, options?: GetOptions): Promise<ObjectBody>
  /** One PUT. Creates missing parents. Resolves when the server has answered 200; the index may lag (traps 1, 2). */
  put(path: string, body: BodySource | Uint8Array, size: number, options?: PutOptions): Promise<void>
  multipartStart(path: string, options?: CallOptions): Promise<string>
  multipartPart(path: string, uploadId: string, number: number, body: BodySource, size: number, options?: PutOptions): Promise<MultipartPart>
  multipartComplete(path: string, uploadId: string, parts: readonly MultipartPart[], options?: CallOptions): Promise<void>
  /** Whether the server still knows this upload. Which parts of it, it does not reliably say (newer-servers 3.4). */
  multipartExists(path: string, uploadId: string, options?: CallOptions): Promise<boolean>
  multipartAbort(path: string, uploadId: string, options?: CallOptions): Promise<void>
  /** S3 DELETE of a single file: permanent, no recycle bin. Never for folders (trap 7b). Resolves at the answer; stat may lag. */
  removeObject(path: string, options?: CallOptions): Promise<void>

  // -- events
  /** Connects and stays connected (backoff, re-subscribe) until `close()`. Listener errors are logged, never thrown. */
  events(listener: { onEvent(event: CellsEvent): void; onState(state: StreamState): void }): { close(): void }

  /** Ends sockets and streams; pending calls fail with `aborted`. */
  close(): Promise<void>
}
