/**
 * One local file to the server: a single PUT up to the threshold, parts beyond it. Content is
 * streamed from the file and hashed as it passes; every try of a request reads again from its
 * first byte. What the server must report afterwards is returned, to be confirmed by the caller.
 */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { BodySource, CellsServer } from '../cells/server.js'
import type { MultipartPart } from '../cells/types.js'
import { Digester, etagOfParts } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import { openForSending, readRange } from './local-file.js'
import { cutIntoParts, MIB } from './parts.js'
import type { Part, PartRules } from './parts.js'
import type { Semaphore } from './pool.js'
import { TransferError } from './types.js'

/** Up to this size content is read first and sent with its md5, so that the server itself refuses a damaged body. */
const WHOLE = 1 * MIB
/** A file that changes while it is read is sent again this often before it is given up. */
const TRIES = 3
const PART_TRIES = 3

export interface UploadContext {
  readonly server: CellsServer
  readonly rules: PartRules
  /** The budget of requests that carry content, shared by all files. */
  readonly requests: Semaphore
  readonly signal: AbortSignal
  readonly onProgress: (bytes: number) => void
  readonly onDetail?: (message: string) => void
}

/**
 * @returns digest of what was sent
 * @throws CellsError; TransferError `changed`, `mismatch`, `unsupported`; errors of the local file system
 */
export async function uploadFile(source: string, target: string, context: UploadContext): Promise<ContentDigest> {
  const handle = await openForSending(source)
  try {
    for (let attempt = 1; ; attempt++) {
      const before = await handle.stat()
      try {
        const digest = await send(handle, target, before.size, context)
        const after = await handle.stat()
        if (after.size === before.size && after.mtimeMs === before.mtimeMs) return digest
        throw new TransferError('changed', 'the file changed while it was sent')
      } catch (error) {
        const changed = error instanceof TransferError && error.kind === 'changed'
        if (!changed || attempt === TRIES || context.signal.aborted) throw error
        context.onDetail?.(`${source} changed while it was sent, sending it again`)
      }
    }
  } finally {
    await handle.close()
  }
}

async function send(handle: FileHandle, target: string, size: number, context: UploadContext): Promise<ContentDigest> {
  if (size > context.rules.threshold) return sendInParts(handle, target, size, context)
  return context.requests.run(() => (size <= WHOLE ? sendWhole(handle, target, size, context) : sendStream(handle, target, size, context)))
}

async function sendWhole(handle: FileHandle, target: string, size: number, context: UploadContext): Promise<ContentDigest> {
  const digester = new Digester()
  const chunks: Uint8Array[] = []
  for await (const chunk of readRange(handle, 0, size)) {
    digester.update(chunk)
    chunks.push(chunk)
  }
  const digest = digester.finish()
  await context.server.put(target, () => replay(chunks), size, { signal: context.signal, md5: digest.md5, onProgress: context.onProgress })
  return digest
}

// eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence, also when it is at hand
async function * replay(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield * chunks
}

async function sendStream(handle: FileHandle, target: string, size: number, context: UploadContext): Promise<ContentDigest> {
  let latest = new Digester()
  const body: BodySource = () => {
    const digester = new Digester()
    latest = digester
    return readRange(handle, 0, size, chunk => digester.update(chunk))
  }
  await context.server.put(target, body, size, { signal: context.signal, onProgress: context.onProgress })
  if (latest.size !== size) throw new TransferError('mismatch', `the server answered after ${latest.size} of ${size} bytes`)
  return latest.finish()
}

async function sendInParts(handle: FileHandle, target: string, size: number, context: UploadContext): Promise<ContentDigest> {
  const { server, requests, rules } = context
  const parts = cutIntoParts(size, rules)
  context.onDetail?.(`${target}: ${size} bytes in ${parts.length} parts of ${parts[0]?.size ?? 0} bytes`)
  const uploadId = await requests.run(() => server.multipartStart(target, { signal: context.signal }))
  try {
    const sent = await sendParts(handle, target, uploadId, parts, context)
    await requests.run(() => server.multipartComplete(target, uploadId, sent.parts, { signal: context.signal }))
    return { ...sent.digest, partsEtag: etagOfParts(sent.md5s) }
  } catch (error) {
    // Without the abort its placeholder node stays in the folder for days. Not under our signal: that may be why we are here.
    await server.multipartAbort(target, uploadId, { timeoutMs: 10_000 }).catch(() => {})
    throw error
  }
}

interface SentParts {
  readonly parts: MultipartPart[]
  readonly md5s: string[]
  readonly digest: ContentDigest
}

async function sendParts(handle: FileHandle, target: string, uploadId: string, parts: readonly Part[], context: UploadContext): Promise<SentParts> {
  const answers: MultipartPart[] = new Array<MultipartPart>(parts.length)
  const md5s: string[] = new Array<string>(parts.length)
  const progress = new Array<number>(parts.length).fill(0)
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])

  // Parts go out in parallel, a digest of the whole needs them in order: it is taken from the file in a pass
  // of its own that starts on a part when the part is sent, while its pages are in memory.
  const digester = new Digester()
  let hashing = Promise.resolve()
  const hashInOrder = (part: Part): void => {
    hashing = hashing.then(async () => {
      for await (const chunk of readRange(handle, part.start, part.size)) {
        if (signal.aborted) return
        digester.update(chunk)
      }
    })
    hashing.catch(() => {})
  }

  let next = 0
  const worker = async (): Promise<void> => {
    for (let part = parts[next++]; part !== undefined && !signal.aborted; part = parts[next++]) {
      const current = part
      const index = current.number - 1
      hashInOrder(current)
      const onProgress = (bytes: number): void => {
        progress[index] = bytes
        context.onProgress(progress.reduce((sum, value) => sum + value, 0))
      }
      const sent = await context.requests.run(() => sendPart(handle, target, uploadId, current, context, signal, onProgress))
      answers[index] = sent.part
      md5s[index] = sent.md5
      onProgress(current.size)
    }
  }
  const workers = Array.from({ length: Math.min(context.rules.concurrency, parts.length) }, () => worker().catch((error: unknown) => {
    stop.abort(error)
    throw error
  }))
  // All must have ended before the file is closed or the upload aborted.
  const results = await Promise.allSettled(workers)
  await hashing.catch((error: unknown) => stop.abort(error))
  context.signal.throwIfAborted()
  if (stop.signal.aborted) throw stop.signal.reason
  const failed = results.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return { parts: answers, md5s, digest: digester.finish() }
}

async function sendPart(
  handle: FileHandle, target: string, uploadId: string, part: Part, context: UploadContext, signal: AbortSignal, onProgress: (bytes: number) => void,
): Promise<{ part: MultipartPart; md5: string }> {
  for (let attempt = 1; ; attempt++) {
    let latest = createHash('md5')
    const body: BodySource = () => {
      const hash = createHash('md5')
      latest = hash
      return readRange(handle, part.start, part.size, chunk => hash.update(chunk))
    }
    const answer = await context.server.multipartPart(target, uploadId, part.number, body, part.size, { signal, onProgress })
    const md5 = latest.digest('hex')
    const comparable = /^[0-9a-f]{32}$/.test(answer.etag)
    if (!comparable || answer.etag === md5) return { part: answer, md5 }
    if (attempt === PART_TRIES) throw new TransferError('mismatch', `part ${part.number} arrived with other content than was sent`)
    context.onDetail?.(`${target}: part ${part.number} arrived damaged, sending it again`)
  }
}
