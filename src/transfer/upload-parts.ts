/**
 * One large local file to the server in parts, several at a time. Each part that the server has taken is written down at
 * once (ledger.ts), so that a later run of the same transfer sends only the others, provided the file is still the
 * same (size, time, inode) and the server still knows the upload. The digest of the whole is taken from the file.
 */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { compareWithNode, etagOfParts } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import { isCellsError } from '../cells/errors.js'
import type { BodySource } from '../cells/server.js'
import { FileDigest } from './file-digest.js'
import { Ledger } from './ledger.js'
import { callFor, limited } from './limiter.js'
import { readRange } from './local-file.js'
import { cutIntoParts, partSizeFor } from './parts.js'
import type { Part } from './parts.js'
import { isSameVersion, versionOf } from './state.js'
import type { FileVersion, SentPart, UploadFacts } from './state.js'
import { TransferError } from './types.js'
import type { UploadContext } from './upload-file.js'

const PART_TRIES = 3
/** Runs that end without a new part because of what the server says, until the upload is given up and sent anew. */
const MOST_REFUSALS = 2
/** For the index to show what was joined in a request whose answer was lost, milliseconds. */
const JOINED_MS = 20_000

/**
 * @param size of the file, as it was looked at when the sending began
 * @returns digest of what was sent
 * @throws CellsError; TransferError `changed`, `mismatch`; errors of the local file system
 */
export async function sendInParts(handle: FileHandle, source: string, target: string, size: number, context: UploadContext): Promise<ContentDigest> {
  const file = versionOf(await handle.stat({ bigint: true }))
  const { ledger, old, isSame } = await openLedger(source, target, file, size, context)
  const partSize = isSame && old !== undefined ? old.partSize : partSizeFor(size, context.rules)
  const parts = cutIntoParts(size, { ...context.rules, partSize, maxParts: Infinity })
  // Its internal hash is only asked about where nothing else can be compared.
  const digest = new FileDigest(handle.fd, size, false)
  let before = ledger.count
  try {
    const whole = async (): Promise<ContentDigest> => ({ ...await FileDigest.of(handle.fd, size), partsEtag: partsEtag(ledger) })
    if (isSame && await isOver(whole, target, size, ledger, context)) {
      await ledger.forget()
      return await whole()
    }
    if (isSame && ledger.uploadId !== '' && await context.requests.run(() => context.server.multipartExists(target, ledger.uploadId, { signal: context.signal }))) {
      context.onDetail?.(`${target}: going on, ${ledger.count} of ${parts.length} parts are there`)
    } else {
      if (isSame && await isOverSoon(whole, target, ledger, context)) {
        await ledger.forget()
        return await whole()
      }
      await begin(target, old, ledger, context)
      before = 0
      context.onDetail?.(`${target}: ${size} bytes in ${parts.length} parts of ${parts[0]?.size ?? 0} bytes`)
    }
    await sendParts(handle, target, parts, ledger, digest, context)
    const sent = { ...await digest.finish(size), partsEtag: partsEtag(ledger) }
    if (!isSameVersion(file, versionOf(await handle.stat({ bigint: true })))) throw new TransferError('changed', 'the file changed while it was sent')
    await join(target, ledger, whole, context)
    await ledger.forget()
    return sent
  } catch (error) {
    if (isAnswer(error) && ledger.count <= before) await ledger.refused()
    if (!ledger.isKept || !mayGoOn(error, context.signal) || ledger.refusals >= MOST_REFUSALS) await giveUp(target, ledger, context)
    throw error
  } finally {
    await digest.stop()
  }
}

interface Opened {
  readonly ledger: Ledger
  readonly old: UploadFacts | undefined
  /** `old` is about the file as it is now. */
  readonly isSame: boolean
}

async function openLedger(source: string, target: string, file: FileVersion, size: number, { state, rules, onDetail }: UploadContext): Promise<Opened> {
  const claim = await state?.claimUpload(source, target)
  const old = claim?.found
  const isSame = old !== undefined && isSameVersion(old.file, file) && old.account === state?.account
  const fresh: UploadFacts = {
    account: state?.account ?? '', source, target, file, uploadId: '', partSize: partSizeFor(size, rules), parts: [], joining: false, refusals: 0, orphans: [], began: Date.now(),
  }
  const ledger = new Ledger(isSame ? old : fresh, claim?.record, error => onDetail?.(`${target}: a later run will not go on with it, ${error instanceof Error ? error.message : String(error)}`))
  return { ledger, old, isSame }
}

/** A new upload, after those that were left behind are aborted: without that their parts, and the empty file that stands for them, stay for days. */
async function begin(target: string, old: UploadFacts | undefined, ledger: Ledger, context: UploadContext): Promise<void> {
  const left: string[] = []
  for (const uploadId of new Set([...old?.orphans ?? [], old?.uploadId ?? ''])) {
    if (uploadId !== '' && !await abort(uploadId, target, context)) left.push(uploadId)
  }
  await ledger.starting(left)
  await ledger.started(await context.requests.run(() => context.server.multipartStart(target, { signal: context.signal })))
}

async function giveUp(target: string, ledger: Ledger, context: UploadContext): Promise<void> {
  if (ledger.uploadId === '' || await abort(ledger.uploadId, target, context)) await ledger.forget()
  else await ledger.abandoned()
}

const partsEtag = (ledger: Ledger): string => etagOfParts(ledger.inOrder().map(part => part.md5))

/** Whether a later run can go on with what the server has. */
const mayGoOn = (error: unknown, signal: AbortSignal): boolean =>
  signal.aborted || (isCellsError(error) && (error.transient || error.kind === 'login-needed' || error.kind === 'aborted' || error.kind === 'quota'))

/** The server said no, and not merely that it is busy: it may have lost the upload. A 2.x server says 500 then, as for everything. */
const isAnswer = (error: unknown): boolean => isCellsError(error, 'unavailable', 'unknown', 'not-found') && [404, 500].includes(error.status)

/**
 * Not under the signal of the transfer: that may be why we are here.
 * @returns whether the upload is surely gone
 */
async function abort(uploadId: string, target: string, context: UploadContext): Promise<boolean> {
  try {
    await context.server.multipartAbort(target, uploadId, { timeoutMs: 10_000 })
    return true
  } catch (error) {
    // What it does not know it answers with an error; so does a 2.x server the second time.
    return isCellsError(error) && error.status >= 400 && error.status !== 401 && error.status !== 403 && error.status < 502
  }
}

/** After a run that was told to join and did not learn what came of it. */
async function isOver(whole: () => Promise<ContentDigest>, target: string, size: number, ledger: Ledger, context: UploadContext): Promise<boolean> {
  if (!ledger.isJoining) return false
  const node = await context.server.stat(target, { signal: context.signal })
  if (node?.kind !== 'file' || node.size !== size) return false
  return compareWithNode(await whole(), node) === 'same'
}

/** The same, when the upload is no longer there: the parts have just been joined and the index does not show it yet, or all is lost. */
async function isOverSoon(whole: () => Promise<ContentDigest>, target: string, ledger: Ledger, context: UploadContext): Promise<boolean> {
  if (!ledger.isJoining) return false
  try {
    await waitUntilJoined(target, await whole(), context)
    return true
  } catch (error) {
    if (isCellsError(error, 'timeout')) return false
    throw error
  }
}

const waitUntilJoined = (target: string, whole: ContentDigest, { server, signal }: UploadContext): Promise<unknown> =>
  server.waitFor(target, node => node !== undefined && compareWithNode(whole, node) === 'same', { signal, timeoutMs: JOINED_MS })

/** Joins the parts. When the answer is lost, the index tells whether it was done. */
async function join(target: string, ledger: Ledger, whole: () => Promise<ContentDigest>, context: UploadContext): Promise<void> {
  const { server, requests, signal } = context
  await ledger.joining()
  try {
    await requests.run(() => server.multipartComplete(target, ledger.uploadId, ledger.inOrder(), { signal }))
  } catch (error) {
    if (signal.aborted || !isCellsError(error) || !error.transient) throw error
    context.onDetail?.(`${target}: ${error.message}, looking whether the parts were joined`)
    await waitUntilJoined(target, await whole(), context).catch(() => {
      throw error
    })
  }
}

async function sendParts(handle: FileHandle, target: string, parts: readonly Part[], ledger: Ledger, digest: FileDigest, context: UploadContext): Promise<void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  const missing = parts.filter(part => !ledger.has(part))
  let total = parts.reduce((sum, part) => sum + (ledger.has(part) ? part.size : 0), 0)
  const under = new Map<number, number>()
  const tell = (number: number, bytes: number): void => {
    total += bytes - (under.get(number) ?? 0)
    under.set(number, bytes)
    context.onProgress(total)
  }
  if (total > 0) context.onProgress(total)

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
