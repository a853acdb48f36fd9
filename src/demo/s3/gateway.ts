/** The S3 gateway under `/io` and `/data`: from a request to one of its calls, and from an error to its XML. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { XMLParser } from 'fast-xml-parser'
import type { Context } from '../context.js'
import { NeverAnswer } from '../errors.js'
import { readBody } from '../http.js'
import { S3Error, sendS3Error } from './errors.js'
import { getObject } from './get.js'
import { bucketGet, listBuckets } from './list.js'
import { abort, complete, initiate, listParts, putPart } from './multipart.js'
import { copyObject, deleteObject, putObject, sendXml } from './put.js'
import { authenticate, BearerRefused, targetOf } from './request.js'
import type { S3Request } from './request.js'
import { queryPairs, readClaim } from './sigv4.js'
import { el, XMLNS } from './xml.js'

/** Answers a request that is the gateway's; false for all others. */
export async function handleS3(ctx: Context, req: IncomingMessage, res: ServerResponse): Promise<boolean> {
  const url = req.url ?? ''
  const target = targetOf(url)
  const buckets = !target && req.method === 'GET' && url.split('?')[0] === '/' && ctx.flat && readClaim({ method: 'GET', url, headers: req.headers }) !== undefined
  if (!target && !buckets) return false
  const resource = target?.resource ?? '/'
  try {
    const { user, claim } = await authenticate(ctx, req)
    if (!target) listBuckets({ res })
    else await dispatch({ ctx, req, res, user, claim, ...target, query: new Map(queryPairs(url)) })
  } catch (error) {
    if (error instanceof NeverAnswer) return true
    if (error instanceof BearerRefused) {
      res.writeHead(401, { 'Content-Length': 0 })
      res.end()
    } else if (error instanceof S3Error) sendS3Error(res, error, resource, req.method === 'HEAD')
    // The client has gone in the middle of its upload: nobody is left to answer.
    else if (req.destroyed && !req.complete) res.destroy()
    else {
      ctx.logger.error('demo: S3 request failed', { method: req.method, path: resource, error })
      sendS3Error(res, new S3Error('InternalError'), resource, req.method === 'HEAD')
    }
  }
  return true
}

async function dispatch(request: S3Request): Promise<void> {
  const { req, res, key, query } = request
  const method = req.method ?? ''
  if (key === '') {
    if (method === 'GET') return bucketGet(request)
    if (method === 'HEAD') {
      res.writeHead(200, { 'Accept-Ranges': 'bytes' })
      res.end()
      return
    }
    if (method === 'POST' && query.has('delete')) return multiDelete(request)
    throw new S3Error('NotImplemented')
  }
  if (query.has('acl') && method === 'GET') return bucketGet(request)
  if (method === 'GET' && query.has('uploadId')) return listParts(request)
  if (method === 'GET' || method === 'HEAD') return getObject(request)
  if (method === 'PUT' && query.has('uploadId')) return putPart(request)
  if (method === 'PUT' && req.headers['x-amz-copy-source'] !== undefined) return copyObject(request)
  if (method === 'PUT') return putObject(request)
  if (method === 'POST' && query.has('uploads')) return initiate(request)
  if (method === 'POST' && query.has('uploadId')) return complete(request)
  if (method === 'DELETE' && query.has('uploadId')) return abort(request)
  if (method === 'DELETE') return deleteObject(request)
  throw new S3Error('MethodNotAllowed')
}

/** Deletes nothing: every key gets an error of its own (contract, section 4). */
async function multiDelete(request: S3Request): Promise<void> {
  const body = await readBody(request.req)
  let keys: string[]
  try {
    const document = new XMLParser({ isArray: name => name === 'Object', parseTagValue: false }).parse(body) as { Delete?: { Object?: { Key?: string }[] } }
    keys = (document.Delete?.Object ?? []).map(object => String(object.Key ?? ''))
  } catch {
    throw new S3Error('MalformedXML')
  }
  const error = new S3Error(request.ctx.flat ? 'NotImplemented' : 'InternalError')
  sendXml(request, `<DeleteResult ${XMLNS}>${keys.map(key => `<Error>${el('Code', error.code)}${el('Message', error.message)}${el('Key', key)}</Error>`).join('')}</DeleteResult>`)
}
