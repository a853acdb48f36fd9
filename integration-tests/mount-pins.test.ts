/** Folders that are kept here: read without the server, after a restart, beside a cache that is too small. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { PinStatus } from '../src/fs/status.js'
import { CELLSFS } from './helpers/mount.js'
import { mismatches, parseJsonPage } from './helpers/json-types.js'
import { run, until, type RunResult } from './helpers/process.js'
import { PROJECT } from './helpers/project.js'
import { md5, onlyEmbedded, useSuite } from './helpers/suite.js'

describe('pinned folders', { timeout: 230_000, skip: onlyEmbedded }, () => {
  const suite = useSuite({ bare: true })
  const flags = ['--cache-size', '1M']
  const cellsfs = (...args: string[]): Promise<RunResult> => run(process.execPath, [CELLSFS, ...args], { env: suite.env })
  const pins = async (): Promise<PinStatus[]> => JSON.parse((await cellsfs('pin', '--json')).stdout) as PinStatus[]
  const complete = async (files: number): Promise<PinStatus> => {
    let last: readonly PinStatus[] = []
    const pin = await until(`${files} files are here`, async () => {
      last = await pins()
      return last.find((each) => each.state === 'complete' && each.files === files)
    }).catch((error: unknown) => { throw new Error(`${String(error)}; but: ${JSON.stringify(last)}`) })
    return pin!
  }

  it('can be read without the server, follow what others change, and stay over a restart', async () => {
    const put = async (name: string, text: string): Promise<void> => {
      const data = Buffer.from(text)
      await suite.client.put(`${suite.root}/${name}`, data, data.length)
      await suite.client.waitFor(`${suite.root}/${name}`, (node) => node?.size === data.length && node.etag !== 'temporary')
    }
    const large = 'large '.repeat(1_000_000)
    await put('dir/a.txt', 'first')
    await put('dir/sub/deep/b.txt', 'b')
    await put('dir/large', large)
    await put('other', 'o'.repeat(2_000_000))
    await put('unread', 'u'.repeat(600_000))
    await put('single', 'one file')
    let drive = await suite.mount({ flags })
    const dir = join(drive.dir, 'dir')
    assert.equal((await cellsfs('pin')).stdout, 'Nothing is pinned.\n')
    assert.match((await cellsfs('pin', join(drive.dir, 'none'))).stderr, /no .*none/)
    assert.deepEqual(await cellsfs('pin', dir), { code: 0, stdout: `pinned ${dir}: 3 files, 5.7 MiB\n`, stderr: '' })
    assert.equal((await cellsfs('pin', '--background', join(drive.dir, 'single'))).code, 0)
    const listed = await until('both are here', async () => {
      const { stdout } = await cellsfs('pin')
      return (stdout.match(/all here/g) ?? []).length === 2 ? stdout : undefined
    })
    assert.match(listed!, new RegExp(`^${dir}  3 files, 5.7 MiB, all here$`, 'm'))
    const page = parseJsonPage(await readFile(join(PROJECT, 'docs', 'json.md'), 'utf8'))
    assert.deepEqual(mismatches(page, page.commands.get('cellsfs pin')!.type, await pins()), [])

    // What others change, and what is changed here.
    await put('dir/a.txt', 'second version')
    await put('dir/new.txt', 'new')
    await drive.sh('echo own > dir/own.txt')
    assert.equal((await cellsfs('sync')).code, 0)
    await complete(5)
    // Renamed: still the same folder.
    await drive.sh('mv dir moved')
    assert.equal((await cellsfs('sync')).code, 0)
    await until('it has its new name', async () => (await pins()).some(({ path, state }) => path.endsWith('/moved') && state === 'complete'))
    await drive.sh('cat other > /dev/null')

    assert.equal(await drive.stop(), 0)
    drive = await suite.mount({ flags })
    assert.equal((await complete(5)).missingBytes, 0)
    await drive.sh('cat other > /dev/null; ls')
    await suite.server!.kill()
    const read = async (): Promise<string> => drive.sh('cd moved; cat a.txt new.txt own.txt sub/deep/b.txt | md5sum; md5sum < large; find . | sort | tr "\\n" " "; cat ../single')
    const content = await read()
    assert.ok(content.startsWith(`${md5('second versionnewown\nb')}  -\n${md5(large)}  -\n`), content)
    assert.match(content, /\. \.\/a\.txt \.\/large \.\/new\.txt \.\/own\.txt \.\/sub \.\/sub\/deep \.\/sub\/deep\/b\.txt one file$/)
    await assert.rejects(drive.sh('cat unread'), /route to host|timed out|Input\/output/)

    // Also a mount that begins without the server.
    await drive.stop()
    drive = await suite.mount({ flags })
    assert.equal(await read(), content)
    await suite.server!.restart()

    assert.deepEqual(await cellsfs('unpin', join(drive.dir, 'moved')), { code: 0, stdout: '', stderr: '' })
    assert.match((await cellsfs('unpin', join(drive.dir, 'moved'))).stderr, /is not pinned/)
    assert.deepEqual((await pins()).map(({ path }) => path.split('/').at(-1)), ['single'])
  })
})
