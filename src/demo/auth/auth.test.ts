import { strict as assert } from 'node:assert'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { silentLogger } from '../../log.js'
import { createAuth, type FullDemoAuth } from './auth.js'
import type { AuthOptions } from './types.js'

const REDIRECT = 'http://localhost:3000/servers/callback'
const SCOPE = 'openid email profile pydio offline'

interface Running {
  readonly url: string
  readonly auth: FullDemoAuth
  stop(): Promise<void>
}

async function start(dataDir: string, options: Partial<AuthOptions> = {}, port = 0): Promise<Running> {
  const server: Server = createServer((req, res) => {
    void auth.handle(req, res).then((done) => { if (!done) res.writeHead(418).end() })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const url = `http://localhost:${(server.address() as AddressInfo).port}`
  const auth: FullDemoAuth = createAuth({ dataDir, publicUrl: () => url, serverVersion: 2, logger: silentLogger, ...options })
  return {
    url, auth,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await auth.close()
    },
  }
}

async function withServer(work: (server: Running, dataDir: string) => Promise<void>, options: Partial<AuthOptions> = {}): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'cellsfs-auth-'))
  const server = await start(dataDir, options)
  try {
    await work(server, dataDir)
  } finally {
    await server.stop()
    await rm(dataDir, { recursive: true })
  }
}

type Json = Record<string, unknown>

async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<{ status: number; body: Json; cookie: string }> {
  const form = typeof body === 'string'
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': form ? 'application/x-www-form-urlencoded' : 'application/json', ...headers },
    body: form ? body : JSON.stringify(body),
  })
  const text = await answer.text()
  const cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0]!
  return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) as Json : { text }, cookie }
}

async function authorize(url: string, parameters: Record<string, string> = {}): Promise<URL> {
  const query = new URLSearchParams({ client_id: 'cells-client', response_type: 'code', state: 'state-12345678', redirect_uri: REDIRECT, scope: SCOPE, ...parameters })
  const answer = await fetch(`${url}/oidc/oauth2/auth?${query.toString()}`, { redirect: 'manual' })
  assert.equal(answer.status, 302, await answer.text())
  return new URL(answer.headers.get('location') ?? '')
}

async function signIn(url: string, parameters: Record<string, string> = {}, login = 'alice', password = 'alice-P4ss'): Promise<URL> {
  const challenge = (await authorize(url, parameters)).searchParams.get('login_challenge')
  assert.match(challenge ?? '', /^[0-9a-f]{32}$/)
  const { status, body } = await post(`${url}/a/frontend/session`, { AuthInfo: { type: 'credentials', login, password, challenge } })
  assert.equal(status, 200)
  return new URL(String(body['RedirectTo']))
}

const exchange = (url: string, code: string, extra = ''): ReturnType<typeof post> =>
  post(`${url}/oidc/oauth2/token`, `grant_type=authorization_code&code=${code}&redirect_uri=${encodeURIComponent(REDIRECT)}&client_id=cells-client${extra}`)
const refresh = (url: string, token: unknown, extra = '&client_id=cells-client'): ReturnType<typeof post> =>
  post(`${url}/oidc/oauth2/token`, `grant_type=refresh_token&refresh_token=${String(token)}${extra}`)

async function tokens(url: string): Promise<Json> {
  const { status, body } = await exchange(url, (await signIn(url)).searchParams.get('code') ?? '')
  assert.equal(status, 200)
  return body
}

const claimsOf = (jwt: unknown): Json => JSON.parse(Buffer.from(String(jwt).split('.')[1]!, 'base64url').toString()) as Json

describe('code flow', () => {
  let dataDir: string
  let server: Running
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'cellsfs-auth-'))
    server = await start(dataDir)
  })
  after(async () => {
    await server.stop()
    await rm(dataDir, { recursive: true })
  })

  it('gives opaque tokens and an id_token with the recorded claims', async () => {
    const target = await signIn(server.url)
    assert.equal(target.origin + target.pathname, REDIRECT)
    assert.deepEqual([...target.searchParams.keys()], ['code', 'state'])
    assert.equal(target.searchParams.get('state'), 'state-12345678')
    const { body } = await exchange(server.url, target.searchParams.get('code') ?? '')
    assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'id_token', 'refresh_token', 'scope', 'token_type'])
    assert.equal(body['token_type'], 'bearer')
    assert.equal(body['scope'], SCOPE)
    assert.equal(body['expires_in'], 600)
    assert.equal(server.auth.verifyBearer(String(body['access_token']))?.login, 'alice')
    assert.equal(server.auth.verifyBearer(String(body['id_token'])), undefined)
    const claims = claimsOf(body['id_token'])
    assert.deepEqual(Object.keys(claims).sort(), ['at_hash', 'aud', 'auth_time', 'email', 'exp', 'iat', 'iss', 'jti', 'name', 'nonce', 'rat', 'sid', 'sub'])
    assert.deepEqual([claims['aud'], claims['iss'], claims['name'], claims['nonce']], [['cells-client'], `${server.url}/oidc/`, 'alice', ''])
  })

  it('accepts PKCE and does not enforce it', async () => {
    const target = await signIn(server.url, { code_challenge: '_yFaeEcOKJPWlfDI2IpfysYoYXLgJehT6YRNmjDiLmw', code_challenge_method: 'S256' })
    assert.equal((await exchange(server.url, target.searchParams.get('code') ?? '', '&code_verifier=wrong-verifier-wrong-verifier-wrong-verifier-1234')).status, 200)
  })

  it('refuses a second use of a code and revokes what the first one gave', async () => {
    const code = (await signIn(server.url)).searchParams.get('code') ?? ''
    const first = (await exchange(server.url, code)).body
    const second = await exchange(server.url, code)
    assert.deepEqual([second.status, second.body['error'], second.body['error_hint']], [400, 'invalid_grant', 'The authorization code has already been used.'])
    assert.equal(server.auth.verifyBearer(String(first['access_token'])), undefined)
    assert.equal((await refresh(server.url, first['refresh_token'])).status, 400)
  })

  it('refreshes once per token; the old access token dies, a reuse changes nothing', async () => {
    const first = await tokens(server.url)
    const second = await refresh(server.url, first['refresh_token'])
    assert.equal(second.status, 200)
    assert.equal(server.auth.verifyBearer(String(first['access_token'])), undefined)
    assert.ok(server.auth.verifyBearer(String(second.body['access_token'])))
    const reuse = await refresh(server.url, first['refresh_token'])
    assert.deepEqual([reuse.status, reuse.body['error'], reuse.body['status_code']], [400, 'invalid_request', 400])
    assert.ok(server.auth.verifyBearer(String(second.body['access_token'])))
    assert.equal((await refresh(server.url, second.body['refresh_token'])).status, 200)
  })

  it('lets one of several refreshes at the same moment win', async () => {
    const { refresh_token } = await tokens(server.url)
    const answers = await Promise.all([1, 2, 3].map(() => refresh(server.url, refresh_token)))
    const live = answers.filter(({ status, body }) => status === 200 && server.auth.verifyBearer(String(body['access_token'])) !== undefined)
    assert.equal(live.length, 1)
    assert.equal((await refresh(server.url, live[0]!.body['refresh_token'])).status, 200)
  })

  it('takes the client from HTTP Basic with an empty secret', async () => {
    const { refresh_token } = await tokens(server.url)
    const { status } = await post(`${server.url}/oidc/oauth2/token`, `grant_type=refresh_token&refresh_token=${String(refresh_token)}`, { Authorization: 'Basic Y2VsbHMtY2xpZW50Og==' })
    assert.equal(status, 200)
  })

  it('names what is wrong with a refresh, and leaves the token usable', async () => {
    const { refresh_token } = await tokens(server.url)
    const other = await refresh(server.url, refresh_token, '&client_id=cells-sync')
    assert.match(String(other.body['error_hint']), /does not match the ID during the initial token issuance/)
    const nobody = await refresh(server.url, refresh_token, '')
    assert.match(String(nobody.body['error_hint']), /Client credentials missing/)
    assert.deepEqual([other.status, other.body['error'], nobody.status, nobody.body['error']], [400, 'invalid_request', 400, 'invalid_request'])
    assert.equal((await refresh(server.url, refresh_token)).status, 200)
  })

  it('revokes both tokens by either', async () => {
    for (const which of ['access_token', 'refresh_token']) {
      const given = await tokens(server.url)
      const { status } = await post(`${server.url}/oidc/oauth2/revoke`, `token=${String(given[which])}&client_id=cells-client`)
      assert.equal(status, 200)
      assert.equal(server.auth.verifyBearer(String(given['access_token'])), undefined)
      assert.equal((await refresh(server.url, given['refresh_token'])).body['error'], 'invalid_request')
    }
  })

  it('refuses foreign redirects and clients on its own page, weak states and foreign scopes through the redirect', async () => {
    const page = `${server.url}/oauth2/fallbacks/error`
    for (const [parameters, target, error] of [
      [{ redirect_uri: 'http://127.0.0.1:3000/servers/callback' }, page, 'invalid_request'],
      [{ redirect_uri: 'http://localhost:3001/servers/callback' }, page, 'invalid_request'],
      [{ client_id: 'unknown-client' }, page, 'invalid_client'],
      [{ state: 'abc' }, REDIRECT, 'invalid_state'],
      [{ scope: 'openid offline_access' }, REDIRECT, 'invalid_scope'],
    ] as Array<[Record<string, string>, string, string]>) {
      const location = await authorize(server.url, parameters)
      assert.deepEqual([location.origin + location.pathname, location.searchParams.get('error')], [target, error])
      assert.equal(location.searchParams.get('iss'), null)
    }
  })

  it('gives a refresh token only for the scope offline', async () => {
    const target = await signIn(server.url, { scope: 'openid' })
    const { body } = await exchange(server.url, target.searchParams.get('code') ?? '')
    assert.deepEqual([body['refresh_token'], body['scope']], [undefined, 'openid'])
  })

  it('answers userinfo', async () => {
    const { access_token } = await tokens(server.url)
    const answer = await fetch(`${server.url}/oidc/userinfo`, { headers: { Authorization: `Bearer ${String(access_token)}` } })
    assert.deepEqual(Object.keys(await answer.json() as Json).sort(), ['email', 'name', 'sid', 'sub'])
  })

  it('uses a challenge once, and not up by a wrong password', async () => {
    const challenge = (await authorize(server.url)).searchParams.get('login_challenge')
    const attempt = (password: string): ReturnType<typeof post> =>
      post(`${server.url}/a/frontend/session`, { AuthInfo: { type: 'credentials', login: 'alice', password, challenge } })
    assert.equal((await attempt('nope')).status, 401)
    assert.equal((await attempt('alice-P4ss')).status, 200)
    assert.equal((await attempt('alice-P4ss')).status, 401)
  })

  it('signs in through the form without JavaScript', async () => {
    const challenge = (await authorize(server.url)).searchParams.get('login_challenge') ?? ''
    const html = await (await fetch(`${server.url}/oauth2/login?login_challenge=${challenge}`)).text()
    assert.match(html, new RegExp(`name="login_challenge" value="${challenge}"`))
    const submit = (password: string): Promise<Response> => fetch(`${server.url}/oauth2/login`, {
      method: 'POST', redirect: 'manual', body: new URLSearchParams({ login_challenge: challenge, login: 'alice', password }),
    })
    assert.match(await (await submit('<wrong>')).text(), /Login failed/)
    const right = await submit('alice-P4ss')
    assert.equal(right.status, 303)
    assert.match(right.headers.get('location') ?? '', /^http:\/\/localhost:3000\/servers\/callback\?code=/)
  })

  it('escapes what it shows', async () => {
    for (const path of ['login?login_challenge=', 'oob?code=', 'fallbacks/error?error_description=']) {
      const html = await (await fetch(`${server.url}/oauth2/${path}%22%3E%3Cscript%3Ealert(1)`)).text()
      assert.ok(!html.includes('<script>alert(1)'))
    }
  })
})

describe('front session', () => {
  it('signs in, refreshes through the cookie and signs out', () => withServer(async ({ url, auth }) => {
    const session = (info: Json, cookie = ''): ReturnType<typeof post> => post(`${url}/a/frontend/session`, { AuthInfo: info }, cookie === '' ? {} : { Cookie: cookie })
    const first = await session({ type: 'credentials', login: 'admin', password: 'admin' })
    const token = String(first.body['JWT'])
    assert.equal(auth.verifyBearer(token)?.isAdmin, true)
    assert.equal(typeof first.body['ExpireTime'], 'number')
    assert.deepEqual(Object.keys(first.body['Token'] as Json), ['AccessToken', 'IDToken', 'ExpiresAt'])
    assert.match(first.cookie, /^pydio=/)

    assert.equal((await session({}, first.cookie)).body['JWT'], token)
    const second = await session({ type: 'refresh' }, first.cookie)
    assert.equal(auth.verifyBearer(token), undefined)
    assert.ok(auth.verifyBearer(String(second.body['JWT'])))
    assert.equal((second.body['Token'] as Json)['IDToken'], undefined)

    const challenge = (await authorize(url)).searchParams.get('login_challenge')
    const external = await session({ type: 'external', challenge }, first.cookie)
    assert.match(String(external.body['RedirectTo']), /code=/)

    await session({ type: 'logout' })
    assert.ok(auth.verifyBearer(String(second.body['JWT'])), 'a logout without the cookie does nothing')
    await session({ type: 'logout' }, first.cookie)
    assert.equal(auth.verifyBearer(String(second.body['JWT'])), undefined)
  }))

  it('says the same for every failed login', () => withServer(async ({ url }) => {
    for (const info of [{ login: 'admin', password: 'nope' }, { login: 'nobody', password: 'nope' }, { login: 'admin', password: 'admin', challenge: '0123456789abcdef0123456789abcdef' }]) {
      const { status, body } = await post(`${url}/a/frontend/session`, { AuthInfo: { type: 'credentials', ...info } })
      assert.deepEqual([status, body], [401, { Title: 'Login failed', Detail: 'Unauthorized: Login failed' }])
    }
  }))
})

describe('what is kept', () => {
  it('survives a restart: tokens, sessions, keys, challenges, people', () => withServer(async (first, dataDir) => {
    const given = await tokens(first.url)
    const session = await post(`${first.url}/a/frontend/session`, { AuthInfo: { type: 'credentials', login: 'bob', password: 'bob-P4ss' } })
    const challenge = (await authorize(first.url)).searchParams.get('login_challenge')
    const keysBefore = await (await fetch(`${first.url}/oidc/.well-known/jwks.json`)).text()
    const alice = first.auth.users.find('alice')
    const pat = first.auth.createPersonalToken('alice')
    await first.stop()

    const again = await start(dataDir)
    try {
      assert.deepEqual(again.auth.users.find('alice'), alice)
      assert.equal(again.auth.verifyBearer(String(given['access_token']))?.login, 'alice')
      assert.equal(again.auth.verifyBearer(pat)?.login, 'alice')
      assert.equal((await refresh(again.url, given['refresh_token'])).status, 200)
      assert.equal((await post(`${again.url}/a/frontend/session`, { AuthInfo: { type: 'refresh' } }, { Cookie: session.cookie })).status, 200)
      assert.equal((await post(`${again.url}/a/frontend/session`, { AuthInfo: { type: 'credentials', login: 'bob', password: 'bob-P4ss', challenge } })).status, 200)
      assert.equal(await (await fetch(`${again.url}/oidc/.well-known/jwks.json`)).text(), keysBefore)
    } finally {
      await again.stop()
    }
  }))

  it('lets a deleted user go on until the token ends on 2.x, and no further on 4.x', async () => {
    for (const [serverVersion, goesOn] of [[2, true], [4, false]] as const) {
      await withServer(async ({ url, auth }) => {
        const { body } = await post(`${url}/a/frontend/session`, { AuthInfo: { type: 'credentials', login: 'bob', password: 'bob-P4ss' } })
        assert.equal(auth.users.remove('bob'), true)
        assert.equal(auth.verifyBearer(String(body['JWT'])) !== undefined, goesOn)
        assert.equal((await post(`${url}/a/frontend/session`, { AuthInfo: { type: 'credentials', login: 'bob', password: 'bob-P4ss' } })).status, 401)
      }, { serverVersion })
    }
  })

  it('ends an access token when its time is over', () => withServer(async ({ url, auth }) => {
    const { access_token, expires_in } = await tokens(url)
    assert.equal(expires_in, 1)
    while (auth.verifyBearer(String(access_token)) !== undefined) await new Promise((resolve) => setTimeout(resolve, 50))
  }, { accessTokenTtlS: 1 }))
})

describe('personal access tokens', () => {
  const bearer = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` })

  it('work on every version; over REST from 4.x on', async () => {
    for (const serverVersion of [2, 4] as const) {
      await withServer(async ({ url, auth }) => {
        const token = auth.createPersonalToken('admin', { label: 'mine' })
        assert.equal(auth.verifyBearer(token)?.login, 'admin')
        const made = await post(`${url}/a/auth/token/impersonate`, { UserLogin: 'alice', Label: 'for alice', AutoRefresh: 60 }, bearer(token))
        if (serverVersion === 2) return assert.deepEqual([made.status, made.body], [404, { text: '404: Page Not Found' }])
        const given = String(made.body['AccessToken'])
        assert.equal(auth.verifyBearer(given)?.login, 'alice')
        const list = (await post(`${url}/a/auth/tokens`, {}, bearer(given))).body['Tokens'] as Json[]
        assert.deepEqual(list.map((each) => each['Label']), ['for alice'])
        assert.equal((await fetch(`${url}/a/auth/tokens/${String(list[0]!['Uuid'])}`, { method: 'DELETE', headers: bearer(given) })).status, 200)
        assert.equal(auth.verifyBearer(given), undefined)
      }, { serverVersion })
    }
  })

  it('are not made for others by ordinary people', () => withServer(async ({ url, auth }) => {
    const token = auth.createPersonalToken('alice')
    assert.equal((await post(`${url}/a/auth/token/impersonate`, { UserLogin: 'admin' }, bearer(token))).status, 401)
    assert.equal((await post(`${url}/a/auth/token/personal`, {}, bearer(token))).status, 200)
    assert.equal((await post(`${url}/a/auth/token/personal`, {}, bearer('wrong'))).status, 401)
  }, { serverVersion: 4 }))

  it('end, or slide with each use', () => withServer(({ auth }) => {
    const now = Math.floor(Date.now() / 1000)
    assert.equal(auth.verifyBearer(auth.createPersonalToken('alice', { expires: now - 1 })), undefined)
    assert.ok(auth.verifyBearer(auth.createPersonalToken('alice', { expires: now + 60 })))
    assert.ok(auth.verifyBearer(auth.createPersonalToken('alice', { autoRefreshS: 60 })))
    return Promise.resolve()
  }))
})
