/**
 * A small file from the server in one piece: it is held in memory until it has been compared with what the server reports, so that
 * its temporary file is written once, complete. Whatever is
 * not as expected is left to download-file.ts, which can try again, wait and go on.
 */
import { closeSync, futimesSync, lstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { lstat, open, rename, unlink } from 'node:fs/promises'
import { compareWithNode, digestOf } from '../cells/digest.js'
import { isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { CellsNode } from '../cells/types.js'
import { quickly } from './file-calls.js'
import { temporaryPath } from './partial.js'
import type { Semaphore } from './pool.js'
import { TransferError } from './types.js'

/** Up to this size, bytes. */
export const SMALL = 256 * 1024

export interface SmallContext {
  readonly server: CellsServer
  readonly requests: Semaphore
  readonly signal: AbortSignal
  readonly run?: string
  readonly onProgress: (bytes: number) => void
}

/** @returns undefined when the server did not send just what `node` says */
export async function fetchSmall(node: CellsNode, { server, requests, signal, onProgress }: SmallContext): Promise<Buffer | undefined> {
  if (node.size > SMALL || node.etag === ETAG_TEMPORARY) return undefined
  try {
    const chunks: Buffer[] = []
    await requests.run(async () => {
      const body = await server.get(node.path, undefined, { signal, atOnce: SMALL, ...(node.etag === '' ? {} : { ifMatch: node.etag }) })
      if (body.totalSize !== node.size) body.stream.destroy()
      else for await (const chunk of body.stream) chunks.push(chunk)
    })
    const content = chunks.length === 1 ? chunks[0] ?? Buffer.alloc(0) : Buffer.concat(chunks)
    onProgress(content.length)
    return compareWithNode(digestOf(content), node) === 'other' ? undefined : content
  } catch (error) {
    if (!signal.aborted && isCellsError(error) && (error.transient || error.kind === 'precondition' || error.kind === 'range')) return undefined
    throw error
  }
}

/**
 * Puts `content` where nothing is, by way of a temporary name.
 * @throws TransferError `exists` when something has appeared there; errors of the file system
 */
export function placeNew(content: Buffer, target: string, node: CellsNode, run: string | undefined): Promise<void> {
  return quickly(() => placeAtOnce(content, target, node, run), async () => {
    const path = await writeSmall(content, target, node, undefined, run)
    try {
      if (await lstat(target).catch(() => undefined) !== undefined) throw hasAppeared(target)
      await rename(path, target)
    } catch (error) {
      await unlink(path).catch(() => {})
      throw error
    }
  })
}

function placeAtOnce(content: Buffer, target: string, node: CellsNode, run: string | undefined): void {
  const path = temporaryPath(target, run)
  const fd = openSync(path, 'wx', 0o644)
  try {
    try {
      for (let done = 0; done < content.length;) done += writeSync(fd, content, done, content.length - done, done)
      if (node.mtime > 0) futimesSync(fd, node.mtime, node.mtime)
    } finally {
      closeSync(fd)
    }
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) throw hasAppeared(target)
    renameSync(path, target)
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
}

export const hasAppeared = (target: string): TransferError => new TransferError('exists', `${target} has appeared meanwhile`)

/**
 * Writes `content` under a temporary name beside `target`, for a rename.
 * @param mode of the file, or undefined for that of a new one
 */
export async function writeSmall(content: Buffer, target: string, node: CellsNode, mode: number | undefined, run: string | undefined): Promise<string> {
  const path = temporaryPath(target, run)
  const handle = await open(path, 'wx', mode === undefined ? 0o644 : 0o600)
  try {
    for (let done = 0; done < content.length;) done += (await handle.write(content, done, content.length - done, done)).bytesWritten
    if (mode !== undefined) await handle.chmod(mode)
    if (node.mtime > 0) await handle.utimes(node.mtime, node.mtime)
    // Where something gives way the disk must have the new content first.
    if (mode !== undefined) await handle.sync()
    await handle.close()
    return path
  } catch (error) {
    await handle.close().catch(() => {})
    await unlink(path).catch(() => {})
    throw error
  }
}
