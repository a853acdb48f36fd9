import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AuthError } from './errors.js'
import { BLANK_ACCOUNT } from './goconfig.js'
import { checkKeyring, fromKeychain, KeytarStore, NoKeyring, type SecretStore } from './keyring.js'
import { AccountStore, secretOf, withSecret } from './store.js'
import { createLogger } from '../log.js'

/** keytar as its interface says, in memory. */
function fakeKeytar(): { entries: Map<string, string>; module: unknown } {
  const entries = new Map<string, string>()
  return {
    entries,
    module: {
      getPassword: (service: string, name: string) => Promise.resolve(entries.get(`${service}|${name}`) ?? null),
      setPassword: (service: string, name: string, value: string) => { entries.set(`${service}|${name}`, value); return Promise.resolve() },
      deletePassword: (service: string, name: string) => Promise.resolve(entries.delete(`${service}|${name}`)),
    },
  }
}

await test('keytar on macOS stores what go-keyring stores there, and reads all its forms', async () => {
  const { entries, module } = fakeKeytar()
  const store = new KeytarStore('darwin', () => Promise.resolve({ default: module }))
  await store.set('https://h::a', 'tökén')
  assert.equal(entries.get('com.pydio.cells-client|https://h::a'), `go-keyring-base64:${Buffer.from('tökén').toString('base64')}`)
  assert.equal(await store.get('https://h::a'), 'tökén')
  assert.equal(fromKeychain(`go-keyring-encoded:${Buffer.from('tökén').toString('hex')}`), 'tökén')
  assert.equal(fromKeychain('bare'), 'bare')
  await checkKeyring(store)
  assert.equal(entries.size, 1)
})

await test('keytar that is not installed is a sentence', async () => {
  const store = new KeytarStore('linux', () => Promise.reject(new Error('Cannot find package')))
  await assert.rejects(store.get('x'), (error) => error instanceof NoKeyring && /keytar is not installed/.test(error.message))
})

await test('a keyring that gives back something else fails the check and keeps no test entry', async () => {
  const deleted: string[] = []
  const store: SecretStore = { name: 'x', get: () => Promise.resolve('other'), set: () => Promise.resolve(), delete: (key) => { deleted.push(key); return Promise.resolve(true) } }
  await assert.rejects(checkKeyring(store), /does not give back/)
  assert.deepEqual(deleted, ['https://test.example.com::john.doe'])
})

await test('values in the keyring: token, access and refresh token, password', () => {
  const blank = { ...BLANK_ACCOUNT, url: 'https://h', user: 'a' }
  for (const account of [{ ...blank, authType: 'pat', idToken: 't' }, { ...blank, authType: 'oauth2', idToken: 't', refreshToken: 'r' }, { ...blank, authType: 'session', password: 'p__//__q' }]) {
    const cleared = { ...account, idToken: '', refreshToken: '', password: '' }
    assert.deepEqual(withSecret(cleared, secretOf(account)), account)
  }
  assert.equal(secretOf({ ...blank, authType: 'oauth2', idToken: 't', refreshToken: 'r' }), 't__//__r')
})

await test('a keyring that cannot be written: one warning, secrets in the file; one that works: none in the file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cec-store-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const account = { ...BLANK_ACCOUNT, authType: 'pat', url: 'https://h', user: 'a', idToken: 'the-token' }
  const lines: string[] = []
  const logger = createLogger('warn', (line) => lines.push(line))
  const broken: SecretStore = { name: 'broken', get: () => Promise.reject(new AuthError('keyring', 'locked')), set: () => Promise.reject(new AuthError('keyring', 'locked')), delete: () => Promise.resolve(false) }
  const saved = await new AccountStore({ folder, logger, keyring: () => Promise.resolve(broken) }).save(account)
  assert.equal(saved.skipKeyring, true)
  assert.equal(lines.length, 1)
  assert.doesNotMatch(lines.join(''), /the-token/)
  assert.match(await readFile(join(folder, 'config.json'), 'utf8'), /the-token/)

  const { module } = fakeKeytar()
  const working = new AccountStore({ folder, keyring: () => Promise.resolve(new KeytarStore('linux', () => Promise.resolve(module))) })
  await working.save(account)
  assert.doesNotMatch(await readFile(join(folder, 'config.json'), 'utf8'), /the-token/)
  assert.equal((await working.load('a@h:443')).idToken, 'the-token')
  await working.remove(['a@h:443'])
  assert.equal(await working.list(), undefined)
})
