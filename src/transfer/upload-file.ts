/**
 * One local file to the server: a single PUT up to the threshold, parts beyond it. Content is
 * streamed from the file and hashed as it passes; every try of a request reads again from its
 * first byte. What the server must report afterwards is returned, to be confirmed by the caller.
 */
import { fstatSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { BodySource, CellsServer } from '../cells/server.js'
import { Digester, digestOf } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import { callFor, limited } from './limiter.js'
import type { RateLimiter } from './limiter.js'
import { demandUnchanged, openForSending, readRange, readSmall } from './local-file.js'
import { MIB } from './parts.js'
import type { PartRules } from './parts.js'
import type { Semaphore } from './pool.js'
import type { TransferState } from './state.js'
import { TransferError } from './types.js'
import { sendInParts } from './upload-parts.js'

/** Up to this size content is read first and sent with its md5, so that the server itself refuses a damaged body. */
const WHOLE = 1 * MIB
/** A file that changes while it is read is sent again this often before it is given up. */
const TRIES = 3

export interface UploadContext {
  readonly server: CellsServer
  readonly rules: PartRules
  /** The budget of requests that carry content, shared by all files. */
  readonly requests: Semaphore
  readonly signal: AbortSignal
  readonly limiter?: RateLimiter
  /** Where unfinished uploads are remembered; without it they are aborted. */
  readonly state?: TransferState
  readonly onProgress: (bytes: number) => void
  readonly onDetail?: (message: string) => void
}

/**
 * @returns digest of what was sent; of a large file without Cells' internal hash
 * @throws CellsError; TransferError `changed`, `mismatch`, `unsupported`; errors of the local file system
 */
export async function uploadFile(source: string, target: string, context: UploadContext): Promise<ContentDigest> {
  for (let attempt = 1; ; attempt++) {
    try {
      const content = await readSmall(source, WHOLE)
      return content === undefined ? await sendLarge(source, target, context) : await sendWhole(content, target, context)
    } catch (error) {
      const changed = error instanceof TransferError && error.kind === 'changed'
      if (!changed || attempt === TRIES || context.signal.aborted) throw error
      context.onDetail?.(`${source} changed while it was sent, sending it again`)
    }
  }
}

async function sendWhole(content: Buffer, target: string, context: UploadContext): Promise<ContentDigest> {
  const digest = digestOf(content)
  const body = context.limiter === undefined ? content : (): AsyncIterable<Uint8Array> => limited(replay(content), context)
  await context.requests.run(() => context.server.put(target, body, digest.size, { ...callFor(digest.size, context), md5: digest.md5, onProgress: context.onProgress }))
  return digest
}

// eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence, also when it is at hand
async function * replay(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content
}

async function sendLarge(source: string, target: string, context: UploadContext): Promise<ContentDigest> {
  const { handle, stats } = await openForSending(source)
  try {
    const digest = stats.size > context.rules.threshold
      ? await sendInParts(handle, source, target, stats.size, context)
      : await context.requests.run(() => sendStream(handle, target, stats.size, context))
    demandUnchanged(stats, fstatSync(handle.fd))
    return digest
  } finally {
    await handle.close()
  }
}

async function sendStream(handle: FileHandle, target: string, size: number, context: UploadContext): Promise<ContentDigest> {
  let latest = new Digester(false)
  const body: BodySource = () => {
    const digester = new Digester(false)
    latest = digester
    return limited(readRange(handle, 0, size, chunk => digester.update(chunk)), context)
  }
  await context.server.put(target, body, size, { ...callFor(size, context), onProgress: context.onProgress })
  if (latest.size !== size) throw new TransferError('mismatch', `the server answered after ${latest.size} of ${size} bytes`)
  return latest.finish()
}
