/**
 * One file from the server. It is written under a temporary name in its folder, checked (exact
 * size; md5 or x-cells-hash against what the server reports), synced and renamed: the final name never
 * holds a part of a file. A stream that breaks goes on where it broke, pinned to the version by
 * its ETag; content that turns out to be another version starts again (traps 1 and 2).
 */
import { randomBytes } from 'node:crypto'
import { open, rename, rm, stat, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { CellsNode } from '../cells/types.js'
import { compareWithNode, Digester } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import type { Semaphore } from './pool.js'
import { TransferError } from './types.js'

/** Times that content of one version may turn out wrong before the file is given up. */
const VERSIONS = 4
/** Broken streams in a row without a byte of progress. */
const BREAKS = 4
/** A real server shows a change within a second or two; while a file is uploaded in parts it may be much longer. */
const INDEX_WAIT_MS = 30_000

export interface DownloadContext {
  readonly server: CellsServer
  readonly requests: Semaphore
  readonly signal: AbortSignal
  readonly skipDigest: boolean
  readonly onProgress: (bytes: number) => void
  readonly onDetail?: (message: string) => void
}

/**
 * @param replace what is at `target` and gives way when the new content is complete
 * @throws CellsError; TransferError `mismatch`, `missing`; errors of the local file system
 */
export async function downloadFile(node: CellsNode, target: string, replace: '' | 'file' | 'folder', context: DownloadContext): Promise<void> {
  const temporary = join(dirname(target), `.cec-${randomBytes(6).toString('hex')}.part`)
  const handle = await open(temporary, 'wx', 0o600)
  try {
    let complete: CellsNode
    try {
      complete = await context.requests.run(() => fetchVerified(node, handle, context))
      const old = replace === 'file' ? await stat(target).catch(() => undefined) : undefined
      await handle.chmod(old === undefined ? 0o644 & ~process.umask() : old.mode & 0o777)
      if (complete.mtime > 0) await handle.utimes(complete.mtime, complete.mtime)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await moveIntoPlace(temporary, target, replace)
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw error
  }
}

async function moveIntoPlace(temporary: string, target: string, replace: '' | 'file' | 'folder'): Promise<void> {
  if (replace === 'folder') await rm(target, { recursive: true, force: true })
  // The walk saw nothing here; somebody else may have put something here since.
  if (replace === '' && await stat(target).catch(() => undefined) !== undefined) {
    throw new TransferError('exists', `${target} has appeared meanwhile`)
  }
  await rename(temporary, target)
}

/** Fills `handle` with one complete version of the file and returns the node that describes it. */
async function fetchVerified(first: CellsNode, handle: FileHandle, context: DownloadContext): Promise<CellsNode> {
  let node = await settled(first, context)
  let doubtful: ContentDigest | undefined
  for (let attempt = 1; ; attempt++) {
    const digest = await fetchVersion(node, handle, context)
    if (digest !== undefined) {
      const verdict = compareWithNode(digest, node)
      if (verdict !== 'other' || context.skipDigest) return node
      // x-cells-hash depends on how the uploader cut its parts (newer-servers 3.4). Where it is all there is, the same
      // bytes twice are the content.
      if (!/^[0-9a-f]{32}$/.test(node.etag) && doubtful?.md5 === digest.md5) {
        context.onDetail?.(`${node.path}: its x-cells-hash was made another way and cannot be compared`)
        return node
      }
      doubtful = digest
    }
    if (attempt === VERSIONS) throw new TransferError('mismatch', `the server sends other content than it reports (${node.size} bytes, etag ${node.etag})`)
    context.onDetail?.(`${node.path}: content and index disagree, trying again`)
    await sleep(500 * attempt, undefined, { signal: context.signal })
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

/** One version from its first byte to its last; undefined when the server has moved on to another. */
async function fetchVersion(node: CellsNode, handle: FileHandle, context: DownloadContext): Promise<ContentDigest | undefined> {
  const digester = new Digester()
  await handle.truncate(0)
  context.onProgress(0)
  let breaks = 0
  while (digester.size < node.size) {
    const from = digester.size
    try {
      if (!await fetchRest(node, handle, digester, context)) return undefined
    } catch (error) {
      if (context.signal.aborted || !isCellsError(error)) throw error
      if (error.kind === 'precondition' || error.kind === 'range') return undefined
      breaks = digester.size > from ? 1 : breaks + 1
      if (!error.transient || breaks === BREAKS) throw error
      context.onDetail?.(`${node.path}: ${error.message}, going on at byte ${digester.size}`)
      await sleep(300 * 2 ** breaks * (0.5 + Math.random()), undefined, { signal: context.signal })
    }
  }
  return digester.finish()
}

/** From where `digester` stands to the end. False when the answer is for another size. */
async function fetchRest(node: CellsNode, handle: FileHandle, digester: Digester, context: DownloadContext): Promise<boolean> {
  const range = digester.size === 0 ? undefined : { start: digester.size, end: node.size - 1 }
  const ifMatch = node.etag === '' ? undefined : node.etag
  const body = await context.server.get(node.path, range, { signal: context.signal, ifMatch })
  if (body.totalSize !== node.size || body.length !== node.size - digester.size) {
    body.stream.destroy()
    return false
  }
  for await (const chunk of body.stream) {
    if (digester.size + chunk.length > node.size) return false
    await writeAll(handle, chunk, digester.size)
    digester.update(chunk)
    context.onProgress(digester.size)
  }
  return true
}

async function writeAll(handle: FileHandle, chunk: Buffer, position: number): Promise<void> {
  let done = 0
  while (done < chunk.length) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, position + done)
    done += bytesWritten
  }
}
