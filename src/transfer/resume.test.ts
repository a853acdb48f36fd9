/** Transfers that stop and go on: nothing is sent or fetched twice, nothing of another version gets in. */
import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { link, readdir, readFile, rename, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { CellsError } from '../cells/errors.js'
import { ByteRanges } from './byte-ranges.js'
import { download } from './download.js'
import { resolveDownload } from './download-plan.js'
import { FakeServer } from './fake-server.testing.js'
import { MIB } from './parts.js'
import { WorkRecord } from './record.js'
import { TransferState } from './state.js'
import { readTree, withFolder, writeTree } from './testing.js'
import type { TransferOptions, TransferReport } from './types.js'
import { upload } from './upload.js'
import { resolveUpload } from './upload-plan.js'

const parts = { threshold: 10 * MIB, partSize: 10 * MIB, concurrency: 2 }
const clean = (report: TransferReport): void => assert.deepEqual(report.failures, [])

/** A state folder as a later process finds it: the records of this living one are made those of a dead one. */
async function asIfDied(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.json')) continue
    const record = JSON.parse(await readFile(join(folder, name), 'utf8')) as { owner: unknown }
    await writeFile(join(folder, name), JSON.stringify({ ...record, owner: { pid: process.pid, start: '1' } }))
  }
}

describe('upload: resume', () => {
  const send = async (server: FakeServer, source: string, options: TransferOptions = {}): Promise<TransferReport> => {
    const state = options.state
    return upload(server, await resolveUpload(server, source, 'ws', options.force ?? false, undefined, state), { parts, ...options })
  }

  interface Bench { readonly server: FakeServer; readonly file: string; readonly content: Buffer; readonly state: TransferState; readonly stateFolder: string; fail: (operation: string) => void }
  const withUpload = (size: number, test: (bench: Bench) => Promise<void>): Promise<void> => withFolder(async folder => {
    const content = randomBytes(size)
    const file = join(folder, 'big')
    await writeFile(file, content)
    const bench: Bench & { fail: (operation: string) => void } = {
      server: new FakeServer({ before: operation => bench.fail(operation) }), file, content,
      state: new TransferState(join(folder, 'state'), 'alice@fake'), stateFolder: join(folder, 'state'), fail: () => {},
    }
    await test(bench)
  })
  const partsSent = (server: FakeServer): string[] => server.calls.filter(call => call.startsWith('part '))
  const failAt = (wanted: string) => (operation: string): void => {
    if (operation === wanted) throw new CellsError('network', 'the connection was lost')
  }

  for (const stopAt of ['part 1', 'part 3', 'part 5']) {
    it(`goes on after a lost network at ${stopAt}; no part is sent twice`, () => withUpload(45 * MIB, async bench => {
      bench.fail = failAt(stopAt)
      const first = await send(bench.server, bench.file, { state: bench.state })
      assert.equal(first.failures.length, 1)
      assert.equal(bench.server.openUploads.size, 1)
      const done = [...bench.server.openUploads.values()][0]?.parts.size ?? 0
      await asIfDied(bench.stateFolder)
      bench.server.calls.length = 0
      bench.fail = () => {}
      clean(await send(bench.server, bench.file, { state: bench.state }))
      assert.equal(partsSent(bench.server).length, 5 - done)
      assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
      assert.equal(bench.server.openUploads.size, 0)
      assert.deepEqual(await readdir(bench.stateFolder), [])
    }))
  }

  it('a file that changed meanwhile is sent anew, the old upload is aborted', () => withUpload(25 * MIB, async bench => {
    bench.fail = failAt('part 3')
    await send(bench.server, bench.file, { state: bench.state })
    await asIfDied(bench.stateFolder)
    await utimes(bench.file, 1, 1)
    bench.fail = () => {}
    bench.server.calls.length = 0
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.equal(partsSent(bench.server).length, 3)
    assert.equal(bench.server.openUploads.size, 0)
  }))

  it('an upload that the server forgot begins anew', () => withUpload(25 * MIB, async bench => {
    bench.fail = failAt('part 3')
    await send(bench.server, bench.file, { state: bench.state })
    await asIfDied(bench.stateFolder)
    bench.server.openUploads.clear()
    bench.fail = () => {}
    bench.server.calls.length = 0
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.equal(partsSent(bench.server).length, 3)
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
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.deepEqual(partsSent(bench.server), [])
    assert.deepEqual(await readdir(bench.stateFolder), [])
  }))

  it('a lost answer to the joining is looked up at once', () => withUpload(15 * MIB, async bench => {
    const original = bench.server.multipartComplete.bind(bench.server)
    bench.server.multipartComplete = async (...call) => {
      await original(...call)
      throw new CellsError('network', 'reset')
    }
    clean(await send(bench.server, bench.file))
    assert.equal(bench.server.openUploads.size, 0)
  }))

  it('while another process sends the same file, this one keeps no book and aborts when it fails', () => withUpload(15 * MIB, async bench => {
    const other = await bench.state.claimUpload(bench.file, 'ws/big')
    bench.fail = failAt('part 2')
    await send(bench.server, bench.file, { state: bench.state })
    assert.equal(bench.server.openUploads.size, 0)
    await other?.record.remove()
  }))

  it('the record of another account is not ours', () => withUpload(15 * MIB, async bench => {
    bench.fail = failAt('part 2')
    await send(bench.server, bench.file, { state: bench.state })
    await asIfDied(bench.stateFolder)
    assert.equal(await new TransferState(bench.stateFolder, 'bob@fake').findUpload(bench.file, 'ws/big'), undefined)
    assert.notEqual(await bench.state.findUpload(bench.file, 'ws/big'), undefined)
  }))

  it('uploads nobody goes on with are aborted in the end', () => withUpload(15 * MIB, async bench => {
    bench.fail = failAt('part 2')
    await send(bench.server, bench.file, { state: bench.state })
    await bench.state.sweep(bench.server, Date.now() + 30 * 86_400_000)
    assert.equal(bench.server.openUploads.size, 1, 'it is in use')
    await asIfDied(bench.stateFolder)
    await bench.state.sweep(bench.server, Date.now() + 86_400_000)
    assert.equal(bench.server.openUploads.size, 1, 'it is young')
    await new TransferState(bench.stateFolder, 'bob@fake').sweep(bench.server, Date.now() + 30 * 86_400_000)
    assert.equal(bench.server.openUploads.size, 1, 'it is not ours')
    await bench.state.sweep(bench.server, Date.now() + 30 * 86_400_000)
    assert.equal(bench.server.openUploads.size, 0)
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
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
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
    clean(await send(server, bench.file, { state: bench.state }))
    assert.deepEqual(server.calls.filter(call => /^part|^multipartStart/.test(call)), [])
    assert.deepEqual(await readdir(bench.stateFolder), [])
  }))

  it('an edit that puts size and time back is noticed', () => withUpload(25 * MIB, async bench => {
    bench.fail = failAt('part 3')
    await send(bench.server, bench.file, { state: bench.state })
    await asIfDied(bench.stateFolder)
    const { atime, mtime } = await stat(bench.file)
    bench.content.fill(7, 0, 1000)
    await writeFile(bench.file, bench.content)
    await utimes(bench.file, atime, mtime)
    bench.fail = () => {}
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('an upload that the server refuses to join is given up after two runs and sent anew, and no upload is left', () => withUpload(15 * MIB, async bench => {
    const original = bench.server.multipartComplete.bind(bench.server)
    const waitFor = bench.server.waitFor.bind(bench.server)
    bench.server.waitFor = async () => Promise.reject(new CellsError('timeout', 'not as wanted'))
    bench.server.multipartComplete = async () => Promise.reject(new CellsError('unavailable', 'internal error', { status: 500 }))
    // The first run has sent parts; the refusals that count are those of runs that got nowhere.
    for (const left of [1, 1, 0]) {
      assert.equal((await send(bench.server, bench.file, { state: bench.state })).failures.length, 1)
      assert.equal(bench.server.openUploads.size, left)
      await asIfDied(bench.stateFolder)
    }
    Object.assign(bench.server, { multipartComplete: original, waitFor })
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
    assert.equal(bench.server.openUploads.size, 0)
  }))

  it('an abort that did not reach the server is made up for, by the next run or by the sweep', async () => {
    for (const next of ['run', 'sweep']) {
      await withUpload(25 * MIB, async bench => {
        bench.fail = operation => {
          if (operation === 'part 3') throw new CellsError('forbidden', 'no')
          if (operation === 'multipartAbort') throw new CellsError('network', 'gone')
        }
        await send(bench.server, bench.file, { state: bench.state })
        assert.equal(bench.server.openUploads.size, 1)
        await asIfDied(bench.stateFolder)
        bench.fail = () => {}
        if (next === 'run') clean(await send(bench.server, bench.file, { state: bench.state }))
        else await bench.state.sweep(bench.server)
        assert.equal(bench.server.openUploads.size, 0)
        assert.deepEqual(await readdir(bench.stateFolder), [])
      })
    }
  })

  it('a state folder that cannot be made costs the resume, not the transfer', () => withUpload(15 * MIB, async bench => {
    const state = new TransferState(join(bench.file, 'state'), 'alice@fake')
    clean(await send(bench.server, bench.file, { state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('a book that can no longer be written stops nothing', () => withUpload(35 * MIB, async bench => {
    bench.fail = operation => {
      if (operation === 'part 2') rmSync(bench.stateFolder, { recursive: true })
    }
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('a small file whose PUT was done when the run died is not refused', () => withFolder(async folder => {
    const server = new FakeServer()
    const file = join(folder, 'small')
    await writeFile(file, 'content')
    const state = new TransferState(join(folder, 'state'), 'alice@fake')
    await state.begin(file, 'ws/small', 'abcdef01')
    await asIfDied(join(folder, 'state'))
    server.seed('ws/small', 'content')
    const report = await send(server, file, { state })
    assert.deepEqual([report.same, report.files, report.failures.length], [1, 0, 0])
    await assert.rejects(send(server, file, { state }), /already exists/)
  }))

  it('a damaged record counts as none', () => withUpload(15 * MIB, async bench => {
    bench.fail = failAt('part 2')
    await send(bench.server, bench.file, { state: bench.state })
    for (const name of await readdir(bench.stateFolder)) await writeFile(join(bench.stateFolder, name), '{"owner":{"pid":1,"start":"x"},"facts":{"parts":"../../etc"}}')
    bench.fail = () => {}
    clean(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))
})

describe('upload: a tree that was interrupted', () => {
  it('goes on without --force, sends only what is missing and still refuses what is not its own', () => withFolder(async folder => {
    const state = new TransferState(join(folder, 'state'), 'alice@fake')
    const dir = join(folder, 'dir')
    await writeTree(dir, Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`sub${index % 3}/f${index}`, `content ${index}`])))
    const stop = new AbortController()
    let puts = 0
    const server = new FakeServer({ before: operation => {
      if (operation === 'put' && ++puts === 20) stop.abort(new Error('aborted by user'))
    } })
    const send = async (signal?: AbortSignal): Promise<TransferReport> =>
      upload(server, await resolveUpload(server, dir, 'ws', false, undefined, state), { state, signal })
    await assert.rejects(send(stop.signal), /aborted by user/)
    await asIfDied(join(folder, 'state'))
    const there = server.paths().filter(path => /\/f\d/.test(path)).length
    assert.ok(there >= 17 && there < 40, `${there}`)
    server.seed('ws/dir/sub0/f39', 'put there by somebody else')
    server.calls.length = 0
    const report = await send()
    assert.deepEqual(report.failures.map(({ path }) => path.slice(dir.length)), ['/sub0/f39'])
    assert.match(report.failures[0]?.error.message ?? '', /exists/)
    assert.equal(server.content('ws/dir/sub0/f39'), 'put there by somebody else')
    assert.equal(report.same, there)
    assert.equal(server.calls.filter(call => call.startsWith('put ')).length, 39 - there)
    await assert.rejects(send(), /already exists/, 'it is complete now')
  }))
})

describe('download: resume', () => {
  const fetch = async (server: FakeServer, folder: string, options: TransferOptions = {}): Promise<TransferReport> =>
    download(server, await resolveDownload(server, 'ws/big', folder, false), { state: new TransferState(join(folder, 'state'), 'alice@fake'), ...options })

  /** A server whose streams all end after `limit` bytes in total. */
  function limitBytes(server: FakeServer, limit: number, error = new CellsError('login-needed', 'please sign in again')): { restore(): void; served(): number } {
    const original = server.get.bind(server)
    let served = 0
    server.get = async (path, range, options) => {
      const body = await original(path, range, options)
      async function * stream(): AsyncGenerator<Buffer> {
        for await (const chunk of body.stream) {
          if (served >= limit) throw error
          served += chunk.length
          yield chunk
        }
      }
      return { ...body, stream: Object.assign(stream(), { destroy: () => {} }) }
    }
    return { restore: () => { server.get = original }, served: () => served }
  }

  for (const [size, name] of [[5 * MIB, 'one stream'], [40 * MIB, 'parallel ranges']] as const) {
    it(`goes on after a lost network, ${name}; little is fetched twice`, () => withFolder(async folder => {
      const server = new FakeServer()
      const content = randomBytes(size)
      server.seed('ws/big', content)
      const first = limitBytes(server, size / 2, size > 32 * MIB ? undefined : new CellsError('network', 'the network is gone'))
      const failed = await fetch(server, folder)
      assert.match(failed.failures[0]?.error.message ?? '', /network is gone|sign in/)
      first.restore()
      assert.equal((await readdir(folder)).filter(file => file.endsWith('.part')).length, 1)
      await asIfDied(folder)
      const second = limitBytes(server, Infinity)
      clean(await fetch(server, folder))
      assert.ok(second.served() <= size / 2 + 65_536, `${second.served()}`)
      assert.ok((await readFile(join(folder, 'big'))).equals(content))
      assert.deepEqual((await readdir(folder)).filter(file => file.startsWith('.cec-')), [])
    }))
  }

  it('another version begins anew', () => withFolder(async folder => {
    const server = new FakeServer()
    server.seed('ws/big', randomBytes(3 * MIB))
    const first = limitBytes(server, 2 * MIB)
    await fetch(server, folder)
    first.restore()
    await asIfDied(folder)
    const content = randomBytes(3 * MIB)
    server.seed('ws/big', content)
    clean(await fetch(server, folder))
    assert.ok((await readFile(join(folder, 'big'))).equals(content))
  }))

  it('kept bytes that turn out wrong are fetched again', () => withFolder(async folder => {
    const server = new FakeServer()
    const content = randomBytes(3 * MIB)
    server.seed('ws/big', content)
    const first = limitBytes(server, 2 * MIB)
    await fetch(server, folder)
    first.restore()
    await asIfDied(folder)
    const [kept] = (await readdir(folder)).filter(file => file.endsWith('.part'))
    await writeFile(join(folder, kept ?? ''), Buffer.alloc(2 * MIB), { flag: 'r+' })
    clean(await fetch(server, folder))
    assert.ok((await readFile(join(folder, 'big'))).equals(content))
  }))

  it('a partial file that is shorter than its sidecar says counts for nothing', () => withFolder(async folder => {
    const server = new FakeServer()
    const content = randomBytes(3 * MIB)
    server.seed('ws/big', content)
    const first = limitBytes(server, 2 * MIB)
    await fetch(server, folder)
    first.restore()
    await asIfDied(folder)
    const [kept] = (await readdir(folder)).filter(file => file.endsWith('.part'))
    await truncate(join(folder, kept ?? ''), 10)
    clean(await fetch(server, folder))
    assert.ok((await readFile(join(folder, 'big'))).equals(content))
  }))

  it('nothing is written through a link in place of the partial file', () => withFolder(async folder => {
    const server = new FakeServer()
    const content = randomBytes(2 * MIB)
    server.seed('ws/big', content)
    const seen: string[] = []
    const first = limitBytes(server, MIB + 65_536)
    await fetch(server, folder)
    first.restore()
    for (const file of await readdir(folder)) if (file.endsWith('.part')) seen.push(file)
    const part = join(folder, seen[0] ?? '')
    for (const plant of [symlink, link]) {
      await asIfDied(folder)
      await writeFile(join(folder, 'precious'), 'precious')
      await rm(part, { force: true })
      await plant(join(folder, 'precious'), part)
      clean(await fetch(server, folder))
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
      await fetch(server, folder, options)
      cut.restore()
      assert.deepEqual((await readdir(folder)).filter(file => file.startsWith('.cec-')), [])
    }
  }))

  it('temporary files of a run that died are removed by the next one, those of others are not', () => withFolder(async folder => {
    const server = new FakeServer()
    for (const name of ['a', 'sub/b']) server.seed(`ws/dir/${name}`, name)
    const state = new TransferState(join(folder, 'state'), 'alice@fake')
    await writeTree(folder, { 'dir/a': 'a', 'dir/.cec-0123456700000001.part': 'mine', 'dir/.cec-7654321000000001.part': 'of another', 'dir/sub/.cec-0123456700000002.part': 'mine' })
    await state.begin('ws/dir', join(folder, 'dir'), '01234567')
    await asIfDied(join(folder, 'state'))
    const report = await download(server, await resolveDownload(server, 'ws/dir', folder, false, undefined, state), { state })
    clean(report)
    assert.deepEqual([report.same, report.files], [1, 1])
    const rest = Object.fromEntries(Object.entries(await readTree(folder)).filter(([path]) => path.startsWith('dir/')))
    assert.deepEqual(rest, { 'dir/a': 'a', 'dir/sub/b': 'sub/b', 'dir/.cec-7654321000000001.part': 'of another' })
  }))

  it('a file that was complete when the run died is not refused, and its sidecar goes', () => withFolder(async folder => {
    const server = new FakeServer()
    const content = randomBytes(2 * MIB)
    server.seed('ws/big', content)
    const cut = limitBytes(server, 1.5 * MIB)
    await fetch(server, folder)
    cut.restore()
    const [part] = (await readdir(folder)).filter(file => file.endsWith('.part'))
    await rm(join(folder, part ?? ''))
    await writeFile(join(folder, 'big'), content)
    await asIfDied(folder)
    const state = new TransferState(join(folder, 'state'), 'alice@fake')
    await state.begin('ws/big', join(folder, 'big'), '01234567')
    await asIfDied(join(folder, 'state'))
    const report = await download(server, await resolveDownload(server, 'ws/big', folder, false, undefined, state), { state })
    assert.deepEqual([report.same, report.files, report.failures.length], [1, 0, 0])
    assert.deepEqual((await readdir(folder)).sort(), ['big', 'state'])
  }))

  it('ranges come several at a time, pinned to the version, and never more than the budget', () => withFolder(async folder => {
    let inside = 0
    let most = 0
    const server = new FakeServer()
    server.seed('ws/big', randomBytes(64 * MIB))
    const original = server.get.bind(server)
    server.get = async (path, range, options) => {
      assert.notEqual(options?.ifMatch, undefined)
      most = Math.max(most, ++inside)
      await new Promise(resolve => setImmediate(resolve))
      inside--
      return original(path, range, options)
    }
    clean(await fetch(server, folder, { parts: { concurrency: 4 } }))
    assert.equal(server.calls.filter(call => call.startsWith('get ')).length, 8)
    assert.ok(most > 1 && most <= 4, `${most}`)
  }))

  it('a version that changes between two ranges starts again and is never mixed', () => withFolder(async folder => {
    const server = new FakeServer()
    server.seed('ws/big', randomBytes(40 * MIB))
    const content = randomBytes(40 * MIB)
    const original = server.get.bind(server)
    let gets = 0
    server.get = async (path, range, options) => {
      if (++gets === 3) server.seed('ws/big', content)
      return original(path, range, options)
    }
    clean(await fetch(server, folder))
    assert.ok((await readFile(join(folder, 'big'))).equals(content))
  }))
})

describe('records and ranges', () => {
  it('a record has one owner; that of a dead one is taken by one', () => withFolder(async folder => {
    const path = join(folder, 'r.json')
    const first = await WorkRecord.claim(path, { a: 1 })
    assert.equal(await WorkRecord.claim(path, {}), undefined)
    await first?.save({ a: 2 })
    await asIfDied(folder)
    const takers = await Promise.all(Array.from({ length: 8 }, () => WorkRecord.claim(path, {})))
    assert.deepEqual(takers.filter(taker => taker !== undefined).map(taker => taker.found), [{ a: 2 }])
    await takers.find(taker => taker !== undefined)?.remove()
    assert.deepEqual(await readdir(folder), [])
  }))

  it('ranges are a set of bytes', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(60), fc.nat(12))), fc.integer({ min: 1, max: 9 }), (adds, piece) => {
      const ranges = new ByteRanges()
      const model = new Set<number>()
      for (const [start, length] of adds) {
        ranges.add(start, start + length)
        for (let byte = start; byte < start + length; byte++) model.add(byte)
      }
      assert.equal(ranges.total, model.size)
      const missing = ranges.gaps(80, piece).flatMap(([start, end]) => {
        assert.ok(end > start && end - start <= piece)
        return Array.from({ length: end - start }, (_, index) => start + index)
      })
      assert.deepEqual(missing, Array.from({ length: 80 }, (_, byte) => byte).filter(byte => !model.has(byte)))
      assert.deepEqual(ByteRanges.parse(JSON.parse(JSON.stringify(ranges)), 80).toJSON(), ranges.toJSON())
    }))
  })

  for (const value of [null, 'x', [[1]], [[-1, 2]], [[0, 1e9]], [[0.5, 2]], [{}], [['0', '2']]]) {
    it(`ranges from a file: ${JSON.stringify(value)} is nothing`, () => assert.equal(ByteRanges.parse(value, 100).total, 0))
  }
})
