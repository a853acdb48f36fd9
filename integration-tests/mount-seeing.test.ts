/** What a mount tells of itself: what is sent and what is not, as people, scripts and programs ask for it. */
import assert from 'node:assert/strict'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { request, type RequestOptions } from 'node:http'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { MountStatus } from '../src/fs/mount-control.js'
import { mismatches, parseJsonPage } from './helpers/json-types.js'
import { CELLSFS, withMount, withServer, type World } from './helpers/mount.js'
import { run, until } from './helpers/process.js'
import { PROJECT } from './helpers/project.js'
import { onScreen } from './helpers/screen.js'
import { missing, onlyEmbedded } from './helpers/suite.js'
import { xattrCommand } from './helpers/xattr.js'

const statusOf = async (world: World): Promise<MountStatus> => {
  const [status] = JSON.parse((await world.cellsfs(['status', '--json', '-v'])).stdout) as MountStatus[]
  assert.ok(status !== undefined, 'nothing is mounted')
  return status
}

/** No content can be sent. */
const noRoom = (world: World): void => { world.demo!.onRequest = ({ route }) => (route === 'PUT s3' ? { status: 507 } : undefined) }
const noTerminal = await missing('script', 'stty')
const quiet = { code: 0, stdout: '', stderr: '' }

describe('what a mount tells', { timeout: 230_000, skip: onlyEmbedded, concurrency: 2 }, () => {
  it('sync: what was deleted is in the bin, also the first time', () => withMount({ indexDelayMs: 500 }, async ({ sh, cellsfs }) => {
    const sync = async (): Promise<void> => assert.deepEqual(await cellsfs(['sync']), quiet)
    await sh('ls; echo one > a.txt; echo two > b.txt')
    await sync()
    await sh('ls; rm a.txt')
    await sync()
    assert.equal(await sh('ls recycle_bin; rm b.txt'), 'a.txt\n')
    await sync()
    assert.equal(await sh('ls recycle_bin'), 'a.txt\nb.txt\n')
  }))

  it('a change that cannot be sent: status, state, sync, umount, and the next mount', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const drive = await world.mount()
    const state = (name: string): Promise<string> => drive.sh(xattrCommand('user.cells.state', `'${name}'`))
    const page = parseJsonPage(await readFile(join(PROJECT, 'docs', 'json.md'), 'utf8'))
    const valid = async (): Promise<MountStatus> => {
      const { stdout } = await world.cellsfs(['status', '--json', '-v'])
      assert.deepEqual(mismatches(page, page.commands.get('cellsfs status')!.type, JSON.parse(stdout)), [], stdout)
      return (JSON.parse(stdout) as MountStatus[])[0]!
    }
    await drive.sh('mkdir -p d/e; echo one > d/e/a.txt')
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    assert.deepEqual([await state('d/e/a.txt'), await state('d'), await state('.')], ['synced', 'synced', 'synced'])
    assert.equal((await valid()).pending.count, 0)

    noRoom(world)
    await drive.sh('echo second > d/e/b.txt; echo local > .x.swp')
    const synced = await world.cellsfs(['sync', join(drive.dir, 'd')])
    assert.equal(synced.code, 1)
    assert.match(synced.stdout, /d\/e\/b\.txt: .*quota is used up/)
    assert.match(synced.stderr, /not everything is on the server \(1 failed\)/)
    assert.deepEqual(await world.cellsfs(['sync', join(drive.dir, 'd/e/a.txt')]), quiet)
    // A sync has what failed tried again.
    await until('it has failed again', async () => /^failed: .*quota/.test(await state('d/e/b.txt')))
    await until('its folder says so', async () => /^failed: e\/b\.txt: .*quota/.test(await state('d')))
    assert.equal(await state('d/e/a.txt'), 'synced')
    await assert.rejects(state('.x.swp'), /No data available/)
    const status = await valid()
    assert.deepEqual([status.pending.count, status.pending.bytes, status.changes?.map(({ path, change, bytes }) => [path, change, bytes])], [1, 7, [[`${world.root}/d/e/b.txt`, 'content', 7]]])
    assert.ok(Math.abs(Date.now() - Date.parse(status.pending.oldest ?? '')) < 60_000)
    assert.match(status.failures[0]?.advice ?? '', /cec trash empty/)
    const text = (await world.cellsfs(['status', '-v'])).stdout
    for (const line of [/^ {2}unsent {3}1 change, 7 B, the oldest /m, /^ {2}failed {3}\S*b\.txt: .*quota/m, /^ {11}make room/m, /^ {2}failed {3}content {2}\S*b\.txt, 7 B/m, /^ {2}cache .* of 10 GiB/m]) assert.match(text, line)

    const unmounted = await world.cellsfs(['umount', drive.path])
    assert.equal(unmounted.code, 1)
    assert.match(unmounted.stderr, /unmounted, but 1 change is not on the server yet; it is kept here and sent at the next mount:\n {2}\S*b\.txt: .*quota/)
    world.demo!.onRequest = undefined
    const again = await world.mount()
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    assert.equal((await world.client.stat(`${world.root}/d/e/b.txt`))?.size, 7)
    assert.equal(await again.sh(xattrCommand('user.cells.state', 'd')), 'synced')
  }))

  it('waits no longer than it was told to, and loses nothing', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const drive = await world.mount()
    // Each content takes its time.
    world.demo!.onRequest = ({ route }) => (route === 'PUT s3' ? { stall: 'forever' } : undefined)
    await drive.sh('echo slow > slow.txt')
    const late = await world.cellsfs(['sync', '--timeout', '0.5'])
    assert.deepEqual([late.code, late.stderr], [1, 'cellsfs: not everything is on the server (1 not sent when the time was up)\n'])
    assert.match(await drive.sh(xattrCommand('user.cells.state', 'slow.txt')), /^(sending|pending)$/)
    const unmounted = await world.cellsfs(['umount', '--wait', '0.5', drive.path])
    assert.equal(unmounted.code, 1)
    assert.match(unmounted.stderr, /1 change is not on the server yet.*\n {2}1 for which there was no time\n$/)
    world.demo!.onRequest = undefined
    await world.mount()
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    assert.equal((await world.client.stat(`${world.root}/slow.txt`))?.size, 5)
    const { stderr } = await world.cellsfs(['sync', '--timeout', 'soon'])
    assert.match(stderr, /--timeout needs a number/)
  }))

  it('sync of a path waits for nothing elsewhere', () => withMount({ indexDelayMs: 100 }, async (world) => {
    await world.sh('mkdir a b; echo x > a/x')
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    // A delete that the server does not answer to, and a content there.
    world.demo!.onRequest = ({ route, path }) => (/tree\/delete|jobs\/user/.test(route) || path.endsWith('/y') ? { stall: 'forever' } : undefined)
    await world.sh('rm a/x; echo y > a/y; echo z > b/z')
    assert.deepEqual(await world.cellsfs(['sync', '--timeout', '20', join(world.dir, 'b')]), quiet)
    assert.match((await world.cellsfs(['sync', '--timeout', '0.5', join(world.dir, 'a')])).stderr, /2 not sent/)
    assert.match((await world.cellsfs(['umount', '--wait', '0', world.path])).stderr, /2 changes are not on the server yet/)
  }))

  it('a conflict: status, state and the desktop', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const bin = await world.folder.folder('bin')
    const told = join(world.folder.path, 'told')
    await writeFile(join(bin, 'notify-send'), `#!/bin/sh\nprintf '%s\\n' "$@" >> '${told}'\n`)
    await chmod(join(bin, 'notify-send'), 0o755)
    let drive = await world.mount({ flags: ['--notify'], env: { PATH: `${bin}:${process.env['PATH']}` } })
    await drive.sh('echo base > f.txt')
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    noRoom(world)
    await drive.sh('echo ours and more > f.txt')
    assert.equal((await world.cellsfs(['sync'])).code, 1)
    world.demo!.onRequest = undefined
    const theirs = Buffer.from('theirs')
    await world.client.put(`${world.root}/f.txt`, theirs, theirs.length)
    await world.client.waitFor(`${world.root}/f.txt`, (node) => node?.size === theirs.length)
    await world.cellsfs(['sync'])
    const { conflicts } = await statusOf(world)
    assert.match(conflicts.join(), /^\S*f \(conflict .*\)\.txt$/)
    assert.equal(await drive.sh('cat f.txt'), 'theirs')
    assert.deepEqual([await drive.sh(xattrCommand('user.cells.state', 'f\\ *')), await drive.sh(xattrCommand('user.cells.state', '.')), await drive.sh(xattrCommand('user.cells.state', 'f.txt'))], ['conflict', 'conflict', 'synced'])
    await until('the desktop was told', async () => (await readFile(told, 'utf8').catch(() => '')).includes('Conflict: '))
    // Not forgotten by a restart, but resolved by a person.
    assert.equal(await drive.stop(), 0)
    drive = await world.mount()
    assert.deepEqual((await statusOf(world)).conflicts, conflicts)
    await drive.sh('rm f\\ *')
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    assert.deepEqual((await statusOf(world)).conflicts, [])
    assert.equal(await drive.sh(xattrCommand('user.cells.state', '.')), 'synced')
  }))

  it('Ctrl-C in front says what is still to be sent, and a second one leaves with nothing lost', { skip: noTerminal }, () => withServer({ indexDelayMs: 100 }, async (world) => {
    const path = await world.folder.folder('drive')
    world.demo!.onRequest = ({ route }) => (route === 'PUT s3' ? { stall: 'forever' } : undefined)
    const screen = await onScreen(`trap : INT; '${process.execPath}' '${CELLSFS}' mount -f '${path}'; echo "exit $?"`, { env: world.env, cwd: world.folder.path }, [[/mounted \/ at/, async () => {
      await run('bash', ['-c', 'echo text > f'], { cwd: join(path, world.root) })
      assert.match(await onScreen(`'${process.execPath}' '${CELLSFS}' sync --timeout 2; echo "exit $?"`, { env: world.env, cwd: world.folder.path }, [[/1 change, 5 B to send/, () => '']]), /exit 1/)
      return '\u0003'
    }], [/unmounting: 1 change, 5 B to send; Ctrl-C again/, () => '\u0003']])
    assert.match(screen, /leaving at once; what was written is kept[^]*exit 1/)
    world.demo!.onRequest = undefined
    await world.mount()
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    assert.equal((await world.client.stat(`${world.root}/f`))?.size, 5)
  }))

  it('metrics on a socket and a port', () => withMount({ indexDelayMs: 100, flags: ['--metrics-port', '0'] }, async (world) => {
    await world.sh('echo hello > a.txt; cat a.txt; cat missing 2> /dev/null || true')
    assert.deepEqual(await world.cellsfs(['sync']), quiet)
    const { metrics } = await statusOf(world)
    const text = await get({ socketPath: metrics.socket, path: '/metrics' })
    const samples = parseMetrics(text)
    const value = (name: string): number => samples.get(name) ?? NaN
    assert.equal(value('cellsfs_pending_changes'), 0)
    assert.equal(value('cellsfs_upload_bytes_total'), 6)
    assert.equal(value('cellsfs_connection{state="online"}'), 1)
    for (const name of ['cellsfs_fuse_requests_total{opcode="create"}', 'cellsfs_fuse_errors_total{errno="ENOENT"}', 'cellsfs_request_duration_seconds_count{method="put"}', 'cellsfs_fuse_request_duration_seconds_sum{opcode="write"}', 'process_resident_memory_bytes']) {
      assert.ok(value(name) > 0, `${name}\n${text}`)
    }
    for (const name of ['cellsfs_cache_hits_total', 'cellsfs_cache_misses_total', 'cellsfs_download_bytes_total']) assert.ok(value(name) >= 0, name)
    assert.deepEqual([...parseMetrics(await (await fetch(metrics.url!)).text()).keys()].filter((name) => !samples.has(name)), [])
    assert.equal((await run('stat', ['-c', '%a', metrics.socket])).stdout, '600\n')
    await assert.rejects(get({ port: Number(new URL(metrics.url!).port), host: '127.0.0.1', path: '/metrics', headers: { host: 'example.com' } }), /403/)
  }))

  it('the live view is drawn until q', { skip: noTerminal }, () => withMount({ indexDelayMs: 100 }, async (world) => {
    const where = { env: world.env, cwd: world.folder.path }
    const screen = await onScreen(`'${process.execPath}' '${CELLSFS}' status`, where, [[/unsent +nothing[^]*q ends this view/, async () => {
      noRoom(world)
      await world.sh('echo text > f')
      return ''
    }], [/failed +\S*\/f: /, () => 'q']])
    assert.match(screen, new RegExp(`${world.path}  ${world.url}/`))
    assert.match(screen, /unsent +1 change, 5 B/)
    world.demo!.onRequest = undefined
    assert.match(await onScreen(`'${process.execPath}' '${CELLSFS}' status --once`, where, []), /state +online/)
    assert.match(await onScreen(`'${process.execPath}' '${CELLSFS}' sync && echo "exit $?"`, where, []), /exit 0/)
  }))

  it('a change goes through at once where that is wanted', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const through = await world.mount({ flags: ['--write-mode', 'through'] })
    await through.sh('echo text > f; mkdir d; mv f d/g')
    assert.equal((await world.client.stat(`${world.root}/d/g`))?.size, 5)
    noRoom(world)
    await assert.rejects(through.sh('cp d/g h'), /quota/)
    world.demo!.onRequest = undefined
    assert.equal((await statusOf(world)).writeMode, 'through')
    assert.equal(await through.stop(), 0)
    const back = await world.mount({ name: 'back', flags: ['--write-mode', 'back'] })
    noRoom(world)
    await back.sh('cp d/g i')
    assert.deepEqual([(await statusOf(world)).writeMode, await world.client.stat(`${world.root}/i`)], ['back', undefined])
    world.demo!.onRequest = undefined
  }))
})

function get(options: RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    request(options, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => { text += piece }).on('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(String(response.statusCode)))
      })
    }).on('error', reject).end()
  })
}

/** Samples by name and labels; every line must be one of the format, and of a family that was announced. */
function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const families = new Map<string, string>()
  for (const line of text.trimEnd().split('\n')) {
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line)
    if (type !== null) families.set(type[1]!, type[2]!)
    if (line.startsWith('#')) continue
    const sample = /^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)+\})? (-?[\d.e+-]+)$/.exec(line)
    assert.ok(sample !== null, line)
    const family = families.has(sample[1]!) ? sample[1]! : sample[1]!.replace(/_(bucket|sum|count)$/, '')
    assert.ok(families.has(family), line)
    assert.equal(samples.has(sample[1]! + (sample[2] ?? '')), false, `twice: ${line}`)
    samples.set(sample[1]! + (sample[2] ?? ''), Number(sample[3]))
  }
  // Buckets grow, and the last one has all.
  for (const [name, count] of samples) {
    if (name.includes('le="+Inf"')) assert.equal(samples.get(name.replace('_bucket', '_count').replace(/,?le="\+Inf"/, '')), count)
  }
  return samples
}
