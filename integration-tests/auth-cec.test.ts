/** cec's global behaviour and its accounts commands, as a process: rows G and C of cec-reference section 13. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect as connectSocket, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { startStub, type Stub, type StubOptions } from './helpers/auth-stub.js'
import { freshHome, type Home } from './helpers/run-cec.js'

async function stubFor(t: TestContext, options: StubOptions = {}): Promise<Stub> {
  const stub = await startStub(options)
  t.after(() => stub.close())
  return stub
}

const fileOf = async (home: Home): Promise<string> => await readFile(join(home.config, 'config.json'), 'utf8')

async function writeAccounts(home: Home, text: string): Promise<void> {
  await mkdir(home.config, { recursive: true })
  await writeFile(join(home.config, 'config.json'), text)
}

const account = (url: string, user: string, more: Record<string, unknown>): Record<string, unknown> => ({
  authType: 'pat', url, user, skipVerify: false, useTokenCache: true, CustomHeaders: null, label: `${user}@localhost`, skipKeyring: true, createdAtVersion: '4.3.1', ...more,
})

const hasFile = async (path: string): Promise<boolean> => await stat(path).then(() => true, () => false)

await test('G1 help works without any configuration', async (t) => {
  const home = await freshHome(t)
  for (const words of [['--help'], ['config', '-h'], [], ['help', 'config'], ['config', 'add', '--help']]) {
    const result = await home.cec(words)
    assert.equal(result.code, 0, words.join(' '))
    assert.match(result.stdout, /Global options:/)
    assert.equal(result.stderr, '')
  }
  assert.match((await home.cec(['help', 'config'])).stdout, /check-keyring/)
  assert.equal(await hasFile(home.config), false)
})

await test('G2 G3 G5 G6 C26 a token by environment or flag: flags win, URL is cleaned, nothing is read or written', async (t) => {
  const home = await freshHome(t)
  const stub = await stubFor(t)
  await writeAccounts(home, 'this is no JSON')
  const env = { CEC_URL: ` ${stub.url}/ui/?x=1 `, CEC_TOKEN: 'pat-of-alice', CEC_LOGIN: 'bob', CEC_PASSWORD: 'bob-P4ss' }
  const byEnv = await home.cec(['info'], { env })
  assert.equal(byEnv.code, 0, byEnv.stderr)
  assert.match(byEnv.stdout, /\| USERNAME \| +SERVER URL +\| AUTH TYPE \|\n/)
  assert.match(byEnv.stdout, new RegExp(`\\| alice +\\| ${stub.url} +\\| PAT +\\|`))
  assert.deepEqual(stub.requests, ['GET /a/frontend/state'])

  const byFlag = await home.cec(['info', '-u', stub.url, '-t', 'pat-of-alice'], { env: { CEC_URL: 'http://localhost:9', CEC_TOKEN: 'wrong' } })
  assert.equal(byFlag.code, 0, byFlag.stderr)
  assert.equal(await fileOf(home), 'this is no JSON')
})

await test('G4 G7 login and password by environment, also under their old names', async (t) => {
  const home = await freshHome(t)
  const stub = await stubFor(t)
  const now = await home.cec(['info'], { env: { CEC_URL: stub.url, CEC_LOGIN: 'alice', CEC_PASSWORD: 'alice-P4ss' } })
  assert.equal(now.code, 0, now.stderr)
  const old = await home.cec(['info'], {
    env: { CELLS_CLIENT_TARGET_URL: stub.url, CELLS_CLIENT_TARGET_USER_LOGIN: 'bob', CELLS_CLIENT_TARGET_USER_PWD: 'bob-P4ss', CELLS_CLIENT_TARGET_CLIENT_KEY: 'k' },
  })
  assert.equal(old.code, 0, old.stderr)
  assert.match(old.stdout, /bob/)
  assert.match(old.stderr, /CLIENT_KEY is no longer used/)
  const wrong = await home.cec(['info'], { env: { CEC_URL: stub.url, CEC_LOGIN: 'alice', CEC_PASSWORD: 'secret-typo' } })
  assert.equal(wrong.code, 1)
  assert.match(wrong.stderr, /refuses this login and password/)
  assert.doesNotMatch(wrong.stderr, /secret-typo/)
})

await test('G8 C4 TLS: a self-signed server needs CEC_SKIP_VERIFY, or an account with --skip-verify', async (t) => {
  const home = await freshHome(t)
  const key = join(home.dir, 'key.pem')
  const cert = join(home.dir, 'cert.pem')
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  } catch {
    t.skip('openssl is not installed')
    return
  }
  const stub = await stubFor(t, { tls: { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') } })
  const env = { CEC_URL: stub.url, CEC_TOKEN: 'pat-of-alice' }
  const strict = await home.cec(['info'], { env })
  assert.equal(strict.code, 1)
  assert.match(strict.stderr, /no secure connection to localhost:\d+: its certificate is self-signed/)
  for (const words of [['info', '--skip-verify'], ['--skip_verify', 'info']]) {
    const result = await home.cec(words, { env })
    assert.equal(result.code, 0, result.stderr)
  }
  for (const value of ['true', '1', 'T']) assert.equal((await home.cec(['info'], { env: { ...env, CEC_SKIP_VERIFY: value } })).code, 0)
  const bad = await home.cec(['info'], { env: { ...env, CEC_SKIP_VERIFY: 'yes' } })
  assert.equal(bad.code, 2)

  // C4: the flag is stored.
  const added = await home.cec(['config', 'add', 'token', '-u', stub.url, '-t', 'pat-of-alice', '--skip-verify', '--skip-keyring'])
  assert.equal(added.code, 0, added.stderr)
  assert.match(await fileOf(home), /"skipVerify": true/)
  assert.equal((await home.cec(['info'])).code, 0)
})

await test('G9 underscore flags are accepted and hidden', async (t) => {
  const home = await freshHome(t)
  assert.doesNotMatch((await home.cec(['--help'])).stdout, /skip_verify/)
  assert.match((await home.cec(['--help'], { env: { CEC_DISPLAY_HIDDEN_FLAGS: '1' } })).stdout, /skip_verify/)
  const stub = await stubFor(t)
  const added = await home.cec(['--skip_verify', '--skip_keyring', '--no_cache', 'config', 'add', 'token', '-u', stub.url, '-t', 'pat-of-alice'])
  assert.equal(added.code, 0, added.stderr)
  assert.match(await fileOf(home), /"skipVerify": true,[\s\S]*"skipKeyring": true/)
})

await test('G10 no account: one sentence that points to config add', async (t) => {
  const home = await freshHome(t)
  for (const text of [undefined, '{"ActiveConfigID":"","Configs":{}}']) {
    if (text !== undefined) await writeAccounts(home, text)
    const result = await home.cec(['info'])
    assert.equal(result.code, 1)
    assert.match(result.stderr, /config add/)
    assert.equal(result.stderr.trim().split('\n').length, 1)
  }
})

await test('G11 usage errors end with 2', async (t) => {
  const home = await freshHome(t)
  for (const words of [['nope'], ['info', '--nope'], ['cp', 'a'], ['config'], ['config', 'nope'], ['--log'], ['config', 'ls', 'extra']]) {
    const result = await home.cec(words)
    assert.equal(result.code, 2, `${words.join(' ')}: ${result.stderr}`)
    assert.equal(result.stdout, '')
    assert.notEqual(result.stderr, '')
  }
})

await test('G12 G13 a global flag first; --config DIR is honoured everywhere', async (t) => {
  const home = await freshHome(t)
  const stub = await stubFor(t)
  assert.equal((await home.cec(['--log', 'debug', 'config', 'ls'])).code, 0)
  const other = join(home.dir, 'other')
  const added = await home.cec(['--config', other, 'config', 'add', 'token', '-u', stub.url, '-t', 'pat-of-alice', '--skip-keyring'])
  assert.equal(added.code, 0, added.stderr)
  assert.equal(await hasFile(join(other, 'config.json')), true)
  assert.equal(await hasFile(join(home.config, 'config.json')), false)
  assert.match((await home.cec(['config', 'ls'], { env: { CEC_CONFIG: other } })).stdout, /alice/)
  assert.equal((await home.cec(['info', '--config', other])).code, 0)
  assert.equal((await home.cec(['clear', '-f', '--config', other])).code, 0)
  assert.equal(await hasFile(join(other, 'config.json')), false)
})

await test('G14 a proxy is used for other hosts, and not where NO_PROXY says so', async (t) => {
  const home = await freshHome(t)
  const stub = await stubFor(t)
  const seen: string[] = []
  const proxy = createServer()
  proxy.on('connect', (request, socket) => {
    seen.push(request.url ?? '')
    const target = connectSocket(Number(new URL(stub.url).port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      target.pipe(socket)
      socket.pipe(target)
    })
    target.on('error', () => socket.destroy())
    socket.on('error', () => target.destroy())
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => { proxy.close(); proxy.closeAllConnections() })
  const env = { CEC_URL: 'http://cells.test', CEC_TOKEN: 'pat-of-alice', HTTP_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` }
  const through = await home.cec(['info'], { env })
  assert.equal(through.code, 0, through.stderr)
  assert.deepEqual(seen, ['cells.test:80'])
  const past = await home.cec(['info'], { env: { ...env, NO_PROXY: 'cells.test' } })
  assert.equal(past.code, 1)
  assert.equal(seen.length, 1)
})

await test('bad servers: one sentence each', async (t) => {
  const home = await freshHome(t)
  const web = await stubFor(t, { html: true })
  const cases: [string, RegExp][] = [
    [web.url, /does not answer like a Pydio Cells server/],
    ['http://localhost:9', /refuses connections/],
    ['https://no-such-host.invalid', /cannot find the host|cannot reach/],
    ['not a url', /is not a URL/],
    ['ftp://x.example', /does not begin with/],
  ]
  for (const [url, sentence] of cases) {
    const result = await home.cec(['config', 'add', 'token', '-u', url, '-t', 'x', '--skip-keyring'])
    assert.equal(result.code, 1, url)
    assert.match(result.stderr, sentence)
    assert.equal(result.stderr.trim().split('\n').length, 1)
    assert.equal(await hasFile(join(home.config, 'config.json')), false)
  }
})

await test('C1 C3 C12 C13 config add token: saved in Go format with mode 0600; a bad token changes nothing', async (t) => {
  const home = await freshHome(t)
  const stub = await stubFor(t)
  const added = await home.cec(['config', 'add', 'token', '-u', `${stub.url}/`, '-t', 'pat-of-alice'])
  assert.equal(added.code, 0, added.stderr)
  assert.match(added.stdout, new RegExp(`^✔ .*alice.*${stub.url}`))
  assert.match(added.stderr, /WARN\t.*clear text/)
  const id = `alice@localhost:${new URL(stub.url).port}`
  const text = await fileOf(home)
  const version = (JSON.parse(text) as { Configs: Record<string, { createdAtVersion: string }> }).Configs[id]?.createdAtVersion
  assert.equal(text, [
    '{', `\t"ActiveConfigID": "${id}",`, '\t"Configs": {', `\t\t"${id}": {`,
    '\t\t\t"authType": "pat",', `\t\t\t"url": "${stub.url}",`, '\t\t\t"user": "alice",', '\t\t\t"idToken": "pat-of-alice",', '\t\t\t"skipVerify": false,',
    '\t\t\t"useTokenCache": true,', '\t\t\t"CustomHeaders": null,', '\t\t\t"label": "alice@localhost",', '\t\t\t"skipKeyring": true,',
    `\t\t\t"createdAtVersion": "${version}"`, '\t\t}', '\t}', '}',
  ].join('\n'))
  assert.equal((await stat(join(home.config, 'config.json'))).mode & 0o777, 0o600)

  const bad = await home.cec(['config', 'add', 'token', '-u', stub.url, '-t', 'wrong-one', '--skip-keyring'])
  assert.equal(bad.code, 1)
  assert.doesNotMatch(bad.stderr, /wrong-one/)
  assert.equal(await fileOf(home), text)

  const quiet = await home.cec(['config', 'add', 'token', '-u', stub.url, '-t', 'pat-of-alice', '--skip-keyring'])
  assert.equal(quiet.stderr, '')
})

await test('C5 C10 client-auth and --id-token without questions, also by the old spellings', async (t) => {
  const home = await freshHome(t)
  const stub = await stubFor(t)
  const login = await home.cec(['config', 'add', 'client-auth', '-u', stub.url, '--login', 'bob', '--password', 'bob-P4ss', '--skip-keyring'])
  assert.equal(login.code, 0, login.stderr)
  assert.match(await fileOf(home), /"authType": "session",[\s\S]*"password": "bob-P4ss"/)
  assert.equal((await home.cec(['info'])).code, 0)

  const pair = stub.grant('alice')
  for (const words of [['config', 'add', 'oauth', '--id-token'], ['oauth', '--id_token'], ['configure', 'oauth', '--id-token']]) {
    const result = await home.cec([...words, pair.access, '--url', stub.url, '--skip-keyring'])
    assert.equal(result.code, 0, result.stderr)
    assert.equal(/deprecated/.test(result.stderr), words[0] !== 'config')
  }
  const text = await fileOf(home)
  assert.match(text, /"authType": "oauth2"/)
  assert.doesNotMatch(text, /refreshToken|tokenExpiresAt/)
  assert.match((await home.cec(['info'])).stdout, /OAuth2/)
})

await test('questions need a terminal: exit 2 at once, nothing stored', async (t) => {
  const home = await freshHome(t)
  for (const words of [['config', 'add'], ['config', 'add', 'oauth'], ['config', 'add', 'token', '-u', 'http://localhost:9'], ['configure'], ['oauth']]) {
    const result = await home.cec(words)
    assert.equal(result.code, 2, words.join(' '))
    assert.match(result.stderr, /no terminal/)
  }
  assert.equal(await hasFile(join(home.config, 'config.json')), false)
})

await test('C15 C16 older files are migrated', async (t) => {
  const home = await freshHome(t)
  const stub = await stubFor(t)
  await writeAccounts(home, JSON.stringify({ url: stub.url, user: 'bob', password: 'bob-P4ss', authType: 'Client Credentials', skipVerify: false, useTokenCache: true, skipKeyring: true }))
  const flat = await home.cec(['info'])
  assert.equal(flat.code, 0, flat.stderr)
  const id = `bob@localhost:${new URL(stub.url).port}`
  const file = JSON.parse(await fileOf(home)) as { ActiveConfigID: string; Configs: Record<string, Record<string, unknown>> }
  assert.equal(file.ActiveConfigID, id)
  assert.equal(file.Configs[id]?.['authType'], 'session')
  assert.equal(file.Configs[id]?.['label'], 'bob@localhost')

  await writeAccounts(home, JSON.stringify({ ActiveConfigID: 'a', Configs: { a: account(stub.url, 'alice', { authType: 'Personal Access Token', idToken: 'pat-of-alice' }) } }))
  assert.equal((await home.cec(['config', 'ls'])).code, 0)
  assert.match(await fileOf(home), /"authType": "pat"/)
})

await test('C17 C18 C19 config ls and use', async (t) => {
  const home = await freshHome(t)
  const ids = ['alice@a.example:443', 'bob@b.example:8080']
  await writeAccounts(home, JSON.stringify({ ActiveConfigID: ids[0], Configs: {
    [ids[1] ?? '']: { ...account('http://b.example:8080', 'bob', { authType: 'oauth2', idToken: 'x' }), label: 'bob@b.example' },
    [ids[0] ?? '']: { ...account('https://a.example', 'alice', { idToken: 'x' }), label: 'alice@a.example' },
  } }))
  assert.equal((await home.cec(['config', 'ls'])).stdout, [
    '+--------+-----------------+-------+-----------------------+--------+',
    '| ACTIVE |      LABEL      | USER  |          URL          |  TYPE  |',
    '+--------+-----------------+-------+-----------------------+--------+',
    '| ✓      | alice@a.example | alice | https://a.example     | PAT    |',
    '|        | bob@b.example   | bob   | http://b.example:8080 | OAuth2 |',
    '+--------+-----------------+-------+-----------------------+--------+', '',
  ].join('\n'))
  for (const name of [ids[1] ?? '', 'bob@b.example']) {
    const used = await home.cec(['config', 'use', name])
    assert.equal(used.stdout, `The active configuration is: ${ids[1]}\n`)
  }
  assert.match(await fileOf(home), /"ActiveConfigID": "bob@b.example:8080"/)
  const before = await fileOf(home)
  assert.equal((await home.cec(['config', 'use', 'nobody@x:1'])).code, 1)
  assert.equal((await home.cec(['config', 'use'])).code, 2)
  assert.equal(await fileOf(home), before)
})

await test('C20 C21 C22 C25 config rm and clear', async (t) => {
  const home = await freshHome(t)
  const configs = Object.fromEntries(['a', 'b', 'c'].map((user) => [`${user}@h.example:443`, account('https://h.example', user, { idToken: 'x' })]))
  await writeAccounts(home, JSON.stringify({ ActiveConfigID: 'a@h.example:443', Configs: configs }))
  const before = await fileOf(home)
  assert.equal((await home.cec(['config', 'rm', 'b@h.example:443'])).code, 2)
  assert.equal((await home.cec(['clear'])).code, 2)
  assert.equal(await fileOf(home), before)

  assert.equal((await home.cec(['config', 'rm', '-f', 'b@h.example:443'])).code, 0)
  assert.match(await fileOf(home), /"ActiveConfigID": "a@h.example:443"/)
  // One remains: it becomes active.
  const removed = await home.cec(['config', 'rm', '-f', 'a@h.example:443'])
  assert.match(removed.stdout, /active configuration is: c@h.example:443/)
  assert.equal((await home.cec(['config', 'rm', '-f'])).code, 0)
  assert.equal(await hasFile(join(home.config, 'config.json')), false)
  assert.match((await home.cec(['config', 'rm', '-f'])).stderr, /empty/)
  assert.equal((await home.cec(['clear', '-f'])).code, 1)

  await writeAccounts(home, before)
  assert.equal((await home.cec(['clear', '--force'])).code, 0)
  assert.equal(await hasFile(join(home.config, 'config.json')), false)
})

await test('C24 check-keyring without a keyring', async (t) => {
  const home = await freshHome(t)
  const result = await home.cec(['config', 'check-keyring'])
  assert.equal(result.code, 1)
  assert.match(result.stdout, /com\.pydio\.cells-client\n⚠/)
})

await test('an account in a keyring that is gone: a sentence, not a crash', async (t) => {
  const home = await freshHome(t)
  await writeAccounts(home, JSON.stringify({ ActiveConfigID: 'a@h.example:443', Configs: { 'a@h.example:443': account('https://h.example', 'a', { skipKeyring: false }) } }))
  const result = await home.cec(['info'])
  assert.equal(result.code, 1)
  assert.match(result.stderr, /cannot read the secret of a@h.example:443.*relog/)
})
