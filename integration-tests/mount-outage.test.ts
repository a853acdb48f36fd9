/** A server that goes away, stalls and comes back, under a mount that stays. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { run, Service, until } from './helpers/process.js'
import { onlyEmbedded, useSuite } from './helpers/suite.js'

describe('a server that restarts under a mount', { timeout: 230_000, skip: onlyEmbedded }, () => {
  const suite = useSuite()

  it('is found again after a restart, with nothing missing', async () => {
    const at = await suite.corner('restart')
    await at.sh('mkdir d; for i in 1 2 3; do echo "text $i" > d/f$i; done; echo cached > cached; cat cached d/*')
    await suite.sync()
    // The folder is the mount's own; whether the server has been asked for all that is in it depends on how soon it had it.
    assert.equal(await at.sh('ls d'), 'f1\nf2\nf3\n')
    const { server } = suite
    await server!.kill()
    // Known things are answered, and nothing that exists is denied.
    assert.equal(await at.sh('cat cached d/f1; stat -c %s d/f2; ls d'), 'cached\ntext 1\n7\nf1\nf2\nf3\n')
    const late = run('bash', ['-c', 'echo written while away > late'], { cwd: at.dir })
    await server!.restart()
    // Saved, or refused with a true reason: which of the two depends on how long the server was away.
    const { code, stderr } = await late
    if (code !== 0) assert.match(stderr, /No route to host|timed out|Input\/output error/)
    await until('the mount works again', async () => (await run('bash', ['-c', 'echo after > after && cat d/f3 after'], { cwd: at.dir })).stdout === 'text 3\nafter\n')
    assert.equal(await at.sh('cat d/*; ls'), 'text 1\ntext 2\ntext 3\nafter\ncached\nd\n' + (code === 0 ? 'late\n' : ''))
    await at.serverHas('after', 'after\n')
    if (code === 0) await at.serverHas('late', 'written while away\n')
    // The event stream is back.
    await at.putByOther('theirs', 'seen')
    assert.equal(await at.sh('cat theirs'), 'seen')
  })
})

describe('a server that stalls under a mount', { timeout: 230_000, skip: onlyEmbedded }, () => {
  const suite = useSuite()

  it('lets every call end, answers from the cache, and is used again', async (t) => {
    const at = await suite.corner('stall')
    await at.sh('mkdir d; echo cached > cached; echo open > held; cat cached')
    await at.putByOther('unread', 'x'.repeat(1000))
    await suite.client.mkdir([`${at.remote}/other`])
    await at.putByOther('other/deep', 'deep')
    await suite.sync()
    await at.sh('ls; stat cached d unread; cat cached')
    const held = at.stay('exec 3< cached; echo opened; read; cat <&3; echo read')
    await held.line()
    suite.server!.pause()
    const started = Date.now()
    const failure = async (script: string): Promise<string> => {
      const { code, stderr } = await run('bash', ['-c', script], { cwd: at.dir, timeoutMs: 200_000 })
      t.diagnostic(`${script}: ${code} after ${Math.round((Date.now() - started) / 100) / 10} s ${stderr.trim().split(': ').at(-1)}`)
      return code === 0 ? 'done' : stderr
    }
    // Cached: long before any deadline of the network.
    assert.equal(await at.sh('cat cached; stat -c %s cached unread; ls; df . > /dev/null', { timeoutMs: 10_000 }), 'cached\n7\n1000\ncached\nd\nheld\nother\nunread\n')
    held.child.stdin!.write('\n')
    assert.equal(await held.line(10_000), 'cached')
    // Not cached: an error that says what it is, never "not there", within the longest deadline of its kind.
    const victim = new Service('cat', ['unread'], { cwd: at.dir })
    const results = await Promise.all([
      failure('cat unread > /dev/null'), failure('echo new > new'), failure('mkdir e'), failure('ls other'), failure('stat other/deep'),
      victim.stop('SIGKILL', 200_000).then((code) => (code === 128 ? 'killed' : `ended with ${code}`)),
    ])
    for (const result of results.slice(0, -1)) assert.match(result, /^done$|timed out|Input\/output error|unreachable/i)
    assert.equal(results.at(-1), 'killed')
    suite.server!.resume()
    await until('the mount works again', async () => (await run('bash', ['-c', 'cat unread | wc -c; cat other/deep; echo after > after; cat after'], { cwd: at.dir })).stdout === '1000\ndeepafter\n', 60_000)
    await at.serverHas('after', 'after\n')
    // Nothing that a program was told is saved, or that it wrote and could not save, is lost.
    if (results[1] === 'done' || (await at.sh('ls')).includes('new')) await at.serverHas('new', 'new\n')
    assert.equal(await at.sh('cat held'), 'open\n')
  })
})
