import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { CellsError, type CellsErrorKind } from './errors.js'
import { restFault, s3Fault, transportFault } from './faults.js'

const json = (status: number, title: string, detail = title) => ({ status, contentType: 'application/json', body: JSON.stringify({ Title: title, Detail: detail }) })
const rest = (answer: Parameters<typeof restFault>[0]): CellsErrorKind => restFault(answer, 'do it').kind
const xml = (status: number, code: string) => ({ status, contentType: 'application/xml', body: `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>m</Message></Error>` })

const GRPC_MISSING = 'rpc error: code = NotFound desc = {"id":"pydio.grpc.data.index.personal","code":404,"detail":"Could not retrieve node /alice/x","status":"Not Found"}'

describe('REST answers', () => {
  it('knows absence only from words that mean it', () => {
    assert.equal(rest(json(404, GRPC_MISSING)), 'not-found')
    assert.equal(rest(json(500, GRPC_MISSING)), 'not-found')
    assert.equal(rest(json(404, 'E_NOT_FOUND', 'Cette ressource est introuvable')), 'not-found')
    // Seen while services of a real server restart.
    assert.equal(rest({ status: 404, contentType: 'text/plain', body: '404: Page Not Found' }), 'unavailable')
    assert.equal(rest(json(404, 'rpc error: code = Unknown desc = {"id":"","code":0,"detail":"all SubConns are in TransientFailure, latest connection error: connection error: connect: connection refused","status":""}')), 'unavailable')
    assert.equal(rest(json(404, 'rpc error: code = Internal desc = {"id":"tree","code":500,"detail":"Cannot send List request to underlying datasource"}')), 'unavailable')
    assert.equal(rest(json(404, 'rpc error: code = DeadlineExceeded desc = context deadline exceeded')), 'unavailable')
    assert.equal(rest({ status: 404, contentType: '', body: '' }), 'unavailable')
  })

  it('reads the words of the recorded errors', () => {
    assert.equal(rest(json(404, 'Workspace nowhere is not accessible', 'Forbidden: Workspace nowhere is not accessible')), 'forbidden')
    assert.equal(rest(json(500, 'x', 'Forbidden: Target Location is not writeable (CreateNode)')), 'forbidden')
    assert.equal(rest(json(423, 'This resource is currently locked, please retry later!')), 'locked')
    assert.equal(rest(json(500, 'unknown field "RemovePermanently" in rest.DeleteNodesRequest')), 'invalid')
    assert.equal(rest(json(500, 'rpc error: code = Unknown desc = {"code":409,"detail":"exists"}')), 'exists')
    assert.equal(rest(json(500, 'E_INTERNAL_SERVER_ERROR', 'quota reached')), 'quota')
    assert.equal(rest({ status: 401, contentType: 'text/plain', body: 'Unauthorized.\n' }), 'login-needed')
    assert.equal(rest({ status: 502, contentType: 'text/html', body: '<html>Bad gateway</html>' }), 'unavailable')
    assert.equal(rest({ status: 500, contentType: '', body: '' }), 'unavailable')
    assert.equal(rest(json(403, 'E_FORBIDDEN_EDIT', 'Nur lesen')), 'forbidden')
    assert.equal(rest(json(503, 'Service unavailable.')), 'unavailable')
  })

  it('recognises what is not Cells', () => {
    assert.equal(rest({ status: 200, contentType: 'text/html; charset=utf-8', body: '<!DOCTYPE html><html>' }), 'not-cells')
    assert.equal(rest({ status: 404, contentType: 'text/html', body: '<html>nginx</html>' }), 'not-cells')
    assert.equal(rest({ status: 301, contentType: '', body: '' }), 'not-cells')
  })
})

describe('S3 answers', () => {
  it('maps the codes', () => {
    const table: readonly [number, string, CellsErrorKind][] = [
      [404, 'NoSuchKey', 'not-found'], [416, 'InvalidRange', 'range'], [412, 'PreconditionFailed', 'precondition'], [403, 'AccessDenied', 'forbidden'],
      [500, 'InternalError', 'unavailable'], [503, 'XMinioBackendDown', 'unavailable'], [400, 'InvalidDigest', 'invalid'], [403, 'RequestTimeTooSkewed', 'invalid'], [403, 'PydioQuotaReached', 'quota'],
    ]
    for (const [status, code, kind] of table) assert.equal(s3Fault(xml(status, code), 'do it').kind, kind, code)
    assert.equal(s3Fault({ status: 404, contentType: '', body: '' }, 'do it').kind, 'not-found')
    assert.equal(s3Fault({ status: 200, contentType: 'text/html', body: '<html>' }, 'do it').kind, 'not-cells')
  })
})

describe('failures of the transport', () => {
  it('maps codes, also inside a cause or an AggregateError', () => {
    const coded = (code: string): Error => Object.assign(new Error('x'), { code })
    assert.equal(transportFault(coded('ECONNREFUSED'), 'do it').kind, 'network')
    assert.equal(transportFault(new Error('x', { cause: coded('ENOTFOUND') }), 'do it').kind, 'network')
    assert.equal(transportFault(new AggregateError([coded('ECONNREFUSED')]), 'do it').kind, 'network')
    assert.equal(transportFault(coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'do it').kind, 'tls')
    assert.equal(transportFault(coded('CERT_HAS_EXPIRED'), 'do it').kind, 'tls')
    assert.equal(transportFault(coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'do it').kind, 'tls')
    assert.equal(transportFault(coded('UND_ERR_BODY_TIMEOUT'), 'do it').kind, 'timeout')
    assert.equal(transportFault(coded('HPE_INVALID_CONSTANT'), 'do it').kind, 'protocol')
    assert.equal(transportFault(new Error('x'), 'do it').kind, 'unknown')
    const own = new CellsError('quota', 'q')
    assert.equal(transportFault(own, 'do it'), own)
  })
})

it('every answer and every thrown thing has an error, and an unknown one is never absence', () => {
  fc.assert(fc.property(fc.integer({ min: 300, max: 599 }), fc.string(), fc.oneof(fc.string(), fc.json()), (status, contentType, body) => {
    const answer = { status, contentType, body }
    const faults = [restFault(answer, 'do it'), s3Fault(answer, 'do it')]
    return faults.every((fault) => fault instanceof CellsError) && (status === 404 || /not ?found|"code"|NotFound/i.test(body) || faults[0]?.kind !== 'not-found')
  }))
  fc.assert(fc.property(fc.anything(), (thrown) => transportFault(thrown, 'do it').kind !== 'not-found'))
})
