/**
 * Mounting without root rights, through fusermount. Needs root to become somebody else; on a machine whose
 * /dev/fuse is root's alone it is opened for the time of the test.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { homeEnv } from './helpers/folders.js'
import { run, sh, until, type RunOptions } from './helpers/process.js'
import { CELLSFS, driver, realServer, withServer, type World } from './helpers/mount.js'

/** nobody */
const USER = { uid: 65534, gid: 65534 }
const DEVICE = '/dev/fuse'
/** The build is in dist/, or deeper. */
const SETUP = ['../../', '../../../'].map((up) => fileURLToPath(new URL(`${up}scripts/setup.mjs`, import.meta.url))).find((path) => existsSync(path))!

async function reasonToSkip(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'only root can become another user'
  if (realServer) return 'needs the embedded server'
  const { code } = await run(process.execPath, ['--check', CELLSFS], USER).catch(() => ({ code: 1 }))
  return code === 0 ? false : 'an ordinary user may not read this folder or this Node'
}

interface Someone {
  readonly world: World
  /** A folder of theirs. */
  readonly home: string
  readonly options: RunOptions
  readonly cellsfs: (...args: string[]) => ReturnType<World['cellsfs']>
}

async function asSomeone(work: (someone: Someone) => Promise<void>): Promise<void> {
  await withServer({ indexDelayMs: 100 }, async (world) => {
    await chmod(world.folder.path, 0o755)
    const home = await world.folder.folder('someone')
    await mkdir(join(home, 'run'), { mode: 0o700 })
    for (const path of [home, join(home, 'run')]) await chown(path, USER.uid, USER.gid)
    const env = { ...world.env, ...homeEnv(home), CEC_URL: world.url, CEC_LOGIN: world.login, CEC_PASSWORD: world.password }
    const options = { ...USER, env }
    await work({ world, home, options, cellsfs: (...args) => run(process.execPath, [CELLSFS, ...args], options) })
  })
}

const skip = await reasonToSkip()
const UNSHARE = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
const noNamespace = existsSync('/etc/fuse.conf') && (await run('unshare', [...UNSHARE, 'setpriv', '--version']).catch(() => ({ code: 1 }))).code === 0 ? false : 'needs unshare, setpriv and /etc/fuse.conf'

describe('an ordinary user', { skip, concurrency: false }, () => {
  let mode = 0
  before(async () => {
    mode = (await stat(DEVICE)).mode & 0o777
    await chmod(DEVICE, 0o666)
  })
  after(() => chmod(DEVICE, mode))

  it('mounts, works and unmounts', () => asSomeone(async ({ world, home, options, cellsfs }) => {
    const drive = join(home, 'drive')
    await sh(`mkdir ${drive}`, options)
    assert.deepEqual(await cellsfs('mount', drive), { code: 0, stdout: `mounted / at ${drive}\n`, stderr: '' })
    assert.equal(await sh(`cd ${join(drive, world.root)}; echo text > f; stat -c %u f; cat f`, options), '65534\ntext\n')
    assert.match((await run('ls', [drive])).stderr, /Permission denied/, 'not even root gets in without --allow-other')
    await until('unmounted', async () => (await cellsfs('umount', drive)).code === 0)
    assert.equal((await world.client.stat(`${world.root}/f`))?.size, 5)
  }))

  it('has the rights that the mode bits give, and a name for the drive', () => asSomeone(async ({ world, home, options, cellsfs }) => {
    const drive = join(home, 'drive')
    await sh(`mkdir ${drive}`, options)
    assert.equal((await cellsfs('mount', '--driver', driver, drive)).code, 0)
    const [line = ''] = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((each) => each.includes(` ${drive} `))
    assert.match(line, / - fuse\.cellsfs cellsfs\S+ rw,user_id=65534,group_id=65534,default_permissions/)
    assert.match(line, /nosuid,nodev/)
    assert.match(await sh(`df -T ${drive} | tail -1`, options), /^cellsfs#alice@localhost:\d+ +fuse\.cellsfs /)
    const f = join(drive, world.root, 'f')
    assert.match((await run('bash', ['-c', `echo text > ${f}; chmod 0 ${f}; cat ${f}`], options)).stderr, /Permission denied/)
    assert.equal((await cellsfs('status')).stdout.includes(`(${driver}, `), true)
    await until('unmounted', async () => (await cellsfs('umount', drive)).code === 0)
  }))

  it('mounts read-only', () => asSomeone(async ({ world, home, options, cellsfs }) => {
    const drive = join(home, 'drive')
    await sh(`mkdir ${drive}`, options)
    assert.equal((await cellsfs('mount', '--driver', driver, '--read-only', drive)).code, 0)
    for (const change of ['touch f', 'mkdir d', 'ln -s there l', 'chmod 700 .']) {
      const { code, stderr } = await run('sh', ['-c', `cd ${join(drive, world.root)}; ${change}`], options)
      assert.match(stderr, /Read-only file system/, change)
      assert.notEqual(code, 0)
    }
    await until('unmounted', async () => (await cellsfs('umount', drive)).code === 0)
  }))

  it('unmounts, and mounts over, what a killed process has left', () => asSomeone(async ({ home, options, cellsfs }) => {
    const drive = join(home, 'drive')
    await sh(`mkdir ${drive}`, options)
    const killed = async (...flags: string[]): Promise<void> => {
      const mounted = await cellsfs('mount', '--driver', driver, ...flags, drive)
      assert.deepEqual([mounted.code, mounted.stderr], [0, ''])
      const [status] = JSON.parse((await cellsfs('status', '--json')).stdout) as { pid: number }[]
      process.kill(status!.pid, 'SIGKILL')
    }
    const isDead = async (): Promise<boolean> => /not connected/.test((await run('ls', [drive], options)).stderr)
    await killed()
    await until('dead', isDead)
    assert.deepEqual(await cellsfs('umount', drive), { code: 0, stdout: `unmounted ${drive}\n`, stderr: '' })
    await killed()
    await until('dead', isDead)
    await killed('--auto-unmount')
    if (driver === 'kernel') await until('unmounted', async () => (await run('ls', [drive], options)).code === 0)
    else assert.equal((await cellsfs('umount', drive)).code, 0)
  }))

  it('lets others in where /etc/fuse.conf has user_allow_other', { skip: noNamespace }, () => asSomeone(async ({ world, home, options, cellsfs }) => {
    const [drive, conf] = [join(home, 'drive'), join(world.folder.path, 'fuse.conf')]
    await sh(`mkdir ${drive}`, options)
    const refused = await cellsfs('mount', '--driver', driver, '--allow-other', drive)
    if (!/^\s*user_allow_other\b/m.test(await readFile('/etc/fuse.conf', 'utf8'))) {
      assert.deepEqual([refused.code, refused.stderr], [1, 'cellsfs: --allow-other is not allowed here: run `echo user_allow_other | sudo tee -a /etc/fuse.conf`.\n'])
    }
    await writeFile(conf, 'user_allow_other\n')
    const script = `
      set -eu
      mount --bind ${conf} /etc/fuse.conf
      as() { setpriv --reuid ${USER.uid} --regid ${USER.gid} --clear-groups ${process.execPath} ${CELLSFS} "$@"; }
      as mount --driver ${driver} --allow-other ${drive}; ls ${drive}; as umount ${drive}`
    const { code, stdout, stderr } = await run('unshare', [...UNSHARE, 'sh', '-c', script], { env: options.env })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /\npersonal-files\n/)
  }))

  it('is told what is not permitted, with the command that helps', () => asSomeone(async ({ world, home, options, cellsfs }) => {
    const drive = join(home, 'drive')
    await sh(`mkdir ${drive}`, options)
    const foreign = await world.folder.folder('foreign')
    await chmod(foreign, 0o755)
    const elsewhere = await cellsfs('mount', foreign)
    assert.match(elsewhere.stderr, /no right to mount/)
    assert.equal(elsewhere.code, 1)
    await chmod(DEVICE, 0o600)
    try {
      assert.match((await cellsfs('mount', drive)).stderr, /sudo chmod 666 \/dev\/fuse/)
      const setUp = await run(process.execPath, [SETUP], options)
      assert.match(setUp.stderr, /an administrator must run:\n\n +sudo chmod 666 \/dev\/fuse/)
      assert.equal(setUp.code, 1)
    } finally {
      await chmod(DEVICE, 0o666)
    }
  }))
})
