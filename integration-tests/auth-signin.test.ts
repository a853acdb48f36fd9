/**
 * The OAuth sign-in against a stand-in server: browser, copy and paste, and what goes wrong (rows C6 to C11, C23). The person is
 * a Prompter, the browser is fetch. One test goes through a real terminal.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isAuthError } from '../src/auth/errors.js'
import { signIn, type Known, type Prompter, type SignInContext } from '../src/auth/signin.js'
import { AccountStore } from '../src/auth/store.js'
import { createLogger } from '../src/log.js'
import { startStub, type Stub, type StubOptions } from './helpers/auth-stub.js'
import { CEC, collect, freshHome } from './helpers/run-cec.js'

const NOTHING: Known = { url: '', token: '', idToken: '', login: '', password: '', skipVerify: false, skipKeyring: true }

interface Scene {
  readonly stub: Stub
  readonly context: SignInContext
  readonly said: string[]
  readonly warnings: string[]
  readonly questions: string[]
  readonly config: () => Promise<string>
}

/** A port for the callback that is free now. */
async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/** Answers questions from a list of [part of the question, answer]. */
function scripted(questions: string[], answers: readonly [string, string | ((scene: { said: string[] }) => Promise<string>)][], said: string[]): Prompter {
  const reply = async (message: string): Promise<string> => {
    questions.push(message)
    const found = answers.find(([part]) => message.includes(part))
    assert.ok(found, `unexpected question: ${message}`)
    return typeof found[1] === 'string' ? found[1] : await found[1]({ said })
  }
  return {
    text: reply,
    secret: reply,
    choose: async (message, choices) => {
      const value = await reply(message)
      const choice = choices.find((candidate) => candidate.value === value)
      assert.ok(choice)
      return choice.value
    },
    confirm: async (message) => (await reply(message)) === 'yes',
  }
}

async function scene(t: TestContext, options: StubOptions, answers: Parameters<typeof scripted>[1], more: Partial<SignInContext> = {}): Promise<Scene> {
  const stub = await startStub(options)
  t.after(() => stub.close())
  const folder = await mkdtemp(join(tmpdir(), 'cec-signin-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const said: string[] = []
  const warnings: string[] = []
  const questions: string[] = []
  const context: SignInContext = {
    store: new AccountStore({ folder }),
    prompter: scripted(questions, [['Server URL', stub.url], ...answers], said),
    say: (line) => said.push(line),
    logger: createLogger('warn', (line) => warnings.push(line)),
    browserRedirect: `http://localhost:${await freePort()}/servers/callback`,
    ...more,
  }
  return { stub, context, said, warnings, questions, config: async () => await readFile(join(folder, 'config.json'), 'utf8').catch(() => '') }
}

/** Follows the server's redirect to the callback, as a browser of a signed-in person does. */
const browse = (change: (target: URL) => void = () => {}): NonNullable<SignInContext['open']> => async (url) => {
  const authorize = await fetch(url, { redirect: 'manual' })
  const target = new URL(authorize.headers.get('location') ?? '')
  change(target)
  // Not awaited: the page is answered while the sign-in waits.
  fetch(target).then((response) => response.text()).catch(() => {})
  return true
}

const BROWSER: Parameters<typeof scripted>[1] = [['open a browser', 'yes']]

await test('C6 browser: PKCE, state, exchange, account saved and active', async (t) => {
  let opened = ''
  const { stub, context, config } = await scene(t, {}, BROWSER, {
    open: async (url) => {
      opened = url
      return await browse()(url)
    },
  })
  const account = await signIn(context, 'oauth2', NOTHING)
  assert.equal(account.user, 'alice')
  const query = new URL(opened).searchParams
  assert.equal(query.get('client_id'), 'cells-client')
  assert.equal(query.get('scope'), 'openid email profile pydio offline')
  assert.equal(query.get('code_challenge_method'), 'S256')
  assert.ok((query.get('state') ?? '').length >= 8)
  const [exchange] = stub.tokenRequests
  assert.equal(exchange?.get('redirect_uri'), context.browserRedirect)
  assert.ok(exchange?.get('code_verifier'))
  const file = JSON.parse(await config()) as { ActiveConfigID: string; Configs: Record<string, Record<string, unknown>> }
  const entry = file.Configs[file.ActiveConfigID]
  assert.equal(entry?.['authType'], 'oauth2')
  assert.ok(stub.accepts(String(entry?.['idToken'])))
  assert.ok(Number(entry?.['tokenExpiresAt']) > Date.now() / 1000 + 500)
})

await test('a site under another name: endpoints of the host that was typed', async (t) => {
  const { stub, context } = await scene(t, { publicUrl: 'https://files.example.test' }, BROWSER, { open: browse() })
  assert.equal((await signIn(context, 'oauth2', NOTHING)).url, stub.url)
})

await test('C9 a forged callback ends the sign-in, nothing is stored', async (t) => {
  const { stub, context, config } = await scene(t, {}, BROWSER, { open: browse((target) => target.searchParams.set('state', 'forged-state')) })
  await assert.rejects(signIn(context, 'oauth2', NOTHING), (error) => isAuthError(error, 'invalid') && /wrong state/.test(error.message))
  assert.equal(stub.tokenRequests.length, 0)
  assert.equal(await config(), '')
})

await test('an error in the callback is told', async (t) => {
  const { context } = await scene(t, {}, BROWSER, {
    open: browse((target) => { target.searchParams.delete('code'); target.searchParams.set('error', 'access_denied'); target.searchParams.set('error_description', 'no rights here') }),
  })
  await assert.rejects(signIn(context, 'oauth2', NOTHING), /refuses the sign-in: no rights here/)
})

await test('the callback takes its own path only, on loopback only', async (t) => {
  const { context } = await scene(t, {}, BROWSER, {
    open: async (url) => {
      const callback = new URL(context.browserRedirect ?? '')
      for (const path of ['/', '/favicon.ico', '/servers/callback/x']) assert.equal((await fetch(new URL(path, callback))).status, 404)
      assert.equal((await fetch(callback, { method: 'POST', body: 'x' })).status, 404)
      return await browse()(url)
    },
  })
  await signIn(context, 'oauth2', NOTHING)
})

await test('nobody signs in: it ends', async (t) => {
  const { context } = await scene(t, {}, BROWSER, { open: () => Promise.resolve(false), callbackTimeoutMs: 50 })
  await assert.rejects(signIn(context, 'oauth2', NOTHING), (error) => isAuthError(error, 'timeout'))
})

await test('the sign-in can be aborted while the browser is open', async (t) => {
  const stop = new AbortController()
  const { context } = await scene(t, {}, BROWSER, { signal: stop.signal, open: () => { setImmediate(() => stop.abort()); return Promise.resolve(true) } })
  await assert.rejects(signIn(context, 'oauth2', NOTHING), (error) => isAuthError(error, 'aborted'))
})

const pasted = (shape: (target: URL) => string): ((scene: { said: string[] }) => Promise<string>) => async ({ said }) => {
  const url = said.map((line) => line.trim()).findLast((line) => line.startsWith('http')) ?? ''
  const authorize = await fetch(url, { redirect: 'manual' })
  return shape(new URL(authorize.headers.get('location') ?? ''))
}

await test('C7 copy and paste: the bare code, or the whole address', async (t) => {
  for (const shape of [(target: URL) => ` ${target.searchParams.get('code') ?? ''}\n`, (target: URL) => target.href]) {
    const { stub, context } = await scene(t, {}, [['open a browser', 'no'], ['Code', pasted(shape)]])
    assert.equal((await signIn(context, 'oauth2', NOTHING)).user, 'alice')
    assert.equal(stub.tokenRequests[0]?.get('redirect_uri'), `${stub.url}/oauth2/oob`)
  }
})

await test('a pasted address of another sign-in is refused', async (t) => {
  const { context } = await scene(t, {}, [['open a browser', 'no'], ['Code', pasted((target) => { target.searchParams.set('state', 'another-one'); return target.href })]])
  await assert.rejects(signIn(context, 'oauth2', NOTHING), /wrong state/)
})

await test('a wrong code is refused by the server: one sentence, nothing stored', async (t) => {
  const { context, config } = await scene(t, {}, [['open a browser', 'no'], ['Code', 'no-such-code']])
  await assert.rejects(signIn(context, 'oauth2', NOTHING), (error) => isAuthError(error, 'invalid') && /refuses the code/.test(error.message))
  assert.equal(await config(), '')
})

await test('C8 the port is busy: warning, then copy and paste', async (t) => {
  const blocker: Server = createServer()
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
  t.after(() => blocker.close())
  const { context, warnings } = await scene(t, {}, [...BROWSER, ['Code', pasted((target) => target.searchParams.get('code') ?? '')]], {
    browserRedirect: `http://localhost:${(blocker.address() as AddressInfo).port}/servers/callback`,
  })
  assert.equal((await signIn(context, 'oauth2', NOTHING)).user, 'alice')
  assert.match(warnings.join(''), /port \d+ is in use/)
})

await test('a server that trips over PKCE: the flow is repeated without it', async (t) => {
  const { stub, context } = await scene(t, { refusePkce: true }, BROWSER, { open: browse() })
  assert.equal((await signIn(context, 'oauth2', NOTHING)).user, 'alice')
  assert.deepEqual(stub.tokenRequests.map((form) => form.has('code_verifier')), [true, false])
})

await test('a web page instead of Cells; a server in trouble', async (t) => {
  const web = await scene(t, { html: true }, BROWSER)
  await assert.rejects(signIn(web.context, 'oauth2', NOTHING), (error) => isAuthError(error, 'not-cells'))
  const down = await scene(t, { oidcStatus: 502 }, BROWSER)
  await assert.rejects(signIn(down.context, 'oauth2', NOTHING), (error) => isAuthError(error, 'unavailable'))
})

await test('C2 C5 asked for token, login and password; what is known is not asked', async (t) => {
  const token = await scene(t, {}, [['access token', 'pat-of-alice']])
  assert.equal((await signIn(token.context, 'pat', NOTHING)).authType, 'pat')
  const login = await scene(t, {}, [['Login', 'bob'], ['Password', 'bob-P4ss']])
  assert.equal((await signIn(login.context, 'session', NOTHING)).user, 'bob')
  const silent = await scene(t, {}, [])
  await signIn(silent.context, 'pat', { ...NOTHING, url: silent.stub.url, token: 'pat-of-alice' })
  assert.deepEqual(silent.questions, [])
})

/** The built cec on a terminal made by script(1); answers are typed when their question has appeared. */
async function onTerminal(env: NodeJS.ProcessEnv, words: string, answers: readonly [RegExp, string][]): Promise<{ code: number | null; screen: string }> {
  const child = spawn('script', ['-qefc', `${process.execPath} ${CEC} ${words}`, '/dev/null'], { env: { ...env, TERM: 'xterm' }, stdio: 'pipe' })
  let screen = ''
  let next = 0
  let seen = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text
    const expected = answers[next]
    if (expected === undefined || !expected[0].test(screen.slice(seen))) return
    next++
    seen = screen.length
    child.stdin.write(expected[1])
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, screen }
}

await test('C11 C23 the wizard on a real terminal; Ctrl-C ends it with 1; relog asks with the old values', async (t) => {
  if (spawnSync('script', ['--version']).status !== 0) {
    t.skip('script(1) is not installed')
    return
  }
  const home = await freshHome(t)
  const stub = await startStub()
  t.after(() => stub.close())
  const wizard = await onTerminal(home.env, 'config add', [[/How do you want/, '\u001b[B\r'], [/Server URL/, `${stub.url}\r`], [/access token/, 'pat-of-alice\r']])
  assert.equal(wizard.code, 0, wizard.screen)
  assert.match(wizard.screen, /✔ Signed in as alice/)
  assert.doesNotMatch(wizard.screen, /pat-of-alice/)

  const relog = await onTerminal(home.env, 'config relog', [[/Which account/, '\r'], [/Server URL/, '\r'], [/access token/, 'pat-of-alice\r']])
  assert.equal(relog.code, 0, relog.screen)

  const refused = await onTerminal(home.env, 'config rm', [[/Remove the account/, 'n\r']])
  assert.equal(refused.code, 0)
  assert.match((await collect(home.start(['config', 'ls']))).stdout, /alice/)

  const aborted = await onTerminal(home.env, 'config add', [[/How do you want/, '\u0003']])
  assert.equal(aborted.code, 1)
  assert.match(aborted.screen, /aborted by user/)
})
