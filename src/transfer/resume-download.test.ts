/** Downloads that stop and go on: little is fetched twice, nothing of another version gets in, nothing is left behind. */
import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { link, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import { download } from './download.js'
import { resolveDownload } from './download-plan.js'
import { FakeServer } from './fake-server.testing.js'
import { MIB } from './parts.js'
import { asIfDied, fetchBig, fetchUntil, limitBytes, noFailures, stateIn } from './resume.testing.js'
import { readTree, withFolder, writeTree } from './testing.js'

describe('download: resume', () => {
  for (const [size, name] of [[5 * MIB, 'one stream'], [40 * MIB, 'parallel ranges']] as const) {
    it(`goes on after a lost network, ${name}; little is fetched twice`, () => withFolder(async folder => {
      const server = new FakeServer()
      const content = randomBytes(size)
      server.seed('ws/big', content)
      const first = limitBytes(server, size / 2, size > 32 * MIB ? undefined : new CellsError('network', 'the network is gone'))
      const failed = await fetchBig(server, folder)
      assert.match(failed.failures[0]?.error.message ?? '', /network is gone|sign in/)
      first.restore()
      assert.equal((await readdir(folder)).filter(file => file.endsWith('.part')).length, 1)
      await asIfDied(folder)
      const second = limitBytes(server, Infinity)
      noFailures(await fetchBig(server, folder))
      assert.ok(second.served() <= size / 2 + 65_536, `${second.served()}`)
      assert.ok((await readFile(join(folder, 'big'))).equals(content))
      assert.deepEqual((await readdir(folder)).filter(file => file.startsWith('.cec-')), [])
    }))
  }

  it('another version begins anew', () => withFolder(async folder => {
    const server = new FakeServer()
    await fetchUntil(server, folder, 3 * MIB, 2 * MIB)
    const content = randomBytes(3 * MIB)
    server.seed('ws/big', content)
    noFailures(await fetchBig(server, folder))
    assert.ok((await readFile(join(folder, 'big'))).equals(content))
  }))

  for (const [name, damage] of [
    ['kept bytes that turn out wrong are fetched again', part => writeFile(part, Buffer.alloc(2 * MIB), { flag: 'r+' })],
    ['a partial file that is shorter than its sidecar says counts for nothing', part => truncate(part, 10)],
  ] as readonly (readonly [string, (part: string) => Promise<void>])[]) {
    it(name, () => withFolder(async folder => {
      const server = new FakeServer()
      const { content, part } = await fetchUntil(server, folder, 3 * MIB, 2 * MIB)
      await damage(part)
      noFailures(await fetchBig(server, folder))
      assert.ok((await readFile(join(folder, 'big'))).equals(content))
    }))
  }

  it('nothing is written through a link in place of the partial file', () => withFolder(async folder => {
    const server = new FakeServer()
    const { content, part } = await fetchUntil(server, folder, 2 * MIB, MIB + 65_536)
    for (const plant of [symlink, link]) {
      await asIfDied(folder)
      await writeFile(join(folder, 'precious'), 'precious')
      await rm(part, { force: true })
      await plant(join(folder, 'precious'), part)
      noFailures(await fetchBig(server, folder))
      assert.equal(await readFile(join(folder, 'precious'), 'utf8'), 'precious')
      assert.ok((await readFile(join(folder, 'big'))).equals(content))
      await rm(join(folder, 'big'))
    }
  }))

  it('keeps nothing of a small file, nothing without an account, nothing of what is gone', () => withFolder(async folder => {
    const server = new FakeServer()
    for (const [size, options] of [[100_000, {}], [3 * MIB, { state: undefined }]] as const) {
      server.seed('ws/big', randomBytes(size))
      const cut = limitBytes(server, size / 2)
      await fetchBig(server, folder, options)
      cut.restore()
      assert.deepEqual((await readdir(folder)).filter(file => file.startsWith('.cec-')), [])
    }
  }))

  it('temporary files of a run that died are removed by the next one, those of others are not', () => withFolder(async folder => {
    const server = new FakeServer()
    for (const name of ['a', 'sub/b']) server.seed(`ws/dir/${name}`, name)
    const state = stateIn(folder)
    await writeTree(folder, { 'dir/a': 'a', 'dir/.cec-0123456700000001.part': 'mine', 'dir/.cec-7654321000000001.part': 'of another', 'dir/sub/.cec-0123456700000002.part': 'mine' })
    await state.begin('ws/dir', join(folder, 'dir'), '01234567')
    await asIfDied(join(folder, 'state'))
    const report = await download(server, await resolveDownload(server, 'ws/dir', folder, false, undefined, state), { state })
    noFailures(report)
    assert.deepEqual([report.same, report.files], [1, 1])
    const rest = Object.fromEntries(Object.entries(await readTree(folder)).filter(([path]) => path.startsWith('dir/')))
    assert.deepEqual(rest, { 'dir/a': 'a', 'dir/sub/b': 'sub/b', 'dir/.cec-7654321000000001.part': 'of another' })
  }))

  it('a file that was complete when the run died is not refused, and its sidecar goes', () => withFolder(async folder => {
    const server = new FakeServer()
    const { content, part } = await fetchUntil(server, folder, 2 * MIB, 1.5 * MIB)
    await rm(part)
    await writeFile(join(folder, 'big'), content)
    const state = stateIn(folder)
    await state.begin('ws/big', join(folder, 'big'), '01234567')
    await asIfDied(join(folder, 'state'))
    const report = await download(server, await resolveDownload(server, 'ws/big', folder, false, undefined, state), { state })
    assert.deepEqual([report.same, report.files, report.failures.length], [1, 0, 0])
    assert.deepEqual((await readdir(folder)).sort(), ['big', 'state'])
  }))
})
