/**
 * One request of the S3 gateway: what it asks for and who asks. All the ways to sign in of contract section 4: SigV4
 * in the header or in the query, with the token as access key or `gateway` plus a token beside it, or a token alone.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DemoUser } from '../auth/types.js'
import type { Context } from '../context.js'
import { decodeAwsChunked } from './aws-chunked.js'
import { S3Error } from './errors.js'
import type { Claim } from './sigv4.js'
import { amzTimeMs, canonicalRequest, chunkSignature, expectedSignature, queryPairs, readClaim, sameSignature, signingKey } from './sigv4.js'

export const SECRET = 'gatewaysecret'
const REGION = 'us-east-1'
/** Largest difference of the clocks, as AWS and MinIO have it. */
const MAX_SKEW_MS = 15 * 60_000
const UNSIGNED_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
const SIGNED_CHUNKS = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'

export interface S3Request {
  readonly ctx: Context
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly user: DemoUser
  readonly claim: Claim | undefined
  /** io or data */
  readonly bucket: string
  /** Decoded, without the bucket; '' for the bucket itself. */
  readonly key: string
  /** Decoded path with bucket, for error documents. */
  readonly resource: string
  readonly query: ReadonlyMap<string, string>
}

export interface Target {
  readonly bucket: string
  readonly key: string
  readonly resource: string
}

/** Bucket and key of a path, undefined if it is not the gateway's. */
export function targetOf(url: string): Target | undefined {
  const path = url.split('?')[0] ?? ''
  let resource: string
  try {
    resource = decodeURIComponent(path)
  } catch {
    resource = path
  }
  const match = /^\/(io|data)(?:\/([\s\S]*))?$/.exec(resource)
  return match ? { bucket: match[1] ?? '', key: match[2] ?? '', resource } : undefined
}

/** Thrown for `Authorization: Bearer`: 401 with an empty body. */
export class BearerRefused extends Error {
  override readonly name = 'BearerRefused'
}

/** @throws S3Error, BearerRefused */
export async function authenticate(ctx: Context, req: IncomingMessage): Promise<{ user: DemoUser; claim: Claim | undefined }> {
  const url = req.url ?? ''
  const query = new Map(queryPairs(url))
  const signed = { method: req.method ?? '', url, headers: req.headers }
  const claim = readClaim(signed)
  const bearer = headerText(req, 'x-pydio-bearer') || query.get('pydio_jwt') || ''
  if (!claim) {
    if (/^bearer /i.test(req.headers.authorization ?? '')) throw new BearerRefused()
    return { user: await userOf(ctx, bearer), claim }
  }
  if (claim.region !== REGION) throw new S3Error('InternalError')
  const now = Date.now()
  const time = amzTimeMs(claim.time)
  if (claim.presigned ? now > time + claim.expires * 1000 || time > now + MAX_SKEW_MS : Math.abs(now - time) > MAX_SKEW_MS) throw new S3Error(claim.presigned ? 'AccessDenied' : 'RequestTimeTooSkewed')
  const gateway = claim.accessKey === 'gateway'
  // A presigned URL with the token as access key is known to 5.x only, whose own API hands such URLs out.
  if (claim.presigned && !gateway && ctx.version !== 5) throw new S3Error('AccessDenied')
  // A bad token is told before a bad signature: the token's owner is looked up to find the secret.
  const user = await userOf(ctx, gateway ? bearer : claim.accessKey)
  const payload = claim.presigned ? 'UNSIGNED-PAYLOAD' : headerText(req, 'x-amz-content-sha256') || 'UNSIGNED-PAYLOAD'
  const canonical = canonicalRequest(signed, claim, payload, new Set(['pydio_jwt']))
  if (!sameSignature(expectedSignature(SECRET, claim, canonical), claim.signature)) throw new S3Error('SignatureDoesNotMatch')
  return { user, claim }
}

async function userOf(ctx: Context, token: string): Promise<DemoUser> {
  const user = token === '' ? undefined : await ctx.auth.verifyBearer(token)
  if (!user) throw new S3Error('AccessDenied')
  return user
}

export function headerText(req: IncomingMessage, name: string): string {
  const value = req.headers[name]
  return Array.isArray(value) ? value.join(',') : (value ?? '')
}

/** The object's bytes out of a request body, and what is promised about them. */
export interface Payload {
  readonly source: AsyncIterable<Buffer>
  readonly length: number
  /** Hex sha256 that the whole must have, '' if not promised. */
  readonly sha256: string
  /** Hex md5 from Content-MD5, '' if not sent. */
  readonly md5: string
}

/** @throws S3Error for bodies this version does not take */
export function payloadOf(request: S3Request): Payload {
  const { req, ctx, claim } = request
  const hash = headerText(req, 'x-amz-content-sha256')
  const contentMd5 = headerText(req, 'content-md5')
  const md5 = Buffer.from(contentMd5, 'base64')
  if (contentMd5 !== '' && md5.length !== 16) throw new S3Error('InvalidDigest')
  const base = { md5: contentMd5 === '' ? '' : md5.toString('hex'), sha256: '' }
  if (!hash.startsWith('STREAMING-')) {
    const length = headerText(req, 'content-length')
    if (length === '') throw new S3Error('MissingContentLength')
    return { ...base, source: req as AsyncIterable<Buffer>, length: Number(length), sha256: /^[0-9a-f]{64}$/.test(hash) && claim && !claim.presigned ? hash : '' }
  }
  // Before 4.4.12 the gateway takes a trailer's marker for the hash of the content; it never looks at the length.
  if (hash === UNSIGNED_TRAILER && ctx.version !== 5) throw new S3Error('XAmzContentSHA256Mismatch')
  const length = Number(headerText(req, 'x-amz-decoded-content-length') || NaN)
  if (Number.isNaN(length)) throw new S3Error('MissingContentLength')
  if (hash === UNSIGNED_TRAILER) return { ...base, source: decodeAwsChunked(req as AsyncIterable<Buffer>), length }
  if (hash !== SIGNED_CHUNKS || !claim) throw new S3Error('XAmzContentSHA256Mismatch')
  const key = signingKey(SECRET, claim)
  let previous = claim.signature
  const verify = (sha256: string, signature: string): boolean => {
    const expected = chunkSignature(key, claim, previous, sha256)
    previous = signature
    return sameSignature(expected, signature)
  }
  return { ...base, source: decodeAwsChunked(req as AsyncIterable<Buffer>, { verify }), length }
}
