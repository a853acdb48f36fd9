/**
 * Multipart uploads. Parts are blobs of their own and the open upload is a row of the database, so an upload goes on
 * after a restart; completing makes one blob out of the parts' files without copying a byte.
 */
import { createHash, randomUUID } from 'node:crypto'
import { XMLParser } from 'fast-xml-parser'
import type { Segment } from '../blobs.js'
import { cellsHash } from '../blobs.js'
import type { Context } from '../context.js'
import { readBody } from '../http.js'
import type { Table } from '../store.js'
import { nowSeconds } from '../tree.js'
import type { NodeRecord } from '../tree.js'
import { S3Error } from './errors.js'
import { commitBlob, placeholder, receive, sendXml, writeTarget } from './put.js'
import type { S3Request } from './request.js'
import { el, XMLNS } from './xml.js'

const MIN_PART = 5 * 1024 * 1024

interface Part extends Segment {
  readonly md5: string
  readonly blocks: readonly string[]
  readonly mtime: number
}

export interface UploadRow {
  readonly id: string
  readonly login: string
  readonly key: string
  readonly parts: Readonly<Record<string, Part>>
  /** Uuid of the node that initiate made, '' if the file was there before. */
  readonly placeholder: string
  readonly contentType: string
}

export const uploadsOf = (ctx: Context): Table<UploadRow> => ctx.store.table<UploadRow>('uploads')

/** `POST ?uploads` */
export async function initiate(request: S3Request): Promise<void> {
  const { ctx, key, user, bucket, req } = request
  const id = randomUUID()
  let made = ''
  try {
    made = placeholder(request, await writeTarget(request), true)
  } catch (error) {
    // 2.x says 200 even without the right to write: the error comes with the parts.
    if (!(error instanceof S3Error) || ctx.version !== 2) throw error
  }
  uploadsOf(ctx).set(id, { id, login: user.login, key, parts: {}, placeholder: made, contentType: ctx.flat ? (req.headers['content-type'] ?? 'application/octet-stream') : 'application/octet-stream' })
  await ctx.store.commit()
  sendXml(request, `<InitiateMultipartUploadResult ${XMLNS}>${el('Bucket', bucket)}${el('Key', key)}${el('UploadId', id)}</InitiateMultipartUploadResult>`)
}

function uploadOf({ ctx, key, user, query }: S3Request): UploadRow {
  const upload = uploadsOf(ctx).get(query.get('uploadId') ?? '')
  if (!upload || upload.key !== key || upload.login !== user.login) throw new S3Error('InternalError')
  return upload
}

/** `PUT ?partNumber&uploadId` */
export async function putPart(request: S3Request): Promise<void> {
  const { ctx, res, query, req } = request
  if (req.headers['x-amz-copy-source'] !== undefined) throw new S3Error('NotImplemented')
  const number = Number(query.get('partNumber'))
  if (!Number.isInteger(number) || number < 1 || number > 10_000) throw new S3Error('InvalidArgument')
  await writeTarget(request)
  uploadOf(request)
  let written
  try {
    written = await receive(request)
  } catch (error) {
    if (error instanceof S3Error && error.code === 'XMinioBackendDown') throw new S3Error('InternalError')
    throw error
  }
  // Aborted while the part came in: nothing may be left behind.
  const upload = uploadsOf(ctx).get(query.get('uploadId') ?? '')
  if (!upload) {
    await ctx.blobs.remove([written])
    throw new S3Error('InternalError')
  }
  const before = upload.parts[number]
  const part: Part = { id: written.id, size: written.size, md5: written.md5, blocks: written.blocks, mtime: nowSeconds() }
  uploadsOf(ctx).set(upload.id, { ...upload, parts: { ...upload.parts, [number]: part } })
  await ctx.store.commit()
  if (before) await ctx.blobs.remove([before])
  res.writeHead(200, { 'Accept-Ranges': 'bytes', 'Content-Length': 0, 'ETag': `"${part.md5}"` })
  res.end()
}

/** `GET ?uploadId` */
export function listParts(request: S3Request): void {
  const { ctx, user } = request
  const upload = uploadOf(request)
  const location = ctx.access.locate(user, upload.key, 403)
  const source = ctx.access.source(location)
  // 2.x leaks its internal bucket and key; a 4.x copies from the wrong list and shows no part at all.
  const [bucket, key] = ctx.version === 2 ? [source, ctx.access.internalPath(location).slice(1)] : [request.bucket, upload.key]
  const owner = `${el('ID', '02d6176db174dc93cb1b899f7c6078f08654445fe8cf1b6ce98d8855f66bdbf4')}<DisplayName></DisplayName>`
  const marker = Number(request.query.get('part-number-marker') ?? 0)
  const parts = ctx.version === 4 ? [] : Object.entries(upload.parts).map(([number, part]) => ({ number: Number(number), part })).filter(({ number }) => number > marker).sort((a, b) => a.number - b.number)
  const rows = parts.map(({ number, part }) => `<Part>${el('PartNumber', number)}${el('LastModified', new Date(part.mtime * 1000).toISOString())}${el('ETag', `"${part.md5}"`)}${el('Size', part.size)}</Part>`).join('')
  sendXml(request, `<ListPartsResult ${XMLNS}>${el('Bucket', bucket)}${el('Key', key)}${el('UploadId', upload.id)}<Initiator>${owner}</Initiator><Owner>${owner}</Owner><StorageClass>STANDARD</StorageClass>${el('PartNumberMarker', marker)}<NextPartNumberMarker>0</NextPartNumberMarker><MaxParts>1000</MaxParts><IsTruncated>false</IsTruncated>${rows}</ListPartsResult>`)
}

/** `POST ?uploadId` */
export async function complete(request: S3Request): Promise<void> {
  const { ctx, req, bucket, key } = request
  const wanted = parseComplete(await readBody(req))
  const upload = uploadOf(request)
  const target = await writeTarget(request)
  const parts = wanted.map(({ number, etag }) => {
    const part = upload.parts[number]
    if (!part || part.md5 !== etag) throw new S3Error('InternalError')
    return part
  })
  if (parts.slice(0, -1).some(part => part.size < MIN_PART)) throw new S3Error('InternalError')
  const digest = createHash('md5')
  for (const part of parts) digest.update(Buffer.from(part.md5, 'hex'))
  const storageEtag = `${digest.digest('hex')}-${parts.length}`
  uploadsOf(ctx).delete(upload.id)
  const used = new Set(parts.map(part => part.id))
  await commitBlob(request, target, {
    segments: parts.map(({ id, size }) => ({ id, size })), size: parts.reduce((sum, part) => sum + part.size, 0), md5: '', storageEtag,
    hash: ctx.flat ? cellsHash(parts.flatMap(part => part.blocks)) : '', mtime: nowSeconds(), contentType: upload.contentType,
  })
  await ctx.blobs.remove(Object.values(upload.parts).filter(part => !used.has(part.id)))
  sendXml(request, `<CompleteMultipartUploadResult ${XMLNS}>${el('Location', `${ctx.url()}/${bucket}/${key}`)}${el('Bucket', bucket)}${el('Key', key)}${el('ETag', storageEtag)}</CompleteMultipartUploadResult>`, { ETag: `"${storageEtag}"` })
}

function parseComplete(body: Buffer): { number: number; etag: string }[] {
  let document: { CompleteMultipartUpload?: { Part?: { PartNumber?: string; ETag?: string }[] } | string }
  try {
    document = new XMLParser({ isArray: name => name === 'Part', parseTagValue: false }).parse(body) as typeof document
  } catch {
    throw new S3Error('MalformedXML')
  }
  const root = document.CompleteMultipartUpload
  const parts = (typeof root === 'object' ? (root.Part ?? []) : []).map(part => ({ number: Number(part.PartNumber), etag: String(part.ETag ?? '').replace(/&quot;|&#34;|"/g, '') }))
  if (parts.length === 0) throw new S3Error('MalformedXML')
  if (parts.some((part, i) => i > 0 && part.number <= (parts[i - 1]?.number ?? 0))) throw new S3Error('InternalError')
  return parts
}

/** The node that an abort takes with it: on a structured source whatever was never indexed at the path, ghosts included (sync-service.ts). */
function placeholderOf(ctx: Context, user: S3Request['user'], upload: UploadRow): NodeRecord | undefined {
  if (!ctx.flat) {
    const node = ctx.access.find(ctx.access.locate(user, upload.key, 403))
    return node?.etag === 'temporary' ? node : undefined
  }
  const node = upload.placeholder === '' ? undefined : ctx.tree.get(upload.placeholder)
  return node && !node.blob && ![...uploadsOf(ctx).values()].some(other => other.placeholder === node.uuid) ? node : undefined
}

/** `DELETE ?uploadId` */
export async function abort(request: S3Request): Promise<void> {
  const { ctx, res, user } = request
  const upload = uploadOf(request)
  uploadsOf(ctx).delete(upload.id)
  const node = placeholderOf(ctx, user, upload)
  if (node) {
    if (!ctx.flat) ctx.bus.deleted([node])
    ctx.tree.remove(node.uuid)
    if (node.blob) await ctx.blobs.remove(node.blob.segments)
  }
  await ctx.store.commit()
  await ctx.blobs.remove(Object.values(upload.parts))
  res.writeHead(204, { 'Accept-Ranges': 'bytes' })
  res.end()
}

