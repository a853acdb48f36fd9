/** Sentences of SEMANTICS.md to which a real mount adds nothing. (Those about two sides that change the same: conflicts.test.ts.) */
import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { conflictName } from './conflict.js'
import type { EngineOptions } from './engine.js'
import { code } from './engine.testing.js'
import { Site } from './model/site.testing.js'
import { O_CREAT, O_RDWR, O_TRUNC, O_WRONLY } from './posix.testing.js'
import { Sides, until } from './sides.testing.js'

const CALLER = { uid: 1, gid: 1, pid: process.pid }

describe('semantics', { concurrency: 6, timeout: 60_000 }, () => {
  let site: Site
  before(async () => { site = await Site.open(2) })
  after(() => site.close())

  const meet = async (work: (s: Sides) => Promise<void>, more: Partial<EngineOptions> = {}): Promise<void> => {
    const s = await Sides.open(site, more)
    try {
      await until('the event stream', () => s.engine.status().live)
      await work(s)
    } finally {
      await s.close()
    }
  }
  const copy = (name: string, n = 1): string => conflictName(name, hostname(), new Date(), n)

  it('S5: a save does not wait for the server', () => meet(async (s) => {
    s.link.cut = 'changes'
    await s.fs.writeFile('f', 'saved')
    await s.fs.mkdir('d')
    await s.fs.rename('f', 'd/f')
    assert.deepEqual(await s.here(), { d: null, 'd/f': 'saved' })
    assert.deepEqual(await s.there(), {})
  }))

  it('S5: with --write-mode through it does, and says what the server says', () => meet(async (s) => {
    const before = await site.other.stat(`${s.remote}/f`)
    assert.equal(before, undefined)
    await s.fs.mkdir('d')
    await s.fs.writeFile('d/f', 'saved')
    assert.equal((await site.content(`${s.remote}/d/f`)).toString(), 'saved')
    s.link.cut = 'changes'
    await assert.rejects(s.fs.writeFile('g', 'unsent'), (error: { kind?: string }) => error.kind === 'network')
    s.link.cut = 'nothing'
    assert.deepEqual((await s.engine.sync()).failed, [], 'kept, and sent later')
    assert.deepEqual(await s.there(), { d: null, 'd/f': 'saved', g: 'unsent' })
  }, { writeThrough: true }))

  it('S6: what the server does not take is kept, shown, and sent when it does', () => meet(async (s) => {
    s.link.cut = 'changes'
    await s.fs.writeFile('f', 'saved')
    assert.deepEqual((await s.engine.sync()).failed.map(({ path }) => path), ['f'])
    assert.deepEqual(s.engine.status().failures.map(({ path }) => path), ['f'])
    assert.equal(s.engine.status().pending.count, 1)
    s.link.cut = 'nothing'
    assert.deepEqual((await s.engine.sync()).failed, [])
    assert.deepEqual(await s.there(), { f: 'saved' })
    assert.equal(s.engine.status().pending.count, 0)
  }))

  it('S7: others see what was written when it was closed or synced', () => meet(async (s) => {
    await s.fs.writeFile('f', 'old')
    await s.engine.sync()
    const file = await s.fs.open('f', O_RDWR)
    await s.fs.write(file, 0, 'new')
    // A file that is saved later passes it.
    await s.fs.writeFile('g', 'later')
    await until('a later save on the server', async () => (await s.there())['g'] === 'later')
    assert.equal((await s.there())['f'], 'old')
    assert.equal((await s.fs.readFile('f')).toString(), 'new', 'on this computer at once')
    await s.fs.fsync(file)
    await until('what was synced on the server', async () => (await s.there())['f'] === 'new')
    await s.fs.close(file)
  }))

  it('S8: the server keeps the old content until the new one is closed', () => meet(async (s) => {
    await s.fs.writeFile('f', 'old')
    await s.engine.sync()
    const file = await s.fs.open('f', O_WRONLY | O_TRUNC)
    await s.fs.write(file, 0, 'ne')
    await s.fs.writeFile('g', 'later')
    await until('a later save on the server', async () => (await s.there())['g'] === 'later')
    assert.equal((await s.there())['f'], 'old')
    await s.fs.write(file, 2, 'w')
    await s.fs.close(file)
    await s.engine.sync()
    assert.equal((await s.there())['f'], 'new')
  }))

  it('S11: to whoever has a file open that is gone there, what cannot be had any more is ESTALE', () => meet(async (s) => {
    await s.put('f', 'theirs')
    const theirs = await s.fs.open('f', 0)
    const ours = await s.fs.open('g', O_RDWR | O_CREAT)
    await s.fs.fs.setattr(ours.ino, { size: 55 }, ours.fh, CALLER)
    await s.engine.sync()
    for (const name of ['f', 'g']) await s.remove(name)
    await assert.rejects(s.fs.read(theirs, 0, 100), code('ESTALE'))
    assert.deepEqual(await s.fs.read(ours, 0, 100), Buffer.alloc(55), 'what was sent from here is still here, to the hole at its end')
    for (const file of [theirs, ours]) await s.fs.close(file)
  }))

  it('S13: without the event stream a change of others is seen when the last answer is two seconds old', () => meet(async (s) => {
    await s.put('f', 'one')
    await until('the first', async () => (await s.here())['f'] === 'one')
    s.link.cut = 'stream'
    await s.put('f', 'two, longer')
    await until('the second', async () => (await s.here())['f'] === 'two, longer')
  }))

  it('S13: dot-names of others, which a 2.x server does not announce, are seen in a folder that is being looked at', () => meet(async (s) => {
    await s.make({ d: null, 'd/f': 'x' })
    await until('the folder', async () => (await s.fs.readdir('d')).length === 1)
    await s.put('d/.env', 'one')
    await until('the new name in the listing', async () => (await s.fs.readdir('d')).includes('.env'))
    await s.put('d/.env', 'two, longer')
    await until('the new content', async () => (await s.fs.readFile('d/.env')).toString() === 'two, longer')
    await s.move('d/.env', 'd/.other')
    await until('the other name', async () => (await s.fs.readdir('d')).sort().join(' ') === '.other f')
    await s.mkdir('d/.git')
    await s.remove('d/.other')
    await until('the names there are', async () => (await s.fs.readdir('d')).sort().join(' ') === '.git f')
    assert.deepEqual(await s.here(), { d: null, 'd/.git': null, 'd/f': 'x' })
  }))

  it('S15: a name is absent only by proof', () => meet(async (s) => {
    await s.make({ d: null, 'd/f': 'x' })
    s.link.cut = 'everything'
    await assert.rejects(s.fs.stat('d'), (error: { code?: string }) => error.code !== 'ENOENT')
    s.link.cut = 'nothing'
    await s.here()
    s.link.cut = 'everything'
    assert.equal((await s.fs.stat('d/f')).size, 1)
    await assert.rejects(s.fs.stat('d/g'), code('ENOENT'), 'a listing has said so')
  }))

  it('S19: a folder goes to the bin in one piece', () => meet(async (s) => {
    await s.make({ [`tree-${s.tag}`]: null, [`tree-${s.tag}/a`]: 'a', [`tree-${s.tag}/e`]: null, [`tree-${s.tag}/e/b`]: 'b' })
    await s.here()
    for (const name of ['a', 'e/b']) await s.fs.unlink(`tree-${s.tag}/${name}`)
    for (const name of ['/e', '']) await s.fs.rmdir(`tree-${s.tag}${name}`)
    await s.engine.sync()
    assert.deepEqual(await s.there(), {})
    const bin = [...(await site.tree(`${s.remote.split('/')[0]}/recycle_bin`)).keys()].filter((path) => path.startsWith(`tree-${s.tag}`))
    assert.deepEqual(bin.sort(), ['', '/a', '/e', '/e/b'].map((path) => `tree-${s.tag}${path}`))
  }, { pace: 4 }))

  it('S21: no replacing where none is wanted, no exchange', () => meet(async ({ fs }) => {
    await fs.writeFile('a', 'A')
    await fs.writeFile('b', 'B')
    await assert.rejects(fs.rename('a', 'b', { noReplace: true }), code('EEXIST'))
    await assert.rejects(fs.rename('a', 'b', { exchange: true }), code('EINVAL'))
    await fs.rename('a', 'c', { noReplace: true })
    assert.deepEqual(await fs.readdir(''), ['b', 'c'])
  }))

  it('S24: another computer sees the server\'s times, its own modes, and a link as a small file', () => meet(async (s) => {
    await s.fs.writeFile('f', 'x')
    await s.fs.chmod('f', 0o751)
    await s.fs.symlink('f', 'l')
    await s.engine.sync()
    const other = await s.beside()
    try {
      assert.equal((await other.fs.stat('f')).mode & 0o777, 0o644)
      assert.equal((await other.fs.stat('f')).mtime % 1_000_000_000n, 0n)
      assert.equal((await other.fs.stat('l')).type, 'file')
      assert.equal((await other.fs.readFile('l')).toString(), 'f')
    } finally {
      await other.engine.close()
    }
    assert.equal((await s.fs.stat('f')).mode & 0o777, 0o751)
    assert.equal(await s.fs.readlink('l'), 'f')
  }))

  it('S25: no hard links, no attributes of one\'s own; a pipe is of this computer', () => meet(async (s) => {
    const { fs } = s.engine
    await s.fs.writeFile('f', 'x')
    const ino = await s.fs.ino('f')
    await assert.rejects(fs.link(ino, 1, 'g', CALLER), code('EPERM'))
    await assert.rejects(fs.setxattr(ino, 'user.x', Buffer.from('y'), 0, CALLER), code('EOPNOTSUPP'))
    await s.fs.mknod('p', 'fifo', 0o644)
    await s.engine.sync()
    assert.deepEqual(await s.there(), { f: 'x' })
  }))

  it('S27: two writers of one mount write into one content', () => meet(async (s) => {
    const [a, b] = [await s.fs.open('f', O_CREAT | O_RDWR), await s.fs.open('f', O_RDWR)]
    await s.fs.write(a, 0, 'aaaa')
    await s.fs.write(b, 2, 'bb')
    assert.equal((await s.fs.read(a, 0, 10)).toString(), 'aabb')
    await s.fs.close(b)
    await s.fs.write(a, 0, 'A')
    await s.fs.close(a)
    await s.engine.sync()
    assert.deepEqual(await s.there(), { f: 'Aabb' })
    assert.deepEqual(s.engine.status().conflicts, [])
  }))

  it('S28: who has the file open goes on in the conflict copy', () => meet(async (s) => {
    await s.put('f.txt', 'base')
    await s.here()
    const file = await s.fs.open('f.txt', O_RDWR)
    s.link.cut = 'changes'
    await s.fs.write(file, 0, 'ours')
    await s.fs.fsync(file)
    // What has been asked before theirs comes, and is sent after it, is another matter (S30).
    await until('the first try to have failed', () => s.engine.status().failures.length > 0)
    await s.put('f.txt', 'theirs')
    s.link.cut = 'nothing'
    await s.engine.sync()
    assert.deepEqual(await s.there(), { 'f.txt': 'theirs', [copy('f.txt')]: 'ours' })
    assert.match(copy('f.txt'), /^f \(conflict \d{4}-\d\d-\d\d [^/]+\)\.txt$/)
    assert.deepEqual(s.engine.status().conflicts, [`${s.remote}/${copy('f.txt')}`])
    assert.equal((await s.fs.readFile('f.txt')).toString(), 'theirs')
    assert.equal((await s.fs.read(file, 0, 10)).toString(), 'ours')
    await s.fs.write(file, 4, ', more')
    await s.fs.close(file)
    await s.engine.sync()
    assert.deepEqual(await s.there(), { 'f.txt': 'theirs', [copy('f.txt')]: 'ours, more' })
  }))

  it('S29: two mounts and a colleague edit one file: three contents', () => meet(async (s) => {
    await s.put('f', 'base')
    await s.here()
    const other = await s.beside()
    try {
      await s.here(other.fs)
      s.link.cut = 'everything'
      await s.fs.writeFile('f', 'first')
      await s.fs.readdir('')
      await s.put('f', 'theirs')
      await until('theirs in the other mount', async () => (await s.here(other.fs))['f'] === 'theirs')
      await other.fs.writeFile('f', 'second')
      await other.engine.sync()
      await s.put(copy('f'), 'third')
      s.link.cut = 'nothing'
      await s.engine.sync()
      assert.deepEqual(await s.there(), { f: 'second', [copy('f')]: 'third', [copy('f', 2)]: 'first' })
    } finally {
      await other.engine.close()
    }
  }))

  it('S30: of two contents sent in the same moment none is lost', async () => {
    const slow = await Site.open(2)
    // Both arrive before the server shows one of them.
    slow.demo.indexDelayMs = 400
    const s = await Sides.open(slow)
    const other = await s.beside()
    try {
      await s.put('f', 'base')
      for (const fs of [s.fs, other.fs]) await until('the base', async () => (await s.here(fs))['f'] === 'base')
      // Neither sends before the other one has asked, too.
      let asked = 0
      s.link.beforePut = other.link.beforePut = async () => {
        asked++
        await until('both to have asked', () => asked >= 2)
      }
      await Promise.all([s.fs.writeFile('f', 'ours'), other.fs.writeFile('f', 'other')])
      await until('both in each mount', async () => {
        const shown = [await s.here(), await s.here(other.fs), await s.there()]
        return shown.every((it) => Object.values(it).sort().join() === 'other,ours')
      })
    } finally {
      await other.engine.close()
      await s.close()
      await slow.close()
    }
  })

  it('S52, S53, S54: without network what was read is read, work goes on, and all of it is sent afterwards', () => meet(async (s) => {
    await s.make({ d: null, 'd/a': 'a', 'd/b': 'b', f: 'f', g: 'g', 'unread': 'u' })
    await s.here()
    s.link.cut = 'everything'
    assert.equal((await s.fs.readFile('d/a')).toString(), 'a')
    assert.deepEqual(await s.fs.readdir('d'), ['a', 'b'])
    await s.fs.writeFile('new', 'one')
    await s.fs.writeFile('new', 'two')
    await s.fs.mkdir('e')
    await s.fs.writeFile('e/n', 'n')
    await s.fs.rename('f', 'e/f')
    const file = await s.fs.open('e/f', O_RDWR)
    await s.fs.write(file, 1, 'F')
    await s.fs.close(file)
    await s.fs.rename('e', 'h')
    await s.fs.unlink('g')
    for (const name of ['a', 'b']) await s.fs.unlink(`d/${name}`)
    await s.fs.rmdir('d')
    const shown = { h: null, 'h/f': 'fF', 'h/n': 'n', new: 'two', unread: 'u' }
    assert.deepEqual(await s.here(), shown)
    s.link.cut = 'nothing'
    await until('the event stream', () => s.engine.status().live)
    assert.deepEqual((await s.engine.sync()).failed, [])
    assert.deepEqual(await s.there(), shown)
    assert.deepEqual(await s.here(), shown)
  }))

  it('S55: a mount that ends without network keeps what is unsent for the next one', () => meet(async (s) => {
    await s.make({ f: 'f', g: 'g' })
    await s.here()
    s.link.cut = 'everything'
    await s.fs.writeFile('new', 'n')
    await s.fs.rename('f', 'h')
    await s.fs.unlink('g')
    const report = await s.engine.close()
    assert.ok(report.failed.length > 0 || (report.unsent ?? 0) > 0, 'it says so')
    s.link.cut = 'nothing'
    await s.start()
    assert.deepEqual((await s.engine.sync()).failed, [])
    assert.deepEqual(await s.there(), { h: 'f', new: 'n' })
  }))
})
