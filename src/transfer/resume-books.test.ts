/** The books of uploads in parts: whose they are, what becomes of uploads that nobody goes on with, and books that cannot be kept. */
import { strict as assert } from 'node:assert'
import { promises, rmSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import { startTime } from '../processes.js'
import { isPartialName, Leftovers } from './partial.js'
import { MIB } from './parts.js'
import { WorkRecord } from './record.js'
import { asIfDied, failAt, noFailures, send, sendUntil, withUpload } from './resume.testing.js'
import { TransferState } from './state.js'
import { writeTree } from './testing.js'

describe('upload: books', () => {
  it('while another process sends the same file, this one keeps no book and aborts when it fails', () => withUpload(15 * MIB, async bench => {
    const other = await bench.state.claimUpload(bench.file, 'ws/big')
    bench.fail = failAt('part 2')
    await send(bench.server, bench.file, { state: bench.state })
    assert.equal(bench.server.openUploads.size, 0)
    await other?.record.remove()
  }))

  it('the record of another account is not ours', () => withUpload(15 * MIB, async bench => {
    await sendUntil(bench, 'part 2')
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
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
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
        if (next === 'run') noFailures(await send(bench.server, bench.file, { state: bench.state }))
        else await bench.state.sweep(bench.server)
        assert.equal(bench.server.openUploads.size, 0)
        assert.deepEqual(await readdir(bench.stateFolder), [])
      })
    }
  })

  it('a state folder that cannot be made costs the resume, not the transfer', () => withUpload(15 * MIB, async bench => {
    const state = new TransferState(join(bench.file, 'state'), 'alice@fake')
    noFailures(await send(bench.server, bench.file, { state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('a book that can no longer be written stops nothing', () => withUpload(35 * MIB, async bench => {
    bench.fail = operation => {
      if (operation === 'part 2') rmSync(bench.stateFolder, { recursive: true })
    }
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))

  it('a book that a process was about to begin when it died goes, also where another one has its pid now; that of a living one stays', { skip: process.platform !== 'linux' && 'needs /proc' }, t => withUpload(1, async bench => {
    const begun: string[] = []
    const link = t.mock.method(promises, 'link', async (from: string) => {
      begun.push(basename(from))
      return Promise.reject(Object.assign(new Error('not here'), { code: 'EPERM' }))
    })
    syncBuiltinESMExports()
    await mkdir(bench.stateFolder)
    await WorkRecord.claim(join(bench.stateFolder, '.cec-0123456789abcdef.json'), null)
    link.mock.restore()
    syncBuiltinESMExports()
    const [alive = ''] = begun
    const dead = alive.replace(startTime(process.pid), '1')
    const target = join(bench.stateFolder, '../target')
    for (const folder of [bench.stateFolder, target]) {
      await rm(folder, { recursive: true, force: true })
      await writeTree(folder, { [alive]: '', [dead]: '' })
    }
    assert.ok([alive, dead].every(isPartialName), 'no content')
    await bench.state.sweep(bench.server)
    await new Leftovers(['01234567']).remove(target)
    for (const folder of [bench.stateFolder, target]) assert.deepEqual(await readdir(folder), [alive])
  }))

  it('a damaged record counts as none', () => withUpload(15 * MIB, async bench => {
    bench.fail = failAt('part 2')
    await send(bench.server, bench.file, { state: bench.state })
    for (const name of await readdir(bench.stateFolder)) await writeFile(join(bench.stateFolder, name), '{"owner":{"pid":1,"start":"x"},"facts":{"parts":"../../etc"}}')
    bench.fail = () => {}
    noFailures(await send(bench.server, bench.file, { state: bench.state }))
    assert.ok(bench.server.raw('ws/big')?.equals(bench.content))
  }))
})
