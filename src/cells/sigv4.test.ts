import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { canonicalQuery, sign, UNSIGNED_PAYLOAD } from './sigv4.js'

// The examples of the S3 API reference, "Signature Calculations for the Authorization Header".
const KEY = { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', region: 'us-east-1' }
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const COMMON = { host: 'examplebucket.s3.amazonaws.com', date: new Date('2013-05-24T00:00:00.000Z'), payloadHash: EMPTY }

describe('AWS signature version 4', () => {
  it('signs a GET with a range', () => {
    const headers = sign({ ...COMMON, method: 'GET', path: '/test.txt', query: {}, headers: { range: 'bytes=0-9' } }, KEY)
    assert.match(headers['authorization'] ?? '', /SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41$/)
    assert.match(headers['authorization'] ?? '', /^AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE\/20130524\/us-east-1\/s3\/aws4_request,/)
    assert.equal(headers['host'], undefined)
  })

  it('signs a PUT', () => {
    const headers = sign({
      ...COMMON, method: 'PUT', path: '/test%24file.text', query: {}, payloadHash: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      headers: { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
    }, KEY)
    assert.match(headers['authorization'] ?? '', /Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd$/)
  })

  it('signs a query without a value', () => {
    const headers = sign({ ...COMMON, method: 'GET', path: '/', query: { lifecycle: '' }, headers: {} }, KEY)
    assert.match(headers['authorization'] ?? '', /Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543$/)
  })

  it('signs a list', () => {
    const headers = sign({ ...COMMON, method: 'GET', path: '/', query: { prefix: 'J', 'max-keys': '2' }, headers: {} }, KEY)
    assert.match(headers['authorization'] ?? '', /Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7$/)
  })

  it('escapes and orders the query as it is sent', () => {
    assert.equal(canonicalQuery({ prefix: 'ws/a b(1)*/', delimiter: '/', 'list-type': '2' }), 'delimiter=%2F&list-type=2&prefix=ws%2Fa%20b%281%29%2A%2F')
    assert.equal(sign({ ...COMMON, method: 'GET', path: '/x', query: {}, headers: {}, payloadHash: UNSIGNED_PAYLOAD }, KEY)['x-amz-content-sha256'], 'UNSIGNED-PAYLOAD')
  })
})
