/**
 * A mount whose server, network or sign-in goes away and comes back: without a remount nothing is lost, what is known is shown, and
 * saving goes on. All through a proxy that refuses, stalls or says no, with a stored account.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { resolveConnection } from '../src/auth/connection.js'
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

describe('a mount without its server', { timeout: 300_000, concurrency: 2, skip: realServer && 'needs a server that goes away' }, () => {
  it('shows what it knows, reads what is cached, goes on saving, and sends it in the end', () => withProxy(async (away) => {
    const drive = await away.mount('personal-files')
    await drive.sh('mkdir d; echo one > d/a; echo two > b; ls -lR; cat d/a b')
    await sync(away)
    await away.proxy.refuse()
    await until('noticed', async () => (await away.status()).connection === 'offline')
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
    await sync(away)
    await away.proxy.refuse()
    await until('noticed', async () => (await away.status()).connection === 'offline')
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
      await sync(away)
      await away.proxy.refuse()
      await until('noticed', async () => (await away.status()).connection === 'offline')
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
