/**
 * A mount whose server, network or sign-in goes away and comes back: without a remount nothing is lost, what is known is shown, and
 * saving goes on. All through a proxy that refuses, stalls or says no, with a stored account.
 */
import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { resolveConnection } from '../src/auth/connection.js'
import { BLANK_ACCOUNT } from '../src/auth/goconfig.js'
import { beginSignIn, BROWSER_REDIRECT, finishSignIn, refreshTokens } from '../src/auth/oauth.js'
import { AccountStore } from '../src/auth/store.js'
import { connect } from '../src/cells/client.js'
import type { CellsServer } from '../src/cells/server.js'
import { GLOBAL_OPTIONS, resolveOptions } from '../src/cli/options.js'
import type { EngineStatus } from '../src/fs/status.js'
import { FaultProxy, FAULTS } from './helpers/fault-proxy.js'
import { realServer, startMount, withServer, type Drive, type World } from './helpers/mount.js'
import { run, until } from './helpers/process.js'

interface Away {
  readonly world: World
  readonly proxy: FaultProxy
  /** Straight to the server. */
  readonly client: CellsServer
  readonly mount: (remote?: string) => Promise<Drive>
  readonly status: () => Promise<EngineStatus>
  readonly cec: (...args: string[]) => Promise<{ code: number; stdout: string; stderr: string }>
  readonly cellsfs: (...args: string[]) => Promise<{ code: number; stdout: string; stderr: string }>
  readonly serverHas: (path: string, content: string) => Promise<void>
}

const FLAGLESS = { CEC_URL: '', CEC_LOGIN: '', CEC_PASSWORD: '' }

async function withProxy(work: (away: Away) => Promise<void>): Promise<void> {
  await withServer({ indexDelayMs: 100 }, async (world) => {
    const proxy = await FaultProxy.start(world.url)
    const env = { ...world.env, ...FLAGLESS }
    const drives: Drive[] = []
    const client = connect(await resolveConnection({ ...resolveOptions(GLOBAL_OPTIONS, {}, {}), url: world.url, login: world.login, password: world.password }))
    try {
      const away: Away = {
        world, proxy, client,
        cec: (...args) => world.cec(args, { env: FLAGLESS }),
        cellsfs: (...args) => world.cellsfs(args, { env: FLAGLESS }),
        mount: async (remote) => {
          const drive = await startMount(world.folder, world.root, env, remote === undefined ? {} : { remote })
          drives.push(drive)
          return drive
        },
        status: async () => {
          const { stdout } = await world.cellsfs(['status', '--json'], { env: FLAGLESS })
          return (JSON.parse(stdout) as EngineStatus[])[0]!
        },
        serverHas: async (path, content) => {
          await until(`${path} on the server`, async () => {
            const body = await client.get(path)
            let text = ''
            for await (const piece of body.stream) text += Buffer.from(piece).toString()
            return text === content
          }, 60_000)
        },
      }
      const added = await away.cec('config', 'add', 'client-auth', '--skip-keyring', '--url', proxy.url, '--login', world.login, '--password', world.password)
      assert.equal(added.code, 0, added.stderr)
      await work(away)
    } finally {
      proxy.heal()
      if (drives.length > 0) await proxy.accept().catch(() => {})
      await Promise.all(drives.map((drive) => drive.stop('SIGKILL')))
      for (const { path } of drives) await run('fusermount3', ['-uz', path])
      await client.close()
      await proxy.close()
    }
  })
}

const sync = async (away: Away): Promise<void> => {
  const { code, stderr } = await away.cellsfs('sync')
  assert.deepEqual([code, stderr], [0, ''])
}

/** Sends what there is, cuts the server off and waits until the mount has noticed. */
async function goOffline(away: Away): Promise<void> {
  await sync(away)
  await away.proxy.refuse()
  await until('noticed', async () => (await away.status()).connection === 'offline')
}

describe('a mount without its server', { timeout: 300_000, concurrency: 2, skip: realServer && 'needs a server that goes away' }, () => {
  it('shows what it knows, reads what is cached, goes on saving, and sends it in the end', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('mkdir d; echo one > d/a; echo two > b; ls -lR; cat d/a b')
    await goOffline(away)
    assert.equal(await drive.sh('cat d/a b; ls . d'), 'one\ntwo\n.:\nb\nd\n\nd:\na\n')
    await drive.sh('echo changed > d/a; echo new > d/new; mkdir e; echo deep > e/deep; mv b c; echo save > t.tmp; mv t.tmp d/doc')
    assert.equal(await drive.sh('cat d/a d/new e/deep c d/doc; ls'), 'changed\nnew\ndeep\ntwo\nsave\nc\nd\ne\n')
    const status = await away.status()
    assert.equal(status.connection, 'offline')
    assert.ok(status.pending.count >= 4, JSON.stringify(status.pending))
    assert.match((await away.cellsfs('status')).stdout, /offline/)
    await away.proxy.accept()
    for (const [path, text] of [['d/a', 'changed\n'], ['d/new', 'new\n'], ['e/deep', 'deep\n'], ['c', 'two\n'], ['d/doc', 'save\n']] as const) await away.serverHas(`personal-files/${path}`, text)
    await sync(away)
    assert.equal(await away.client.stat('personal-files/b'), undefined)
    assert.equal(await drive.sh('cat d/a d/new e/deep c d/doc; ls'), 'changed\nnew\ndeep\ntwo\nsave\nc\nd\ne\n')
    assert.equal((await away.status()).connection, 'online')
  }))

  it('keeps both versions of what somebody else made under the same name meanwhile', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('echo here > known; ls')
    await goOffline(away)
    await drive.sh('echo mine > same')
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    await away.client.put('personal-files/same', async function * () { yield Buffer.from('theirs') }, 6)
    await away.client.waitFor('personal-files/same', (node) => node !== undefined && node.etag !== 'temporary')
    await away.proxy.accept()
    await until('both are there', async () => {
      const names = (await drive.sh('ls')).trim().split('\n')
      return names.length === 3 && names.includes('same')
    })
    await sync(away)
    assert.equal(await drive.sh('cat same; for f in same*; do [ "$f" = same ] || cat "$f"; done'), 'theirsmine\n')
  }))

  it('goes on after a sleep in which all its connections died without a word', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('echo one > a; cat a; ls')
    await sync(away)
    // Nothing is answered any more on anything that is open.
    const silence = away.proxy.fault({}, { stall: 'forever' })
    drive.service.child.kill('SIGSTOP')
    await drive.sh('true', { cwd: '/' })
    drive.service.child.kill('SIGCONT')
    assert.equal(await drive.sh('cat a'), 'one\n')
    await drive.sh('echo two > b')
    silence.end()
    away.proxy.cut()
    await away.serverHas('personal-files/b', 'two\n')
    await until('online', async () => (await away.status()).live)
  }))
})

describe('a mount that starts without its server', { timeout: 300_000, concurrency: 2, skip: realServer && 'needs a server that goes away' }, () => {
  for (const remote of ['personal-files', undefined]) {
    it(`shows what was known, reads what is cached and sends what is saved (${remote ?? 'all workspaces'})`, () => withProxy(async (away) => {
      const first = await away.mount(remote)
      const dir = remote === undefined ? 'personal-files/' : ''
      const cat = (name: string): string => `cat ${dir}${name}`
      await first.sh(`mkdir ${dir}d; echo one > ${dir}d/a; ls -lR; ${cat('d/a')}`, { cwd: first.path })
      await goOffline(away)
      await first.sh(`echo unsent > ${dir}d/unsent; mkdir ${dir}new; echo x > ${dir}new/x; mv ${dir}d/a ${dir}d/renamed`, { cwd: first.path })
      await first.stop('SIGKILL')
      await run('fusermount3', ['-uz', first.path])

      const second = await away.mount(remote)
      assert.match(second.service.stderr, /the server does not answer now/)
      assert.equal(await second.sh(`ls ${dir}d ${dir}new; ${cat('d/renamed')}; ${cat('d/unsent')}; ${cat('new/x')}`, { cwd: second.path }), `${dir}d:\nrenamed\nunsent\n\n${dir}new:\nx\none\nunsent\nx\n`)
      await second.sh(`echo later > ${dir}d/later; echo over > ${dir}d/unsent`, { cwd: second.path })
      await away.proxy.accept()
      for (const [path, text] of [['d/unsent', 'over\n'], ['d/later', 'later\n'], ['new/x', 'x\n'], ['d/renamed', 'one\n']] as const) await away.serverHas(`personal-files/${path}`, text)
      await sync(away)
      assert.equal(await away.client.stat('personal-files/d/a'), undefined)
    }))
  }

  it('is corrected by the server as soon as it answers', () => withProxy(async (away) => {
    const first = await away.mount('personal-files')
    await first.sh('mkdir d gone; echo one > d/a; echo two > d/b; echo three > gone/c; ls -lR; cat d/a')
    await sync(away)
    assert.equal(await first.stop(), 0)
    await away.client.remove(['personal-files/d/b', 'personal-files/gone'])
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    await away.client.put('personal-files/d/new', async function * () { yield Buffer.from('new') }, 3)
    await away.client.waitFor('personal-files/d/new', (node) => node !== undefined && node.etag !== 'temporary')
    await away.client.waitFor('personal-files/d/b', (node) => node === undefined)
    await away.client.waitFor('personal-files/gone', (node) => node === undefined)
    // With a server that answers, from the first moment.
    const second = await away.mount('personal-files')
    assert.equal(await second.sh('ls d; ls | grep -v recycle; cat d/new'), 'a\nnew\nd\nnew')
    assert.equal(await second.stop(), 0)
    // With one that does not: what was known, until it does.
    await away.client.remove(['personal-files/d/new'])
    await away.client.waitFor('personal-files/d/new', (node) => node === undefined)
    await away.proxy.refuse()
    const third = await away.mount('personal-files')
    assert.equal(await third.sh('ls d'), 'a\nnew\n')
    await away.proxy.accept()
    await until('the name vanishes', async () => await third.sh('ls d') === 'a\n')
    assert.equal((await run('stat', ['d/new'], { cwd: third.dir })).code, 1)
  }))

  it('is usable at once when the server is slow', () => withProxy(async (away) => {
    const first = await away.mount('personal-files')
    await first.sh('mkdir d; echo one > d/a; ls -lR; cat d/a')
    await sync(away)
    assert.equal(await first.stop(), 0)
    const slow = away.proxy.fault({}, { stall: 'forever' })
    const second = await away.mount('personal-files')
    assert.equal(await second.sh('ls; ls -l d | wc -l; cat d/a'), 'd\n2\none\n')
    slow.end()
    away.proxy.cut()
    await second.sh('echo two > d/b')
    await away.serverHas('personal-files/d/b', 'two\n')
  }))
})

describe('a mount whose sign-in ends', { timeout: 300_000, skip: realServer && 'needs a server that says no' }, () => {
  it('says so, goes on with what it has, and is revived by a new sign-in', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('echo one > a; mkdir d; echo two > d/b; ls -lR; cat a d/b')
    await sync(away)
    const no = [
      away.proxy.fault({ path: /^\/a\// }, FAULTS.unauthorized), away.proxy.fault({ path: /^\/io\// }, { status: 401, body: '' }),
      away.proxy.fault({ method: 'UPGRADE' }, { status: 401 }), away.proxy.fault({ path: /^\/auth\// }, { status: 401, body: '{}' }),
    ]
    away.proxy.cutEvents()
    await drive.sh('echo three > c; rm d/b')
    const state = async (): Promise<string> => (await away.status()).connection
    await until('signed out', async () => await state() === 'login-needed')
    assert.match((await away.cellsfs('status')).stdout, /signed out: run `cec config relog`/)
    assert.equal(drive.service.stderr.split('signed out: run').length, 2, 'once in the log')
    assert.equal(await drive.sh('cat a c; ls . d; echo four > e; cat e'), 'one\nthree\n.:\na\nc\nd\n\nd:\nfour\n')
    const asked = away.proxy.requests.filter((it) => it.includes('/a/frontend/session')).length
    // The server is willing again; a refused password is not tried again until somebody signs in.
    for (const each of no) each.end()
    assert.equal((await away.cellsfs('sync')).code, 1)
    assert.equal(away.proxy.requests.filter((it) => it.includes('/a/frontend/session')).length, asked)
    const added = await away.cec('config', 'add', 'client-auth', '--skip-keyring', '--url', away.proxy.url, '--login', away.world.login, '--password', away.world.password)
    assert.equal(added.code, 0, added.stderr)
    await away.serverHas('personal-files/c', 'three\n')
    await away.serverHas('personal-files/e', 'four\n')
    await away.client.waitFor('personal-files/d/b', (node) => node === undefined)
    await until('online', async () => await state() === 'online')
    await sync(away)
  }))
})

describe('a mount whose OAuth sign-in ends', { timeout: 300_000, skip: realServer && 'ends a sign-in' }, () => {
  it('is revived by a new one', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const store = new AccountStore({ folder: join(world.env['XDG_CONFIG_HOME']!, 'pydio', 'cells-client') })
    const reach = { url: world.url, skipVerify: false }
    const signIn = async (): Promise<string> => {
      const attempt = await beginSignIn(reach, BROWSER_REDIRECT, { pkce: true })
      const authorize = await fetch(attempt.authorizationUrl, { redirect: 'manual' })
      const challenge = new URL(authorize.headers.get('location') ?? '', world.url).searchParams.get('login_challenge')
      const session = await fetch(`${world.url}/a/frontend/session`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ AuthInfo: { type: 'credentials', login: world.login, password: world.password, challenge } }),
      })
      const grant = await finishSignIn(reach, attempt, ((await session.json()) as { RedirectTo: string }).RedirectTo)
      await store.save({ ...BLANK_ACCOUNT, authType: 'oauth2', url: world.url, user: world.login, idToken: grant.accessToken, refreshToken: grant.refreshToken, tokenExpiresAt: Math.floor(Date.now() / 1000) + 600, skipKeyring: true })
      return grant.refreshToken
    }
    const refreshToken = await signIn()
    const drive = await startMount(world.folder, world.root, { ...world.env, ...FLAGLESS }, { remote: 'personal-files' })
    try {
      const state = async (): Promise<string> => (JSON.parse((await world.cellsfs(['status', '--json'], { env: FLAGLESS })).stdout) as EngineStatus[])[0]!.connection
      await drive.sh('echo one > a; ls; cat a')
      await until('sent', async () => (await world.client.stat('personal-files/a')) !== undefined)
      // Somebody else uses the refresh token: the access token is dead, and so is the sign-in.
      await refreshTokens(reach, refreshToken)
      await drive.sh('echo two > b')
      await until('signed out', async () => await state() === 'login-needed')
      assert.match((await world.cellsfs(['status', '--once'], { env: FLAGLESS })).stdout, /signed out: run `cec config relog`/)
      assert.equal(await drive.sh('cat a b; echo three > c; ls'), 'one\ntwo\na\nb\nc\n')
      await signIn()
      await until('online', async () => await state() === 'online')
      await world.client.waitFor('personal-files/b', (node) => node?.size === 4)
      await world.client.waitFor('personal-files/c', (node) => node?.size === 6)
    } finally {
      await drive.stop()
    }
  }))
})

describe('a server that refuses', { timeout: 300_000, concurrency: 2, skip: realServer && 'needs a server that refuses' }, () => {
  const DENIED = { status: 403, body: '<Error><Code>AccessDenied</Code></Error>', headers: { 'content-type': 'application/xml' } }

  it('one file for good: the others are sent, it is kept and shown, and sent when somebody asks for it', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    const no = [
      away.proxy.fault({ method: 'PUT', path: /^\/io\/.*refused/ }, DENIED), away.proxy.fault({ method: 'POST', path: /^\/io\/.*refused/ }, DENIED),
    ]
    await drive.sh('echo no > refused; for i in 1 2 3 4 5 6 7 8; do echo $i > f$i; done; mkdir d; echo in > d/in')
    for (let n = 1; n <= 8; n++) await away.serverHas(`personal-files/f${n}`, `${n}\n`)
    await away.serverHas('personal-files/d/in', 'in\n')
    await until('told', async () => (await away.status()).failures.some(({ path }) => path === 'refused'))
    assert.deepEqual((await away.status()).failures.map(({ path }) => path), ['refused'])
    assert.match((await away.cellsfs('status')).stdout, /refused/)
    const { code, stderr, stdout } = await away.cellsfs('sync')
    assert.equal(code, 1)
    assert.match(stderr + stdout, /refused/)
    assert.equal(await drive.sh('cat refused; ls'), 'no\nd\nf1\nf2\nf3\nf4\nf5\nf6\nf7\nf8\nrefused\n')
    // Over an end of the process, too.
    await drive.stop('SIGKILL')
    await run('fusermount3', ['-uz', drive.path])
    const again = await away.mount('personal-files')
    assert.equal(await again.sh('cat refused'), 'no\n')
    await until('told again', async () => (await away.status()).failures.some(({ path }) => path === 'refused'))
    for (const each of no) each.end()
    await sync(away)
    await away.serverHas('personal-files/refused', 'no\n')
    assert.deepEqual((await away.status()).failures, [])
  }))

  it('everything for want of room: all is kept, and sent when there is room', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('echo old > f1; ls')
    await sync(away)
    const full = away.proxy.fault({ method: 'PUT', path: /^\/io\// }, { status: 507, body: '<Error><Code>QuotaExceeded</Code></Error>', headers: { 'content-type': 'application/xml' } })
    await drive.sh('for i in 1 2 3 4 5 6 7 8; do echo $i > f$i; done; mkdir d; echo in > d/in; mv f8 d/g8')
    await until('told', async () => (await away.status()).failures.length >= 9)
    assert.equal(await drive.sh('cat f* d/*'), '1\n2\n3\n4\n5\n6\n7\n8\nin\n')
    assert.equal((await away.cellsfs('sync')).code, 1)
    full.end()
    await sync(away)
    for (let n = 1; n <= 7; n++) await away.serverHas(`personal-files/f${n}`, `${n}\n`)
    await away.serverHas('personal-files/d/in', 'in\n')
    await away.serverHas('personal-files/d/g8', '8\n')
  }))

  it('a delete for want of a sign-in: it waits, the name does not come back', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('echo a > a; echo b > b; ls')
    await sync(away)
    const no = away.proxy.fault({ method: 'POST', path: /^\/a\/(tree\/delete|jobs)/ }, { status: 503, body: '' })
    await drive.sh('rm a')
    await until('tried', () => no.hits > 0)
    assert.equal(await drive.sh('ls'), 'b\n')
    no.end()
    await away.client.waitFor('personal-files/a', (node) => node === undefined)
  }))
})

describe('a damaged store', { timeout: 300_000, skip: realServer && 'the embedded server is enough' }, () => {
  it('is mounted, says what is damaged, and keeps what was not sent', () => withProxy(async (away) => {
    const first = await away.mount('personal-files')
    await first.sh('mkdir d; echo sent > d/sent; ls -lR')
    await sync(away)
    await away.proxy.refuse()
    const mounts = join(away.world.env['XDG_STATE_HOME']!, 'cellsfs', 'mounts')
    const state = join(mounts, (await readdir(mounts))[0]!)
    await first.sh('echo precious > d/hurt; echo whole > d/whole')
    // Some seconds after the save there are two copies of a small content: in its record, and as a file.
    await until('second copies', async () => (await readdir(join(state, 'drafts'))).length === 2)
    // What is damaged in the log as well is in the database as it was.
    await until('the database has both', async () => {
      const bytes = await readFile(join(state, 'store.mdb'))
      return bytes.includes('d/hurt') && bytes.includes('d/whole')
    })
    await first.stop('SIGKILL')
    await run('fusermount3', ['-uz', first.path])
    for (const name of ['store.mdb', 'store.log']) {
      const bytes = await readFile(join(state, name))
      for (let at = bytes.indexOf('d/hurt'); at >= 0; at = bytes.indexOf('d/hurt', at + 1)) bytes[at] = 'D'.charCodeAt(0)
      await writeFile(join(state, name), bytes)
    }
    await away.proxy.accept()

    const second = await away.mount('personal-files')
    await away.serverHas('personal-files/d/whole', 'whole\n')
    assert.equal(await second.sh('ls d'), 'sent\nwhole\n')
    assert.match((await away.status()).damage.join(), /changed files was damaged/)
    assert.match((await away.cellsfs('status', '--once')).stdout, /damaged/)
    const kept = await readdir(join(state, 'lost+found'))
    assert.deepEqual(await Promise.all(kept.map((name) => readFile(join(state, 'lost+found', name), 'utf8'))), ['precious\n'])
  }))
})

describe('names that vanish without a proof', { timeout: 300_000, concurrency: 2, skip: realServer && 'needs a server that lies' }, () => {
  /** The folder itself, and none of what is in it. */
  const empty = (path: string): { status: number; body: string; headers: Record<string, string> } => ({
    status: 200, headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ Nodes: [{ Uuid: 'a0a0a0a0-0000-4000-8000-000000000000', Path: path, Type: 'COLLECTION' }], Pagination: {} }),
  })

  it('an empty listing of a folder that had names is not believed before they are asked for', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('mkdir d; echo a > d/a; echo b > d/b; ls -l d')
    await sync(away)
    const puts = away.proxy.fault({ method: 'PUT', path: /^\/io\// }, { status: 503, body: '' })
    await drive.sh('echo unsent > d/unsent')
    // Two rows are asked for in one question of a listing only.
    const lie = away.proxy.fault({ path: /^\/a\/meta\/bulk/, skip: 0 }, empty('personal-files/d'))
    away.proxy.cutEvents()
    await until('the stream is lost and back', async () => {
      await drive.sh('ls d')
      return lie.hits > 2
    })
    assert.match(await drive.sh('ls d'), /unsent/)
    lie.end()
    puts.end()
    await until('all is there', async () => await drive.sh('ls d') === 'a\nb\nunsent\n')
    await away.serverHas('personal-files/d/unsent', 'unsent\n')
  }))

  it('a workspace that is gone keeps what was not sent, here and visible, until it is back', () => withProxy(async (away) => {
    const drive = await away.mount()
    await drive.sh('mkdir common-files/d; echo a > common-files/d/a; ls -lR common-files', { cwd: drive.path })
    await sync(away)
    const puts = away.proxy.fault({ method: 'PUT', path: /^\/io\// }, { status: 503, body: '' })
    await drive.sh('echo unsent > common-files/d/unsent; echo changed > common-files/d/a', { cwd: drive.path })
    const roots = away.proxy.fault({ path: /^\/a\/.*/ }, { ...empty('personal-files'), body: JSON.stringify({ Nodes: [{ Uuid: 'a0a0a0a0-0000-4000-8000-000000000000', Path: 'personal-files', Type: 'COLLECTION', MetaStore: { ws_slug: '"personal-files"', ws_label: '"Personal"', ws_permissions: '"read,write"' } }] }) })
    away.proxy.cutEvents()
    await until('asked', async () => {
      await drive.sh('ls', { cwd: drive.path })
      return roots.hits > 3
    })
    assert.equal(await drive.sh('cat common-files/d/unsent common-files/d/a; ls', { cwd: drive.path }).then((it) => it.startsWith('unsent\nchanged\ncommon-files\n')), true)
    assert.ok((await away.status()).pending.count >= 2)
    roots.end()
    puts.end()
    await away.serverHas('common-files/d/unsent', 'unsent\n')
    await away.serverHas('common-files/d/a', 'changed\n')
  }))
})
