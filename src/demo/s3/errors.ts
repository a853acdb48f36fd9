/** S3 errors as the gateway writes them (contract, section 9). */
import type { ServerResponse } from 'node:http'
import { el, XML_HEAD } from './xml.js'

const KNOWN = {
  AccessDenied: [403, 'Access Denied.'],
  BadDigest: [400, 'The Content-Md5 you specified did not match what we received.'],
  InternalError: [500, 'We encountered an internal error, please try again.'],
  InvalidArgument: [400, 'Invalid Argument'],
  InvalidDigest: [400, 'The Content-Md5 you specified is not valid.'],
  InvalidPart: [400, 'One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part\'s entity tag.'],
  EntityTooSmall: [400, 'Your proposed upload is smaller than the minimum allowed object size.'],
  InvalidRange: [416, 'The requested range is not satisfiable'],
  MalformedXML: [400, 'The XML you provided was not well-formed or did not validate against our published schema.'],
  MethodNotAllowed: [405, 'The specified method is not allowed against this resource.'],
  MissingContentLength: [411, 'You must provide the Content-Length HTTP header.'],
  NoSuchBucket: [404, 'The specified bucket does not exist'],
  NoSuchKey: [404, 'The specified key does not exist.'],
  NoSuchUpload: [404, 'The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.'],
  NotImplemented: [501, 'A header you provided implies functionality that is not implemented'],
  PreconditionFailed: [412, 'At least one of the pre-conditions you specified did not hold'],
  RequestTimeTooSkewed: [403, 'The difference between the request time and the server\'s time is too large.'],
  SignatureDoesNotMatch: [403, 'The request signature we calculated does not match the signature you provided. Check your key and signing method.'],
  XAmzContentSHA256Mismatch: [400, 'The provided \'x-amz-content-sha256\' header does not match what was computed.'],
  XMinioBackendDown: [503, 'Object storage backend is unreachable'],
} as const satisfies Record<string, readonly [number, string]>

export type S3Code = keyof typeof KNOWN

export class S3Error extends Error {
  override readonly name = 'S3Error'
  readonly code: S3Code
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(code: S3Code, headers: Readonly<Record<string, string>> = {}) {
    super(KNOWN[code][1])
    this.code = code
    this.status = KNOWN[code][0]
    this.headers = headers
  }
}

/** @param resource decoded request path */
export function sendS3Error(res: ServerResponse, error: S3Error, resource: string, head: boolean): void {
  if (res.headersSent || res.destroyed) {
    res.destroy()
    return
  }
  if (head) {
    res.writeHead(error.status, error.headers)
    res.end()
    return
  }
  const body = Buffer.from(`${XML_HEAD}<Error>${el('Code', error.code)}${el('Message', error.message)}${el('Resource', resource)}<RequestId></RequestId><HostId>3L137</HostId></Error>`)
  res.writeHead(error.status, { 'Content-Type': 'application/xml', ...error.headers, 'Content-Length': body.length })
  res.end(body)
}
