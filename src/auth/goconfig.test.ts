import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BLANK_ACCOUNT, formatConfig, parseConfig, type Account, type Accounts } from './goconfig.js'

const GO_FILE = [
  '{', '\t"ActiveConfigID": "alice@files.example.com:443",', '\t"Configs": {',
  '\t\t"alice@files.example.com:443": {', '\t\t\t"authType": "oauth2",', '\t\t\t"url": "https://files.example.com",', '\t\t\t"user": "alice",',
  '\t\t\t"idToken": "a\\u003cb\\u003e\\u0026c",', '\t\t\t"refreshToken": "r",', '\t\t\t"tokenExpiresAt": 1752058912,', '\t\t\t"skipVerify": false,',
  '\t\t\t"useTokenCache": true,', '\t\t\t"CustomHeaders": {', '\t\t\t\t"X-A": "1",', '\t\t\t\t"X-B": "2"', '\t\t\t},',
  '\t\t\t"label": "alice@files.example.com",', '\t\t\t"skipKeyring": true,', '\t\t\t"createdAtVersion": "4.3.1"', '\t\t},',
  '\t\t"bob@h:80": {', '\t\t\t"authType": "session",', '\t\t\t"url": "http://h",', '\t\t\t"user": "bob",', '\t\t\t"password": "p",', '\t\t\t"skipVerify": true,',
  '\t\t\t"useTokenCache": true,', '\t\t\t"CustomHeaders": null,', '\t\t\t"label": "bob@h",', '\t\t\t"skipKeyring": true,', '\t\t\t"createdAtVersion": "4.3.1"', '\t\t}',
  '\t}', '}',
].join('\n')

await test('a file of Pydio\'s cec is read and written back byte for byte', () => {
  const { accounts, migrated } = parseConfig(GO_FILE, '0')
  assert.equal(migrated, false)
  assert.equal(accounts.byId.get('alice@files.example.com:443')?.idToken, 'a<b>&c')
  assert.equal(formatConfig(accounts), GO_FILE)
})

await test('keys of a newer cec survive', () => {
  const { accounts } = parseConfig('{"ActiveConfigID":"a","Configs":{"a":{"url":"http://h","user":"a","newKey":{"x":[1]}}}}', '0')
  assert.match(formatConfig(accounts), /"newKey": \{/)
})

await test('what is no accounts file at all', () => {
  for (const text of ['', '[]', '"x"', 'null', '{"Configs":']) assert.throws(() => parseConfig(text, '0'), SyntaxError)
  for (const text of ['{}', '{"ActiveConfigID":"","Configs":{}}', '{"ActiveConfigID":"","Configs":null}', '{"url":7}']) {
    assert.equal(parseConfig(text, '0').accounts.byId.size, 0)
  }
})

await test('flat files: the kind follows from what is there', () => {
  const kind = (fields: object): string | undefined => [...parseConfig(JSON.stringify({ url: 'https://h/', user: 'u', ...fields }), '9').accounts.byId.values()][0]?.authType
  assert.equal(kind({ authType: 'OAuth2' }), 'oauth2')
  assert.equal(kind({ idToken: 'x', refreshToken: 'y' }), 'oauth2')
  assert.equal(kind({ password: 'p' }), 'session')
  assert.equal(kind({ idToken: 'x' }), 'pat')
  const { accounts } = parseConfig('{"Url":"https://h","User":"u","password":"p"}', '9')
  assert.equal(accounts.active, 'u@h:443')
  assert.equal(accounts.byId.get('u@h:443')?.createdAtVersion, '9')
})

const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((value) => Buffer.from(value).toString() === value)
const account: fc.Arbitrary<Account> = fc.record({
  authType: fc.constantFrom('pat', 'session', 'oauth2'), url: fc.constant('https://h'), user: text, idToken: text, refreshToken: text,
  tokenExpiresAt: fc.nat(), password: text, skipVerify: fc.boolean(), useTokenCache: fc.boolean(),
  customHeaders: fc.dictionary(fc.stringMatching(/^[A-Za-z-]{1,8}$/), text), label: text, skipKeyring: fc.boolean(), createdAtVersion: text,
}).map((fields) => ({ ...BLANK_ACCOUNT, ...fields }))

await test('what is written is read back the same', () => {
  fc.assert(fc.property(fc.array(fc.tuple(text.filter((id) => id !== '' && id !== '__proto__'), account), { minLength: 1, maxLength: 4 }), text, (entries, active) => {
    const accounts: Accounts = { active, byId: new Map(entries) }
    const again = parseConfig(formatConfig(accounts), '0').accounts
    assert.equal(again.active, active)
    assert.deepEqual(new Map([...again.byId].map(([id, value]) => [id, { ...value, customHeaders: { ...value.customHeaders } }])),
      new Map([...accounts.byId].map(([id, value]) => [id, { ...value, customHeaders: { ...value.customHeaders } }])))
  }))
})
