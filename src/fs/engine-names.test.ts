/** Names and saves of the engine over a server, as engine.test.ts: renames, files set aside, replaced and deleted while they are open. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { CellsServer } from '../cells/server.js'
import { EngineSite } from './engine-site.testing.js'
import { code } from './engine.testing.js'
import { O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY } from './posix.testing.js'

const md5 = (data: Buffer | string): string => createHash('md5').update(data).digest('hex')

describe('engine, names', { timeout: 300_000 }, () => {
  let site: EngineSite
  before(async () => { site = await EngineSite.start() })
  after(() => site.close())
  const open = (name: string, remote?: string): ReturnType<EngineSite['open']> => site.open(name, remote)
  const onServer = (path: string): ReturnType<EngineSite['onServer']> => site.onServer(path)

  it('sends no empty content before what a program writes next, and an empty file soon after', async () => {
    const { engine, fs } = await open('empty')
    const sent = (): number => site.demo?.requests.get('PUT s3') ?? 0
    const before = sent()
    // As a shell does for `echo text > file`: a copy of the descriptor is closed first.
    const file = await fs.open('shell', O_WRONLY | O_CREAT | O_TRUNC)
    await fs.fs.flush(file.ino, file.fh, { uid: 0, gid: 0, pid: 0 })
    await fs.write(file, 0, 'text')
    await fs.close(file)
    await engine.sync()
    if (site.demo !== undefined) assert.equal(sent() - before, 1)
    await fs.writeFile('nothing', '')
    await fs.writeFile('brief', '')
    await fs.unlink('brief')
    assert.equal((await fs.stat('nothing')).size, 0)
    assert.equal((await site.server.waitFor(`${site.base}/nothing`, (it) => it !== undefined && it.etag === md5('')))?.size, 0)
    if (site.demo !== undefined) assert.equal(sent() - before, 2)
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
    const late = new Proxy(site.newServer(), {
      get: (target, name) => name !== 'events'
        ? Reflect.get(target, name) as unknown
        : (listener: Parameters<CellsServer['events']>[0]) => {
            listener.onState({ state: 'connected' })
            return { close: () => {} }
          },
    })
    const { engine, fs } = await site.open('taken', site.base, late)
    await fs.writeFile('mine', 'mine')
    await fs.mkdir('my folder')
    await engine.sync()
    assert.equal(await fs.exists('taken'), false)
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    await site.server.put(`${site.base}/taken`, async function * () { yield Buffer.from('theirs') }, 6)
    const theirs = await onServer('taken')
    await site.server.mkdir([`${site.base}/taken folder`])
    await site.server.waitFor(`${site.base}/taken folder`, (it) => it !== undefined)
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
    assert.equal(await site.server.stat(`${site.base}/taken-1`), undefined)
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
    site.demo!.indexDelayMs = 9_000
    try {
      for (const text of ['second', 'third']) {
        await fs.writeFile('3F2A1B00', text)
        await fs.rename('slow', '5C4D.tmp')
        await fs.rename('3F2A1B00', 'slow')
        await fs.unlink('5C4D.tmp')
      }
    } finally {
      site.demo!.indexDelayMs = 1_000
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
    assert.deepEqual(await readdir(join(site.folder, 'o', 'state', 'drafts')), [])
  })
})
