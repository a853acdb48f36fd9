/** PUT of an object, server-side copy and DELETE (contract section 4; traps 1-3, 6-11). */
import type { Location } from '../access.js'
import { splitPath } from '../access.js'
import type { Blob, Written } from '../blobs.js'
import { cellsHash } from '../blobs.js'
import { NeverAnswer, RestError } from '../errors.js'
import { nameFate } from '../names.js'
import { nowSeconds } from '../tree.js'
import type { NodeRecord } from '../tree.js'
import { ChunkError } from './aws-chunked.js'
import { S3Error } from './errors.js'
import { headerText, payloadOf } from './request.js'
import type { S3Request } from './request.js'
import { el, XML_HEAD, XMLNS } from './xml.js'

const MAX_KEY_BYTES = 1024

/** Where a write goes. Checked before the body is read; the tree may have changed when it has been. */
export interface WriteTarget {
  readonly location: Location
  readonly name: string
  /** Uuid of the folder, if it was there when the write began. */
  readonly parent: string | undefined
}

/**
 * Rights and names of a write.
 * @throws S3Error, NeverAnswer (trap 10)
 */
export async function writeTarget(request: S3Request): Promise<WriteTarget> {
  const { ctx, user, key } = request
  const refused = (): S3Error => new S3Error(ctx.flat ? 'AccessDenied' : 'InternalError')
  let location: Location
  try {
    location = ctx.access.locate(user, key.normalize('NFC'), 403)
  } catch (error) {
    if (error instanceof RestError) throw refused()
    throw error
  }
  const name = location.names.at(-1)
  if (name === undefined || !location.view.writable) throw refused()
  for (const each of location.names) {
    const fate = nameFate(each, ctx.flat, 's3')
    if (fate === 'hang') throw new NeverAnswer()
    if (fate === 'refuse' && each.includes('\n')) throw new S3Error('NotImplemented')
    if (fate === 'refuse' || fate === 'astral') throw new S3Error('InternalError')
  }
  if (Buffer.byteLength(ctx.access.internalPath(location)) > MAX_KEY_BYTES) throw new S3Error('InternalError')
  let at: NodeRecord | undefined = location.view.root
  for (const each of location.names.slice(0, -1)) {
    at = at && ctx.tree.found(at.uuid, each)
    if (at && !at.folder) throw new S3Error('AccessDenied')
    if (at && ctx.indexer.isLocked(at.uuid)) throw refused()
  }
  const existing = ctx.access.find(location)
  if (existing && ctx.indexer.isLocked(existing.uuid)) throw refused()
  const locker = existing && ctx.metadata.lockedBy(existing.uuid)
  if (locker !== undefined && locker !== user.login) throw refused()
  if (existing?.folder && !existing.hidden && ctx.version !== 4) {
    if (ctx.version === 2) await ctx.indexer.pause(0.55 * ctx.indexer.delayMs)
    throw new S3Error(ctx.version === 2 ? 'XMinioBackendDown' : 'InternalError')
  }
  return { location, name, parent: at?.uuid }
}

/** Streams a request body into the blob store and checks what was promised about it. */
export async function receive(request: S3Request): Promise<Written> {
  const { ctx } = request
  const payload = payloadOf(request)
  let written: Written
  try {
    written = await ctx.blobs.write(payload.source, { sha256: payload.sha256 !== '' })
  } catch (error) {
    if (error instanceof ChunkError) throw new S3Error(error.reason === 'signature' ? 'SignatureDoesNotMatch' : 'InternalError')
    throw error
  }
  const wrongHash = payload.sha256 !== '' && payload.sha256 !== written.sha256
  const wrongMd5 = payload.md5 !== '' && payload.md5 !== written.md5
  if (wrongHash || wrongMd5 || written.size !== payload.length) {
    await ctx.blobs.remove([written])
    if (ctx.flat) throw new S3Error(wrongHash ? 'XAmzContentSHA256Mismatch' : wrongMd5 ? 'BadDigest' : 'InternalError')
    await ctx.indexer.pause(0.8 * ctx.indexer.delayMs)
    throw new S3Error('XMinioBackendDown')
  }
  return written
}

/** PUT of a whole object. */
export async function putObject(request: S3Request): Promise<void> {
  const { ctx, req, res } = request
  const target = await writeTarget(request)
  const written = await receive(request)
  const blob: Blob = {
    segments: [{ id: written.id, size: written.size }], size: written.size, md5: written.md5, storageEtag: written.md5, hash: ctx.flat ? cellsHash(written.blocks) : '',
    mtime: nowSeconds(), contentType: ctx.flat ? (req.headers['content-type'] ?? 'application/octet-stream') : 'application/octet-stream',
  }
  if (written.size === 0 && !ctx.flat) {
    // A structured source takes its time over an empty object (0.2-1.6 s recorded); a new node is seen meanwhile.
    placeholder(request, target)
    await ctx.indexer.pause(1.5 * ctx.indexer.delayMs)
  }
  await commitBlob(request, target, blob)
  res.writeHead(200, { 'Accept-Ranges': 'bytes', 'Content-Length': 0, 'ETag': ctx.flat ? `"${blob.storageEtag}"` : '""' })
  res.end()
}

/** A node without content, if the name is free: Etag `temporary`, no size. Returns its uuid, '' if there was a node. */
export function placeholder({ ctx }: S3Request, { location, name }: WriteTarget, inParts = false): string {
  if (ctx.access.find(location)) return ''
  const folder = location.names.slice(0, -1).reduce((at, each) => inParts ? ctx.indexer.folderForJob(at, each) : ctx.indexer.folderForPut(at, each), location.view.root)
  const node = ctx.tree.insert({ parent: folder.uuid, name, folder: false, etag: 'temporary' })
  ctx.bus.changed('CREATE', node)
  return node.uuid
}

/** The blob becomes the object's content; resolves when that survives the death of the process. */
export async function commitBlob({ ctx }: S3Request, { location, name, parent }: WriteTarget, blob: Blob): Promise<void> {
  const { tree, indexer, access, blobs, store } = ctx
  // On a flat source a write ends in the folder where it began, wherever that has been moved meanwhile.
  const known = ctx.flat && parent !== undefined ? tree.get(parent) : undefined
  let folder = known ?? location.view.root
  let lost = false
  for (const each of known ? [] : location.names.slice(0, -1)) {
    await indexer.arriving.get(`${folder.uuid}/${each}`)
    const existing = tree.found(folder.uuid, each)
    if (existing && !existing.folder) {
      await blobs.remove(blob.segments)
      throw new S3Error('AccessDenied')
    }
    if (existing && indexer.moving.has(existing.uuid)) {
      lost = true
      break
    }
    folder = indexer.folderForPut(folder, each)
  }
  const existing = lost ? undefined : tree.found(folder.uuid, name)
  // Trap 8: into a folder that is being moved, or onto a file that is being renamed.
  if (lost || existing?.folder) {
    await blobs.remove(blob.segments)
    return
  }
  if (existing && indexer.moving.has(existing.uuid)) {
    await blobs.remove(blob.segments)
    throw new S3Error('InternalError')
  }
  const exact = access.isExact({ ...location, names: location.names.slice(0, -1) }, folder) && (!existing || existing.name === name)
  indexer.put(folder, name, blob, exact ? undefined : access.source(location) + access.internalPath(location))
  await store.commit()
}

/** PUT with `x-amz-copy-source` (trap 7). */
export async function copyObject(request: S3Request): Promise<void> {
  const { ctx, req, user } = request
  const target = await writeTarget(request)
  let raw = headerText(req, 'x-amz-copy-source').split('?')[0] ?? ''
  try {
    raw = decodeURIComponent(raw)
  } catch {
    throw new S3Error('InvalidArgument')
  }
  const [, ...names] = splitPath(raw)
  const sourceError = new S3Error(ctx.flat ? 'NoSuchKey' : 'InternalError')
  let source: Location
  try {
    source = ctx.access.locate(user, names.join('/'), 403)
  } catch {
    throw sourceError
  }
  const node = ctx.access.visible(source)
  const object = node && ctx.strays.object(source, node)
  if (!object) throw sourceError
  if (source.path === target.location.path) throw new S3Error(ctx.flat ? 'NotImplemented' : 'InternalError')
  const sameSource = ctx.access.source(source) === ctx.access.source(target.location)
  let etag = ''
  let modified = '0001-01-01T00:00:00.000Z'
  if (ctx.flat || !sameSource) {
    const blob = { ...await ctx.blobs.copy(object), mtime: nowSeconds() }
    if (ctx.flat) {
      await commitBlob(request, target, blob)
      etag = blob.storageEtag
      modified = new Date().toISOString()
    } else {
      ctx.indexer.later(1.02 * ctx.indexer.delayMs, () => {
        const folder = target.location.names.slice(0, -1).reduce((at, each) => ctx.indexer.folderForPut(at, each), target.location.view.root)
        if (!ctx.tree.child(folder.uuid, target.name)?.folder) ctx.indexer.putIndexed(folder, target.name, blob)
      })
    }
  }
  sendXml(request, `<CopyObjectResult ${XMLNS}>${el('LastModified', modified)}${el('ETag', `"${etag}"`)}</CopyObjectResult>`)
}

/** DELETE of an object: 204 whatever happens (contract, section 4). */
export function deleteObject(request: S3Request): void {
  const { ctx, user, key, res } = request
  const done = (): void => {
    res.writeHead(204, { 'Accept-Ranges': 'bytes' })
    res.end()
  }
  let location: Location
  try {
    location = ctx.access.locate(user, key, 403)
  } catch {
    return done()
  }
  const node = ctx.access.visible(location)
  if (!node || node.deleting || !location.view.writable || location.names.length === 0) return done()
  if (node.folder) ctx.indexer.forgetFolder(node)
  else ctx.indexer.deleteFile(node, ctx.strays.key(location, node))
  void ctx.store.commit().then(done)
}

export function sendXml({ res }: Pick<S3Request, 'res'>, xml: string, headers: Record<string, string> = {}): void {
  const body = Buffer.from(XML_HEAD + xml)
  res.writeHead(200, { 'Accept-Ranges': 'bytes', 'Content-Type': 'application/xml', ...headers, 'Content-Length': body.length })
  res.end(body)
}
