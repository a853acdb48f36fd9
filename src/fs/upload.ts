/**
 * One content to the server: a single PUT, or parts in parallel when it is large. Which parts the server has taken is kept with the draft's
 * record (ListParts cannot be trusted, contract), so that the next attempt, also of another process, sends only the others: if the content is
 * the same to the byte (md5 of the whole), goes to the same place, and the server still knows the upload. (As transfer/upload-parts.ts does.)
 */
import { createHash, type Hash } from 'node:crypto'
import type { PartialUpload } from '../cache/store.js'
import { HASH_BLOCK } from '../cells/digest.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { MultipartPart } from '../cells/types.js'
import type { Readable } from './draft-file.js'
import { type FileDigest, readRange } from './hashing.js'

const MiB = 1024 * 1024
/** Larger contents go in parts. Below the 100 MB at which some proxies refuse a body. */
const MULTIPART_ABOVE = 64 * MiB
/** Contents up to this size are sent as a whole, bytes. */
const AT_ONCE = 256 * 1024
const MAX_PARTS = 5_000
const PARALLEL_PARTS = 4

/** Size of the parts of a content of `size` bytes: a multiple of the blocks by which later servers hash (newer-servers 3.4); one, if it may be, because its md5 is known then. */
export function partSize(size: number): number {
  return Math.max(1, Math.ceil(size / MAX_PARTS / HASH_BLOCK)) * HASH_BLOCK
}

/** Where it is kept what has been sent. */
export interface UploadLedger {
  readonly found: PartialUpload | undefined
  /** Undefined: nothing is left on the server. Durable soon. */
  readonly save: (upload: PartialUpload | undefined) => void
  /** After a failure: will the same content be sent there again? */
  readonly goesOn: () => boolean
  /** Before a content that was sent without an answer is sent once more. What it throws ends the upload. */
  readonly again: () => Promise<void>
  /** For tests; default: see `partSize` and 64 MiB. */
  readonly partBytes?: number | undefined
}

/**
 * Sends `[0, size)` of a file whose content, with these digests, does not change meanwhile.
 * @throws CellsError; what was begun is taken back, unless the ledger can go on with it
 */
export async function upload(server: CellsServer, path: string, file: Readable, { size, md5, blocks }: Pick<FileDigest, 'size' | 'md5' | 'blocks'>, ledger: UploadLedger, signal?: AbortSignal): Promise<void> {
  const { found, save } = ledger
  const step = ledger.partBytes ?? partSize(size)
  const same = found !== undefined && found.path === path && found.md5 === md5 && found.size === size && found.step === step
  const known = same && await server.multipartExists(path, found.id, { signal })
  if (found !== undefined && !known) {
    await abandonUpload(server, found)
    save(undefined)
  }
  if (size <= (ledger.partBytes ?? MULTIPART_ABOVE)) {
    await server.put(path, size <= AT_ONCE ? await whole(file, size) : () => readRange(file, 0, size), size, { md5, signal, again: ledger.again })
    return
  }
  let upload: PartialUpload = known ? found : { id: await server.multipartStart(path, { signal }), path, md5, size, step, parts: [] }
  save(upload)
  try {
    await sendMissing(server, upload, file, step === HASH_BLOCK ? blocks : undefined, signal, (part) => {
      upload = { ...upload, parts: [...upload.parts, part] }
      save(upload)
    })
    await server.multipartComplete(path, upload.id, upload.parts, { signal })
    save(undefined)
  } catch (error) {
    if (!ledger.goesOn() || !mayGoOn(error)) {
      await abandonUpload(server, upload)
      save(undefined)
    }
    throw error
  }
}

/** A small content, at hand: a stream of it costs more than the content. */
async function whole(file: Readable, size: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of readRange(file, 0, size)) pieces.push(piece)
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
}

/** What was begun and will not be finished: without an abort its parts, and the empty file that stands for it, stay for days. Never rejects. */
export async function abandonUpload(server: CellsServer, { path, id }: PartialUpload): Promise<void> {
  await server.multipartAbort(path, id).catch(() => {})
}

function mayGoOn(error: unknown): boolean {
  return isCellsError(error) && (error.transient || error.kind === 'login-needed' || error.kind === 'aborted' || error.kind === 'quota')
}

async function* hashed(content: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of content) {
    hash.update(chunk)
    yield chunk
  }
}

/** `md5s`: of the parts, if they are known. */
async function sendMissing(server: CellsServer, { id, path, size, step, parts }: PartialUpload, file: Readable, md5s: readonly string[] | undefined, signal: AbortSignal | undefined, onSent: (part: MultipartPart) => void): Promise<void> {
  const there = new Set(parts.map((it) => it.number))
  const missing = Array.from({ length: Math.ceil(size / step) }, (_, index) => index + 1).filter((number) => !there.has(number))
  let failed = false
  const worker = async (): Promise<void> => {
    for (let number = missing.shift(); number !== undefined && !failed; number = missing.shift()) {
      const [start, end] = [(number - 1) * step, Math.min(size, number * step)]
      const known = md5s?.[number - 1]
      let hash: Hash | undefined
      const body = (): AsyncGenerator<Buffer> => {
        if (known !== undefined) return readRange(file, start, end)
        hash = createHash('md5')
        return hashed(readRange(file, start, end), hash)
      }
      const part = await server.multipartPart(path, id, number, body, end - start, { signal })
      if (/^[0-9a-f]{32}$/.test(part.etag) && part.etag !== (known ?? hash?.digest('hex'))) throw new CellsError('network', `Part ${number} of ${path} arrived damaged`)
      onSent(part)
    }
  }
  const workers = Array.from({ length: PARALLEL_PARTS }, () => worker().catch((error: unknown) => {
    failed = true
    throw error
  }))
  const results = await Promise.allSettled(workers)
  const rejected = results.find((it) => it.status === 'rejected')
  if (rejected !== undefined) throw rejected.reason
}
