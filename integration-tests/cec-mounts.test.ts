/** cec beside a running mount: what was written there is content, whether the server shows it yet or not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realServer, withMount } from './helpers/mount.js'

/** As long as a slow real server; without the mount's word every command below would meet the old state. */
const LAG_MS = 1500

test('cec sees what a program has just written, renamed and deleted in a mount', async () => {
  await withMount({ indexDelayMs: LAG_MS }, async ({ sh, cec, root, folder }) => {
    const ok = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await cec(words, { cwd: folder.path })
      assert.equal(code, 0, `${words.join(' ')}\n${stderr}`)
      assert.doesNotMatch(stderr, /WARN/)
      return stdout
    }
    await sh('mkdir dir && echo one > dir/a.txt')
    assert.equal(await ok('cat', `${root}/dir/a.txt`), 'one\n')
    await sh('echo two and more > dir/a.txt')
    assert.equal(await ok('cat', `${root}/dir/a.txt`), 'two and more\n')
    await sh('mv dir/a.txt dir/b.txt; echo c > dir/c.txt')
    assert.deepEqual((await ok('ls', '-r', `${root}/dir`)).trim().split('\n').sort(), [`${root}/dir/b.txt`, `${root}/dir/c.txt`])
    await sh('rm dir/c.txt; echo newer > dir/b.txt')
    await ok('scp', '-n', `cells://${root}/dir`, '.')
    assert.equal(await sh('cat dir/b.txt; ls dir', { cwd: folder.path }), 'newer\nb.txt\n')
    await sh('echo last > dir/b.txt')
    await ok('cp', `${root}/dir/*`, root)
    assert.equal(await ok('cat', `${root}/b.txt`), 'last\n')
  })
})

test('a mount that cannot send costs a warning and not the command', { skip: realServer && 'breaks the server' }, async () => {
  await withMount({ indexDelayMs: 0 }, async ({ sh, cec, cellsfs, root, demo }) => {
    await sh('echo one > a.txt')
    assert.equal((await cellsfs(['sync'])).code, 0)
    demo!.onRequest = ({ route }) => (route === 'PUT s3' ? { status: 507 } : undefined)
    await sh('echo two > b.txt')
    const { code, stdout, stderr } = await cec(['ls', '-r', root])
    assert.equal(code, 0, stderr)
    assert.match(stderr, /^WARN\tthe mount at \S+ has changes that are not on the server yet: \S*b\.txt: .+\n$/)
    assert.ok(stdout.includes(`${root}/a.txt\n`))
    demo!.onRequest = undefined
  })
})
