/** What cec asks about accounts, on a terminal: rows C of cec-reference section 13 that need an answer. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { startStub } from './helpers/auth-stub.js'
import { freshHome, type Home } from './helpers/run-cec.js'
import { noTerminal, onTerminal } from './helpers/terminal.js'

const DOWN = '\u001b[B'
const CTRL_C = '\u0003'
const idOf = (user: string): string => `${user}@h.example:443`

interface File { ActiveConfigID: string; Configs: Record<string, unknown> }

/** A home with accounts of these users, the first one active. */
async function homeWith(t: TestContext, ...users: string[]): Promise<{ home: Home; file: () => Promise<File | undefined>; text: () => Promise<string> }> {
  const home = await freshHome(t)
  const path = join(home.config, 'config.json')
  await mkdir(home.config, { recursive: true })
  await writeFile(path, JSON.stringify({ ActiveConfigID: idOf(users[0] ?? ''), Configs: Object.fromEntries(users.map(user => [idOf(user), {
    authType: 'pat', url: 'https://h.example', user, idToken: 'x', skipVerify: false, useTokenCache: true, CustomHeaders: null, label: `${user}@h.example`, skipKeyring: true, createdAtVersion: '4.3.1',
  }])) }))
  const text = (): Promise<string> => readFile(path, 'utf8')
  return { home, text, file: async () => await stat(path).then(() => true, () => false) ? JSON.parse(await text()) as File : undefined }
}

test('C18 config use: the list stands on the active account; Ctrl-C changes nothing', { skip: noTerminal }, async t => {
  const { home, file, text } = await homeWith(t, 'bob', 'alice', 'carol')
  const used = await onTerminal(home, {}, ['config', 'use'], [{ prompt: 'Which account', keys: `${DOWN}\r` }])
  assert.equal(used.code, 0, used.stdout)
  assert.match(used.stdout, /The active configuration is: carol@h\.example:443/)
  assert.equal((await file())?.ActiveConfigID, idOf('carol'))
  const before = await text()
  assert.equal((await onTerminal(home, {}, ['config', 'use'], [{ prompt: 'Which account', keys: CTRL_C }])).code, 1)
  assert.equal(await text(), before)
})

test('C20 config rm: the active one of three goes, the new active one is asked for', { skip: noTerminal }, async t => {
  const { home, file } = await homeWith(t, 'alice', 'bob', 'carol')
  const removed = await onTerminal(home, {}, ['config', 'rm'], [
    { prompt: 'want to remove', keys: '\r' }, { prompt: 'Remove the account alice', keys: 'y\r' }, { prompt: 'be active now', keys: `${DOWN}\r` },
  ])
  assert.equal(removed.code, 0, removed.stdout)
  assert.match(removed.stdout, /The active configuration is: carol@h\.example:443/)
  const after = await file()
  assert.deepEqual([after?.ActiveConfigID, Object.keys(after?.Configs ?? {})], [idOf('carol'), [idOf('bob'), idOf('carol')]])
  // One that is not active: nothing more to ask.
  const other = await onTerminal(home, {}, ['config', 'rm', idOf('bob')], [{ prompt: 'Remove the account bob', keys: 'y\r' }])
  assert.equal(other.code, 0, other.stdout)
  assert.equal((await file())?.ActiveConfigID, idOf('carol'))
})

test('C20 config rm: Ctrl-C at any question leaves all as it was', { skip: noTerminal }, async t => {
  const { home, text } = await homeWith(t, 'alice', 'bob', 'carol')
  const before = await text()
  const questions = [{ prompt: 'want to remove', keys: '\r' }, { prompt: 'Remove the account alice', keys: 'y\r' }, { prompt: 'be active now', keys: '\r' }]
  for (const [index, question] of questions.entries()) {
    const stopped = await onTerminal(home, {}, ['config', 'rm'], [...questions.slice(0, index), { ...question, keys: CTRL_C }])
    assert.equal(stopped.code, 1, stopped.stdout)
    assert.equal(await text(), before)
  }
})

test('C21 C22 config rm of the only account: no changes nothing, yes takes the file away', { skip: noTerminal }, async t => {
  const { home, file, text } = await homeWith(t, 'alice')
  const before = await text()
  const kept = await onTerminal(home, {}, ['config', 'rm'], [{ prompt: 'Remove the account alice', keys: 'n\r' }])
  assert.equal(kept.code, 0, kept.stdout)
  assert.match(kept.stdout, /Nothing was removed/)
  assert.equal(await text(), before)
  assert.equal((await onTerminal(home, {}, ['config', 'rm'], [{ prompt: 'Remove the account alice', keys: 'y\r' }])).code, 0)
  assert.equal(await file(), undefined)
})

test('C25 clear asks; no is the default', { skip: noTerminal }, async t => {
  const { home, file } = await homeWith(t, 'alice', 'bob')
  const kept = await onTerminal(home, {}, ['clear'], [{ prompt: 'Remove all accounts', keys: '\r' }])
  assert.deepEqual([kept.code, Object.keys((await file())?.Configs ?? {}).length], [0, 2])
  assert.equal((await onTerminal(home, {}, ['clear'], [{ prompt: 'Remove all accounts', keys: 'y\r' }])).code, 0)
  assert.equal(await file(), undefined)
})

test('C2 C5 config add token and client-auth ask what they do not know, secrets unseen', { skip: noTerminal }, async t => {
  const home = await freshHome(t)
  const stub = await startStub()
  t.after(() => stub.close())
  const token = await onTerminal(home, {}, ['config', 'add', 'token', '--skip-keyring'], [{ prompt: 'Server URL', keys: `${stub.url}\r` }, { prompt: 'access token', keys: 'pat-of-alice\r' }])
  assert.equal(token.code, 0, token.stdout)
  assert.match(token.stdout, /✔ Signed in as alice/)
  const login = await onTerminal(home, {}, ['config', 'add', 'client-auth', '-u', stub.url, '--skip-keyring'], [
    // What is known stands there already.
    { prompt: 'Server URL', keys: '\r' }, { prompt: 'Login', keys: 'bob\r' }, { prompt: 'Password', keys: 'bob-P4ss\r' },
  ])
  assert.equal(login.code, 0, login.stdout)
  assert.match(login.stdout, /✔ Signed in as bob/)
  assert.doesNotMatch(token.stdout + login.stdout, /pat-of-alice|bob-P4ss|TLS/)
})

test('C2 config add token over https asks about the verification of certificates', { skip: noTerminal }, async t => {
  const home = await freshHome(t)
  const [key, cert] = [join(home.dir, 'key.pem'), join(home.dir, 'cert.pem')]
  if (spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert]).status !== 0) {
    t.skip('openssl is not installed')
    return
  }
  const stub = await startStub({ tls: { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') } })
  t.after(() => stub.close())
  const questions = (answer: string): Parameters<typeof onTerminal>[3] => [{ prompt: 'Server URL', keys: `${stub.url}\r` }, { prompt: 'verification of TLS', keys: answer }, { prompt: 'access token', keys: 'pat-of-alice\r' }]
  const strict = await onTerminal(home, {}, ['config', 'add', 'token', '--skip-keyring'], questions('\r'))
  assert.equal(strict.code, 1, strict.stdout)
  assert.match(strict.stdout, /certificate is self-signed/)
  const skipping = await onTerminal(home, {}, ['config', 'add', 'token', '--skip-keyring'], questions(`${DOWN}\r`))
  assert.equal(skipping.code, 0, skipping.stdout)
  assert.match(await readFile(join(home.config, 'config.json'), 'utf8'), /"skipVerify": true/)
})
