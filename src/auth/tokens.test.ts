import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { AuthError, isAuthError } from './errors.js'
import { BLANK_ACCOUNT, type Account } from './goconfig.js'
import type { Grant } from './oauth.js'
import { marginFor } from './refresh.js'
import { AccountStore } from './store.js'
import { FixedTokens, OAuthTokenSource } from './tokens.js'

const ID = 'alice@h.example:443'
const nowS = (): number => Math.floor(Date.now() / 1000)

interface Bench {
  readonly store: AccountStore
  readonly account: Account
  /** Refresh tokens that were sent. */
  readonly sent: string[]
  readonly source: (exchange?: (account: Account) => Promise<Grant>) => OAuthTokenSource
}

async function bench(t: TestContext, validS: number, lifetime = 600): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'cec-tokens-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const store = new AccountStore({ folder })
  const account = await store.save({
    ...BLANK_ACCOUNT, authType: 'oauth2', url: 'https://h.example', user: 'alice', idToken: 'at0', refreshToken: 'rt0', tokenExpiresAt: nowS() + validS, skipKeyring: true,
  })
  const sent: string[] = []
  const answer = (used: Account): Promise<Grant> => {
    sent.push(used.refreshToken)
    return Promise.resolve({ accessToken: `at${sent.length}`, refreshToken: `rt${sent.length}`, lifetime, expiresAt: nowS() + lifetime })
  }
  return { store, account, sent, source: (exchange = answer) => new OAuthTokenSource(store, ID, account, { exchange }) }
}

await test('the margin: a minute, more on request, never most of a short life', () => {
  assert.equal(marginFor(600), 60)
  assert.equal(marginFor(undefined, 200), 200)
  assert.equal(marginFor(40), 10)
  assert.equal(marginFor(600, 100_000), 150)
})

await test('many callers, one refresh; the pair is stored', async (t) => {
  const { source, sent, store } = await bench(t, 20)
  const tokens = source()
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 8 }, () => tokens.get()))), new Set(['at1']))
  assert.deepEqual(sent, ['rt0'])
  assert.equal((await store.load(ID)).refreshToken, 'rt1')
})

await test('a refused token: first what another process has stored, then a refresh, then the end', async (t) => {
  const { source, sent, store } = await bench(t, 500)
  const tokens = source()
  assert.equal(await tokens.get(), 'at0')
  await store.saveTokens(ID, { accessToken: 'theirs', refreshToken: 'rt-theirs', expiresAt: nowS() + 500 })
  tokens.reject('at0')
  assert.equal(await tokens.get(), 'theirs')
  assert.deepEqual(sent, [])
  tokens.reject('some older token')
  assert.equal(await tokens.get(), 'theirs')
  tokens.reject('theirs')
  assert.equal(await tokens.get(), 'at1')
  tokens.reject('at1')
  await assert.rejects(tokens.get(), (error) => isAuthError(error, 'login-needed') && /config relog/.test(error.message))
  assert.deepEqual(sent, ['rt-theirs'])
  // Somebody signs in again: a running mount goes on.
  await store.saveTokens(ID, { accessToken: 'relogged', refreshToken: 'rt-new', expiresAt: nowS() + 500 })
  assert.equal(await tokens.get(), 'relogged')
})

await test('no answer from the server: what we hold serves to its end, then the error is the server\'s', async (t) => {
  const down = (): Promise<Grant> => Promise.reject(new AuthError('unavailable', 'down'))
  const still = await bench(t, 30)
  assert.equal(await still.source(down).get(), 'at0')
  const over = await bench(t, -5)
  await assert.rejects(over.source(down).get(), (error) => isAuthError(error, 'unavailable'))
  assert.equal(await over.source().get(), 'at1')
})

await test('a refused refresh token is not sent twice, also by other processes', async (t) => {
  const { source } = await bench(t, 0)
  let asked = 0
  const refused = (): Promise<Grant> => {
    asked++
    return Promise.reject(new AuthError('login-needed', 'no', { status: 400 }))
  }
  const tokens = source(refused)
  for (let i = 0; i < 3; i++) await assert.rejects(tokens.get(), (error) => isAuthError(error, 'login-needed'))
  await assert.rejects(source(refused).get(), (error) => isAuthError(error, 'login-needed'))
  assert.equal(asked, 1)
})

await test('who stops waiting does not stop the refresh', async (t) => {
  const { source, store } = await bench(t, 0)
  let answer: ((grant: Grant) => void) | undefined
  let asked: (() => void) | undefined
  const sent = new Promise<void>((resolve) => { asked = resolve })
  const tokens = source(() => {
    asked?.()
    return new Promise<Grant>((resolve) => { answer = resolve })
  })
  const stop = new AbortController()
  const waiting = tokens.get({ signal: stop.signal })
  await sent
  stop.abort()
  await assert.rejects(waiting, (error) => isAuthError(error, 'aborted'))
  const next = tokens.get()
  answer?.({ accessToken: 'at1', refreshToken: 'rt1', lifetime: 600, expiresAt: nowS() + 600 })
  assert.equal(await next, 'at1')
  assert.equal((await store.load(ID)).refreshToken, 'rt1')
})

await test('an account that was removed meanwhile is not brought back', async (t) => {
  const { source, store } = await bench(t, 0)
  const tokens = source(async () => {
    await store.remove([ID])
    return { accessToken: 'at1', refreshToken: 'rt1', lifetime: 600, expiresAt: nowS() + 600 }
  })
  assert.equal(await tokens.get(), 'at1')
  assert.equal(await store.list(), undefined)
})

await test('a fixed token is over when it is refused', async () => {
  const tokens = new FixedTokens('pat', 'not accepted')
  assert.equal(await tokens.get(), 'pat')
  tokens.reject('other')
  assert.equal(await tokens.get(), 'pat')
  tokens.reject('pat')
  await assert.rejects(tokens.get(), /not accepted/)
})
