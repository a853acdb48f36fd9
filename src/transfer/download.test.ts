import { strict as assert } from 'node:assert'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import type { CellsNode, ObjectBody } from '../cells/types.js'
import { download } from './download.js'
import { resolveDownload } from './download-plan.js'
import { FakeServer, md5 } from './fake-server.testing.js'
import { readTree, withFolder, writeTree } from './testing.js'
import type { TransferOptions, TransferReport } from './types.js'

async function fetch(server: FakeServer, source: string, target: string, options: TransferOptions = {}): Promise<TransferReport> {
  return download(server, await resolveDownload(server, source, target, options.force ?? false), options)
}

const clean = (report: TransferReport): void => assert.deepEqual(report.failures, [])

function sample(): FakeServer {
  const server = new FakeServer()
  server.seed('ws/a.txt', 'hello')
  server.seed('ws/dir/x.txt', 'x')
  server.seed('ws/dir/.dot', 'dot')
  server.seed('ws/dir/zero', '')
  server.seed('ws/dir/empty/')
  server.seed('ws/dir/sub/é 中 100%', 'odd')
  return server
}

const DIR = { 'dir/x.txt': 'x', 'dir/.dot': 'dot', 'dir/zero': '', 'dir/empty/': '', 'dir/sub/é 中 100%': 'odd' }

describe('download: where it goes', () => {
  const get = (source: string, target: string, expected: Record<string, string>, options: TransferOptions = {}, there: Record<string, string> = {}): Promise<void> => withFolder(async folder => {
    await writeTree(folder, there)
    clean(await fetch(sample(), source, `${folder}/${target}`, options))
    assert.deepEqual(await readTree(folder), expected)
  })

  it('S3 into an existing folder', () => get('ws/a.txt', '', { 'a.txt': 'hello' }))
  it('S13 a missing name is the new name of a file', () => get('ws/a.txt', 'b.txt', { 'b.txt': 'hello' }))
  it('S13 with a slash it is a new folder', () => get('ws/a.txt', 'new/', { 'new/a.txt': 'hello' }))
  it('S4 a folder with everything in it', () => get('/ws/dir/', '', DIR))
  it('a missing name is a new folder around a folder', () => get('ws/dir', 'new', Object.fromEntries(Object.entries(DIR).map(([path, content]) => [`new/${path}`, content]))))
  it('S8 replaces with force', () => get('ws/a.txt', 'a.txt', { 'a.txt': 'hello' }, { force: true }, { 'a.txt': 'old and longer' }))
  it('S9 merges with force', () => get('ws/dir', '', { ...DIR, 'dir/mine': 'mine', 'dir/sub/mine': 'mine' }, { force: true }, { 'dir/mine': 'mine', 'dir/sub/mine': 'mine', 'dir/x.txt': 'old' }))
  it('S10 replaces items of another type', () => get('ws/dir', '', { ...DIR, 'dir/kept/x': 'x' }, { force: true }, { 'dir/x.txt/in/here': 'old', 'dir/sub': 'a file', 'dir/kept/x': 'x' }))

  it('S7 S14 S15 refuses', () => withFolder(async folder => {
    await writeTree(folder, { 'a.txt': 'mine', 'dir/': '', file: 'f' })
    const refused = (source: string, target: string, message: RegExp, options: TransferOptions = {}): Promise<void> => assert.rejects(fetch(sample(), source, join(folder, target) + (target.endsWith('/') ? '/' : ''), options), message)
    await refused('ws/a.txt', '.', /a\.txt already exists.*--force/)
    await refused('ws/a.txt', 'a.txt', /already exists/)
    await refused('ws/dir', '.', /dir already exists/)
    await refused('ws/none', '.', /ws\/none does not exist/)
    await refused('ws/a.txt', 'no/where/b', /where does not exist/)
    await refused('ws/dir', 'file', /is not a folder/, { force: true })
    await refused('ws/a.txt', 'file/', /is not a folder/, { force: true })
    await assert.rejects(fetch(sample(), '', folder), /please name/)
    await assert.rejects(fetch(sample(), 'ws/a.txt', '/dev/null', { force: true }), /neither a file nor a folder/)
    assert.equal(await readFile(join(folder, 'a.txt'), 'utf8'), 'mine')
  }))
})

describe('download: content', () => {
  it('S4 more than one page is complete', () => withFolder(async folder => {
    const server = new FakeServer()
    for (let index = 0; index < 250; index++) server.seed(`ws/many/f${index}`, `${index}`)
    clean(await fetch(server, 'ws/many', folder))
    assert.equal((await readdir(join(folder, 'many'))).length, 250)
  }))

  it('keeps the time of the server, gives mode 0644, keeps the mode of what it replaces', () => withFolder(async folder => {
    await writeFile(join(folder, 'run'), 'old', { mode: 0o700 })
    const server = new FakeServer()
    server.seed('ws/run', 'new')
    clean(await fetch(server, 'ws/run', folder, { force: true }))
    const stats = await stat(join(folder, 'run'))
    assert.equal(stats.mtimeMs, 1_700_000_000_000)
    assert.equal(stats.mode & 0o777, 0o700)
  }))

  it('goes on where a stream broke, on the same version', () => withFolder(async folder => {
    const server = new FakeServer()
    const content = 'x'.repeat(500_000)
    server.seed('ws/big', content)
    const original = server.get.bind(server)
    let broken = 0
    server.get = async (path, range, options): Promise<ObjectBody> => {
      const body = await original(path, range, options)
      if (broken++ > 2) return body
      async function * half(): AsyncGenerator<Buffer> {
        for await (const chunk of body.stream) {
          yield chunk
          throw new CellsError('network', 'reset')
        }
      }
      return { ...body, stream: Object.assign(half(), { destroy: () => {} }) }
    }
    clean(await fetch(server, 'ws/big', folder))
    assert.equal(await readFile(join(folder, 'big'), 'utf8'), content)
    assert.deepEqual(server.calls.filter(call => call.startsWith('get')), ['get ws/big', 'get 65536-499999 ws/big', 'get 131072-499999 ws/big', 'get 196608-499999 ws/big'])
  }))

  it('S11 a truncated body under a stale index is not taken (trap 1)', () => withFolder(async folder => {
    const server = new FakeServer()
    server.seed('ws/grown', 'the new and longer content')
    const fresh = await server.stat('ws/grown')
    // The index is old: the body is cut to the old size, and the old ETag comes with it.
    server.alter('ws/grown', { size: 7, etag: md5('old one') })
    const original = server.stat.bind(server)
    let looks = 0
    server.stat = async path => {
      if (path === 'ws/grown' && ++looks === 2) server.alter('ws/grown', fresh as CellsNode)
      return original(path)
    }
    clean(await fetch(server, 'ws/grown', folder))
    assert.equal(await readFile(join(folder, 'grown'), 'utf8'), 'the new and longer content')
  }))

  it('content that never agrees is a failure and leaves nothing behind, the old file included', () => withFolder(async folder => {
    await writeTree(folder, { bad: 'precious' })
    const server = new FakeServer()
    server.seed('ws/bad', 'content')
    server.alter('ws/bad', { etag: 'f'.repeat(32) })
    const report = await fetch(server, 'ws/bad', folder, { force: true })
    assert.match(report.failures[0]?.error.message ?? '', /other content than it reports/)
    assert.deepEqual(await readTree(folder), { bad: 'precious' })
  }))

  it('a hash that cannot be compared does not lock the file away; --skip-md5 asks for sizes only', () => withFolder(async folder => {
    const server = new FakeServer()
    server.seed('ws/odd', 'content')
    server.alter('ws/odd', { etag: `${'f'.repeat(32)}-3`, hash: 'e'.repeat(32) })
    clean(await fetch(server, 'ws/odd', folder))
    server.alter('ws/odd', { etag: 'f'.repeat(32), hash: '' })
    clean(await fetch(server, 'ws/odd', join(folder, 'again'), { skipDigest: true }))
    assert.deepEqual(await readTree(folder), { odd: 'content', again: 'content' })
  }))

  it('waits for a file that is not indexed yet', () => withFolder(async folder => {
    const server = new FakeServer({ indexLagMs: 50 })
    await server.put('ws/fresh', async function * () { yield await Promise.resolve(Buffer.from('fresh')) }, 5)
    clean(await fetch(server, 'ws/fresh', folder))
    assert.deepEqual(await readTree(folder), { fresh: 'fresh' })
  }))
})

describe('download: hostile servers', () => {
  it('names that leave the folder are refused one by one, the rest is written', () => withFolder(async outer => {
    const folder = join(outer, 'target')
    await mkdir(folder)
    const server = new FakeServer()
    for (const name of ['../escape', '..', '.', 'a/../../escape', '/etc/escape', 'nul\0', 'x/y']) server.seed(`ws/dir/${name}`, 'evil')
    server.seed('ws/dir/good', 'good')
    const original = server.list.bind(server)
    server.list = async function * (path) {
      if (path !== 'ws/dir') {
        yield * original(path)
        return
      }
      const evil = ['../escape', '..', '.', 'a/../../escape', '/etc/escape', 'nul\0', 'x/y', '']
      const good = await server.stat('ws/dir/good') as CellsNode
      yield [...evil.map(name => ({ ...good, path: `ws/dir/${name}` })), { ...good, path: '/etc/passwd' }, { ...good, path: 'ws/other/x' }, good]
    }
    const report = await fetch(server, 'ws/dir', folder)
    assert.equal(report.failures.length, 10)
    assert.deepEqual(await readTree(outer), { 'target/dir/good': 'good' })
  }))

  it('never writes through a symbolic link in the target', () => withFolder(async outer => {
    const folder = join(outer, 'target')
    await writeTree(outer, { 'outside/x.txt': 'precious', 'precious.txt': 'precious' })
    await mkdir(join(folder, 'dir'), { recursive: true })
    await symlink('../../outside', join(folder, 'dir/sub'))
    await symlink('../../precious.txt', join(folder, 'dir/file'))
    await symlink('../../created', join(folder, 'dir/dangling'))
    await symlink('../../outside', join(folder, 'dir/other'))
    const server = new FakeServer()
    for (const path of ['sub/x.txt', 'file', 'dangling', 'other']) server.seed(`ws/dir/${path}`, 'evil')
    const report = await fetch(server, 'ws/dir', folder, { force: true })
    assert.deepEqual(report.failures.map(failure => failure.path.slice(folder.length)).sort(), ['/dir/other', '/dir/sub'])
    assert.deepEqual(await readTree(outer), {
      'outside/x.txt': 'precious', 'precious.txt': 'precious',
      'target/dir/sub': '(link)', 'target/dir/other': '(link)', 'target/dir/file': 'evil', 'target/dir/dangling': 'evil',
    })
  }))

  it('a link at the very target is not followed either', () => withFolder(async outer => {
    await writeTree(outer, { 'outside/x.txt': 'precious', 'target/': '' })
    await symlink('../outside', join(outer, 'target/dir'))
    const report = await fetch(sample(), 'ws/dir', join(outer, 'target'), { force: true })
    assert.equal(report.failures.length, 1)
    assert.deepEqual(await readdir(join(outer, 'outside')), ['x.txt'])
  }))

  it('a file and a folder of one name do not hurt', () => withFolder(async folder => {
    const server = new FakeServer()
    server.seed('ws/dir/a/x', 'x')
    const original = server.list.bind(server)
    server.list = async function * (path) {
      for await (const page of original(path)) {
        yield path === 'ws/dir' ? [...page, ...page.map(node => ({ ...node, kind: 'file' as const, size: 0, etag: md5('') }))] : page
      }
    }
    const report = await fetch(server, 'ws/dir', folder)
    assert.equal(report.failures.length, 1)
    assert.deepEqual(await readTree(folder), { 'dir/a/x': 'x' })
  }))
})
