/**
 * One large local file to the server in parts, several at a time. Each part that the server has taken is written down at
 * once (state.ts), so that a later run of the same transfer sends only the others, provided the file is still the
 * same (size, time, inode) and the server still knows the upload. The digest of the whole is taken from the file.
 */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { compareWithNode, etagOfParts } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import { isCellsError } from '../cells/errors.js'
import type { BodySource } from '../cells/server.js'
import { FileDigest } from './file-digest.js'
import { callFor, limited } from './limiter.js'
import { readRange } from './local-file.js'
import { cutIntoParts, partSizeFor } from './parts.js'
import type { Part } from './parts.js'
import type { WorkRecord } from './record.js'
import { isSameVersion, versionOf } from './state.js'
import type { SentPart, UploadFacts } from './state.js'
import { TransferError } from './types.js'
import type { UploadContext } from './upload-file.js'

const PART_TRIES = 3
/** For the index to show what was joined in a request whose answer was lost, milliseconds. */
const JOINED_MS = 20_000

/** The book of one upload; without a record (no state, or another process has it) it is kept in memory only. */
class Ledger {
  readonly parts = new Map<number, SentPart>()
  #facts: UploadFacts
  readonly #record: WorkRecord | undefined

  constructor(facts: UploadFacts, record: WorkRecord | undefined) {
    this.#facts = facts
    this.#record = record
    for (const part of facts.parts) this.parts.set(part.number, part)
  }

  get uploadId(): string {
    return this.#facts.uploadId
  }

  get isKept(): boolean {
    return this.#record !== undefined
  }

  async begin(uploadId: string): Promise<void> {
    this.parts.clear()
    this.#facts = { ...this.#facts, uploadId, joining: false, parts: [] }
    await this.#record?.save(this.#facts)
  }

  async sent(part: SentPart): Promise<void> {
    this.parts.set(part.number, part)
    await this.#record?.save({ ...this.#facts, parts: this.inOrder() })
  }

  async joining(): Promise<void> {
    this.#facts = { ...this.#facts, joining: true, parts: this.inOrder() }
    await this.#record?.save(this.#facts)
  }

  inOrder(): SentPart[] {
    return [...this.parts.values()].sort((a, b) => a.number - b.number)
  }

  async forget(): Promise<void> {
    await this.#record?.remove()
  }
}

/**
 * @param size of the file, as it was looked at when the sending began
 * @returns digest of what was sent
 * @throws CellsError; TransferError `changed`, `mismatch`; errors of the local file system
 */
export async function sendInParts(handle: FileHandle, source: string, target: string, size: number, context: UploadContext): Promise<ContentDigest> {
  const { server, requests, state } = context
  const file = versionOf(await handle.stat({ bigint: true }))
  const claim = await state?.claimUpload(source, target)
  const old = claim?.found
  const isSame = old !== undefined && isSameVersion(old.file, file) && old.account === state?.account
  const partSize = isSame ? old.partSize : partSizeFor(size, context.rules)
  const fresh: UploadFacts = { account: state?.account ?? '', source, target, file, uploadId: '', partSize, parts: [], joining: false, began: Date.now() }
  const ledger = new Ledger(isSame ? old : fresh, claim?.record)
  const parts = cutIntoParts(size, { ...context.rules, partSize, maxParts: Infinity })
  const digest = new FileDigest(handle.fd, size)
  try {
    if (old !== undefined && !isSame) await abort(old.uploadId, target, context)
    if (isSame && old.joining && await isJoined(digest, target, size, ledger, context)) {
      await ledger.forget()
      context.onDetail?.(`${target}: the server has joined the parts since`)
      return { ...await digest.finish(size), partsEtag: partsEtag(ledger) }
    }
    if (isSame && await requests.run(() => server.multipartExists(target, old.uploadId, { signal: context.signal }))) {
      context.onDetail?.(`${target}: going on, ${ledger.parts.size} of ${parts.length} parts are there`)
    } else {
      await ledger.begin(await requests.run(() => server.multipartStart(target, { signal: context.signal })))
      context.onDetail?.(`${target}: ${size} bytes in ${parts.length} parts of ${parts[0]?.size ?? 0} bytes`)
    }
    await sendParts(handle, target, parts, ledger, digest, context)
    const whole = await digest.finish(size)
    if (!isSameVersion(file, versionOf(await handle.stat({ bigint: true })))) throw new TransferError('changed', 'the file changed while it was sent')
    await join(target, ledger, { ...whole, partsEtag: partsEtag(ledger) }, context)
    await ledger.forget()
    return { ...whole, partsEtag: partsEtag(ledger) }
  } catch (error) {
    if (!ledger.isKept || !mayGoOn(error, context.signal)) {
      // Without the abort its placeholder node stays in the folder for days.
      if (ledger.uploadId !== '') await abort(ledger.uploadId, target, context)
      await ledger.forget()
    }
    throw error
  } finally {
    await digest.stop()
  }
}

const partsEtag = (ledger: Ledger): string => etagOfParts(ledger.inOrder().map(part => part.md5))

/** Whether a later run can go on with what the server has. */
const mayGoOn = (error: unknown, signal: AbortSignal): boolean =>
  signal.aborted || (isCellsError(error) && (error.transient || error.kind === 'login-needed' || error.kind === 'aborted' || error.kind === 'quota'))

/** Not under the signal of the transfer: that may be why we are here. */
async function abort(uploadId: string, target: string, context: UploadContext): Promise<void> {
  await context.server.multipartAbort(target, uploadId, { timeoutMs: 10_000 }).catch(() => {})
}

/** After a run that was told to join and did not learn what came of it. */
async function isJoined(digest: FileDigest, target: string, size: number, ledger: Ledger, context: UploadContext): Promise<boolean> {
  const node = await context.server.stat(target, { signal: context.signal })
  if (node?.kind !== 'file' || node.size !== size) return false
  return compareWithNode({ ...await digest.finish(size), partsEtag: partsEtag(ledger) }, node) === 'same'
}

/** Joins the parts. When the answer is lost, the index tells whether it was done. */
async function join(target: string, ledger: Ledger, whole: ContentDigest, context: UploadContext): Promise<void> {
  const { server, requests, signal } = context
  await ledger.joining()
  try {
    await requests.run(() => server.multipartComplete(target, ledger.uploadId, ledger.inOrder(), { signal }))
  } catch (error) {
    if (signal.aborted || !isCellsError(error) || !error.transient) throw error
    context.onDetail?.(`${target}: ${error.message}, looking whether the parts were joined`)
    await server.waitFor(target, node => node !== undefined && compareWithNode(whole, node) === 'same', { signal, timeoutMs: JOINED_MS }).catch(() => {
      throw error
    })
  }
}

async function sendParts(handle: FileHandle, target: string, parts: readonly Part[], ledger: Ledger, digest: FileDigest, context: UploadContext): Promise<void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  const missing = parts.filter(part => ledger.parts.get(part.number)?.size !== part.size)
  const progress = new Map<number, number>(ledger.inOrder().map(part => [part.number, part.size]))
  const tell = (number: number, bytes: number): void => {
    progress.set(number, bytes)
    context.onProgress([...progress.values()].reduce((sum, value) => sum + value, 0))
  }
  if (progress.size > 0) context.onProgress([...progress.values()].reduce((sum, value) => sum + value, 0))

  let next = 0
  const worker = async (): Promise<void> => {
    for (let part = missing[next++]; part !== undefined && !signal.aborted; part = missing[next++]) {
      const current = part
      // Up to here the pages of the file are, or will soon be, in memory.
      digest.advance(current.start + current.size)
      const sent = await context.requests.run(() => sendPart(handle, target, ledger.uploadId, current, { ...context, signal }, bytes => tell(current.number, bytes)))
      await ledger.sent(sent)
      tell(current.number, current.size)
    }
  }
  const workers = Array.from({ length: Math.min(context.rules.concurrency, missing.length) }, () => worker().catch((error: unknown) => {
    stop.abort(error)
    throw error
  }))
  // All must have ended before the file is closed or the upload aborted.
  const results = await Promise.allSettled(workers)
  context.signal.throwIfAborted()
  if (stop.signal.aborted) throw stop.signal.reason
  const failed = results.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

async function sendPart(handle: FileHandle, target: string, uploadId: string, part: Part, context: UploadContext, onProgress: (bytes: number) => void): Promise<SentPart> {
  for (let attempt = 1; ; attempt++) {
    let latest = createHash('md5')
    const body: BodySource = () => {
      const hash = createHash('md5')
      latest = hash
      return limited(readRange(handle, part.start, part.size, chunk => hash.update(chunk)), context)
    }
    const answer = await context.server.multipartPart(target, uploadId, part.number, body, part.size, { ...callFor(part.size, context), onProgress })
    const md5 = latest.digest('hex')
    const comparable = /^[0-9a-f]{32}$/.test(answer.etag)
    if (!comparable || answer.etag === md5) return { ...answer, md5 }
    if (attempt === PART_TRIES) throw new TransferError('mismatch', `part ${part.number} arrived with other content than was sent`)
    context.onDetail?.(`${target}: part ${part.number} arrived damaged, sending it again`)
  }
}
