/** Bucket calls: list v1 and v2 without continuation (contract, section 4), location, ACL. */
import { createHash } from 'node:crypto'
import type { Location } from '../access.js'
import { splitPath } from '../access.js'
import { FOLDER_MARKER } from '../tree.js'
import type { NodeRecord } from '../tree.js'
import { S3Error } from './errors.js'
import { sendXml } from './put.js'
import type { S3Request } from './request.js'
import { el, escapeXml, XMLNS } from './xml.js'

interface Row {
  readonly key: string
  readonly size: number
  readonly etag: string
  readonly mtime: number
}

/** GET of the bucket. @throws S3Error */
export function bucketGet(request: S3Request): void {
  const { query, res, ctx } = request
  if (query.has('location')) return sendXml(request, `<LocationConstraint ${XMLNS}></LocationConstraint>`)
  if (query.has('acl')) {
    const body = Buffer.from('<AccessControlPolicy><Owner><ID></ID><DisplayName></DisplayName></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><Type>CanonicalUser</Type></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>')
    res.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': body.length })
    res.end(body)
    return
  }
  if (query.has('uploads')) {
    if (!ctx.flat) throw new S3Error('InternalError')
    return sendXml(request, `<ListMultipartUploadsResult ${XMLNS}>${el('Bucket', request.bucket)}<KeyMarker></KeyMarker><UploadIdMarker></UploadIdMarker><NextKeyMarker></NextKeyMarker><NextUploadIdMarker></NextUploadIdMarker><MaxUploads>1000</MaxUploads><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>`)
  }
  if (query.has('versioning') || query.has('policy') || query.has('versions')) throw new S3Error('NotImplemented')
  list(request)
}

/** GET / of a signed client: the buckets, from 3.0 on. */
export function listBuckets(request: Pick<S3Request, 'res'>): void {
  const bucket = (name: string): string => `<Bucket>${el('Name', name)}<CreationDate>2020-06-17T00:00:00.000Z</CreationDate></Bucket>`
  sendXml(request, `<ListAllMyBucketsResult ${XMLNS}><Owner><ID></ID><DisplayName></DisplayName></Owner><Buckets>${bucket('io')}${bucket('data')}</Buckets></ListAllMyBucketsResult>`)
}

function list(request: S3Request): void {
  const { query, bucket } = request
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const maxKeys = Math.min(Number(query.get('max-keys') ?? 1000) || 0, 1000)
  const v2 = query.get('list-type') === '2'
  const found = rowsOf(request, prefix, delimiter !== '')
  // max-keys cuts without saying so; the folder itself is put on top of that.
  const rows = found.rows.slice(0, maxKeys)
  const prefixes = [...found.prefixes.slice(0, maxKeys - rows.length), ...found.self]
  const owner = v2 ? '<Owner><ID></ID><DisplayName></DisplayName></Owner>' : `<Owner>${el('ID', '02d6176db174dc93cb1b899f7c6078f08654445fe8cf1b6ce98d8855f66bdbf4')}<DisplayName></DisplayName></Owner>`
  const contents = rows.map(row => `<Contents>${el('Key', row.key)}${el('LastModified', new Date(row.mtime * 1000).toISOString())}${el('ETag', `"${row.etag}"`)}${el('Size', row.size)}${owner}<StorageClass></StorageClass></Contents>`).join('')
  const common = prefixes.map(each => `<CommonPrefixes>${el('Prefix', each)}</CommonPrefixes>`).join('')
  const counts = v2 ? el('KeyCount', rows.length + prefixes.length) : '<Marker></Marker>'
  sendXml(request, `<ListBucketResult ${XMLNS}>${el('Name', bucket)}${el('Prefix', prefix)}${counts}${el('MaxKeys', maxKeys)}<Delimiter>${escapeXml(delimiter)}</Delimiter><IsTruncated>false</IsTruncated>${contents}${common}</ListBucketResult>`)
}

interface Found {
  readonly rows: Row[]
  readonly prefixes: string[]
  /** The listed folder, which Cells lists inside itself, spelt as it was asked for. */
  readonly self: string[]
}

function rowsOf({ ctx, user }: S3Request, prefix: string, shallow: boolean): Found {
  const names = splitPath(prefix)
  if (names.length === 0) return { rows: [], prefixes: ctx.access.views(user).map(view => `${view.row.slug}/`), self: [] }
  const nothing = (): Found => {
    // From 3.x on a missing prefix is an empty list, before that an error.
    if (ctx.flat) return { rows: [], prefixes: [], self: [] }
    throw new S3Error('InternalError')
  }
  let location: Location
  try {
    location = ctx.access.locate(user, names.join('/'), 403)
  } catch {
    return nothing()
  }
  const folder = ctx.access.visible(location)
  if (!folder) return nothing()
  if (!folder.folder) return { rows: prefix.endsWith('/') ? [] : [rowOf(folder, location.path)], prefixes: [], self: [] }
  const found: Found = { rows: [], prefixes: [], self: [prefix] }
  const visit = (at: NodeRecord, path: string): void => {
    if (!ctx.flat) found.rows.push({ key: `${path}/.pydio`, size: FOLDER_MARKER, etag: createHash('md5').update(at.uuid).digest('hex'), mtime: at.mtime })
    for (const child of ctx.tree.children(at.uuid)) {
      if (child.hidden) continue
      const key = `${path}/${child.name}`
      if (!child.folder) found.rows.push(rowOf(child, key))
      else {
        found.prefixes.push(`${key}/`)
        if (!shallow) visit(child, key)
      }
    }
  }
  visit(folder, location.path)
  return found
}

const rowOf = (node: NodeRecord, key: string): Row => ({ key, size: node.size, etag: node.etag, mtime: node.mtime })
