/** `cellsfs service`: units are written, shown and removed, and a mount tells systemd when it is ready. A systemd itself need not run. */
import assert from 'node:assert/strict'
import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CELLSFS, realServer, startMount, withServer, type World } from './helpers/mount.js'
import { Service, type RunResult } from './helpers/process.js'
import { missing } from './helpers/suite.js'

const NO_ACCOUNT = { CEC_URL: '', CEC_LOGIN: '', CEC_PASSWORD: '' }
const noNotify = await missing('systemd-notify', 'perl')

async function withAccount(work: (world: World, service: (...args: string[]) => Promise<RunResult>) => Promise<void>): Promise<void> {
  await withServer({ indexDelayMs: 100 }, async (world) => {
    const added = await world.cec(['config', 'add', 'client-auth', '--skip-keyring', '--url', world.url, '--login', world.login, '--password', world.password], { env: NO_ACCOUNT })
    assert.equal(added.code, 0, added.stderr)
    await work(world, (...args) => world.cellsfs(['service', ...args], { env: NO_ACCOUNT }))
  })
}

describe('cellsfs service', { concurrency: 2, skip: realServer && 'the embedded server is enough' }, () => {
  it('writes, shows and removes a unit', () => withAccount(async (world, service) => {
    const dir = await world.folder.folder('my 100% drive')
    const id = `${world.login}@${new URL(world.url).host}`
    const shown = await service('show', '--read-only', `${world.root}/a b`, dir)
    assert.deepEqual([shown.code, shown.stderr], [0, ''])
    assert.match(shown.stdout, new RegExp(`^ExecStart="${process.execPath}" ${CELLSFS} mount --foreground --read-only --account=${id} "cells://${world.root}/a b" ".*/my 100%% drive"$`, 'm'))
    assert.match(shown.stdout, /^Environment="XDG_STATE_HOME=/m)
    assert.doesNotMatch(shown.stdout, /P4ss/)
    assert.equal((await service(dir)).code, 0, 'show is what happens without a word')

    const units = join(world.env['XDG_CONFIG_HOME']!, 'systemd', 'user')
    await assert.rejects(stat(units), 'nothing was written')
    const installed = await service('install', '--read-only', `${world.root}/a b`, dir)
    assert.equal(installed.code, 0, installed.stderr)
    const [unit = ''] = await readdir(units)
    assert.match(unit, /^cellsfs-.*my\\x20100\\x25\\x20drive\.service$/)
    assert.equal(await readFile(join(units, unit), 'utf8'), shown.stdout)
    assert.ok(installed.stdout.includes(`systemctl --user enable --now '${unit}'\n`), installed.stdout)
    assert.match(installed.stdout, /loginctl enable-linger/)

    const removed = await service('remove', dir)
    assert.deepEqual([removed.code, removed.stdout], [0, `removed ${join(units, unit)}\n`])
    assert.deepEqual(await readdir(units), [])
    assert.match((await service('remove', dir)).stderr, /there is no service/)
  }))

  it('refuses what could not work', () => withAccount(async (world, service) => {
    const dir = await world.folder.folder('drive')
    const refused = async (why: RegExp, code: number, ...args: string[]): Promise<void> => {
      const result = await service(...args)
      assert.match(result.stderr, why)
      assert.equal(result.code, code)
    }
    await refused(/is not there: make it first/, 1, 'install', join(dir, 'missing'))
    await refused(/there is no account "nobody"/, 1, 'show', '--account', 'nobody', dir)
    await refused(/takes no token or password/, 1, 'show', '--url', world.url, '--token', 'x', dir)
    await refused(/none of install, remove, show/, 2, 'instal', 'a', dir)
    await refused(/which mountpoint/, 2, 'install')
    assert.equal((await world.cec(['clear', '--force'], { env: NO_ACCOUNT })).code, 0)
    await refused(/no account is configured/, 1, 'show', dir)
  }))

  it('tells systemd that the drive is ready', { skip: noNotify }, () => withServer({ indexDelayMs: 100 }, async (world) => {
    const socket = join(world.folder.path, 'notify')
    // Prints each datagram with its newlines as spaces.
    const systemd = new Service('perl', ['-e', `
      use Socket; $| = 1; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; bind(S, pack_sockaddr_un($ARGV[0])) or die; print "listening\\n";
      while (defined recv(S, my $text, 4096, 0)) { $text =~ tr/\\n/ /; print "$text\\n" }`, socket])
    try {
      assert.equal(await systemd.line(), 'listening')
      const drive = await startMount(world.folder, world.root, world.env, { env: { NOTIFY_SOCKET: socket } })
      let said = await systemd.line()
      while (!said.includes('READY=1')) said = await systemd.line()
      assert.match(said, new RegExp(`STATUS=mounted at ${drive.path}`))
      assert.equal(await drive.stop(), 0, drive.service.stderr)
    } finally {
      await systemd.stop('SIGKILL')
    }
  }))
})
