/**
 * Token refresh between processes: once, whoever finds it due; survived or clearly ended when a process
 * dies in the middle (rows C27 to C31).
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { startStub, type Stub, type StubOptions } from './helpers/auth-stub.js'
import { collect, freshHome, type Home } from './helpers/run-cec.js'

interface Stored {
  ActiveConfigID: string
  Configs: Record<string, { idToken: string; refreshToken: string; tokenExpiresAt: number }>
}

const nowS = (): number => Math.floor(Date.now() / 1000)

/** A stub server and an OAuth account of alice with `validS` seconds to live. */
async function setUp(t: TestContext, validS: number, options: StubOptions = {}): Promise<{ stub: Stub; home: Home; id: string; stored: () => Promise<Stored>; pair: { access: string; refresh: string } }> {
  const stub = await startStub(options)
  t.after(() => stub.close())
  const home = await freshHome(t)
  const pair = stub.grant('alice')
  const id = `alice@localhost:${new URL(stub.url).port}`
  const entry = {
    authType: 'oauth2', url: stub.url, user: 'alice', idToken: pair.access, refreshToken: pair.refresh, tokenExpiresAt: nowS() + validS,
    skipVerify: false, useTokenCache: true, CustomHeaders: null, label: 'alice@localhost', skipKeyring: true, createdAtVersion: '4.3.1',
  }
  await mkdir(home.config, { recursive: true })
  await writeFile(join(home.config, 'config.json'), JSON.stringify({ ActiveConfigID: id, Configs: { [id]: entry } }))
  return { stub, home, id, pair, stored: async () => JSON.parse(await readFile(join(home.config, 'config.json'), 'utf8')) as Stored }
}

/** Runs `cec info` until the server has its token request, which is never answered; `onAsked` says what becomes of the token then. */
async function killedWhileRefreshing(t: TestContext, onAsked: (burn: () => void) => void): Promise<Awaited<ReturnType<typeof setUp>>> {
  let reached = (): void => {}
  const asked = new Promise<void>((resolve) => { reached = resolve })
  const world = await setUp(t, 0, {
    onToken: async (_form, burn) => {
      if (world.stub.tokenRequests.length > 1) return
      onAsked(burn)
      reached()
      await new Promise(() => {})
    },
  })
  const victim = world.home.start(['info'])
  await asked
  victim.kill('SIGKILL')
  await once(victim, 'close')
  return world
}

await test('C27 due within a minute: one refresh, the new pair is stored; then none', async (t) => {
  const { stub, home, id, stored, pair } = await setUp(t, 30)
  const first = await home.cec(['info'])
  assert.equal(first.code, 0, first.stderr)
  assert.equal(stub.tokenRequests.length, 1)
  assert.equal(stub.tokenRequests[0]?.get('client_id'), 'cells-client')
  const { idToken, refreshToken, tokenExpiresAt } = (await stored()).Configs[id] ?? { idToken: '', refreshToken: '', tokenExpiresAt: 0 }
  assert.notEqual(refreshToken, pair.refresh)
  assert.ok(stub.accepts(idToken))
  assert.ok(tokenExpiresAt > nowS() + 500)
  assert.equal((await home.cec(['info'])).code, 0)
  assert.equal(stub.tokenRequests.length, 1)
})

await test('not due: no refresh', async (t) => {
  const { stub, home } = await setUp(t, 300)
  assert.equal((await home.cec(['info'])).code, 0)
  assert.deepEqual(stub.requests, [])
})

await test('C29 twenty at the moment of expiry: one refresh, all succeed', async (t) => {
  const { stub, home } = await setUp(t, 0)
  const results = await Promise.all(Array.from({ length: 20 }, () => home.cec(['info'])))
  for (const result of results) assert.equal(result.code, 0, result.stderr)
  assert.equal(stub.tokenRequests.length, 1)
})

await test('C30 a revoked sign-in: "login failed", exit 1; the server is not asked again', async (t) => {
  const { stub, home, id, stored } = await setUp(t, 0)
  const [entry] = Object.values((await stored()).Configs)
  assert.ok(entry)
  await writeFile(join(home.config, 'config.json'), JSON.stringify({ ActiveConfigID: id, Configs: { [id]: { ...entry, refreshToken: 'rt.revoked' } } }))
  for (let run = 0; run < 2; run++) {
    const result = await home.cec(['info'])
    assert.equal(result.code, 1)
    assert.match(result.stderr, new RegExp(`login failed for ${id}: .*config relog`))
    assert.doesNotMatch(result.stderr, /rt\.revoked/)
  }
  assert.equal(stub.tokenRequests.length, 1)
})

await test('a server that cannot answer keeps the account good', async (t) => {
  const { stub, home, pair } = await setUp(t, 0)
  stub.options.oidcStatus = 503
  const down = await home.cec(['info'])
  assert.equal(down.code, 1)
  assert.match(down.stderr, /cannot answer now/)
  delete stub.options.oidcStatus
  assert.equal((await home.cec(['info'])).code, 0)
  assert.equal(stub.tokenRequests[0]?.get('refresh_token'), pair.refresh)
})

await test('kill -9 after the server has answered: the next one tries once, then says clearly to sign in again', async (t) => {
  const { stub, home, id } = await killedWhileRefreshing(t, (burn) => burn())
  const results = await Promise.all(Array.from({ length: 3 }, () => home.cec(['info'])))
  for (const result of results) {
    assert.equal(result.code, 1)
    assert.match(result.stderr, new RegExp(`login failed for ${id}: .*sign in again: cec config relog`))
  }
  assert.ok(results.some((result) => /interrupted/.test(result.stderr)))
  assert.equal(stub.tokenRequests.length, 2)
})

await test('kill -9 before the server has taken the token: the next one survives', async (t) => {
  const { home } = await killedWhileRefreshing(t, () => {})
  const next = await home.cec(['info'])
  assert.equal(next.code, 0, next.stderr)
})

await test('C31 config use during a refresh: the choice stays, no account is lost', async (t) => {
  let release: (() => void) | undefined
  const held = new Promise<void>((resolve) => { release = resolve })
  let reached: (() => void) | undefined
  const asked = new Promise<void>((resolve) => { reached = resolve })
  const { home, id, stored, pair } = await setUp(t, 0, { onToken: async () => { reached?.(); await held } })
  const file = await stored()
  const other = 'bob@h.example:443'
  await writeFile(join(home.config, 'config.json'), JSON.stringify({ ...file, Configs: { ...file.Configs, [other]: { authType: 'pat', url: 'https://h.example', user: 'bob', idToken: 'x', skipKeyring: true } } }))
  const running = home.start(['info'])
  const finished = collect(running)
  await asked
  assert.equal((await home.cec(['config', 'use', other])).code, 0)
  release?.()
  assert.equal((await finished).code, 0)
  const after = await stored()
  assert.equal(after.ActiveConfigID, other)
  assert.deepEqual(Object.keys(after.Configs).sort(), [id, other].sort())
  assert.notEqual(after.Configs[id]?.idToken, pair.access)
})

await test('Ctrl-C during a refresh does not lose the new pair', async (t) => {
  let release: (() => void) | undefined
  const held = new Promise<void>((resolve) => { release = resolve })
  let reached: (() => void) | undefined
  const asked = new Promise<void>((resolve) => { reached = resolve })
  const { stub, home, id, stored } = await setUp(t, 0, { onToken: async () => { reached?.(); await held } })
  const running = home.start(['info'])
  const finished = collect(running)
  await asked
  running.kill('SIGINT')
  // Its sentence shows that the wait has ended; the refresh has not.
  await once(running.stderr!, 'data')
  release?.()
  const result = await finished
  assert.equal(result.code, 1)
  assert.match(result.stderr, /aborted/)
  assert.ok(stub.accepts((await stored()).Configs[id]?.idToken ?? ''))
})

await test('short-lived tokens are not refreshed by everybody', async (t) => {
  const { stub, home } = await setUp(t, 0, { lifetime: 40 })
  for (let run = 0; run < 4; run++) assert.equal((await home.cec(['info'])).code, 0)
  assert.equal(stub.tokenRequests.length, 1)
})
