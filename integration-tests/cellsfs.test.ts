/**
 * The commands of cellsfs as people and scripts use them: mount in front and in the background, umount,
 * status, sync, signals, and one clear sentence for whatever is wrong.
 */
import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { driverProblem } from '../src/cli/cellsfs/drivers.js'
import { mounts } from '../src/fs/mountpoint.js'
import { Service, run, sh, until, type RunResult } from './helpers/process.js'
import { CELLSFS, driver, withMount, withServer } from './helpers/mount.js'

const isMounted = async (path: string): Promise<boolean> => (await mounts()).some(({ mountpoint }) => mountpoint === path)

function refused(result: RunResult, words: RegExp, code = 1): void {
  assert.match(result.stderr, words)
  assert.equal(result.stderr.trim().split('\n').length, code === 2 ? 2 : 1, `one sentence, not: ${result.stderr}`)
  assert.equal(result.code, code)
}

describe('cellsfs', { concurrency: 2 }, () => {
  it('mounts in front, says so, and saves and unmounts on SIGTERM and SIGINT', () => withServer({ indexDelayMs: 100 }, async (world) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const drive = await world.mount()
      await drive.sh(`echo ${signal} > ${signal}; cat ${signal}`)
      assert.equal(await drive.stop(signal), 0, drive.service.stderr)
      assert.equal(await isMounted(drive.path), false)
      assert.equal((await world.client.stat(`${world.root}/${signal}`))?.size, signal.length + 1)
    }
  }))

  it('ends with 0 when somebody else unmounts', () => withMount({ indexDelayMs: 100 }, async (drive) => {
    await drive.sh('echo text > f')
    await until('no longer busy', async () => (await run('fusermount', ['-u', drive.path])).code === 0)
    assert.equal(await drive.service.exited, 0, drive.service.stderr)
  }))

  it('leaves on SIGTERM also while a program is inside', () => withMount({ indexDelayMs: 100 }, async (drive) => {
    const inside = new Service('cat', [], { cwd: drive.dir })
    await drive.sh('echo text > f')
    assert.equal(await drive.stop('SIGTERM'), 0, drive.service.stderr)
    assert.equal(await isMounted(drive.path), false)
    await inside.stop('SIGKILL')
    assert.equal((await drive.client.stat(`${drive.root}/f`))?.size, 5)
  }))

  it('mounts in the background; status, sync and umount find it', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const path = await world.folder.folder('drive')
    const mounted = await world.cellsfs(['mount', path])
    assert.deepEqual([mounted.stdout, mounted.stderr, mounted.code], [`mounted / at ${path}\n`, '', 0])
    await sh('echo text > f', { cwd: join(path, world.root) })

    const [status] = JSON.parse((await world.cellsfs(['status', '--json'])).stdout) as Record<string, unknown>[]
    assert.equal(status?.['mountpoint'], path)
    assert.equal(status['server'], world.url)
    assert.match((await world.cellsfs(['status'])).stdout, new RegExp(`^${path} .*\\n[^]*unsent +nothing`))

    assert.deepEqual(await world.cellsfs(['sync', join(path, world.root)]), { code: 0, stdout: '', stderr: '' })
    assert.deepEqual(await world.cellsfs(['sync']), { code: 0, stdout: '', stderr: '' })
    refused(await world.cellsfs(['sync', '/']), /is not in a mount of cellsfs/)
    assert.equal((await world.client.stat(`${world.root}/f`))?.size, 5)

    const inside = new Service('cat', [], { cwd: path })
    refused(await world.cellsfs(['umount', path]), new RegExp(`in use by cat \\(process ${inside.child.pid}\\)\\. Leave the folder .* --lazy`))
    assert.equal(await isMounted(path), true)
    await inside.stop('SIGKILL')
    const unmounted = await until('not in use', async () => {
      const result = await world.cellsfs(['umount', path])
      return result.code === 0 ? result : undefined
    })
    assert.equal(unmounted?.stdout, `unmounted ${path}\n`)
    assert.equal(await isMounted(path), false)
    assert.equal((await world.cellsfs(['status'])).stdout, 'Nothing is mounted.\n')
    assert.ok((status['log'] as string).startsWith(join(world.env['XDG_STATE_HOME']!, 'cellsfs', 'log', '/')))
    assert.match(await readFile(status['log'] as string, 'utf8'), /mounted/)
  }))

  it('takes the other driver where the usual one cannot be had, and says so', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const path = await world.folder.folder('drive')
    const without = async (...packages: string[]): Promise<RunResult> => {
      const preload = join(world.folder.path, 'without.cjs')
      await writeFile(preload, `
        const loader = require('node:module'), resolve = loader._resolveFilename
        loader._resolveFilename = function (name, ...rest) { if (/^(${packages.join('|')})/.test(name)) throw new Error('not here'); return resolve.call(this, name, ...rest) }`)
      return world.cellsfs(['mount', path], { env: { NODE_OPTIONS: `--require ${preload}` } })
    }
    refused(await without('koffi', 'fuse-native'), /needs the optional package koffi.*npm install koffi/)
    if (await driverProblem('fuse-native') === undefined) {
      const mounted = await without('koffi')
      assert.deepEqual([mounted.code, mounted.stdout], [0, `mounted / at ${path}\n`])
      assert.match(mounted.stderr, /^WARN\t.*koffi.*The driver fuse-native is used instead\.\n$/)
      const [status] = JSON.parse((await world.cellsfs(['status', '--json'])).stdout) as { driver: string }[]
      assert.equal(status?.driver, 'fuse-native')
      assert.equal((await world.cellsfs(['umount', path])).code, 0)
    }
  }))

  it('keeps secrets out of arguments, files and logs', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const path = await world.folder.folder('drive')
    assert.equal((await world.cellsfs(['mount', '--log', 'debug', path])).code, 0)
    const [status] = JSON.parse((await world.cellsfs(['status', '--json'])).stdout) as { pid: number }[]
    assert.doesNotMatch(await readFile(`/proc/${status!.pid}/cmdline`, 'utf8'), /P4ss/)
    assert.equal((await world.cellsfs(['umount', path])).code, 0)
    const { stdout } = await run('grep', ['-rlE', 'P4ss', world.env['XDG_STATE_HOME']!, world.env['XDG_CACHE_HOME']!])
    assert.equal(stdout, '')
  }))

  it('mounts a folder of the server, read-only if asked', () => withServer({ indexDelayMs: 100 }, async (world) => {
    await world.client.mkdir([`${world.root}/inner`])
    await world.client.waitFor(`${world.root}/inner`, (node) => node !== undefined)
    const drive = await world.mount({ remote: `${world.root}/inner/` })
    await drive.sh('echo text > f')
    const second = await world.mount({ remote: `cells://${world.root}/inner`, name: 'second', flags: ['--read-only'] })
    assert.equal(await second.sh('cat f'), 'text\n')
    assert.match((await run('touch', [join(second.path, 'g')])).stderr, /Read-only/)
    refused(await world.cellsfs(['mount', '-f', `${world.root}/nothing`, await world.folder.folder('third')]), /nothing does not exist/)
  }))

  it('mounts again after kill -9', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const first = await world.mount()
    await first.sh('echo text > f')
    await first.stop('SIGKILL')
    assert.match((await run('ls', [first.path])).stderr, /not connected/)
    assert.equal((await world.cellsfs(['status'])).stdout, 'Nothing is mounted.\n')
    const second = await world.mount()
    assert.equal(await second.sh('cat f'), 'text\n')
    const inside = new Service('cat', [], { cwd: second.path })
    await second.stop('SIGKILL')
    assert.deepEqual(await world.cellsfs(['umount', second.path]), { code: 0, stdout: `unmounted ${second.path}\n`, stderr: '' })
    await inside.stop('SIGKILL')
    assert.deepEqual(await readdir(second.path), [])
    refused(await world.cellsfs(['umount', second.path]), /not mounted/)
  }))

  it('is gone at once after kill -9 if asked to', { skip: driver !== 'kernel' && 'only the kernel driver can' }, () => withServer({ indexDelayMs: 100 }, async (world) => {
    const drive = await world.mount({ flags: ['--auto-unmount'] })
    await drive.sh('echo text > f')
    await drive.stop('SIGKILL')
    await until('unmounted', async () => !await isMounted(drive.path))
    assert.equal(await (await world.mount()).sh('cat f'), 'text\n')
  }))

  it('shows what it is, and leaves mounts of others alone', () => withServer({}, async (world) => {
    const drive = await world.mount()
    const source = `cellsfs#${world.login}@${new URL(world.url).host}`
    assert.equal(await sh(`df --output=source,fstype '${drive.path}' | tail -1 | tr -s ' '`), `${source} fuse.cellsfs\n`)
    assert.match(await sh(`mount | grep ' on ${drive.path} '`), /type fuse\.cellsfs \(rw,nosuid,nodev,noatime,/)
    assert.match((await mounts()).find(({ mountpoint }) => mountpoint === drive.path)?.source ?? '', /^cellsfs#/)
    refused(await world.cellsfs(['umount', '/proc']), /not by cellsfs \(proc\)/)
  }))

  it('says in one sentence what is wrong with a mountpoint', () => withServer({}, async (world) => {
    const empty = await world.folder.folder('empty')
    const full = await world.folder.folder('full')
    await writeFile(join(full, 'file'), '')
    const drive = await world.mount()
    const mount = (...args: string[]): Promise<RunResult> => world.cellsfs(['mount', ...args])
    refused(await mount(join(empty, 'missing')), /missing does not exist/)
    refused(await mount(join(full, 'file')), /not a folder/)
    refused(await mount(join(full, 'file', 'deeper')), /not a folder/)
    refused(await mount(full), /not empty/)
    refused(await mount(drive.path), /already mounted/)
    refused(await mount('a', 'b', 'c'), /Unknown argument: c/, 2)
    refused(await mount(), /Not enough/, 2)
    refused(await mount('--cache-size', 'much', empty), /not a size/, 2)
    refused(await mount('--driver', 'magic', empty), /driver/i, 2)
    refused(await world.cellsfs(['umount', empty]), /not mounted/)
    refused(await world.cellsfs(['umount', drive.dir]), new RegExp(`a folder of the mount at ${drive.path}\\.`))
    refused(await world.cellsfs(['umount', join(empty, 'missing')]), /does not exist/)
  }))

  it('says in one sentence what is wrong with the server or the account', () => withServer({}, async (world) => {
    const path = await world.folder.folder('drive')
    const mount = (env: NodeJS.ProcessEnv): Promise<RunResult> => world.cellsfs(['mount', path], { env })
    refused(await mount({ CEC_PASSWORD: 'wrong' }), /password|refused|login/i)
    refused(await mount({ CEC_TOKEN: 'wrong', CEC_LOGIN: '', CEC_PASSWORD: '' }), /token/)
    refused(await mount({ CEC_URL: 'http://localhost:1' }), /localhost:1/)
    refused(await mount({ CEC_URL: 'nonsense' }), /nonsense/)
    refused(await mount({ CEC_URL: '', CEC_LOGIN: '', CEC_PASSWORD: '' }), /no account/)
    const page = createServer((_request, response) => response.setHeader('Content-Type', 'text/html').end('<html>Hello</html>'))
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve))
    refused(await mount({ CEC_URL: `http://localhost:${(page.address() as AddressInfo).port}` }), /not.*Cells|does not answer as/i)
    page.close()
    page.closeAllConnections()
    assert.equal(await isMounted(path), false)
  }))

  it('refuses a cache folder that another mount uses', () => withServer({}, async (world) => {
    const cache = await world.folder.folder('cache')
    await world.mount({ flags: ['--cache-dir', cache] })
    refused(await world.cellsfs(['mount', '--cache-dir', cache, await world.folder.folder('second')]), /in use by another mount/)
  }))

  it('refuses a control folder that others can enter', () => withServer({}, async (world) => {
    const runtime = join(await world.folder.folder('elsewhere'), 'cellsfs')
    await mkdir(runtime)
    await chmod(runtime, 0o755)
    refused(await world.cellsfs(['mount', await world.folder.folder('drive')], { env: { XDG_RUNTIME_DIR: join(runtime, '..') } }), /must belong to you alone/)
  }))

  it('runs the demo: ready line, drive, clean end, and content that is still there', () => withServer({}, async ({ folder, env }) => {
    const drive = join(folder.path, 'demo drive')
    const data = await folder.folder('data')
    for (const round of [1, 2]) {
      const demo = new Service(process.execPath, [CELLSFS, 'demo', '--json', '--port', '0', '--data', data, '--mountpoint', drive], { env })
      const ready = JSON.parse(await demo.line()) as Record<string, string>
      assert.deepEqual(Object.keys(ready), ['url', 'login', 'password', 'mountpoint'])
      assert.equal(ready['mountpoint'], drive)
      if (round === 1) await sh('ls -A personal-files; echo kept > personal-files/mine', { cwd: drive })
      else assert.equal(await sh('cat personal-files/mine', { cwd: drive }), 'kept\n')
      assert.equal(await demo.stop('SIGINT'), 0, demo.stderr)
      assert.equal(await isMounted(drive), false)
    }
    assert.equal((await stat(drive)).isDirectory(), true)
  }))

  it('takes the demo\'s drive away when the demo is killed', () => withServer({}, async ({ folder, env }) => {
    const drive = join(folder.path, 'drive')
    const demo = new Service(process.execPath, [CELLSFS, 'demo', '--json', '--port', '0', '--data', await folder.folder('data'), '--mountpoint', drive], { env })
    await demo.line()
    await demo.stop('SIGKILL')
    await until('unmounted', async () => !await isMounted(drive))
  }))
})
