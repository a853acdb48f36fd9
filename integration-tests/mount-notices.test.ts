/**
 * What the kernel is told unasked: it may believe names, attributes, listings and pages for minutes, and still everything that
 * another client does is seen as soon as the server's event is here. Through the kernel driver, against the embedded server.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from '../src/cells/client.js'
import type { CellsServer } from '../src/cells/server.js'
import { type DemoServer, startDemoServer } from '../src/demo/index.js'
import { kernelDriverProblem } from '../src/fs/drivers/kernel/driver.js'
import { withFolder } from './helpers/folders.js'
import { run, Service, sh, until } from './helpers/process.js'

const MOUNT = fileURLToPath(new URL('./engine-mount.js', import.meta.url))
const ROOT = 'personal-files'
const problem = kernelDriverProblem()

interface Drive {
  readonly dir: string
  readonly demo: DemoServer
  readonly service: Service
  /** Another client. */
  readonly other: CellsServer
  readonly put: (name: string, text: string) => Promise<void>
  readonly sh: (script: string) => Promise<string>
  /** Waits until a script prints just this. */
  readonly sees: (script: string, wanted: string) => Promise<void>
  /** What the kernel asked since the last time. */
  readonly calls: () => Promise<string[]>
  /** Runs a script while the process behind the mount is stopped: only the kernel can answer. */
  readonly stopped: (script: string) => Promise<string>
}

async function withDrive(work: (drive: Drive) => Promise<void>): Promise<void> {
  await withFolder(async ({ folder, env }) => {
    const demo = await startDemoServer({ dataDir: await folder('server'), indexDelayMs: 200 })
    const answer = await fetch(`${demo.url}/a/frontend/session`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ AuthInfo: { type: 'credentials', login: 'alice', password: 'alice-P4ss' } }),
    })
    const { JWT } = await answer.json() as { JWT: string }
    const other = connect({ url: demo.url, tokens: { get: () => Promise.resolve(JWT), reject: () => {} }, skipVerify: false, customHeaders: {}, accountId: 'a', authType: 'session' })
    const dir = await folder('mnt')
    const service = new Service(process.execPath, [MOUNT, dir, await folder('state'), demo.url, JWT, ROOT], { env })
    const script = (text: string): Promise<string> => sh(`cd '${dir}'\n${text}`, { env, timeoutMs: 20_000 })
    try {
      assert.deepEqual(JSON.parse(await service.line()), { ready: true })
      await until('the event stream', async () => await service.ask('live') === true)
      await work({
        dir, demo, service, other, sh: script,
        put: async (name, text) => {
          const data = Buffer.from(text)
          // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
          await other.put(`${ROOT}/${name}`, async function * () { yield data }, data.length)
        },
        sees: async (text, wanted) => {
          await until(`${text} gives ${JSON.stringify(wanted)}`, async () => await script(text).catch(String) === wanted)
        },
        calls: async () => await service.ask('calls') as string[],
        stopped: async (text) => {
          service.child.kill('SIGSTOP')
          try {
            return await sh(text, { env, timeoutMs: 20_000 })
          } finally {
            service.child.kill('SIGCONT')
          }
        },
      })
    } finally {
      service.child.stdin!.end()
      await service.stop('SIGKILL')
      await run('umount', ['-l', dir])
      await other.close()
      await demo.close()
    }
  })
}

describe('what the kernel is told', { concurrency: 4, timeout: 120_000, skip: problem ?? false }, () => {
  it('warm stat, listings and pages cost no word to the process', () => withDrive(async (drive) => {
    const { dir, sh, stopped } = drive
    await sh('mkdir d; for i in 1 2 3; do echo content $i > d/f$i; done')
    await drive.sees('ls d; cat d/f2', 'f1\nf2\nf3\ncontent 2\n')
    // What is not shown by the server yet is still asked for.
    assert.deepEqual(await drive.service.ask('sync'), { failed: [] })
    await until('the kernel asks for nothing', async () => {
      await sh('stat d/f1 d/f2 d/f3 d > /dev/null; ls -l d > /dev/null; cat d/*; test ! -e d/absent')
      await drive.calls()
      await new Promise((resolve) => setTimeout(resolve, 300))
      await sh('stat d/f1 d/f2 d/f3 d > /dev/null; test ! -e d/absent; ls -l d > /dev/null; cat d/f1 > /dev/null')
      const calls = await drive.calls()
      return calls.every((call) => /^(opendir|releasedir|open|release|flush)$/.test(call))
    })
    const before = new Map(drive.demo.requests)
    assert.equal(await stopped(`stat -c '%n %s' ${dir}/d/f1 ${dir}/d/f3; test -e ${dir}/d/absent || echo absent; cd ${dir}/d; stat -c %F .`), `${dir}/d/f1 10\n${dir}/d/f3 10\nabsent\ndirectory\n`)
    await sh('ls -l d > /dev/null; cat d/f1 d/f2 > /dev/null')
    const asked = [...drive.demo.requests].filter(([route, count]) => count !== before.get(route) && !/ws/.test(route))
    assert.deepEqual(asked, [])
  }))

  it('shows what others create, change, rename and delete at once, though the kernel may believe for minutes', () => withDrive(async (drive) => {
    const { put, sees, other } = drive
    await sees('ls; test ! -e f; test ! -e g', '')
    await put('f', 'one')
    await sees('cat f; stat -c %s f; ls -I recycle_bin', 'one3\nf\n')
    await put('f', 'twenty')
    await sees('stat -c %s f; cat f', '6\ntwenty')
    // Size and second of the time may be those of the version before.
    await put('f', 'TWENTY')
    await sees('cat f', 'TWENTY')
    await other.mkdir([`${ROOT}/d`])
    await sees('test -d d && ls -d d', 'd\n')
    await other.move(`${ROOT}/f`, `${ROOT}/d/g`)
    await sees('test ! -e f; cat d/g; ls d', 'TWENTYg\n')
    await other.move(`${ROOT}/d`, `${ROOT}/e`)
    await sees('test ! -e d; cat e/g; ls e', 'TWENTYg\n')
    await other.remove([`${ROOT}/e`])
    await sees('test ! -e e; ls; ls recycle_bin/e', 'recycle_bin\ng\n')
    await other.remove([`${ROOT}/recycle_bin/e`])
    await sees('ls recycle_bin', '')
  }))

  it('a reader with old pages that begins again sees the new content; one in the middle does not mix', () => withDrive(async (drive) => {
    const { dir, put, sees } = drive
    const [one, two] = ['1'.repeat(600_000), '2'.repeat(600_000)]
    await put('f', one)
    await put('g', one)
    await sees('cat f g | wc -c', '1200000\n')
    const reader = (name: string): Service => new Service('perl', ['-e', `$|=1; open F, "<", "${name}" or die; while (<STDIN>) { chomp; my ($at, $n) = split; seek F, $at, 0; my $r = sysread F, my $b, $n; print defined $r ? substr($b, 0, 1) . " $r\\n" : "error $!\\n" }`], { cwd: dir })
    const read = async (it: Service, at: number, length: number): Promise<string> => {
      it.child.stdin!.write(`${at} ${length}\n`)
      return it.line()
    }
    const [again, middle] = [reader('f'), reader('g')]
    assert.equal(await read(again, 0, 100), '1 100')
    assert.equal(await read(middle, 0, 5000), '1 5000')
    await put('f', two)
    await put('g', two)
    await until('the new content from its start', async () => await read(again, 0, 100) === '2 100')
    assert.equal(await read(again, 300_000, 100), '2 100')
    await sees('head -c 3 g', '222')
    for (const at of [5000, 200_000, 500_000]) assert.match(await read(middle, at, 100), /^1 100$|^error/)
    assert.equal(await drive.sh('tr -d 2 < g | wc -c'), '0\n')
    for (const it of [again, middle]) {
      it.child.stdin!.end()
      await it.exited
    }
    await sees('tr -d 2 < g | wc -c', '0\n')
  }))

  it('believes nothing any more when the stream is lost, and long again when it is back', () => withDrive(async (drive) => {
    const { demo, put, sees, service } = drive
    await put('f', 'one')
    await sees('cat f; test ! -e new; ls', 'onef\n')
    // What happens now no event tells.
    let refused = 0
    demo.onRequest = ({ path }) => path.startsWith('/ws') ? (refused++, { reset: true }) : undefined
    demo.events.drop()
    await until('the loss is known', async () => await service.ask('live') === false)
    await put('f', 'two and more')
    await put('new', 'x')
    await sees('stat -c %s f; cat f; cat new; ls', '12\ntwo and morexf\nnew\n')
    demo.onRequest = undefined
    await until('the stream is back', async () => await service.ask('live') === true)
    await put('f', 'three')
    await sees('stat -c %s f; cat f', '5\nthree')
    assert.equal(refused >= 0, true)
  }))

  it('tells of names in any spelling', () => withDrive(async (drive) => {
    const [nfc, nfd] = ['caf\u00e9', 'cafe\u0301']
    await drive.sees(`test ! -e ${nfc}; test ! -e ${nfd}`, '')
    await drive.put(nfc, 'x')
    await drive.sees(`cat ${nfc}; cat ${nfd}`, 'xx')
    await drive.sh(`test ! -e o${nfc}; test ! -e o${nfd}; echo y > o${nfd}; cat o${nfc} o${nfd}; rm o${nfc}; test ! -e o${nfd}`)
  }))

  it('moves working folders that others rename with the programs in them', () => withDrive(async (drive) => {
    const { other, put, dir } = drive
    await other.mkdir([`${ROOT}/d`])
    await put('d/f', 'text')
    await drive.sees('cat d/f', 'text')
    const shell = new Service('bash', ['-c', 'while read line; do eval "$line"; done'], { cwd: join(dir, 'd') })
    await other.move(`${ROOT}/d`, `${ROOT}/e`)
    await drive.sees('test ! -e d; ls -d e', 'e\n')
    shell.child.stdin!.write('echo more > g; cat f g; echo\n')
    assert.equal(await shell.line(), 'textmore')
    shell.child.stdin!.end()
    await shell.exited
    await other.waitFor(`${ROOT}/e/g`, (node) => node !== undefined)
  }))
})

describe('what only the kernel driver asks of the engine', { concurrency: 4, timeout: 120_000, skip: problem ?? false }, () => {
  it('copies large files on the server', () => withDrive(async (drive) => {
    const { demo, put, sh, other } = drive
    await put('f', 'x'.repeat(5_000_000))
    await drive.sees('stat -c %s f', '5000000\n')
    await drive.calls()
    const [gets, puts] = [demo.requests.get('GET s3') ?? 0, demo.requests.get('PUT s3') ?? 0]
    await sh('cp f g')
    const calls = await drive.calls()
    assert.ok(calls.includes('copyFileRange'))
    assert.deepEqual(calls.filter((call) => call === 'read' || call === 'write'), [])
    assert.deepEqual([demo.requests.get('GET s3') ?? 0, demo.requests.get('PUT s3') ?? 0], [gets, puts])
    const [f, g] = [await other.stat(`${ROOT}/f`), await other.stat(`${ROOT}/g`)]
    assert.deepEqual([g?.etag, g?.size, g?.uuid !== f?.uuid], [f?.etag, 5_000_000, true])
    assert.equal(await sh('cmp f g && cp -p f h && cmp f h && ls -I recycle_bin; [ $(stat -c %Y f) = $(stat -c %Y h) ] && echo same'), 'f\ng\nh\nsame\n')
    // Over a file that is there, and of one that is being changed: as any other program, and right.
    await sh('cp g f; echo more >> g; cp g f; cmp g f; cp f small 2>/dev/null; cmp f small')
    assert.equal(await sh('stat -c %s small'), '5000005\n')
  }))

  it('finds the holes of a file that is not sent yet', () => withDrive(async ({ sh }) => {
    assert.equal(await sh(`exec 3<> f; truncate -s 1M f; printf x | dd of=f bs=1 seek=500000 conv=notrunc status=none
      perl -e 'open F, "<", "f"; print sysseek(F, 0, 3), " ", sysseek(F, 500000, 4), " "; sysseek(F, 600000, 3) or print "$!\n"'`),
    '500000 500001 No such device or address\n')
  }))

  it('lets a program go that waits for a server that has stalled', () => withDrive(async (drive) => {
    const { demo, put, dir } = drive
    await put('f', 'x'.repeat(100_000))
    await drive.sees('stat -c %s f', '100000\n')
    demo.onRequest = ({ route }) => route === 'GET s3' ? { stall: 'forever' } : undefined
    await drive.calls()
    const reader = new Service('cat', ['f'], { cwd: dir })
    await until('it waits', async () => (await drive.calls()).includes('read'))
    const before = Date.now()
    assert.notEqual(await reader.stop('SIGINT', 20_000), 0)
    assert.ok(Date.now() - before < 10_000)
    demo.onRequest = undefined
    await drive.sees('ls -I recycle_bin', 'f\n')
  }))
})
