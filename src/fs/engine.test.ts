/**
 * The engine over a server, without a mount: against the embedded one, or a real one named by CELLS_URL,
 * CELLS_LOGIN and CELLS_PASSWORD. Each test looks at the server itself, too, through a connection of its own.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { EngineSite } from './engine-site.testing.js'
import { code } from './engine.testing.js'
import { O_APPEND, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY } from './posix.testing.js'

const md5 = (data: Buffer | string): string => createHash('md5').update(data).digest('hex')

describe('engine', { timeout: 300_000 }, () => {
  let site: EngineSite
  before(async () => { site = await EngineSite.start() })
  after(() => site.close())
  const open = (name: string, remote?: string): ReturnType<EngineSite['open']> => site.open(name, remote)
  const onServer = (path: string): ReturnType<EngineSite['onServer']> => site.onServer(path)

  it('writes a file, reads it back at once, and the server has it after a sync', async () => {
    const { engine, fs } = await open('a')
    await fs.writeFile('hello.txt', 'hello')
    assert.equal((await fs.readFile('hello.txt')).toString(), 'hello')
    assert.deepEqual(await fs.readdir(''), ['hello.txt'])
    await engine.sync()
    assert.equal((await onServer('hello.txt'))?.text, 'hello')
    await fs.writeFile('hello.txt', 'hello, longer than before')
    assert.equal((await fs.readFile('hello.txt')).toString(), 'hello, longer than before')
    assert.deepEqual((await engine.sync()).failed, [])
    assert.equal((await fs.readFile('hello.txt')).toString(), 'hello, longer than before')
    const { uuid, text } = (await onServer('hello.txt'))!
    assert.equal(text, 'hello, longer than before')
    assert.equal(await fs.xattr('hello.txt', 'user.cells.uuid'), uuid)
    assert.equal(await fs.xattr('hello.txt', 'user.cells.etag'), md5(text))
    await engine.close()
  })

  it('changes a part, appends, truncates, and keeps the Uuid', async () => {
    const { engine, fs } = await open('b')
    await fs.writeFile('part.txt', '0123456789')
    await engine.sync()
    const before = (await onServer('part.txt'))!
    const file = await fs.open('part.txt', O_RDWR)
    assert.equal(await fs.write(file, 20, ''), 0)
    assert.equal(engine.status().pending.count, 0, 'a write of nothing changes nothing')
    await fs.write(file, 3, 'XYZ')
    await fs.close(file)
    const append = await fs.open('part.txt', O_WRONLY | O_APPEND)
    await fs.write(append, 0, '!')
    await fs.close(append)
    assert.equal((await fs.readFile('part.txt')).toString(), '012XYZ6789!')
    await fs.truncate('part.txt', 5)
    assert.equal((await fs.readFile('part.txt')).toString(), '012XY')
    await fs.truncate('part.txt', 7)
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await onServer('part.txt'), { uuid: before.uuid, text: '012XY\0\0' })
    await engine.close()
  })

  it('makes, lists and removes folders, dot-names included', async () => {
    const { engine, fs } = await open('c')
    await fs.mkdir('d')
    await fs.mkdir('d/.hidden')
    await fs.writeFile('d/.env', 'X=1')
    await fs.writeFile('d/.hidden/inner', 'deep')
    assert.deepEqual(await fs.readdir('d'), ['.env', '.hidden'])
    await assert.rejects(fs.rmdir('d'), code('ENOTEMPTY'))
    await assert.rejects(fs.mkdir('d'), code('EEXIST'))
    await engine.sync()
    const other = await open('c2')
    assert.deepEqual(await other.fs.readdir('d'), ['.env', '.hidden'])
    assert.equal((await other.fs.readFile('d/.hidden/inner')).toString(), 'deep')
    await other.engine.close()
    await fs.unlink('d/.hidden/inner')
    await fs.rmdir('d/.hidden')
    await fs.unlink('d/.env')
    await fs.rmdir('d')
    assert.equal(await fs.exists('d'), false)
    await site.server.waitFor(`${site.base}/d`, (it) => it === undefined)
    await engine.close()
  })

  it('keeps a file that the kernel forgets while it is renamed', async () => {
    const { engine, fs } = await open('forgotten')
    await fs.writeFile('before', 'text')
    await engine.sync()
    let over = false
    const renamed = fs.rename('before', 'after').finally(() => { over = true })
    while (!over) {
      await new Promise((resolve) => setImmediate(resolve))
      fs.forgetAll()
    }
    await renamed
    assert.equal((await fs.readFile('after')).toString(), 'text')
    await fs.unlink('after')
    await engine.close()
  })

  it('keeps both versions when somebody else was faster', async () => {
    const { engine, fs } = await open('i')
    await fs.writeFile('shared.txt', 'base')
    await engine.sync()
    const file = await fs.open('shared.txt', O_WRONLY)
    await fs.write(file, 0, 'ours')
    await site.server.put(`${site.base}/shared.txt`, async function* () { yield await Promise.resolve(Buffer.from('theirs!')) }, 7)
    await site.server.waitFor(`${site.base}/shared.txt`, (it) => it?.etag === md5('theirs!'))
    await fs.close(file)
    await engine.sync()
    assert.equal((await onServer('shared.txt'))?.text, 'theirs!')
    const copy = (await fs.readdir('')).find((it) => it.startsWith('shared (conflict'))!
    assert.equal((await onServer(copy))?.text, 'ours')
    assert.equal((await fs.readFile('shared.txt')).toString(), 'theirs!')
    assert.equal((await fs.readFile(copy)).toString(), 'ours')
    assert.equal(engine.status().conflicts.length, 1)
    await engine.close()
  })

  it('shows a change of somebody else and never mixes versions', async () => {
    const [one, two] = [await open('j1'), await open('j2')]
    await one.fs.writeFile('both', 'first')
    await one.engine.sync()
    const seen = async (text: string): Promise<void> => {
      for (;;) {
        if (await two.fs.exists('both') && (await two.fs.readFile('both')).toString() === text) return
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    await seen('first')
    await one.fs.writeFile('both', 'second version')
    await seen('second version')
    await one.fs.unlink('both')
    while (await two.fs.exists('both')) await new Promise((resolve) => setTimeout(resolve, 50))
    await one.engine.close()
    await two.engine.close()
  })

  it('keeps mode and mtime over a restart, and inode numbers', async () => {
    const first = await open('k')
    await first.fs.writeFile('facts', 'x')
    await first.fs.chmod('facts', 0o755)
    await first.fs.utimes('facts', 1_234_567_890_123_456_789n)
    await first.fs.mkdir('factsdir')
    await first.fs.utimes('factsdir', 1_000_000_000_000_000_001n)
    await first.fs.symlink('facts', 'link')
    const ino = (await first.fs.stat('facts')).ino
    await first.engine.sync()
    await first.engine.close()
    const second = await open('k')
    const attr = await second.fs.stat('facts')
    assert.deepEqual([attr.mode, attr.mtime, attr.ino], [0o755, 1_234_567_890_123_456_789n, ino])
    assert.equal((await second.fs.stat('factsdir')).mtime, 1_000_000_000_000_000_001n)
    assert.equal(await second.fs.readlink('link'), 'facts')
    await second.engine.close()
  })

  it('sends what an earlier run could not', async () => {
    const first = await open('l')
    await first.fs.writeFile('later', 'before')
    await first.engine.sync()
    await first.engine.close()
    const noPut = new Proxy(site.newServer(), { get: (target, name) => name === 'put' ? () => Promise.reject(Object.assign(new Error('no network'), { code: 'EIO' })) : Reflect.get(target, name) as unknown })
    const { engine: broken, fs } = await site.open('l', site.base, noPut)
    await fs.writeFile('later', 'after')
    assert.equal((await fs.readFile('later')).toString(), 'after')
    assert.equal(broken.status().pending.count, 1)
    assert.equal((await broken.sync()).failed.length, 1)
    await broken.close()
    const second = await open('l')
    assert.equal((await second.fs.readFile('later')).toString(), 'after')
    assert.deepEqual(await second.engine.sync(), { failed: [] })
    assert.equal((await onServer('later'))?.text, 'after')
    await second.engine.close()
  })

  it('refuses what the server cannot hold, before anything is sent', async () => {
    const { engine, fs } = await open('m')
    await fs.writeFile('vast', '')
    await assert.rejects(fs.writeFile('back\\slash', ''), code('EINVAL'))
    await assert.rejects(fs.mkdir('new\nline'), code('EINVAL'))
    await assert.rejects(fs.writeFile('.pydio', ''), code('EINVAL'))
    await assert.rejects(fs.writeFile('x'.repeat(256), ''), code('ENAMETOOLONG'))
    await assert.rejects(fs.stat('x'.repeat(256)), code('ENAMETOOLONG'))
    await assert.rejects(fs.truncate('vast', 2 ** 53), code('EFBIG'))
    await assert.rejects(fs.writeFile('bad\ufffdname', ''), code('EILSEQ'))
    await assert.rejects(fs.fs.link(1, 1, 'x', { uid: 0, gid: 0, pid: 0 }), code('EPERM'))
    await fs.writeFile('e\u0301', 'nfd')
    assert.deepEqual((await fs.readdir('')).filter((it) => it.normalize('NFC') === '\u00e9'), ['\u00e9'])
    assert.equal((await fs.readFile('\u00e9')).toString(), 'nfd')
    await engine.close()
  })

  it('moves large content in parts and reads it back in ranges', async () => {
    const { engine, fs } = await open('n')
    const content = randomBytes(70 * 1024 * 1024 + 123)
    const file = await fs.open('big', O_RDWR | O_CREAT | O_TRUNC)
    for (let at = 0; at < content.length; at += 1 << 20) await fs.write(file, at, content.subarray(at, at + (1 << 20)))
    await fs.close(file)
    assert.equal(md5(await fs.readFile('big')), md5(content))
    await engine.sync()
    await engine.close()
    const other = await open('n2')
    assert.equal(md5(await other.fs.readFile('big')), md5(content))
    const random = await other.fs.open('big')
    assert.deepEqual(await other.fs.read(random, 33_333_333, 4096), content.subarray(33_333_333, 33_333_333 + 4096))
    await other.fs.close(random)
    await other.engine.close()
  })

  it('S57: refuses a second engine in one folder and lets go afterwards', async () => {
    const { engine } = await open('p')
    await assert.rejects(open('p'), (error: Error) => /in use by another mount/.test(error.message))
    await engine.close()
    const again = await open('p')
    await again.engine.close()
    assert.ok((await readFile(join(site.folder, 'p', 'state', 'store.mdb'))).length > 0)
  })

  it('holds no inode that nobody needs', async () => {
    const { engine, fs } = await open('q')
    await fs.mkdir('many')
    for (let i = 0; i < 20; i++) await fs.writeFile(`many/${i}`, String(i))
    assert.equal((await fs.readdir('many')).length, 20)
    await engine.sync()
    fs.forgetAll()
    assert.equal(engine.status().openHandles, 0)
    await engine.close()
  })
})
