/** Much at once: a large file in bounded memory, a folder with thousands of entries, many files read in parallel. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { until } from './helpers/process.js'
import { missing, useSuite } from './helpers/suite.js'

const MIB = 1024 * 1024
const MEMORY_LIMIT = 250 * MIB

describe('large things in a mount', { concurrency: 2, timeout: 230_000 }, () => {
  const suite = useSuite()

  /** The most that the process behind the mount has ever held in memory, bytes. */
  async function peakMemory(): Promise<number> {
    const status = await readFile(`/proc/${suite.drive.service.child.pid!}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
  }

  it('writes and reads a file of 300 MiB in bounded memory', async (t) => {
    const absent = await missing('openssl')
    const at = await suite.corner('big')
    // Fast, and no block like another.
    const source = absent === false ? 'openssl enc -aes-128-ctr -pass pass:x -nosalt -pbkdf2 < /dev/zero 2> /dev/null | head -c 314572800 || true' : 'head -c 314572800 /dev/urandom'
    const written = (await at.sh(`(${source}) | tee >(md5sum > "$HOME/big.md5") > f; while [ ! -s "$HOME/big.md5" ]; do :; done; cut -c1-32 "$HOME/big.md5"`)).trim()
    // `> f` closes a copy of the descriptor on its way: the server may have seen a beginning of it.
    await at.node('f', (it) => it.size === 300 * MIB)
    assert.equal((await at.sh('md5sum < f')).slice(0, 32), written)
    // What the server has, not what this mount remembers: through another one, whose cache is empty.
    await until('the large file is no longer ours', async () => (await at.sh('getfattr -d f 2> /dev/null || echo user.cells.etag')).includes('user.cells.etag'))
    const second = await suite.mount({ name: 'big-second' })
    assert.equal((await second.sh('md5sum < big/f')).slice(0, 32), written)
    const peak = await peakMemory()
    t.diagnostic(`peak memory ${Math.round(peak / MIB)} MiB`)
    assert.ok(peak < MEMORY_LIMIT, `the mount process held ${Math.round(peak / MIB)} MiB`)
    await at.sh('truncate -s 1000 f; rm f')
    await second.stop()
  })

  it('lists 2,000 entries of a folder', async () => {
    const at = await suite.corner('many')
    const names = Array.from({ length: 2_000 }, (_, i) => `${i % 50 === 0 ? '.' : ''}entry ${String(i).padStart(4, '0')}`)
    const rest = [...names]
    const worker = async (): Promise<void> => {
      for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
        const data = Buffer.from(name)
        // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
        await suite.client.put(`${at.remote}/${name}`, async function * () { yield data }, data.length)
      }
    }
    await Promise.all(Array.from({ length: 10 }, worker))
    await until('all are indexed', async () => (await at.serverNames()).length === names.length, 90_000)
    const second = await suite.mount({ name: 'many-second' })
    const listed = (await second.sh('ls -A1 many')).trim().split('\n')
    assert.deepEqual(listed.sort(), names.sort())
    assert.equal(await second.sh('cd many; cat "entry 1999" ".entry 0000"; find . -type f -size 10c | wc -l; ls -l | wc -l; ls | xargs -d "\\n" -n 500 -P 4 cat | wc -c'), `entry 1999.entry 0000${1_960}\n${1_961}\n${1_960 * 10}\n`)
    // The mount that was there all the time learnt of them by and by.
    await until('the first mount lists them, too', async () => (await at.sh('ls -A1 | wc -l')) === '2000\n')
    await second.stop()
  })
})
