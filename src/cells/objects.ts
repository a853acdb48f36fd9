/**
 * File content through the S3 gateway, and what its answers really mean. A 2.x gateway says 500
 * for missing, forbidden, folder and locked alike, and 403 for a dead token as for a forbidden
 * path (contract, section 4, trap 14); so an unclear failure is explained by a REST stat before
 * anybody is told `not-found` or `forbidden`.
 *
 * `put` does not look what is there: the caller knows, and must not put onto a folder (a 4.x server
 * answers 200 and drops the content, newer-servers 1 #10). If-Match is ignored on PUT (trap 3), so it is not sent.
 */
import type { Deadline } from './deadline.js'
import { bareEtag, bodyFacts, DownloadStream, upload } from './body.js'
import { CellsError, isCellsError } from './errors.js'
import { s3Fault } from './faults.js'
import type { Features } from './features.js'
import { readText, type Http, type Reply } from './http.js'
import { checkExistingPath, checkPath, parentOf } from './names.js'
import type { Tombstones } from './tombstones.js'
import { noteRetryAfter, retrying, type RetryLimits } from './retry.js'
import { escapeXml, xmlTexts, type S3, type S3Call, type S3Reply } from './s3.js'
import type { BodySource, CallOptions, GetOptions, PutOptions } from './server.js'
import { putTimeout, TIMEOUTS } from './timeouts.js'
import type { Tree } from './tree.js'
import { ETAG_TEMPORARY, type MultipartPart, type ObjectBody } from './types.js'

/** Of anything but content, bytes. */
const LONGEST_ANSWER = 64 * 1024 * 1024

export interface ObjectsParts {
  readonly http: Http
  readonly s3: S3
  readonly tree: Tree
  readonly features: Features
  readonly tombstones: Tombstones
  readonly retry?: RetryLimits
}

export class Objects {
  readonly #parts: ObjectsParts

  constructor(parts: ObjectsParts) {
    this.#parts = parts
  }

  async get(path: string, range: { start: number; end: number } | undefined, options: GetOptions = {}): Promise<ObjectBody> {
    const key = fileKey(path)
    const deadline = this.#deadline(options, TIMEOUTS.objectHeaders, `read ${key}`)
    try {
      const headers: Record<string, string> = {}
      if (range !== undefined) headers['range'] = `bytes=${range.start}-${range.end}`
      if (options.ifMatch !== undefined) headers['if-match'] = `"${options.ifMatch}"`
      const reply = await this.#try({ method: 'GET', key, query: options.versionId === undefined ? {} : { versionId: options.versionId }, headers, pool: 'data', deadline, whole: options.atOnce, into: options.into }, [200, 206], 'read')
      try {
        const facts = bodyFacts(reply.status, reply.header, range, deadline.doing)
        if (options.ifMatch !== undefined && facts.etag !== options.ifMatch) {
          throw new CellsError('precondition', `could not read ${key}: it has changed on the server`)
        }
        deadline.stopClock()
        return { ...facts, stream: new DownloadStream(reply.body, facts.length, deadline) }
      } catch (error) {
        reply.body.destroy()
        throw error
      }
    } catch (error) {
      deadline.end()
      throw error
    }
  }

  async put(path: string, body: BodySource | Uint8Array, size: number, options: PutOptions = {}): Promise<void> {
    const key = checkPath(path, await this.#parts.features.nameRules([path], options.signal))
    if (!key.includes('/')) throw new CellsError('forbidden', `could not write ${key}: files live inside workspaces`)
    await this.#parts.tombstones.settle(key, options.signal)
    await this.#parts.tree.guard.creating(key, options.signal, () => this.#upload(key, {}, body, size, options, `write ${key}`))
  }

  async multipartStart(path: string, options: CallOptions = {}): Promise<string> {
    const key = checkPath(path, await this.#parts.features.nameRules([path], options.signal))
    await this.#parts.tombstones.settle(key, options.signal)
    const text = await this.#parts.tree.guard.creating(key, options.signal, () =>
      this.#text({ method: 'POST', key, query: { uploads: '' } }, options, TIMEOUTS.objectCall, `begin to write ${key}`, 'write'))
    const [uploadId] = xmlTexts(text, 'UploadId')
    if (uploadId === undefined || uploadId === '') throw new CellsError('protocol', `could not begin to write ${key}: the answer holds no upload id`)
    return uploadId
  }

  async multipartPart(path: string, uploadId: string, number: number, body: BodySource, size: number, options: PutOptions = {}): Promise<MultipartPart> {
    const key = fileKey(path)
    const doing = `write part ${number} of ${key}`
    // A 2.x server answers 500 to a part with a Content-MD5, right or wrong; the etag of a part is its md5 instead.
    const { md5, ...others } = options
    const etag = await this.#upload(key, { partNumber: String(number), uploadId }, body, size, others, doing)
    if (etag === '') throw new CellsError('protocol', `could not ${doing}: the answer holds no etag`)
    if (md5 !== undefined && /^[0-9a-f]{32}$/i.test(etag) && etag.toLowerCase() !== md5) throw new CellsError('protocol', `could not ${doing}: it arrived damaged`)
    return { number, etag, size }
  }

  /** Sent once: when its answer is lost, only a stat can tell whether it was carried out. */
  async multipartComplete(path: string, uploadId: string, parts: readonly MultipartPart[], options: CallOptions = {}): Promise<void> {
    const key = fileKey(path)
    const list = [...parts].sort((a, b) => a.number - b.number).map((part) => `<Part><PartNumber>${part.number}</PartNumber><ETag>"${escapeXml(part.etag)}"</ETag></Part>`)
    const body = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${list.join('')}</CompleteMultipartUpload>`
    const call = { method: 'POST' as const, key, query: { uploadId }, headers: { 'content-type': 'application/xml' }, body, pool: 'data' as const }
    const text = await this.#text(call, options, TIMEOUTS.complete, `finish writing ${key}`, 'once')
    // Joining takes time, so the gateway may have begun with 200 before it failed.
    if (/<Error>/.test(text)) throw s3Fault({ status: 500, contentType: 'application/xml', body: text }, `finish writing ${key}`)
  }

  async multipartExists(path: string, uploadId: string, options: CallOptions = {}): Promise<boolean> {
    const key = fileKey(path)
    try {
      await this.#text({ method: 'GET', key, query: { uploadId } }, options, TIMEOUTS.objectCall, `look for the unfinished upload of ${key}`, 'once')
      return true
    } catch (error) {
      // 404 on later servers, 500 on a 2.x one; both answer the question.
      if (isCellsError(error) && (error.status === 404 || error.status === 500 || error.status === 400)) return false
      throw error
    }
  }

  async multipartAbort(path: string, uploadId: string, options: CallOptions = {}): Promise<void> {
    const key = fileKey(path)
    await this.#text({ method: 'DELETE', key, query: { uploadId } }, options, TIMEOUTS.objectCall, `give up writing ${key}`, 'once')
  }

  async removeObject(path: string, options: CallOptions = {}): Promise<void> {
    const key = fileKey(path)
    if (!key.includes('/')) throw new CellsError('invalid', `could not delete ${key}: it is a workspace`)
    await this.#parts.tree.guard.checkExisting(key, options.signal)
    this.#parts.tombstones.add(key)
    await this.#text({ method: 'DELETE', key }, options, TIMEOUTS.objectCall, `delete ${key}`, 'delete')
  }

  /** Paths of the files and folders in a folder, dot-names and the marker included, at most `limit`, with their ETags ('' for a folder). */
  async listKeys(folder: string, limit: number, options: CallOptions = {}): Promise<Map<string, string>> {
    const query = { 'list-type': '2', delimiter: '/', prefix: `${folder}/`, 'max-keys': String(limit) }
    const deadline = this.#deadline(options, TIMEOUTS.s3List, `list ${folder}`)
    try {
      const reply = await this.#try({ method: 'GET', key: '', query, deadline, whole: LONGEST_ANSWER }, [200], 'read', folder)
      const text = await readText(reply, deadline)
      if (!text.includes('<ListBucketResult')) throw new CellsError('protocol', `could not list ${folder}: the answer is no listing`)
      const inside = text.replace(/^[\s\S]*?<IsTruncated>/, '')
      const files = inside.split('<Contents>').flatMap((row) => xmlTexts(row, 'Key').map((key) => [key, bareEtag(xmlTexts(row, 'ETag')[0] ?? '')] as const))
      const folders = xmlTexts(inside, 'Prefix').map((key) => [key.replace(/\/$/, ''), ''] as const)
      return new Map([...folders, ...files].map(([key, etag]) => [key.normalize('NFC'), etag] as const).filter(([key]) => key !== folder && isPlain(key)))
    } finally {
      deadline.end()
    }
  }

  async #upload(key: string, query: Record<string, string>, body: BodySource | Uint8Array, size: number, options: PutOptions, doing: string): Promise<string> {
    const deadline = this.#deadline(options, putTimeout(size), doing)
    if (body instanceof Uint8Array && body.length !== size) throw new CellsError('invalid', `could not ${doing}: the content is not as long as announced`)
    const headers: Record<string, string> = { 'content-length': String(size) }
    if (options.md5 !== undefined) headers['content-md5'] = Buffer.from(options.md5, 'hex').toString('base64')
    try {
      const reply = await this.#try({
        method: 'PUT', key, query, headers, pool: 'data', deadline, whole: LONGEST_ANSWER, again: options.again,
        // A new stream for each attempt; an empty body has none, and one that is at hand needs none.
        ...(size === 0 ? {} : body instanceof Uint8Array ? { body } : { open: () => upload(body, size, deadline, options.onProgress) }),
      }, [200], 'write')
      if (body instanceof Uint8Array) options.onProgress?.(size)
      await readText(reply, deadline)
      return bareEtag(reply.header('etag'))
    } finally {
      deadline.end()
    }
  }

  async #text(call: Omit<S3Call, 'deadline'>, options: CallOptions, timeoutMs: number, doing: string, use: Use): Promise<string> {
    const deadline = this.#deadline(options, timeoutMs, doing)
    try {
      return await readText(await this.#try({ ...call, deadline, whole: LONGEST_ANSWER }, [200, 204], use), deadline)
    } finally {
      deadline.end()
    }
  }

  /** One call with its retries; a reply with an expected status, or an error that says what is the matter. */
  async #try({ again, ...call }: S3Call & { open?: () => AsyncIterable<Uint8Array>; again?: (() => Promise<void>) | undefined }, expected: readonly number[], use: Use, about: string = call.key): Promise<Reply> {
    let renewed = false
    return retrying(call.deadline, use !== 'once', async (number) => {
      if (number > 0) await again?.()
      for (;;) {
        const answer = await this.#parts.s3.send(call.open === undefined ? call : { ...call, body: call.open() })
        if (expected.includes(answer.reply.status)) return answer.reply
        const fault = await this.#fault(answer, call.deadline)
        if (isUnclear(answer.reply.status, fault)) {
          const clear = await this.#explain(about, fault, use, call.deadline)
          // The stat has renewed a token that was dead.
          if (!renewed && fault.status === 403 && await this.#parts.s3.tokenChanged(answer.token, call.deadline)) {
            renewed = true
            continue
          }
          throw clear ?? fault
        }
        throw fault
      }
    }, this.#parts.retry)
  }

  async #fault(answer: S3Reply, deadline: Deadline): Promise<CellsError> {
    const { reply } = answer
    // A 404 may come with the length of a body but no body; the status still stands.
    const body = await readText(reply, deadline).catch(() => '')
    deadline.check()
    const fault = s3Fault({ status: reply.status, contentType: reply.header('content-type'), body }, deadline.doing)
    noteRetryAfter(fault, reply.header('retry-after') || undefined)
    return fault
  }

  /** What REST says about a path that S3 failed on; undefined: nothing that would explain it. */
  async #explain(path: string, fault: CellsError, use: Use, deadline: Deadline): Promise<CellsError | undefined> {
    const options = { signal: deadline.signal, timeoutMs: Math.max(1, Math.min(TIMEOUTS.stat, deadline.remaining)) }
    const become = (kind: CellsError['kind'], why: string): CellsError => new CellsError(kind, `could not ${deadline.doing}: ${why}`, { status: fault.status, detail: fault.detail, cause: fault })
    const node = await this.#parts.tree.stat(path, options)
    if (use === 'read') {
      if (node === undefined) return become('not-found', 'it does not exist')
      if (fault.status === 404) return become('unavailable', node.etag === ETAG_TEMPORARY ? 'it is still being written' : 'the server does not have its content yet')
      // A listing asks about a folder, a GET about a file.
      return node.kind === 'folder' && deadline.doing.startsWith('read') ? become('invalid', 'it is a folder') : undefined
    }
    if (use !== 'write') return undefined
    if (node?.kind === 'folder') return become('exists', 'a folder of that name exists')
    if (node?.readOnly === true) return become('forbidden', 'you have no right to')
    for (let up = parentOf(path); node === undefined && up !== ''; up = parentOf(up)) {
      const above = await this.#parts.tree.stat(up, options)
      if (above === undefined) continue
      if (above.kind === 'file') return become('invalid', `${up} is a file`)
      return above.readOnly ? become('forbidden', 'you have no right to') : undefined
    }
    return undefined
  }

  #deadline(options: CallOptions, timeoutMs: number, doing: string): Deadline {
    return this.#parts.http.deadline(options.timeoutMs ?? timeoutMs, doing, options.signal)
  }
}

/** What a failed call was for. `once` is never repeated. */
type Use = 'read' | 'write' | 'delete' | 'once'

/** Statuses that say one thing on one server and another on the next. 412 and 416 are clear everywhere. */
function isUnclear(status: number, fault: CellsError): boolean {
  return (status === 403 || status === 404 || status === 500 || status === 503) && !isCellsError(fault, 'quota', 'not-cells', 'login-needed')
}

function fileKey(path: string): string {
  const key = checkExistingPath(path)
  if (key === '') throw new CellsError('invalid', 'the root is not a file')
  return key
}

/** Nothing that would change the meaning of a path may come in through a listing. */
function isPlain(key: string): boolean {
  return !key.includes('\0') && key.split('/').every((name) => name !== '' && name !== '.' && name !== '..')
}
