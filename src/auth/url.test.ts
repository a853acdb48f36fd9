import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAuthError } from './errors.js'
import { accountIdOf, cleanUrl, isLoopback, labelOf } from './url.js'

await test('URLs are reduced to scheme, host and port', () => {
  assert.equal(cleanUrl(' https://h:8080/ui/?x=1 '), 'https://h:8080')
  assert.equal(cleanUrl('https://user:pw@H.example:443/#a'), 'https://h.example')
  assert.equal(cleanUrl('http://[::1]:80'), 'http://[::1]')
})

await test('what is no URL is refused, a password in it is not repeated', () => {
  for (const text of ['', 'files.example.com', 'ftp://x', 'https://', '//h']) assert.throws(() => cleanUrl(text), (error) => isAuthError(error, 'invalid'))
  assert.throws(() => cleanUrl('ftp://me:secret@x'), (error: Error) => !error.message.includes('secret'))
})

await test('ids, labels, loopback', () => {
  assert.equal(accountIdOf('https://files.example.com', 'alice'), 'alice@files.example.com:443')
  assert.equal(accountIdOf('http://h', 'bob'), 'bob@h:80')
  assert.equal(labelOf('https://h:8443', 'bob'), 'bob@h')
  assert.deepEqual(['http://localhost:1', 'http://127.0.0.9', 'http://[::1]:8', 'http://h', 'http://127.example'].map(isLoopback), [true, true, true, false, false])
})
