/**
 * The words of the transfer engine. A transfer is: a source tree is walked, a plan (a stream of
 * steps) is made by comparing it with the target, and the steps are carried out. The three are
 * separate so that another planner (sync, filters) or another executor (dry run) can be put in.
 */

import type { RateLimiter } from './limiter.js'
import type { Selection } from './select.js'
import type { TransferState } from './state.js'

export type TransferErrorKind =
  /** What was asked for makes no sense (sides, flags, a target that is no folder, ...). */
  | 'usage'
  | 'missing'
  /** The target has something there already and `force` was not given. */
  | 'exists'
  /** Not something that can be transferred: a socket, a link to a folder, an unreadable file. */
  | 'unsupported'
  /** A name from the other side that must not be used here. */
  | 'unsafe-name'
  /** The file changed while it was read. */
  | 'changed'
  /** Size or digest of what arrived is not what was sent. */
  | 'mismatch'

export class TransferError extends Error {
  override readonly name = 'TransferError'
  readonly kind: TransferErrorKind

  constructor(kind: TransferErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
  }
}

/** One file on its way. `id` is unique within a transfer. */
export interface FileTask {
  readonly id: number
  /** Path or name to show to a person. */
  readonly label: string
  readonly source: string
  readonly target: string
  readonly size: number
}

/** How much there is to do, as far as the walk has come. */
export interface PlanCounts {
  readonly removals: number
  readonly folders: number
  readonly files: number
  readonly bytes: number
  /** The walk has ended: the counts are final. */
  readonly complete: boolean
}

export interface TransferListener {
  onPlan?(counts: PlanCounts): void
  /** Some folders were made or old items removed. */
  onStep?(kind: 'removal' | 'folder', path: string): void
  onStart?(task: FileTask): void
  /** Bytes done so far for this file; goes down when a request starts again. */
  onProgress?(task: FileTask, bytes: number): void
  /** The bytes are there; an upload may still wait to be confirmed. */
  onFinish?(task: FileTask): void
  /** A file that needs no transfer. */
  onSame?(path: string): void
  onFailure?(path: string, error: Error, task?: FileTask): void
  onDetail?(message: string): void
}

export interface TransferFailure {
  readonly path: string
  readonly error: Error
}

export interface TransferReport {
  readonly removals: number
  readonly folders: number
  readonly files: number
  readonly bytes: number
  /** Files that needed no transfer. */
  readonly same: number
  readonly failures: readonly TransferFailure[]
  /** Not everything was tried: an error made going on pointless (login, network, disk full, abort). */
  readonly aborted: boolean
}

export interface TransferOptions {
  /** Merge and replace by the rules of cec-reference 7.4; otherwise an existing item is an error. */
  readonly force?: boolean
  readonly signal?: AbortSignal
  readonly listener?: TransferListener
  /** Compare sizes only, not digests, after a transfer. */
  readonly skipDigest?: boolean
  /** What is remembered of unfinished transfers, and whose they are; without it nothing is kept for a later run. */
  readonly state?: TransferState
  readonly limiter?: RateLimiter
  readonly select?: Selection
  /** What gives way on the server goes to the recycle bin, not for good. */
  readonly removeToBin?: boolean
  /** Files at the same time. */
  readonly files?: number
  /** Longest time for the server to report uploaded content, milliseconds, on top of a time by size. */
  readonly confirmTimeoutMs?: number
  readonly parts?: PartOptions
}

/** Sizes in bytes. */
export interface PartOptions {
  /** Larger files are sent in parts. */
  readonly threshold?: number
  /** A multiple of 10 MiB, because Cells hashes content in such blocks. */
  readonly partSize?: number
  readonly maxParts?: number
  /** Parts of one file at the same time. */
  readonly concurrency?: number
}
