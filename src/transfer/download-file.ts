/**
 * One file from the server. It is written under a hidden name in its folder (partial.ts), checked (exact
 * size; md5 or x-cells-hash against what the server reports), synced and renamed: the final name never
 * holds a part of a file. A stream that breaks goes on where it broke, and so does a later run, pinned to the version by
 * its ETag; content that turns out to be another version starts again (traps 1 and 2). A big file comes in several
 * ranges at a time.
 */
import { lstat, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { CellsNode } from '../cells/types.js'
import { compareWithNode } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import type { ByteRange } from './byte-ranges.js'
import { Gathered, InlineFollower, ThreadFollower } from './download-follow.js'
import type { Follower } from './download-follow.js'
import { fetchSmall, hasAppeared, placeNew, writeSmall } from './download-small.js'
import type { RateLimiter } from './limiter.js'
import { PartialFile } from './partial.js'
import { MIB } from './parts.js'
import type { Semaphore } from './pool.js'
import { isLocalTrouble } from './run.js'
import { TransferError } from './types.js'

/** Times that content of one version may turn out wrong before the file is given up. */
const VERSIONS = 4
/** Broken streams in a row without a byte of progress. */
const BREAKS = 4
/** A real server shows a change within a second or two; while a file is uploaded in parts it may be much longer. */
const INDEX_WAIT_MS = 30_000
/** From this size on a file comes in ranges, several at a time. */
const BIG = 32 * MIB
const RANGE = 8 * MIB
/** Larger ones for larger files: each range costs a way there and back. What has come of one is kept byte by byte. */
const RANGES = 64
const LARGEST_RANGE = 64 * MIB

export interface DownloadContext {
  readonly server: CellsServer
  readonly requests: Semaphore
  readonly signal: AbortSignal
  readonly skipDigest: boolean
  /** Ranges of one file at the same time. */
  readonly concurrency: number
  /** Whose view of the server this is; '' keeps nothing for a later run. */
  readonly account: string
  /** Name of this run, for its temporary files (unfinished.ts). */
  readonly run?: string
  /** An existing folder; links on the way to it are the user's own, below it nothing is written through one. */
  readonly inside?: string
  readonly limiter?: RateLimiter
  readonly onProgress: (bytes: number) => void
  readonly onDetail?: (message: string) => void
}

/**
 * @param replace what is at `target` and gives way when the new content is complete
 * @throws CellsError; TransferError `mismatch`, `missing`; errors of the local file system
 */
export async function downloadFile(node: CellsNode, target: string, replace: '' | 'file' | 'folder', context: DownloadContext): Promise<void> {
  const small = context.limiter === undefined ? await fetchSmall(node, context) : undefined
  // As late as can be.
  await demandNoLinks(dirname(target), context.inside)
  if (small !== undefined) return placeSmall(small, node, target, replace, context)
  const partial = await PartialFile.open(node, target, context.account, context.run)
  try {
    const complete = await fetchVerified(node, partial, context)
    const old = replace === 'file' ? await stat(target).catch(() => undefined) : undefined
    await partial.handle.chmod(old === undefined ? 0o644 & ~process.umask() : old.mode & 0o777)
    if (complete.mtime > 0) await partial.handle.utimes(complete.mtime, complete.mtime)
    await partial.handle.sync()
    await partial.close()
    await moveIntoPlace(partial.path, target, replace)
    await partial.done()
  } catch (error) {
    await partial.leave(mayGoOn(error, context.signal))
    throw error
  }
}

async function placeSmall(content: Buffer, node: CellsNode, target: string, replace: '' | 'file' | 'folder', context: DownloadContext): Promise<void> {
  if (replace === '') return placeNew(content, target, node, context.run)
  const old = replace === 'file' ? await stat(target).catch(() => undefined) : undefined
  const path = await writeSmall(content, target, node, old === undefined ? 0o644 & ~process.umask() : old.mode & 0o777, context.run)
  try {
    await moveIntoPlace(path, target, replace)
  } catch (error) {
    await unlink(path).catch(() => {})
    throw error
  }
}

/** Whether what is there may be worth something to a later run. */
function mayGoOn(error: unknown, signal: AbortSignal): boolean {
  if (isLocalTrouble(error)) return false
  return signal.aborted || (isCellsError(error) && (error.transient || error.kind === 'login-needed' || error.kind === 'aborted'))
}

/**
 * The plan looked at each folder on the way down, but that may be long ago.
 * @throws TransferError `unsupported` when one of them has become a link to another place
 */
export async function demandNoLinks(folder: string, inside: string | undefined): Promise<void> {
  const now = performance.now()
  if (inside === undefined || (folder === looked.folder && now - looked.at < LOOK_MS)) return
  let path = inside
  for (const name of relative(inside, folder).split('/')) {
    path = join(path, name)
    if (name !== '' && (await lstat(path)).isSymbolicLink()) throw new TransferError('unsupported', `${path} has become a symbolic link, which is not followed`)
  }
  looked = { folder, at: now }
}

/** So long a look at a folder is good for the next file in it. */
const LOOK_MS = 100
let looked = { folder: '', at: 0 }

async function moveIntoPlace(temporary: string, target: string, replace: '' | 'file' | 'folder'): Promise<void> {
  if (replace === 'folder') await rm(target, { recursive: true, force: true })
  // The walk saw nothing here; somebody else may have put something here since.
  if (replace === '' && await lstat(target).catch(() => undefined) !== undefined) {
    throw hasAppeared(target)
  }
  await rename(temporary, target)
}

/** Fills `partial` with one complete version of the file and returns the node that describes it. */
async function fetchVerified(first: CellsNode, partial: PartialFile, context: DownloadContext): Promise<CellsNode> {
  let node = await settled(first, context)
  let doubtful: ContentDigest | undefined
  for (let attempt = 1; ; attempt++) {
    const kept = await partial.prepare(node)
    if (kept > 0) context.onDetail?.(`${node.path}: going on, ${kept} of ${node.size} bytes are there`)
    const digest = await fetchVersion(node, partial, context)
    if (digest !== undefined) {
      const verdict = compareWithNode(digest, node)
      // Kept bytes that nothing can be compared with are not trusted: their disk may have lost power.
      if (verdict === 'same' || (verdict === 'unknown' && kept === 0) || (context.skipDigest && kept === 0)) return node
      // x-cells-hash depends on how the uploader cut its parts (newer-servers 3.4). Where it is all there is, the same
      // bytes twice are the content.
      if (!/^[0-9a-f]{32}$/.test(node.etag) && doubtful?.md5 === digest.md5) {
        context.onDetail?.(`${node.path}: its x-cells-hash was made another way and cannot be compared`)
        return node
      }
      doubtful = kept === 0 ? digest : undefined
    }
    if (attempt === VERSIONS) throw new TransferError('mismatch', `the server sends other content than it reports (${node.size} bytes, etag ${node.etag})`)
    context.onDetail?.(`${node.path}: content and index disagree, trying again`)
    await partial.restart()
    if (kept === 0) await sleep(500 * attempt, undefined, { signal: context.signal })
    node = await settled(await current(node.path, context), context)
  }
}

async function current(path: string, context: DownloadContext): Promise<CellsNode> {
  const node = await context.server.stat(path, { signal: context.signal })
  if (node?.kind !== 'file') throw new TransferError('missing', `${path} is gone from the server`)
  return node
}

/** A node whose content is indexed: an upload in parts shows its file at once, empty and with a temporary ETag. */
async function settled(node: CellsNode, context: DownloadContext): Promise<CellsNode> {
  if (node.etag !== ETAG_TEMPORARY) return node
  try {
    const done = await context.server.waitFor(node.path, now => now?.etag !== ETAG_TEMPORARY, { signal: context.signal, timeoutMs: INDEX_WAIT_MS })
    return done?.kind === 'file' ? done : await current(node.path, context)
  } catch (error) {
    if (isCellsError(error, 'timeout')) throw new TransferError('mismatch', 'it is still being uploaded', error)
    throw error
  }
}

/** What is missing of one version; undefined when the server has moved on to another. */
async function fetchVersion(node: CellsNode, partial: PartialFile, context: DownloadContext): Promise<ContentDigest | undefined> {
  const big = node.size >= BIG
  const pieces = partial.ranges.gaps(node.size, big ? Math.min(LARGEST_RANGE, Math.max(RANGE, Math.ceil(node.size / RANGES))) : Infinity)
  const follower = big ? new ThreadFollower(partial, node.size, node.hash !== '') : new InlineFollower(partial, node.hash !== '')
  const stop = new AbortController()
  const own = { ...context, signal: AbortSignal.any([context.signal, stop.signal]) }
  let isThisVersion = true
  context.onProgress(partial.ranges.total)
  follower.written(0, Buffer.alloc(0))
  try {
    const worker = async (): Promise<void> => {
      for (let piece = pieces.shift(); piece !== undefined && isThisVersion; piece = pieces.shift()) {
        const current = piece
        if (await context.requests.run(() => fetchPiece(node, current, partial, follower, own))) continue
        isThisVersion = false
        stop.abort()
      }
    }
    const workers = Array.from({ length: Math.min(pieces.length, context.concurrency) }, () => worker().catch((error: unknown) => {
      stop.abort()
      throw error
    }))
    // All must have ended before the file is closed.
    const results = await Promise.allSettled(workers)
    context.signal.throwIfAborted()
    if (!isThisVersion) return undefined
    // The first to fail stopped the others, whose failure says nothing.
    const failures = results.flatMap(result => (result.status === 'rejected' ? [result.reason as unknown] : []))
    if (failures.length > 0) throw failures.find(error => !isAbort(error)) ?? failures[0]
    return await follower.finish(node.size)
  } finally {
    await follower.stop()
  }
}

const isAbort = (error: unknown): boolean => isCellsError(error, 'aborted') || (error instanceof Error && error.name === 'AbortError')

/** One range to its end, over broken streams. False when the server has moved on to another version. */
async function fetchPiece(node: CellsNode, [start, end]: ByteRange, partial: PartialFile, follower: Follower, context: DownloadContext): Promise<boolean> {
  let position = start
  let breaks = 0
  while (position < end) {
    const from = position
    try {
      const whole = position === 0 && end === node.size
      const ifMatch = node.etag === '' ? undefined : node.etag
      const body = await context.server.get(node.path, whole ? undefined : { start: position, end: end - 1 }, { signal: context.signal, ifMatch })
      if (body.totalSize !== node.size || body.length !== end - position) {
        body.stream.destroy()
        return false
      }
      const gathered = new Gathered(partial, follower)
      try {
        for await (const chunk of body.stream) {
          if (position + chunk.length > end) return false
          await context.limiter?.take(chunk.length, context.signal)
          await gathered.add(chunk, position)
          position += chunk.length
          context.onProgress(partial.ranges.total + gathered.size)
        }
      } finally {
        // What came before a break counts too.
        await gathered.flush()
      }
      await partial.save()
    } catch (error) {
      if (context.signal.aborted || !isCellsError(error)) throw error
      if (error.kind === 'precondition' || error.kind === 'range') return false
      breaks = position > from ? 1 : breaks + 1
      if (!error.transient || breaks === BREAKS) throw error
      context.onDetail?.(`${node.path}: ${error.message}, going on at byte ${position}`)
      await sleep(300 * 2 ** breaks * (0.5 + Math.random()), undefined, { signal: context.signal })
    }
  }
  return true
}
