/** Uploads in parts that stop and go on: no part is sent twice, nothing of another version of the file gets in. */
import { strict as assert } from 'node:assert'
import { readdir, rename, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import { FakeServer } from './fake-server.testing.js'
import { MIB } from './parts.js'
import { asIfDied, noFailures, partsSent, send, sendUntil, stateIn, withUpload } from './resume.testing.js'
import { withFolder, writeTree } from './testing.js'
import type { TransferReport } from './types.js'
import { upload } from './upload.js'
import { resolveUpload } from './upload-plan.js'

describe('upload: resume', () => {
  for (const stopAt of ['part 1', 'part 3', 'part 5']) {
    it(`goes on after a lost network at ${stopAt}; no part is sent twice`, () => withUpload(45 * MIB, async bench => {
      assert.equal((await sendUntil(bench, stopAt)).failures.length, 1)
      assert.equal(bench.server.openUploads.size, 1)
      const done = [...bench.server.openUploads.values()][0]?.parts.size ?? 0
      noFailures(await send(bench.server, bench.file, { state: bench.state }))
      assert.equal(partsSent(bench.server).length, 5 - done)
      assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
      assert.equal(bench.server.openUploads.size, 0)
      assert.deepEqual(await readdir(bench.stateFolder), [])
    }))
  }

  it('a file that changed meanwhile is sent anew, the old upload is aborted', () => withUpload(25 * MIB, async bench => {
    await sendUntil(bench, 'part 3')
    await utimes(bench.file, 1, 1)
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
    assert.equal(partsSent(bench.server).length, 3)
    assert.equal(bench.server.openUploads.size, 0)
  }))

  it('an upload that the server forgot begins anew', () => withUpload(25 * MIB, async bench => {
    await sendUntil(bench, 'part 3')
    bench.server.openUploads.clear()
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
    assert.equal(partsSent(bench.server).length, 3)
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('an edit that puts size and time back is noticed', () => withUpload(25 * MIB, async bench => {
    await sendUntil(bench, 'part 3')
    const { atime, mtime } = await stat(bench.file)
    bench.content.fill(7, 0, 1000)
    await writeFile(bench.file, bench.content)
    await utimes(bench.file, atime, mtime)
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('what was joined although the answer was lost is not sent again', () => withUpload(25 * MIB, async bench => {
    const original = bench.server.multipartComplete.bind(bench.server)
    const stop = new AbortController()
    bench.server.multipartComplete = async (...call) => {
      await original(...call)
      stop.abort(new Error('aborted by user'))
      throw new CellsError('network', 'reset')
    }
    await assert.rejects(send(bench.server, bench.file, { state: bench.state, signal: stop.signal }), /aborted/)
    await asIfDied(bench.stateFolder)
    bench.server.multipartComplete = original
    bench.server.calls.length = 0
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
    assert.deepEqual(partsSent(bench.server), [])
    assert.deepEqual(await readdir(bench.stateFolder), [])
  }))

  it('a lost answer to the joining is looked up at once', () => withUpload(15 * MIB, async bench => {
    const original = bench.server.multipartComplete.bind(bench.server)
    bench.server.multipartComplete = async (...call) => {
      await original(...call)
      throw new CellsError('network', 'reset')
    }
    noFailures(await send(bench.server, bench.file))
    assert.equal(bench.server.openUploads.size, 0)
  }))

  it('what was joined but is not indexed yet when the next run begins is waited for, not sent again', () => withUpload(25 * MIB, async bench => {
    const server = new FakeServer({ indexLagMs: 300 })
    const original = server.multipartComplete.bind(server)
    const stop = new AbortController()
    server.multipartComplete = async (...call) => {
      await original(...call)
      stop.abort(new Error('aborted by user'))
      throw new CellsError('network', 'reset')
    }
    await assert.rejects(send(server, bench.file, { state: bench.state, signal: stop.signal }), /aborted/)
    await asIfDied(bench.stateFolder)
    server.multipartComplete = original
    server.calls.length = 0
    noFailures(await send(server, bench.file, { state: bench.state }))
    assert.deepEqual(server.calls.filter(call => /^part|^multipartStart/.test(call)), [])
    assert.deepEqual(await readdir(bench.stateFolder), [])
  }))

  it('an upload begun by a run that died before it learnt its id is no reason to refuse', () => withUpload(15 * MIB, async bench => {
    const original = bench.server.multipartStart.bind(bench.server)
    const stop = new AbortController()
    bench.server.multipartStart = async path => {
      await original(path)
      bench.server.seed('ws/big')
      bench.server.alter('ws/big', { etag: 'temporary' })
      stop.abort(new Error('as if killed'))
      throw new CellsError('aborted', 'gone')
    }
    const kept = join(bench.stateFolder, '..', 'kept')
    await assert.rejects(send(bench.server, bench.file, { state: bench.state, signal: stop.signal }), /as if killed/)
    // Only the book of the upload: also one that was part of a larger transfer then is found.
    for (const name of await readdir(bench.stateFolder)) if (name.endsWith('.tree.json')) await rename(join(bench.stateFolder, name), kept)
    await asIfDied(bench.stateFolder)
    bench.server.multipartStart = original
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('a small file whose PUT was done when the run died is not refused', () => withFolder(async folder => {
    const server = new FakeServer()
    const file = join(folder, 'small')
    await writeFile(file, 'content')
    const state = stateIn(folder)
    await state.begin(file, 'ws/small', 'abcdef01')
    await asIfDied(join(folder, 'state'))
    server.seed('ws/small', 'content')
    const report = await send(server, file, { state })
    assert.deepEqual([report.same, report.files, report.failures.length], [1, 0, 0])
    await assert.rejects(send(server, file, { state }), /already exists/)
  }))
})

describe('upload: a tree that was interrupted', () => {
  it('goes on without --force, sends only what is missing and still refuses what is not its own', () => withFolder(async folder => {
    const state = stateIn(folder)
    const dir = join(folder, 'dir')
    await writeTree(dir, Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`sub${index % 3}/f${index}`, `content ${index}`])))
    const stop = new AbortController()
    let puts = 0
    const server = new FakeServer({ before: operation => {
      if (operation === 'put' && ++puts === 20) stop.abort(new Error('aborted by user'))
    } })
    const sendTree = async (signal?: AbortSignal): Promise<TransferReport> =>
      upload(server, await resolveUpload(server, dir, 'ws', false, undefined, state), { state, signal })
    await assert.rejects(sendTree(stop.signal), /aborted by user/)
    await asIfDied(join(folder, 'state'))
    const there = server.paths().filter(path => /\/f\d/.test(path)).length
    assert.ok(there >= 17 && there < 40, `${there}`)
    server.seed('ws/dir/sub0/f39', 'put there by somebody else')
    server.calls.length = 0
    const report = await sendTree()
    assert.deepEqual(report.failures.map(({ path }) => path.slice(dir.length)), ['/sub0/f39'])
    assert.match(report.failures[0]?.error.message ?? '', /exists/)
    assert.equal(server.content('ws/dir/sub0/f39'), 'put there by somebody else')
    assert.equal(report.same, there)
    assert.equal(server.calls.filter(call => call.startsWith('put ')).length, 39 - there)
    await assert.rejects(sendTree(), /already exists/, 'it is complete now')
  }))
})
