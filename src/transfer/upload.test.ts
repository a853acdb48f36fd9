import { strict as assert } from 'node:assert'
import { chmod, mkdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import { FakeServer } from './fake-server.testing.js'
import type { FakeOptions } from './fake-server.testing.js'
import { MIB } from './parts.js'
import { withFolder, writeTree } from './testing.js'
import type { TransferOptions, TransferReport } from './types.js'
import { upload } from './upload.js'
import { resolveUpload } from './upload-plan.js'

async function send(server: FakeServer, source: string, target: string, options: TransferOptions = {}): Promise<TransferReport> {
  return upload(server, await resolveUpload(server, source, target, options.force ?? false), options)
}

const clean = (report: TransferReport): void => assert.deepEqual(report.failures, [])

describe('upload: where it goes', () => {
  const put = async (source: string, target: string, tree: readonly string[] = [], options: TransferOptions = {}): Promise<FakeServer> => {
    const server = new FakeServer()
    for (const path of tree) server.seed(path, 'old')
    await withFolder(async folder => {
      await writeTree(folder, { 'a.txt': 'hello', 'dir/x.txt': 'x' })
      clean(await send(server, join(folder, source), target, options))
    })
    return server
  }

  it('S1 into an existing folder', async () => assert.equal((await put('a.txt', 'ws')).content('ws/a.txt'), 'hello'))
  it('S12 a missing name is the new name of a file', async () => assert.deepEqual((await put('a.txt', 'ws/new')).paths(), ['ws/', 'ws/new', 'ws2/']))
  it('S12 with a slash it is a new folder', async () => assert.deepEqual((await put('a.txt', 'ws/new/')).paths(), ['ws/', 'ws/new/', 'ws/new/a.txt', 'ws2/']))
  it('a missing name is a new folder around a folder', async () => {
    assert.deepEqual((await put('dir', 'ws/new')).paths(), ['ws/', 'ws/new/', 'ws/new/dir/', 'ws/new/dir/x.txt', 'ws2/'])
  })
  it('a slash behind a source folder changes nothing', async () => {
    assert.equal((await put('dir/', 'ws')).content('ws/dir/x.txt'), 'x')
  })
  it('S7 refuses what exists, naming it, and changes nothing', async () => {
    await assert.rejects(put('a.txt', 'ws', ['ws/a.txt']), /ws\/a\.txt already exists.*--force/)
    await assert.rejects(put('a.txt', 'ws/a.txt', ['ws/a.txt']), /already exists/)
    await assert.rejects(put('dir', 'ws', ['ws/dir/']), /ws\/dir already exists/)
  })
  it('S8 replaces with force, by both spellings', async () => {
    assert.equal((await put('a.txt', 'ws', ['ws/a.txt'], { force: true })).content('ws/a.txt'), 'hello')
    assert.equal((await put('a.txt', 'ws/b.txt', ['ws/b.txt'], { force: true })).content('ws/b.txt'), 'hello')
  })
  it('S14 a missing parent or workspace, a target below a file', async () => {
    await assert.rejects(put('a.txt', 'ws/x/y'), /the folder ws\/x does not exist/)
    await assert.rejects(put('a.txt', 'nope'), /no workspace "nope"/)
    await assert.rejects(put('a.txt', 'nope/x/y'), /no workspace "nope"/)
    await assert.rejects(put('a.txt', 'ws/f/y', ['ws/f']), /ws\/f on the server is not a folder/)
    await assert.rejects(put('dir', 'ws/f', ['ws/f'], { force: true }), /not a folder/)
    await assert.rejects(put('a.txt', ''), /name a workspace/)
  })
  it('S15 a missing source', async () => assert.rejects(put('none', 'ws'), /none does not exist/))
  it('a read-only target is told before anything is sent', async () => {
    const server = new FakeServer()
    server.alter('ws', { readOnly: true })
    await withFolder(async folder => {
      await writeTree(folder, { a: 'x' })
      await assert.rejects(send(server, join(folder, 'a'), 'ws'), /no right to write to ws/)
    })
  })
})

describe('upload: trees', () => {
  it('S2 S27 S28 everything arrives: empty folders, empty files, dot-files, odd names', async () => {
    const tree = { '.hidden': 'h', 'empty/': '', 'deep/er/still/': '', 'zero': '', 'a b': '1', '100%': '2', '#x+y': '3', 'é中': '4', 'sub/.dot/x': '5' }
    const server = new FakeServer({ indexLagMs: 30 })
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), tree)
      const report = await send(server, join(folder, 'dir'), 'ws')
      clean(report)
      assert.deepEqual([report.files, report.folders], [7, 7])
    })
    for (const [path, content] of Object.entries(tree)) {
      if (path.endsWith('/')) assert.ok(server.paths().includes(`ws/dir/${path}`), path)
      else assert.equal(server.content(`ws/dir/${path}`), content)
    }
  })

  it('returns only when the server reports our content, for many files in about the time of one', async () => {
    const server = new FakeServer({ indexLagMs: 100 })
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`f${index}`, `${index}`])))
      clean(await send(server, join(folder, 'dir'), 'ws'))
    })
    let shown = 0
    for await (const page of server.list('ws/dir')) shown += page.filter(node => node.etag !== 'temporary').length
    assert.equal(shown, 200)
    const rounds = server.calls.filter(call => call.startsWith('statMany') || call.startsWith('list')).length
    assert.ok(rounds < 60, `${rounds} questions for 200 files`)
  })

  it('S9 merges with force: new items added, same names replaced, others kept', async () => {
    const server = new FakeServer()
    server.seed('ws/dir/same.txt', 'old')
    server.seed('ws/dir/theirs.txt', 'theirs')
    server.seed('ws/dir/sub/theirs.txt', 'theirs')
    const uuid = (await server.stat('ws/dir/same.txt'))?.uuid
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), { 'same.txt': 'new', 'ours.txt': 'ours', 'sub/ours.txt': 'ours', 'fresh/x': 'x' })
      const report = await send(server, join(folder, 'dir'), 'ws', { force: true })
      clean(report)
      assert.deepEqual([report.removals, report.folders, report.files], [0, 1, 4])
    })
    assert.equal(server.content('ws/dir/same.txt'), 'new')
    assert.equal((await server.stat('ws/dir/same.txt'))?.uuid, uuid)
    assert.equal(server.content('ws/dir/theirs.txt'), 'theirs')
    assert.equal(server.content('ws/dir/sub/theirs.txt'), 'theirs')
    assert.equal(server.content('ws/dir/sub/ours.txt'), 'ours')
    assert.ok(!server.calls.some(call => call.startsWith('remove')))
  })

  it('S10 replaces items of another type and nothing else', async () => {
    const server = new FakeServer()
    server.seed('ws/dir/clash/inside.txt', 'old')
    server.seed('ws/dir/other', 'old file')
    server.seed('ws/dir/kept/x', 'kept')
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), { clash: 'now a file', 'other/in.txt': 'now a folder', 'unrelated.txt': 'u' })
      const report = await send(server, join(folder, 'dir'), 'ws', { force: true })
      clean(report)
      assert.equal(report.removals, 2)
    })
    assert.equal(server.content('ws/dir/clash'), 'now a file')
    assert.equal(server.content('ws/dir/other/in.txt'), 'now a folder')
    assert.equal(server.content('ws/dir/kept/x'), 'kept')
    const removed = server.calls.filter(call => call.startsWith('remove')).sort()
    assert.deepEqual(removed, ['remove! ws/dir/clash', 'remove! ws/dir/other'])
  })

  it('S10 at the top: a file over a folder, a folder over a file', async () => {
    const server = new FakeServer()
    server.seed('ws/a/inside', 'old')
    server.seed('ws/b', 'old')
    await withFolder(async folder => {
      await writeTree(folder, { a: 'file', 'b/x': 'x' })
      clean(await send(server, join(folder, 'a'), 'ws', { force: true }))
      clean(await send(server, join(folder, 'b'), 'ws', { force: true }))
    })
    assert.equal(server.content('ws/a'), 'file')
    assert.equal(server.content('ws/b/x'), 'x')
  })

  it('S26 reports what cannot be sent, one by one, and sends the rest', async () => {
    const server = new FakeServer()
    await withFolder(async folder => {
      const dir = join(folder, 'dir')
      await writeTree(dir, { ok: 'ok', 'back\\slash': 'x', 'note.pydio': 'x', 'new\nline/in/x': 'x', 'sub/fine': 'fine', '😀': 'x', '🎉/in': 'x' })
      await symlink('/nowhere', join(dir, 'dangling'))
      await symlink('.', join(dir, 'circle'))
      await symlink('ok', join(dir, 'link'))
      const report = await send(server, dir, 'ws')
      const failed = report.failures.map(failure => failure.path.replace(`${dir}/`, '')).sort()
      assert.deepEqual(failed, ['back\\slash', 'circle', 'dangling', 'new\nline', 'note.pydio', 'ws/dir/🎉', '😀'])
      assert.equal(report.aborted, false)
    })
    assert.deepEqual(server.paths().filter(path => path.startsWith('ws/')), ['ws/', 'ws/dir/', 'ws/dir/link', 'ws/dir/ok', 'ws/dir/sub/', 'ws/dir/sub/fine'])
  })

  it('S26 an unreadable file and an unreadable folder', { skip: process.getuid?.() === 0 && 'root can read everything' }, async () => {
    const server = new FakeServer()
    await withFolder(async folder => {
      const dir = join(folder, 'dir')
      await writeTree(dir, { ok: 'ok', secret: 'x', 'closed/x': 'x' })
      await chmod(join(dir, 'secret'), 0)
      await chmod(join(dir, 'closed'), 0)
      const report = await send(server, dir, 'ws')
      await chmod(join(dir, 'closed'), 0o755)
      assert.equal(report.failures.length, 2)
      assert.equal(server.content('ws/dir/ok'), 'ok')
    })
  })

  it('two names that become one on the server are not silently merged', async () => {
    const server = new FakeServer()
    await withFolder(async folder => {
      const dir = join(folder, 'dir')
      await writeTree(dir, { '\u00e9': 'composed' })
      await writeFile(join(dir, 'e\u0301'), 'decomposed')
      const report = await send(server, dir, 'ws')
      assert.equal(report.failures.length, 1)
      assert.equal(server.content('ws/dir/\u00e9'), 'composed')
    })
  })
})

describe('upload: content and trouble', () => {
  const withFile = async (size: number, options: FakeOptions, transfer: TransferOptions, check: (server: FakeServer, result: Promise<TransferReport>, file: string) => Promise<void>): Promise<void> => {
    const server = new FakeServer(options)
    await withFolder(async folder => {
      const file = join(folder, 'big')
      await writeFile(file, Buffer.alloc(size, 'content of the file '))
      await check(server, send(server, file, 'ws', transfer), file)
    })
  }
  const small = { threshold: 10 * MIB, partSize: 10 * MIB }

  it('S16 S17 parts beyond the threshold, one PUT up to it', async () => {
    await withFile(10 * MIB, {}, { parts: small }, async (server, result) => {
      clean(await result)
      assert.deepEqual(server.calls.filter(call => /put|part/.test(call)), ['put ws/big'])
    })
    await withFile(25 * MIB, {}, { parts: small }, async (server, result) => {
      clean(await result)
      assert.equal(server.content('ws/big')?.length, 25 * MIB)
      assert.equal(server.calls.filter(call => call.startsWith('part ')).length, 3)
      assert.equal(server.openUploads.size, 0)
    })
  })

  it('S20 one part at a time with concurrency 1', async () => {
    let inside = 0
    let most = 0
    const before = async (operation: string): Promise<void> => {
      if (!operation.startsWith('part ')) return
      most = Math.max(most, ++inside)
      await new Promise(resolve => setImmediate(resolve))
      inside--
    }
    await withFile(35 * MIB, { before }, { parts: { ...small, concurrency: 1 } }, async (_server, result) => {
      clean(await result)
      assert.equal(most, 1)
    })
  })

  it('S20 three files at a time, of small ones eight requests', async () => {
    for (const [size, limit] of [[1, 8], [MIB, 8], [MIB + 1, 3]] as const) {
      let inside = 0
      let most = 0
      const server = new FakeServer({ before: async operation => {
        if (operation !== 'put') return
        most = Math.max(most, ++inside)
        for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve))
        inside--
      } })
      await withFolder(async folder => {
        await writeTree(join(folder, 'dir'), Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`f${index}`, 'x'.repeat(size)])))
        clean(await send(server, join(folder, 'dir'), 'ws'))
      })
      assert.ok(most <= limit && most > 1, `${most} of ${size} bytes`)
    }
  })

  it('aborts the upload on the server when a part fails for good', async () => {
    const before = (operation: string): void => {
      if (operation === 'part 2') throw new CellsError('forbidden', 'no')
    }
    await withFile(35 * MIB, { before }, { parts: small }, async (server, result) => {
      assert.equal((await result).failures.length, 1)
      assert.equal(server.openUploads.size, 0)
      assert.equal(server.content('ws/big'), undefined)
    })
  })

  it('content that the server reports otherwise is a failure', async () => {
    const server = new FakeServer()
    await withFolder(async folder => {
      await writeTree(folder, { a: 'content' })
      const original = server.statMany.bind(server)
      server.statMany = async paths => new Map([...await original(paths)].map(([path, node]) => [path, { ...node, etag: 'f'.repeat(32) }]))
      const report = await send(server, join(folder, 'a'), 'ws', { confirmTimeoutMs: 50 })
      assert.match(report.failures[0]?.error.message ?? '', /still reports other content/)
    })
  })

  it('a file that changes while it is sent is sent again', async () => {
    let file = ''
    let puts = 0
    const before = async (operation: string): Promise<void> => {
      if (operation === 'put' && puts++ === 0) await truncate(file, 3 * MIB)
    }
    const server = new FakeServer({ before })
    await withFolder(async folder => {
      file = join(folder, 'big')
      await writeFile(file, Buffer.alloc(4 * MIB, 'x'))
      clean(await send(server, file, 'ws'))
      assert.equal(server.content('ws/big')?.length, 3 * MIB)
    })
  })

  it('an error for all stops the rest', async () => {
    const before = (operation: string): void => {
      if (operation === 'put') throw new CellsError('login-needed', 'please sign in again')
    }
    const server = new FakeServer({ before })
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`f${index}`, 'x'])))
      const report = await send(server, join(folder, 'dir'), 'ws')
      assert.equal(report.aborted, true)
      assert.ok(server.calls.filter(call => call.startsWith('put')).length <= 8)
    })
  })

  it('a stop is told once, not of each file that was on its way', async () => {
    const server = new FakeServer()
    let puts = 0
    server.put = async (_path, _body, _size, options) => {
      if (++puts === 8) throw new CellsError('network', 'the network is gone')
      // As the wire does it: a call that is cut short fails with the reason.
      await new Promise((_resolve, reject) => options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error)))
    }
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`f${index}`, 'x'])))
      const report = await send(server, join(folder, 'dir'), 'ws')
      assert.equal(report.aborted, true)
      assert.deepEqual(report.failures.map(({ error }) => error.message), ['the network is gone'])
      assert.equal(puts, 8)
    })
  })

  it('a forbidden file lets the others go on', async () => {
    const before = (operation: string, path: string): void => {
      if (operation === 'put' && path.endsWith('/f3')) throw new CellsError('forbidden', 'not allowed')
    }
    const server = new FakeServer({ before })
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`f${index}`, 'x'])))
      const report = await send(server, join(folder, 'dir'), 'ws')
      assert.deepEqual([report.aborted, report.failures.length, report.files], [false, 1, 19])
    })
  })

  it('the caller can abort', async () => {
    const stop = new AbortController()
    const before = (operation: string): void => {
      if (operation === 'put') stop.abort(new Error('aborted by user'))
    }
    const server = new FakeServer({ before })
    await withFolder(async folder => {
      await writeTree(join(folder, 'dir'), { a: 'x', b: 'x', 'c/d': 'x' })
      await assert.rejects(send(server, join(folder, 'dir'), 'ws', { signal: stop.signal }), /aborted by user/)
    })
  })

  it('an empty folder made first is there', async () => {
    await withFolder(async folder => {
      await mkdir(join(folder, 'empty'))
      const server = new FakeServer()
      clean(await send(server, join(folder, 'empty'), 'ws'))
      assert.ok(server.paths().includes('ws/empty/'))
    })
  })
})
