/**
 * The engine over a server, without a mount: against the embedded one, or a real one named by CELLS_URL,
 * CELLS_LOGIN and CELLS_PASSWORD. Each test looks at the server itself, too, through a connection of its own.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { TokenSource } from '../auth/types.js'
import { connect } from '../cells/client.js'
import type { CellsServer } from '../cells/server.js'
import { type DemoServer, startDemoServer } from '../demo/index.js'
import { createLogger, type Logger, silentLogger } from '../log.js'
import { openEngine } from './engine.js'
import { O_APPEND, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY, PathFs } from './posix.testing.js'
import type { Engine } from './status.js'

const logger: Logger = process.env['TEST_LOG'] === undefined ? silentLogger : createLogger('debug', (line) => process.stderr.write(line))
const md5 = (data: Buffer | string): string => createHash('md5').update(data).digest('hex')

const code = (expected: string) => (error: unknown): boolean => {
  assert.equal((error as { code?: string }).code, expected, String(error))
  return true
}

async function login(url: string, name: string, password: string): Promise<TokenSource> {
  const answer = await fetch(`${url}/a/frontend/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ AuthInfo: { type: 'credentials', login: name, password } }),
  })
  const { JWT } = await answer.json() as { JWT: string }
  return { get: () => Promise.resolve(JWT), reject: () => {} }
}

describe('engine', { timeout: 300_000 }, () => {
  let demo: DemoServer | undefined
  let server: CellsServer
  let folder: string
  let base: string
  let url: string
  let tokens: TokenSource
  const engines: Engine[] = []

  const newServer = (): CellsServer => connect({ url, tokens, skipVerify: false, customHeaders: {}, accountId: 'a', authType: 'session' }, { logger })

  const open = async (name: string, remote = base): Promise<{ engine: Engine; fs: PathFs }> => {
    const engine = await openEngine({
      server: newServer(), remote, stateDir: join(folder, name, 'state'), cacheDir: join(folder, name, 'cache'),
      uid: 1, gid: 1, umask: 0o022, readOnly: false, logger,
    })
    engines.push(engine)
    return { engine, fs: new PathFs(engine.fs) }
  }

  /** Content on the server, seen by another client. */
  const onServer = async (path: string): Promise<{ uuid: string; text: string } | undefined> => {
    const node = await server.waitFor(`${base}/${path}`, (it) => it === undefined || (it.etag !== 'temporary' && it.etag !== ''))
    if (node === undefined) return undefined
    const body = await server.get(`${base}/${path}`)
    const parts: Buffer[] = []
    for await (const part of body.stream) parts.push(part)
    return { uuid: node.uuid, text: Buffer.concat(parts).toString() }
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cellsfs-engine-'))
    if (process.env['CELLS_URL'] === undefined) demo = await startDemoServer({})
    url = process.env['CELLS_URL'] ?? demo!.url
    tokens = await login(url, process.env['CELLS_LOGIN'] ?? 'alice', process.env['CELLS_PASSWORD'] ?? 'alice-P4ss')
    server = newServer()
    base = `personal-files/engine-${randomBytes(4).toString('hex')}`
    await server.mkdir([base])
    await server.waitFor(base, (it) => it !== undefined)
  })

  after(async () => {
    for (const engine of engines) await engine.close().catch(() => {})
    await server.remove([base], { permanently: true }).catch(() => {})
    await server.close()
    await demo?.close()
    await rm(folder, { recursive: true, force: true })
  })

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
    await server.waitFor(`${base}/d`, (it) => it === undefined)
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

  it('sends no empty content before what a program writes next, and an empty file soon after', async () => {
    const { engine, fs } = await open('empty')
    const sent = (): number => demo?.requests.get('PUT s3') ?? 0
    const before = sent()
    // As a shell does for `echo text > file`: a copy of the descriptor is closed first.
    const file = await fs.open('shell', O_WRONLY | O_CREAT | O_TRUNC)
    await fs.fs.flush(file.ino, file.fh, { uid: 0, gid: 0, pid: 0 })
    await fs.write(file, 0, 'text')
    await fs.close(file)
    await engine.sync()
    if (demo !== undefined) assert.equal(sent() - before, 1)
    await fs.writeFile('nothing', '')
    await fs.writeFile('brief', '')
    await fs.unlink('brief')
    assert.equal((await fs.stat('nothing')).size, 0)
    assert.equal((await server.waitFor(`${base}/nothing`, (it) => it !== undefined && it.etag === md5('')))?.size, 0)
    if (demo !== undefined) assert.equal(sent() - before, 2)
    assert.equal((await onServer('shell'))?.text, 'text')
    await engine.close()
  })

  it('renames files and folders, over an existing file keeping its Uuid, and by case only', async () => {
    const { engine, fs } = await open('d')
    await fs.writeFile('old', 'content')
    await fs.rename('old', 'new')
    assert.deepEqual([await fs.exists('old'), await fs.exists('new')], [false, true])
    await fs.writeFile('target', 'will be replaced')
    await engine.sync()
    const target = (await onServer('target'))!
    await fs.rename('new', 'target')
    assert.equal((await fs.readFile('target')).toString(), 'content')
    await engine.sync()
    assert.deepEqual(await onServer('target'), { uuid: target.uuid, text: 'content' })
    assert.equal(await onServer('new'), undefined)
    await fs.rename('target', 'TARGET')
    await engine.sync()
    assert.equal((await onServer('TARGET'))?.uuid, target.uuid)
    await fs.mkdir('one')
    await fs.writeFile('one/x', 'x')
    await fs.rename('one', 'two')
    assert.equal((await fs.readFile('two/x')).toString(), 'x')
    await engine.sync()
    assert.equal((await onServer('two/x'))?.text, 'x')
    await assert.rejects(fs.rename('two', 'two/three'), code('EINVAL'))
    await assert.rejects(fs.rename('two', 'TARGET'), code('ENOTDIR'))
    await assert.rejects(fs.rename('TARGET', 'two'), code('EISDIR'))
    await assert.rejects(fs.rename('missing', 'two'), code('ENOENT'))
    await engine.close()
  })

  it('keeps the last content when a file goes to another one and back', async () => {
    const { engine, fs } = await open('back')
    await fs.writeFile('HEAD', 'main')
    await engine.sync()
    await fs.writeFile('HEAD', 'side')
    await fs.writeFile('HEAD', 'main')
    await fs.writeFile('HEAD.lock', 'back')
    await fs.rename('HEAD.lock', 'HEAD')
    await fs.writeFile('HEAD', 'main')
    const synced = engine.sync()
    let over = false
    void synced.finally(() => { over = true })
    while (!over) {
      assert.equal((await fs.readFile('HEAD')).toString(), 'main')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.deepEqual(await synced, { failed: [] })
    assert.equal((await onServer('HEAD'))?.text, 'main')
    assert.equal((await fs.readFile('HEAD')).toString(), 'main')
    await engine.close()
  })

  it('renames onto a name that somebody else has just taken', async () => {
    // Connected to events that are late.
    const late = new Proxy(newServer(), {
      get: (target, name) => name !== 'events'
        ? Reflect.get(target, name) as unknown
        : (listener: Parameters<CellsServer['events']>[0]) => {
            listener.onState({ state: 'connected' })
            return { close: () => {} }
          },
    })
    const engine = await openEngine({
      server: late, remote: base, stateDir: join(folder, 'taken', 'state'), cacheDir: join(folder, 'taken', 'cache'), uid: 1, gid: 1, umask: 0o022, readOnly: false, logger,
    })
    engines.push(engine)
    const fs = new PathFs(engine.fs)
    await fs.writeFile('mine', 'mine')
    await fs.mkdir('my folder')
    await engine.sync()
    assert.equal(await fs.exists('taken'), false)
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    await server.put(`${base}/taken`, async function * () { yield Buffer.from('theirs') }, 6)
    const theirs = await onServer('taken')
    await server.mkdir([`${base}/taken folder`])
    await server.waitFor(`${base}/taken folder`, (it) => it !== undefined)
    await fs.rename('mine', 'taken')
    assert.equal((await fs.readFile('taken')).toString(), 'mine')
    await fs.rename('my folder', 'taken folder')
    // Nobody had seen that the names were taken: theirs keep them, ours go beside.
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await onServer('taken'), theirs)
    assert.equal((await fs.readFile('taken')).toString(), 'theirs')
    const aside = (await fs.readdir('')).filter((it) => it.startsWith('taken'))
    assert.deepEqual(aside.map((it) => it.replace(/\(conflict .*\)/, '(conflict)')), ['taken', 'taken (conflict)', 'taken folder', 'taken folder (conflict)'])
    assert.equal((await onServer(aside[1]!))?.text, 'mine')
    assert.equal(await server.stat(`${base}/taken-1`), undefined)
    await engine.close()
  })

  it('keeps the Uuid when vim sets the old file aside', async () => {
    const { engine, fs } = await open('e')
    await fs.writeFile('doc', 'first')
    await engine.sync()
    const { uuid } = (await onServer('doc'))!
    await fs.writeFile('4913', '')
    await fs.unlink('4913')
    await fs.rename('doc', 'doc~')
    const file = await fs.open('doc', O_WRONLY | O_CREAT | O_EXCL)
    await fs.write(file, 0, 'second')
    assert.equal((await fs.readFile('doc~')).toString(), 'first')
    await fs.fsync(file)
    await fs.close(file)
    assert.deepEqual((await fs.readdir('')).filter((it) => it.startsWith('doc')), ['doc', 'doc~'])
    await fs.unlink('doc~')
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await onServer('doc'), { uuid, text: 'second' })
    assert.equal(await onServer('doc~'), undefined)
    assert.equal(await onServer('4913'), undefined)
    await engine.close()
  })

  it('keeps the Uuid when a save follows a save on a server whose index takes long', { skip: process.env['CELLS_URL'] !== undefined && 'a real server has the delay it has' }, async () => {
    const { engine, fs } = await open('slow')
    await fs.writeFile('slow', 'first')
    await engine.sync()
    const { uuid } = (await onServer('slow'))!
    demo!.indexDelayMs = 9_000
    try {
      for (const text of ['second', 'third']) {
        await fs.writeFile('3F2A1B00', text)
        await fs.rename('slow', '5C4D.tmp')
        await fs.rename('3F2A1B00', 'slow')
        await fs.unlink('5C4D.tmp')
      }
    } finally {
      demo!.indexDelayMs = 1_000
    }
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await onServer('slow'), { uuid, text: 'third' })
    await engine.close()
  })

  it('keeps the Uuid and the backup when emacs leaves it', async () => {
    const { engine, fs } = await open('f')
    await fs.writeFile('doc2', 'first')
    await engine.sync()
    const { uuid } = (await onServer('doc2'))!
    await fs.rename('doc2', 'doc2~')
    await fs.writeFile('doc2', 'second')
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.deepEqual(await onServer('doc2'), { uuid, text: 'second' })
    assert.equal((await onServer('doc2~'))?.text, 'first')
    await engine.close()
  })

  it('tells the server a backup rename that nothing followed', async () => {
    const { engine, fs } = await open('g')
    await fs.writeFile('plain', 'x')
    await engine.sync()
    const { uuid } = (await onServer('plain'))!
    await fs.rename('plain', 'plain.bak')
    assert.deepEqual(await engine.sync(), { failed: [] })
    assert.equal((await onServer('plain.bak'))?.uuid, uuid)
    assert.equal(await onServer('plain'), undefined)
    await engine.close()
  })

  it('keeps an unlinked file readable while it is open', async () => {
    const { engine, fs } = await open('h')
    await fs.writeFile('gone', 'still here')
    await engine.sync()
    const file = await fs.open('gone')
    await fs.unlink('gone')
    assert.equal(await fs.exists('gone'), false)
    assert.equal((await fs.read(file, 0, 100)).toString(), 'still here')
    await fs.close(file)
    const fresh = await fs.open('never', O_RDWR | O_CREAT)
    await fs.write(fresh, 0, 'tmp')
    await fs.unlink('never')
    assert.equal((await fs.read(fresh, 0, 100)).toString(), 'tmp')
    await fs.close(fresh)
    assert.equal(await onServer('never'), undefined)
    await engine.close()
  })

  it('keeps both versions when somebody else was faster', async () => {
    const { engine, fs } = await open('i')
    await fs.writeFile('shared.txt', 'base')
    await engine.sync()
    const file = await fs.open('shared.txt', O_WRONLY)
    await fs.write(file, 0, 'ours')
    await server.put(`${base}/shared.txt`, async function* () { yield await Promise.resolve(Buffer.from('theirs!')) }, 7)
    await server.waitFor(`${base}/shared.txt`, (it) => it?.etag === md5('theirs!'))
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
    const broken = await openEngine({
      server: new Proxy(newServer(), { get: (target, name) => name === 'put' ? () => Promise.reject(Object.assign(new Error('no network'), { code: 'EIO' })) : Reflect.get(target, name) as unknown }),
      remote: base, stateDir: join(folder, 'l', 'state'), cacheDir: join(folder, 'l', 'cache'), uid: 1, gid: 1, umask: 0o022, readOnly: false, logger,
    })
    const fs = new PathFs(broken.fs)
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

  it('keeps scratch files here and makes them ordinary by a rename', async () => {
    const { engine, fs } = await open('o')
    await fs.writeFile('.~lock.x#', 'me')
    await fs.writeFile('.goutputstream-ABC', 'saved')
    assert.equal(await onServer('.~lock.x#'), undefined)
    await fs.rename('.goutputstream-ABC', 'saved.txt')
    await engine.sync()
    assert.equal((await onServer('saved.txt'))?.text, 'saved')
    await engine.close()
    const again = await open('o')
    assert.equal((await again.fs.readFile('.~lock.x#')).toString(), 'me')
    await again.fs.unlink('.~lock.x#')
    await again.engine.close()
    assert.deepEqual(await readdir(join(folder, 'o', 'state', 'drafts')), [])
  })

  it('S57: refuses a second engine in one folder and lets go afterwards', async () => {
    const { engine } = await open('p')
    await assert.rejects(open('p'), (error: Error) => /in use by another mount/.test(error.message))
    await engine.close()
    const again = await open('p')
    await again.engine.close()
    assert.ok((await readFile(join(folder, 'p', 'state', 'store.mdb'))).length > 0)
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
