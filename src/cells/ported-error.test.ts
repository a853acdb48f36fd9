import assert from 'node:assert/strict'
import { test } from 'node:test'
import { transportFault } from './faults.js'
import { landedError, portError } from './ported-error.js'

const coded = (code: string, more: object = {}): Error => Object.assign(new Error(`it was ${code}`), { code }, more)

/** As it is on the other side. */
const sent = (error: unknown): Error => landedError(structuredClone(portError(error)))

test('what tells of the kind of a failure survives the way: codes of the error, of its causes, of failed attempts', () => {
  for (const error of [
    coded('UND_ERR_HEADERS_TIMEOUT'),
    coded('DEPTH_ZERO_SELF_SIGNED_CERT'),
    new TypeError('fetch failed', { cause: coded('ECONNRESET') }),
    new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')]),
    new Error('outer', { cause: Object.assign(new AggregateError([coded('EHOSTUNREACH')]), { code: 'UND_ERR_CONNECT_TIMEOUT' }) }),
    coded('HPE_INVALID_CONSTANT'),
    new Error('nothing is known'),
  ]) {
    const [before, after] = [transportFault(error, 'do it'), transportFault(sent(error), 'do it')]
    assert.deepEqual([after.kind, after.message, after.detail], [before.kind, before.message, before.detail])
    assert.deepEqual([sent(error).name, sent(error).message], [error.name, error.message])
  }
})

test('what is no error is still told, and causes without an end do not take for ever', () => {
  assert.equal(sent('a word').message, 'a word')
  const error: Error & { cause?: unknown } = coded('ECONNRESET')
  error.cause = error
  assert.equal(transportFault(sent(error), 'do it').kind, 'network')
})
