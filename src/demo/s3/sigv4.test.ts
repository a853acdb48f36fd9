import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { canonicalRequest, chunkSignature, EMPTY_SHA256, expectedSignature, readClaim, signingKey } from './sigv4.js'
import type { SignedRequest } from './sigv4.js'

// The worked examples of AWS's own documentation of Signature Version 4 for S3.
const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const SCOPE = 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request'
const DATE = '20130524T000000Z'

function check(request: SignedRequest, payload: string, signature: string): void {
  const claim = readClaim(request)
  assert.ok(claim)
  assert.equal(claim.accessKey, 'AKIAIOSFODNN7EXAMPLE')
  assert.equal(claim.signature, signature)
  assert.equal(expectedSignature(SECRET, claim, canonicalRequest(request, claim, payload)), signature)
}

function header(signedHeaders: string, signature: string): string {
  return `AWS4-HMAC-SHA256 Credential=${SCOPE}, SignedHeaders=${signedHeaders}, Signature=${signature}`
}

test('GET of an object with a range', () => {
  const signature = 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'
  check({ method: 'GET', url: '/test.txt', headers: { 'host': 'examplebucket.s3.amazonaws.com', 'range': 'bytes=0-9', 'x-amz-content-sha256': EMPTY_SHA256, 'x-amz-date': DATE, 'authorization': header('host;range;x-amz-content-sha256;x-amz-date', signature) } }, EMPTY_SHA256, signature)
})

test('PUT of an object whose name needs escaping', () => {
  const signature = '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd'
  const payload = createHash('sha256').update('Welcome to Amazon S3.').digest('hex')
  check({ method: 'PUT', url: '/test$file.text', headers: { 'host': 'examplebucket.s3.amazonaws.com', 'date': 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-content-sha256': payload, 'x-amz-date': DATE, 'x-amz-storage-class': 'REDUCED_REDUNDANCY', 'authorization': header('date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class', signature) } }, payload, signature)
})

test('GET with a query without a value, and with two parameters', () => {
  const headers = (signature: string): SignedRequest['headers'] => ({ 'host': 'examplebucket.s3.amazonaws.com', 'x-amz-content-sha256': EMPTY_SHA256, 'x-amz-date': DATE, 'authorization': header('host;x-amz-content-sha256;x-amz-date', signature) })
  const lifecycle = 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'
  check({ method: 'GET', url: '/?lifecycle', headers: headers(lifecycle) }, EMPTY_SHA256, lifecycle)
  const list = '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'
  check({ method: 'GET', url: '/?prefix=J&max-keys=2', headers: headers(list) }, EMPTY_SHA256, list)
})

test('presigned URL', () => {
  const signature = 'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404'
  const url = `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(SCOPE)}&X-Amz-Date=${DATE}&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=${signature}`
  check({ method: 'GET', url, headers: { host: 'examplebucket.s3.amazonaws.com' } }, 'UNSIGNED-PAYLOAD', signature)
})

test('chunks of a streamed body', () => {
  const seed = '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9'
  const request: SignedRequest = { method: 'PUT', url: '/examplebucket/chunkObject.txt', headers: {
    'host': 's3.amazonaws.com', 'x-amz-date': DATE, 'x-amz-storage-class': 'REDUCED_REDUNDANCY', 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': '66560', 'content-length': '66824',
    'authorization': header('content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class', seed),
  } }
  check(request, 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', seed)
  const claim = readClaim(request)
  assert.ok(claim)
  const key = signingKey(SECRET, claim)
  const hash = (size: number): string => createHash('sha256').update(Buffer.alloc(size, 'a')).digest('hex')
  const first = chunkSignature(key, claim, seed, hash(65536))
  assert.equal(first, 'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648')
  const second = chunkSignature(key, claim, first, hash(1024))
  assert.equal(second, '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497')
  assert.equal(chunkSignature(key, claim, second, hash(0)), 'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9')
})

test('what is not a complete claim is none', () => {
  assert.equal(readClaim({ method: 'GET', url: '/', headers: {} }), undefined)
  assert.equal(readClaim({ method: 'GET', url: '/', headers: { 'authorization': 'AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=y', 'x-amz-date': DATE } }), undefined)
  assert.equal(readClaim({ method: 'GET', url: '/', headers: { authorization: header('host', 'abc') } }), undefined)
})
