/** GET and HEAD of an object: the index's size and etag over the storage's bytes (trap 1). */
import type { Location } from '../access.js'
import type { Blob } from '../blobs.js'
import { sendStream } from '../http.js'
import { markerNode } from '../rest/tree.js'
import type { NodeRecord } from '../tree.js'
import { S3Error } from './errors.js'
import type { S3Request } from './request.js'

/** Answers a GET or HEAD. @throws S3Error */
export async function getObject(request: S3Request): Promise<void> {
  const { ctx, req, res, query } = request
  const head = req.method === 'HEAD'
  const { node, object, text } = find(request)
  const size = node.size
  const validators = { 'ETag': `"${node.etag}"`, 'Last-Modified': new Date(node.mtime * 1000).toUTCString() }
  const unmet = precondition(req.headers, node)
  if (unmet === 304) {
    res.writeHead(304, validators)
    res.end()
    return
  }
  if (unmet === 412) throw new S3Error('PreconditionFailed', validators)
  const range = parseRange(req.headers.range, size)
  if (range === 'unsatisfiable') throw new S3Error('InvalidRange')
  const start = range?.start ?? 0
  const end = range?.end ?? size - 1
  const length = end - start + 1
  const type = query.get('response-content-type') ?? (ctx.flat ? (object?.contentType ?? 'application/octet-stream') : 'application/octet-stream')
  const disposition = query.get('response-content-disposition') ?? (ctx.flat && query.has('pydio_jwt') ? `attachment; filename*=UTF-8''${encodeURIComponent(node.name)}` : undefined)
  const headers: Record<string, string | number> = {
    'Accept-Ranges': 'bytes', ...validators, 'Content-Type': type, 'Content-Length': length,
    ...(disposition === undefined ? {} : { 'Content-Disposition': disposition.replace(/[\r\n]/g, '') }),
    ...(range ? { 'Content-Range': `bytes ${start}-${end}/${size}` } : {}),
  }
  if (head) {
    res.writeHead(range ? 206 : 200, headers)
    res.end()
    return
  }
  if (text !== undefined) {
    res.writeHead(range ? 206 : 200, headers)
    res.end(Buffer.from(text).subarray(start, end + 1))
    return
  }
  if (!object || (object.size === 0 && size > 0)) {
    // The index promises bytes that the storage no longer has, or (upload open) does not have yet.
    res.writeHead(object ? 500 : 404, { ...headers, 'Content-Type': 'application/xml' })
    res.flushHeaders()
    if (length > 0) res.socket?.end()
    else res.end()
    return
  }
  res.writeHead(range ? 206 : 200, headers)
  if (length <= 0) {
    res.end()
    return
  }
  await sendStream(res, ctx.blobs.read(object, start, end), length)
}

function find({ ctx, user, key }: S3Request): { node: NodeRecord; object?: Blob | undefined; text?: string } {
  let location: Location
  try {
    location = ctx.access.locate(user, key, 403)
  } catch {
    throw new S3Error('AccessDenied')
  }
  const missing = new S3Error(ctx.flat ? 'NoSuchKey' : 'InternalError')
  if (!ctx.flat && location.names.at(-1) === '.pydio') {
    try {
      const marker = markerNode(ctx, location)
      if (marker) return { node: marker, text: marker.parent }
    } catch {
      throw missing
    }
  }
  const node = ctx.access.visible(location)
  if (!node) throw missing
  if (node.folder) throw new S3Error('InternalError')
  return { node, object: ctx.strays.object(location, node) }
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** 304, 412 or undefined; If-Range is ignored (contract, section 4). */
function precondition(headers: Headers, node: NodeRecord): 304 | 412 | undefined {
  const has = (value: string): boolean => value.split(',').some(each => each.trim().replace(/^W\//, '').replace(/^"|"$/g, '') === node.etag || each.trim() === '*')
  const [match, noneMatch] = [headers['if-match'], headers['if-none-match']]
  const time = (name: string): number => Date.parse(String(headers[name] ?? '')) / 1000
  if (typeof match === 'string' && !has(match)) return 412
  if (headers['if-unmodified-since'] !== undefined && node.mtime > time('if-unmodified-since')) return 412
  if (typeof noneMatch === 'string') return has(noneMatch) ? 304 : undefined
  if (headers['if-modified-since'] !== undefined && node.mtime <= time('if-modified-since')) return 304
  return undefined
}

/** One range; undefined for none, several or malformed ones (the whole body is sent). `end` is inclusive. */
export function parseRange(header: string | undefined, size: number): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  if (match[1] === '') {
    const last = Number(match[2])
    return last === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(size - last, 0), end: size - 1 }
  }
  const start = Number(match[1])
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1)
  return start >= size || end < start ? 'unsatisfiable' : { start, end }
}
