/** `cellsfs mount` with a person at a terminal: the sign-in that it begins when there is no account, and Ctrl-C. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { mounts } from '../src/fs/mountpoint.js'
import { CELLSFS, realServer, withServer } from './helpers/mount.js'
import { Service, sh } from './helpers/process.js'
import { onScreen } from './helpers/screen.js'
import { missing } from './helpers/suite.js'

const NO_ACCOUNT = { CEC_URL: '', CEC_LOGIN: '', CEC_PASSWORD: '', CEC_SKIP_KEYRING: 'true' }
const ENTER = '\r'
const DOWN = '\u001b[B'
const isMounted = async (path: string): Promise<boolean> => (await mounts()).some(({ mountpoint }) => mountpoint === path)

describe('cellsfs mount on a terminal', { skip: realServer ? 'the embedded server is enough' : await missing('script', 'stty'), concurrency: 2 }, () => {
  it('signs in when there is no account, and mounts', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const path = await world.folder.folder('drive')
    const env = { ...world.env, ...NO_ACCOUNT }
    const screen = await onScreen(`'${process.execPath}' '${CELLSFS}' mount '${path}'`, { env, cwd: world.folder.path }, [
      [/How do you want to sign in\?/, () => DOWN + DOWN + ENTER],
      [/Server URL/, () => world.url + ENTER],
      [/[Ll]ogin/, () => world.login + ENTER],
      [/[Pp]assword/, () => world.password + ENTER],
    ])
    assert.match(screen, new RegExp(`✔ Signed in as ${world.login} on ${world.url}\n`))
    assert.match(screen, new RegExp(`mounted / at ${path}`))
    assert.doesNotMatch(screen, /P4ss/)
    await sh('echo text > f', { cwd: join(path, world.root), env })
    assert.equal((await world.cellsfs(['umount', path], { env })).code, 0)
    // The second time nothing is asked.
    const again = await world.cellsfs(['mount', path], { env })
    // (A busy machine answers later than a start waits.)
    assert.deepEqual([again.code, again.stderr.replace(/^WARN\tthe server does not answer now.*\n/, '')], [0, ''])
    assert.equal((await world.cellsfs(['umount', path], { env })).code, 0)
  }))

  it('leaves nothing behind when the sign-in is broken off', () => withServer({}, async (world) => {
    const path = await world.folder.folder('drive')
    const screen = await onScreen(`trap : INT; '${process.execPath}' '${CELLSFS}' mount '${path}'; echo "exit $?"`, { env: { ...world.env, ...NO_ACCOUNT }, cwd: world.folder.path }, [[/How do you want to sign in\?/, () => '\u0003']])
    assert.match(screen, /cellsfs: aborted by user\nexit 1/)
    assert.equal(await isMounted(path), false)
  }))

  it('ends by Ctrl-C while the server does not answer, and takes the mount away in front', () => withServer({ indexDelayMs: 100 }, async (world) => {
    const path = await world.folder.folder('drive')
    // The trap: a shell that gets the Ctrl-C too must live to tell the exit code (dash ends with it, bash now and then).
    const command = (flags: string): string => `trap : INT; '${process.execPath}' '${CELLSFS}' mount ${flags} '${path}'; echo "exit $?"`
    const where = { env: world.env, cwd: world.folder.path }
    const front = await onScreen(command('-f'), where, [[/mounted \/ at/, async () => {
      await sh('echo text > f', { cwd: join(path, world.root), env: world.env })
      return '\u0003'
    }]])
    assert.match(front, /exit 0/)
    assert.equal(await isMounted(path), false)
    assert.equal((await world.client.stat(`${world.root}/f`))?.size, 5)
    // A server that takes the connection and says nothing.
    const silent = new Service(process.execPath, ['-e', 'require("net").createServer(() => console.log("asked")).listen(0, "127.0.0.1", function () { console.log(this.address().port) })'])
    try {
      const url = `http://127.0.0.1:${await silent.line()}`
      for (const flags of ['', '-f']) {
        const screen = await onScreen(`echo trying; ${command(flags)}`, { ...where, env: { ...world.env, CEC_URL: url } }, [[/trying/, async () => {
          assert.equal(await silent.line(), 'asked')
          return '\u0003'
        }]])
        assert.doesNotMatch(screen, /exit 0/)
        assert.equal(await isMounted(path), false)
      }
    } finally {
      await silent.stop('SIGKILL')
    }
  }))
})
