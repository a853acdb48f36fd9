/**
 * The desktop keyring for real: gnome-keyring on a message bus of its own, with secret-tool in the part of Pydio's cec (its go-keyring uses the attributes
 * `service` and `username`). Skipped where these programs are missing.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemKeyring } from '../src/auth/keyring.js'
import { startStub } from './helpers/auth-stub.js'
import { CEC, collect, freshHome, type Home, type Result } from './helpers/run-cec.js'

const missing = ['dbus-run-session', 'gnome-keyring-daemon', 'secret-tool'].filter((program) => spawnSync('which', [program]).status !== 0)
const skip = missing.length === 0 ? false : `not installed: ${missing.join(', ')}`

const SERVICE = 'com.pydio.cells-client'

/** Runs a shell script in a session with an unlocked keyring; `cec` is the built one. */
async function inSession(home: Home, script: string, env: NodeJS.ProcessEnv = {}): Promise<Result> {
  await mkdir(join(home.dir, 'run'), { recursive: true, mode: 0o700 })
  const prelude = `eval "$(printf pw | gnome-keyring-daemon --unlock --components=secrets --daemonize 2>/dev/null)"
cec() { "${process.execPath}" "${CEC}" "$@" < /dev/null; }
`
  const rest = { ...home.env, DBUS_SESSION_BUS_ADDRESS: undefined }
  return await collect(spawn('dbus-run-session', ['--', 'sh', '-c', prelude + script], { env: { ...rest, ...env }, stdio: 'pipe' }))
}

await test('C14 C24 an account in the keyring, both ways', { skip }, async (t) => {
  const home = await freshHome(t)
  const stub = await startStub()
  t.after(() => stub.close())
  const key = `${stub.url}::alice`

  const ours = await inSession(home, `
    cec config check-keyring || exit 11
    secret-tool search --all service ${SERVICE} 2>&1 | grep -q john.doe && exit 12
    cec config add token -u ${stub.url} -t pat-of-alice || exit 13
    test "$(secret-tool lookup service ${SERVICE} username ${key})" = pat-of-alice || exit 14
    secret-tool search service ${SERVICE} username ${key} 2>&1 | grep -qF "label = Password for '${key}' on '${SERVICE}'" || exit 15
    cec info || exit 16
    printf wrong | secret-tool store --label=x service ${SERVICE} username ${key} || exit 17
    test "$(secret-tool search --all service ${SERVICE} username ${key} 2>/dev/null | grep -c '^label')" = 1 || exit 18
    cec config relog alice@localhost -u ${stub.url} -t pat-of-alice || exit 19
    cec clear -f || exit 20
    secret-tool lookup service ${SERVICE} username ${key} && exit 21
    exit 0`)
  assert.equal(ours.code, 0, ours.stdout + ours.stderr)
  assert.match(ours.stdout, /✔ The keyring works/)
  assert.doesNotMatch(ours.stderr, /clear text/)
})

await test('an OAuth account as Pydio\'s cec leaves it: read, refreshed, written back for it', { skip }, async (t) => {
  const home = await freshHome(t)
  const stub = await startStub()
  t.after(() => stub.close())
  const pair = stub.grant('alice')
  const id = `alice@localhost:${new URL(stub.url).port}`
  await mkdir(home.config, { recursive: true })
  await writeFile(join(home.config, 'config.json'), JSON.stringify({ ActiveConfigID: id, Configs: { [id]: {
    authType: 'oauth2', url: stub.url, user: 'alice', tokenExpiresAt: Math.floor(Date.now() / 1000) + 30, skipVerify: false, useTokenCache: true, CustomHeaders: null,
    label: 'alice@localhost', skipKeyring: false, createdAtVersion: '4.3.1' } } }))
  const result = await inSession(home, `
    printf '%s__//__%s' "$ACCESS" "$REFRESH" | secret-tool store --label="Password for '${stub.url}::alice' on '${SERVICE}'" service ${SERVICE} username ${stub.url}::alice
    cec info >&2 || exit 11
    cec info >&2 || exit 12
    secret-tool lookup service ${SERVICE} username ${stub.url}::alice`, { ACCESS: pair.access, REFRESH: pair.refresh })
  assert.equal(result.code, 0, result.stderr)
  assert.equal(stub.tokenRequests.length, 1)
  const [access = '', refresh = ''] = result.stdout.split('__//__')
  assert.ok(stub.accepts(access))
  assert.notEqual(refresh, pair.refresh)
  const file = await readFile(join(home.config, 'config.json'), 'utf8')
  assert.doesNotMatch(file, /idToken|refreshToken/)
})

await test('legacy keyring entries are moved', { skip }, async (t) => {
  const home = await freshHome(t)
  const stub = await startStub()
  t.after(() => stub.close())
  await mkdir(home.config, { recursive: true })
  await writeFile(join(home.config, 'config.json'), JSON.stringify({ url: stub.url, user: 'bob', skipVerify: false }))
  const result = await inSession(home, `
    printf 'client-secret__//__bob-P4ss' | secret-tool store --label=old service ${SERVICE} username ${stub.url}::ClientCredentials
    cec info || exit 11
    secret-tool lookup service ${SERVICE} username ${stub.url}::ClientCredentials && exit 12
    test "$(secret-tool lookup service ${SERVICE} username ${stub.url}::bob)" = bob-P4ss || exit 13`)
  assert.equal(result.code, 0, result.stdout + result.stderr)
  assert.match(await readFile(join(home.config, 'config.json'), 'utf8'), /"authType": "session"/)
})

async function withBus(t: TestContext, address: string): Promise<void> {
  const before = process.env['DBUS_SESSION_BUS_ADDRESS']
  process.env['DBUS_SESSION_BUS_ADDRESS'] = address
  t.after(() => {
    if (before === undefined) delete process.env['DBUS_SESSION_BUS_ADDRESS']
    else process.env['DBUS_SESSION_BUS_ADDRESS'] = before
  })
  await assert.rejects((await systemKeyring('linux')).get('x'), { kind: 'keyring' })
}

await test('a message bus that is not there, hangs up, or never answers', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'cec-bus-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  await withBus(t, `unix:path=${join(dir, 'none')}`)
  for (const onSocket of ['hang up', 'never answer']) {
    const path = join(dir, onSocket.replace(' ', '-'))
    const server = createServer((socket) => {
      socket.on('error', () => {})
      if (onSocket === 'hang up') socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    t.after(() => server.close())
    await withBus(t, `unix:path=${path}`)
  }
})
