/**
 * The OAuth sign-in, `cec ls` and the refresh against a whole server: the embedded one, or a real one named by CELLS_URL,
 * CELLS_LOGIN and CELLS_PASSWORD.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { beginSignIn, BROWSER_REDIRECT, finishSignIn, pasteRedirect, type Attempt, type Grant } from '../src/auth/oauth.js'
import { BLANK_ACCOUNT } from '../src/auth/goconfig.js'
import { AccountStore, idOf } from '../src/auth/store.js'
import { startDemoServer, type DemoServer } from '../src/demo/index.js'
import { freshHome, type Home } from './helpers/run-cec.js'

const REAL = process.env['CELLS_URL']
const login = process.env['CELLS_LOGIN'] ?? 'alice'
const password = process.env['CELLS_PASSWORD'] ?? 'alice-P4ss'

async function serverFor(t: TestContext): Promise<{ url: string; demo: DemoServer | undefined }> {
  if (REAL !== undefined) return { url: REAL, demo: undefined }
  const demo = await startDemoServer({ indexDelayMs: 100 })
  t.after(() => demo.close())
  return { url: demo.url, demo }
}

/** What the login page does: the challenge with login and password gives the address to go back to. */
async function logInFor(url: string, attempt: Attempt): Promise<string> {
  const authorize = await fetch(attempt.authorizationUrl, { redirect: 'manual' })
  const challenge = new URL(authorize.headers.get('location') ?? '', url).searchParams.get('login_challenge')
  const session = await fetch(`${url}/a/frontend/session`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ AuthInfo: { type: 'credentials', login, password, challenge } }),
  })
  return ((await session.json()) as { RedirectTo: string }).RedirectTo
}

async function signInByCode(url: string, redirect: string, pkce = true): Promise<Grant> {
  const reach = { url, skipVerify: false }
  const attempt = await beginSignIn(reach, redirect, { pkce })
  return await finishSignIn(reach, attempt, await logInFor(url, attempt))
}

/** Stores a grant as the active account of `home`; `validS` is what the file claims. */
async function storeAccount(home: Home, url: string, grant: Grant, validS: number): Promise<string> {
  const account = {
    ...BLANK_ACCOUNT, authType: 'oauth2', url, user: login, idToken: grant.accessToken, refreshToken: grant.refreshToken,
    tokenExpiresAt: Math.floor(Date.now() / 1000) + validS, skipKeyring: true,
  }
  await new AccountStore({ folder: home.config }).save(account)
  return idOf(account)
}

await test('code flow with PKCE, both redirects, and without PKCE; a code works once', async (t) => {
  const { url } = await serverFor(t)
  for (const [redirect, pkce] of [[BROWSER_REDIRECT, true], [pasteRedirect(url), true], [BROWSER_REDIRECT, false]] as const) {
    const grant = await signInByCode(url, redirect, pkce)
    assert.notEqual(grant.accessToken, '')
    assert.notEqual(grant.refreshToken, '')
    assert.ok(grant.lifetime > 60)
  }
  const reach = { url, skipVerify: false }
  const attempt = await beginSignIn(reach, pasteRedirect(url), { pkce: true })
  const answer = await logInFor(url, attempt)
  await finishSignIn(reach, attempt, answer)
  await assert.rejects(finishSignIn(reach, attempt, answer), /refuses the code/)
})

await test('20 x cec ls at the moment of expiry: one refresh, all succeed', async (t) => {
  const { url, demo } = await serverFor(t)
  const home = await freshHome(t)
  const grant = await signInByCode(url, BROWSER_REDIRECT)
  await storeAccount(home, url, grant, 0)
  const tokenCalls = (): number => [...(demo?.requests ?? [])].filter(([route]) => route.includes('/oidc/oauth2/token')).reduce((sum, [, count]) => sum + count, 0)
  const before = tokenCalls()
  const results = await Promise.all(Array.from({ length: 20 }, () => home.cec(['ls'])))
  for (const result of results) {
    assert.equal(result.code, 0, result.stderr)
    assert.match(result.stdout, /personal-files/)
  }
  if (demo !== undefined) assert.equal(tokenCalls() - before, 1)
})

await test('a token that another process has killed by refreshing: a 401 leads to the new one', async (t) => {
  const { url } = await serverFor(t)
  const home = await freshHome(t)
  const grant = await signInByCode(url, BROWSER_REDIRECT)
  const id = await storeAccount(home, url, grant, 600)
  const path = join(home.config, 'config.json')
  const stale = await readFile(path, 'utf8')
  // Somebody refreshes; then the file is put back to the dead access token with the new refresh token.
  await writeFile(path, stale.replace(/"tokenExpiresAt": \d+/, '"tokenExpiresAt": 1'))
  assert.equal((await home.cec(['ls'])).code, 0)
  const fresh = (JSON.parse(await readFile(path, 'utf8')) as { Configs: Record<string, { refreshToken: string }> }).Configs[id]
  await writeFile(path, stale.replace(grant.refreshToken, fresh?.refreshToken ?? ''))
  const result = await home.cec(['ls'])
  assert.equal(result.code, 0, result.stderr)
})

await test('kill -9 at any moment of a refresh: the next command works or says to sign in again', async (t) => {
  const { url } = await serverFor(t)
  for (const delayMs of [120, 200, 260, 320, 400]) {
    const home = await freshHome(t)
    await storeAccount(home, url, await signInByCode(url, BROWSER_REDIRECT), 0)
    const victim = home.start(['ls'])
    // Where it hits is left to chance on purpose; each outcome is checked below.
    setTimeout(() => victim.kill('SIGKILL'), delayMs)
    await once(victim, 'close')
    const next = await home.cec(['ls'])
    if (next.code !== 0) assert.match(next.stderr, /login failed for .*sign in again: cec config relog/)
    assert.doesNotMatch(next.stderr, /unexpected|at .*\.js/)
  }
})

await test('C28 an upload outlives its token several times over', { skip: REAL !== undefined ? 'a real server\'s tokens live too long' : false }, async (t) => {
  const demo = await startDemoServer({ indexDelayMs: 50, latencyMs: 150, accessTokenTtlS: 4 })
  t.after(() => demo.close())
  const home = await freshHome(t)
  await storeAccount(home, demo.url, await signInByCode(demo.url, BROWSER_REDIRECT), 4)
  const source = join(home.dir, 'many')
  await mkdir(source)
  for (let i = 0; i < 60; i++) await writeFile(join(source, `f${i}.txt`), `content ${i}`)
  const startedAt = Date.now()
  const up = await home.cec(['scp', '-n', source, 'cells://personal-files'])
  assert.equal(up.code, 0, up.stderr + up.stdout)
  const refreshes = [...demo.requests].filter(([route]) => route.includes('/oidc/oauth2/token')).reduce((sum, [, count]) => sum + count, 0) - 1
  t.diagnostic(`${Math.round((Date.now() - startedAt) / 1000)} s, ${refreshes} refreshes`)
  assert.ok(refreshes > 0)
  const listed = await home.cec(['ls', '-r', 'personal-files/many'])
  assert.equal(listed.stdout.trim().split('\n').length, 60)
})
