/**
 * Mounting without root rights, through fusermount. Needs root to become somebody else; on a machine whose
 * /dev/fuse is root's alone it is opened for the time of the test.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { homeEnv } from './helpers/folders.js'
import { run, sh, until, type RunOptions } from './helpers/process.js'
import { CELLSFS, realServer, withServer, type World } from './helpers/mount.js'

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

  it('is told what is not permitted, with the command that helps', () => asSomeone(async ({ world, home, options, cellsfs }) => {
    const drive = join(home, 'drive')
    await sh(`mkdir ${drive}`, options)
    const foreign = await world.folder.folder('foreign')
    await chmod(foreign, 0o755)
    const elsewhere = await cellsfs('mount', foreign)
    assert.match(elsewhere.stderr, /no right to mount/)
    assert.equal(elsewhere.code, 1)
    if (!/^\s*user_allow_other\b/m.test(await readFile('/etc/fuse.conf', 'utf8').catch(() => ''))) {
      assert.match((await cellsfs('mount', '--allow-other', drive)).stderr, /user_allow_other/)
    }
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
