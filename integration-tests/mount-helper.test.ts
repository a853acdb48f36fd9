/**
 * Mounting as fstab does: mount(8) and its helper mount.fuse3 with the type fuse.cellsfs, our own links in the place of /sbin's, a
 * credentials file, accounts by name. What needs names in system folders happens in a mount namespace of its own.
 */
import assert from 'node:assert/strict'
import { chmod, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { mounts } from '../src/fs/mountpoint.js'
import { CELLSFS, realServer, withServer, type World } from './helpers/mount.js'
import { run, sh, until, type RunResult } from './helpers/process.js'
import { missing } from './helpers/suite.js'

const FSTYPE = 'fuse.cellsfs'

interface Helped {
  readonly world: World
  readonly dir: string
  /** Credentials file, 0600. */
  readonly file: string
  /** Folder with a command `cellsfs`. */
  readonly bin: string
  readonly env: NodeJS.ProcessEnv
}

async function withHelper(work: (helped: Helped) => Promise<void>): Promise<void> {
  await withServer({ indexDelayMs: 100 }, async (world) => {
    const dir = await world.folder.folder('my drive')
    const file = join(world.folder.path, 'credentials')
    await writeFile(file, `# for the test\nurl=${world.url}\nusername=${world.login}\npassword=${world.password}\n`, { mode: 0o600 })
    const bin = await world.folder.folder('bin')
    await writeFile(join(bin, 'cellsfs'), `#!/bin/sh\nexec '${process.execPath}' '${CELLSFS}' "$@"\n`, { mode: 0o755 })
    await work({ world, dir, file, bin, env: { ...world.env, CEC_URL: '', CEC_LOGIN: '', CEC_PASSWORD: '', PATH: `${bin}:${process.env['PATH']}` } })
  })
}

const mountAt = async (dir: string): Promise<string | undefined> => (await mounts()).find(({ mountpoint }) => mountpoint === dir)?.fstype
const quiet = (result: RunResult): void => assert.deepEqual(result, { code: 0, stdout: '', stderr: '' })

/** Unmounts as soon as the kernel has let go of what was closed a moment ago. */
async function unmounts(command: () => Promise<RunResult>): Promise<void> {
  await until('unmounted', async () => {
    const result = await command()
    if (/busy|in use/.test(result.stderr)) return false
    quiet(result)
    return true
  })
}

const UNSHARE = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
const noHelper = await missing('mount.fuse3')
const alone = process.getuid?.() === 0 && (await run('unshare', [...UNSHARE, 'true']).catch(() => ({ code: 1 }))).code === 0

describe('mounting as fstab does', { concurrency: 2, skip: realServer && 'the embedded server is enough' }, () => {
  it('works through mount.fuse3 and its options', { skip: noHelper }, () => withHelper(async ({ world, dir, file, env }) => {
    const mount = (source: string, options: string): Promise<RunResult> => run('mount.fuse3', [source, dir, '-t', FSTYPE, '-o', options], { env })
    quiet(await mount('none', `credentials=${file},umask=027,noexec,_netdev,nofail,x-systemd.automount`))
    assert.equal(await mountAt(dir), FSTYPE)
    assert.equal(await sh(`stat -c %a ${world.root}; cd ${world.root}; cp /bin/true program; chmod 755 program`, { cwd: dir, env }), '750\n')
    assert.match((await run('sh', ['-c', `./${world.root}/program`], { cwd: dir, env })).stderr, /Permission denied/)
    await unmounts(() => run('umount', [dir], { env }))
    const refused = await mount('none', `credentials=${file},magic=1`)
    assert.deepEqual([refused.code, refused.stderr], [1, 'cellsfs: mount option "magic=1" is not known\n'])
    assert.equal(await mountAt(dir), undefined)
  }))

  it('works as the program that mount(8) and umount(8) look for', () => withHelper(async ({ world, dir, file, bin, env }) => {
    for (const name of ['mount', 'umount']) {
      await symlink(CELLSFS, join(bin, `${name}.${FSTYPE}`))
    }
    const call = (name: string, ...args: string[]): Promise<RunResult> => run(process.execPath, [join(bin, `${name}.${FSTYPE}`), ...args], { env })
    quiet(await call('mount', `${world.url}/${world.root}`, dir, '-v', '-o', `rw,credentials=${file}`))
    await sh('echo text > f', { cwd: dir, env })
    await unmounts(() => call('umount', dir))
    assert.equal((await world.client.stat(`${world.root}/f`))?.size, 5)
    quiet(await call('mount', 'none', dir, '-f'))
    assert.equal(await mountAt(dir), undefined)
    const failed = await call('mount', `${world.root}/no such folder`, dir, '-o', `credentials=${file}`)
    assert.deepEqual([failed.code, failed.stdout], [32, ''])
    assert.match(failed.stderr, /^cellsfs: .*does not exist/)
  }))

  it('works from a line of fstab', { skip: alone ? noHelper : 'needs root and unshare' }, () => withHelper(async ({ world, dir, file, bin, env }) => {
    const fstab = join(world.folder.path, 'fstab')
    const line = `${world.url.replace('//', `//${world.login}@`)}/${world.root} ${dir.replaceAll(' ', '\\040')} ${FSTYPE} noauto,user,_netdev,nofail,ro,credentials=${file},x-systemd.automount 0 0\n`
    await writeFile(fstab, line)
    // A folder in which every shell looks, ours alone in there.
    const script = `
      set -eu
      mount -t tmpfs none /usr/local/sbin; cp "${bin}/cellsfs" /usr/local/sbin/; mount --bind "${fstab}" /etc/fstab
      mount "$DIR"; findmnt -no FSTYPE,SOURCE "$DIR"; touch "$DIR/f" 2>&1 | grep -o "Read-only file system"; cellsfs status --json | grep -o '"pending"' | head -1
      umount "$DIR"`
    const { code, stdout, stderr } = await run('unshare', [...UNSHARE, 'sh', '-c', script], { env: { ...env, DIR: dir } })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^fuse\.cellsfs +cellsfs#\S+\nRead-only file system\n"pending"\n$/)
    assert.equal(await mountAt(dir), undefined)
  }))

  it('wants a credentials file that is complete and private', () => withHelper(async ({ dir, file, world }) => {
    const env = { CEC_URL: '', CEC_LOGIN: '', CEC_PASSWORD: '' }
    const mount = (...args: string[]): Promise<RunResult> => world.cellsfs(['mount', ...args, dir], { env })
    const refused = async (why: RegExp, ...args: string[]): Promise<void> => {
      const result = await mount('--credentials', file, ...args)
      assert.match(result.stderr, why)
      assert.doesNotMatch(result.stderr, /P4ss/)
      assert.equal(result.code, 1)
    }
    await chmod(file, 0o640)
    await refused(/others can read .*chmod 600/)
    await chmod(file, 0o600)
    await writeFile(file, `url=${world.url}\nusername=alice\n`)
    await refused(/token=, or lines username= and password=/)
    await writeFile(file, 'username=alice\npassword=P4ss\n')
    await refused(/no line url=/)
    await writeFile(file, `url=${world.url}\nP4ss\n`)
    await refused(/line 2 of .* is none of/)
    await writeFile(file, `url=${world.url}\nusername=alice\npassword=P4ss\n`)
    await refused(/password|refused|login/i)
    assert.match((await mount('--credentials', `${file}-missing`)).stderr, /does not exist/)
  }))

  it('takes the account that is named', () => withHelper(async ({ dir, world }) => {
    const env = { CEC_URL: '', CEC_LOGIN: '', CEC_PASSWORD: '' }
    for (const login of ['alice', 'bob']) {
      const added = await world.cec(['config', 'add', 'client-auth', '--skip-keyring', '--url', world.url, '--login', login, '--password', `${login}-P4ss`], { env })
      assert.equal(added.code, 0, added.stderr)
    }
    const mount = (account: string): Promise<RunResult> => world.cellsfs(['mount', '--account', account, dir], { env })
    assert.match((await mount('carol@localhost')).stderr, /there is no account "carol@localhost"/)
    assert.match((await mount(world.url)).stderr, /several accounts match/)
    for (const account of ['alice@localhost', `bob@${new URL(world.url).host}`]) {
      const mounted = await mount(account)
      assert.equal(mounted.code, 0, mounted.stderr)
      const source = (await mounts()).find(({ mountpoint }) => mountpoint === dir)?.source
      assert.match(source ?? '', new RegExp(`^cellsfs#${account.split('@')[0]}@localhost`))
      assert.equal((await world.cellsfs(['umount', dir])).code, 0)
    }
  }))
})
