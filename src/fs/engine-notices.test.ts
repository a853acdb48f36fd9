/** What the engine tells a kernel, and how long it lets it believe: the engine over the embedded server, with a kernel that only takes notes. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { ABSENT_TTL_MS } from '../cache/metadata.js'
import { connect } from '../cells/client.js'
import type { CellsServer } from '../cells/server.js'
import { type DemoServer, startDemoServer } from '../demo/index.js'
import { silentLogger } from '../log.js'
import { type Caller, ROOT_INO } from './drivers/driver.js'
import { openEngine } from './engine.js'
import { LONG_MS, SHORT_MS } from './kernelview.js'
import { O_RDWR, PathFs } from './posix.testing.js'
import type { Engine } from './status.js'

const BASE = 'personal-files'
const CALLER: Caller = { uid: 1, gid: 1, pid: 1 }

async function until(what: string, condition: () => unknown): Promise<void> {
  for (const end = Date.now() + 20_000; ;) {
    if (await condition()) return
    if (Date.now() > end) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe('notices of the engine', { timeout: 120_000 }, () => {
  let demo: DemoServer
  let server: CellsServer
  let folder: string
  let engine: Engine
  let fs: PathFs
  let told: string[] = []
  let folderIno: number
  let dir: string
  let count = 0
  const holding = new Set<number>()

  const newServer = (token: string): CellsServer => connect({
    url: demo.url, tokens: { get: () => Promise.resolve(token), reject: () => {} }, skipVerify: false, customHeaders: {}, accountId: 'a', authType: 'session',
  })

  const put = async (name: string, text: string): Promise<void> => {
    const data = Buffer.from(text)
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    await server.put(`${BASE}/${dir}/${name}`, async function * () { yield data }, data.length)
  }

  const settled = async (name: string, text: string): Promise<void> => {
    await until(`${name} is ${text}`, async () => await fs.exists(`${dir}/${name}`) && (await fs.readFile(`${dir}/${name}`)).toString() === text)
    await engine.sync()
    await fs.stat(`${dir}/${name}`)
    // Echoes of what was done.
    await new Promise((resolve) => setTimeout(resolve, 700))
    await fs.stat(`${dir}/${name}`)
    told = []
  }

  const lookup = (name: string): ReturnType<Engine['fs']['lookup']> => engine.fs.lookup(folderIno, name, CALLER)

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cellsfs-notices-'))
    demo = await startDemoServer({ indexDelayMs: 100 })
    const answer = await fetch(`${demo.url}/a/frontend/session`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ AuthInfo: { type: 'credentials', login: 'alice', password: 'alice-P4ss' } }),
    })
    const { JWT } = await answer.json() as { JWT: string }
    server = newServer(JWT)
    engine = await openEngine({
      server: newServer(JWT), remote: BASE, stateDir: join(folder, 'state'), cacheDir: join(folder, 'cache'),
      uid: 1, gid: 1, umask: 0o022, readOnly: false, logger: silentLogger,
    })
    fs = new PathFs(engine.fs)
    const note = (kind: string) => (...of: unknown[]): void => { told.push([kind, ...of].join(' ')) }
    engine.attachNotices({
      invalidateInode: note('content'), invalidateAttributes: note('attributes'), invalidateEntry: note('name'), removed: note('removed'), invalidateAll: note('all'),
      stillHolds: (ino) => holding.has(ino),
    })
    await until('the event stream', () => engine.status().live)
  })

  beforeEach(async () => {
    dir = `d${++count}`
    await fs.mkdir(dir)
    folderIno = await fs.ino(dir)
    await engine.sync()
    told = []
  })

  after(async () => {
    await engine.close()
    await server.close()
    await demo.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('lets the kernel believe names, attributes, absences and listings for long', async () => {
    await fs.writeFile(`${dir}/f`, 'text')
    const ours = await lookup('f')
    assert.deepEqual([ours.entryTimeoutMs, ours.attrTimeoutMs], [LONG_MS, LONG_MS])
    await settled('f', 'text')
    const entry = await lookup('f')
    assert.deepEqual([entry.entryTimeoutMs, entry.attrTimeoutMs], [LONG_MS, LONG_MS])
    assert.equal((await engine.fs.getattr(entry.attr.ino, undefined, CALLER)).timeoutMs, LONG_MS)
    await assert.rejects(lookup('absent'), /does not exist/)
    assert.equal(engine.fs.absentTimeoutMs, ABSENT_TTL_MS)
    await fs.readdir(dir)
    const again = await engine.fs.opendir(folderIno, CALLER)
    assert.deepEqual([again.cacheable, again.keepCache], [true, true])
    engine.fs.releasedir(folderIno, again.fh)
    assert.deepEqual(told, [])
  })

  it('says nothing of what the kernel did itself, until the server has it all', async () => {
    await fs.writeFile(`${dir}/f`, 'one')
    await fs.mkdir(`${dir}/sub`)
    await fs.rename(`${dir}/f`, `${dir}/sub/g`)
    await fs.writeFile(`${dir}/sub/g`, 'two')
    await fs.writeFile(`${dir}/new`, 'three')
    await fs.rename(`${dir}/new`, `${dir}/sub/g`)
    await settled('sub/g', 'three')
    told = []
    const file = await engine.fs.open(await fs.ino(`${dir}/sub/g`), 0, CALLER)
    assert.equal(file.keepCache, true)
    await engine.fs.release(0, file.fh)
    assert.deepEqual(told, [])
  })

  it('tells of a name that appears, also where it was said to be absent', async () => {
    await assert.rejects(lookup('new'), /does not exist/)
    await put('new', 'x')
    await until('told', () => told.includes(`name ${folderIno} new`) && told.includes(`content ${folderIno}`))
    await settled('new', 'x')
    assert.equal((await lookup('new')).entryTimeoutMs, LONG_MS)
  })

  it('tells of a change, of a rename and of a delete', async () => {
    await put('f', 'one')
    await settled('f', 'one')
    const { attr: { ino } } = await lookup('f')
    await put('f', 'two')
    await until('told', () => told.includes(`name ${folderIno} f`) && told.includes(`attributes ${ino}`))
    const file = await engine.fs.open(ino, 0, CALLER)
    assert.equal(file.keepCache, false)
    await engine.fs.release(ino, file.fh)
    await settled('f', 'two')
    await server.move(`${BASE}/${dir}/f`, `${BASE}/${dir}/g`)
    await until('told', () => told.includes(`name ${folderIno} f`) && told.includes(`name ${folderIno} g`))
    assert.equal((await lookup('g')).attr.ino, ino)
    await settled('g', 'two')
    await server.remove([`${BASE}/${dir}/g`])
    await until('told', () => told.includes(`name ${folderIno} g`))
    await assert.rejects(lookup('g'), /does not exist/)
  })

  it('opens a new version past the cache while somebody reads the old one, and keeps them apart', async () => {
    await put('f', '1111')
    await settled('f', '1111')
    const { attr: { ino } } = await lookup('f')
    const old = await engine.fs.open(ino, 0, CALLER)
    assert.equal((await engine.fs.read(ino, old.fh, 0, 2, CALLER)).toString(), '11')
    await put('f', '22')
    await until('the new version', async () => (await engine.fs.getattr(ino, undefined, CALLER)).attr.size === 2)
    const fresh = await engine.fs.open(ino, 0, CALLER)
    assert.equal(fresh.directIo, true)
    assert.equal((await engine.fs.read(ino, fresh.fh, 0, 9, CALLER)).toString(), '22')
    assert.equal((await engine.fs.read(ino, old.fh, 2, 9, CALLER)).toString(), '11')
    // The kernel cuts what it reads through the old handle at the size that it believes.
    assert.deepEqual(await engine.fs.getattr(ino, old.fh, CALLER).then(({ attr, timeoutMs }) => [attr.size, timeoutMs]), [4, 0])
    await engine.fs.release(ino, fresh.fh)
    await engine.fs.release(ino, old.fh)
    const last = await engine.fs.open(ino, 0, CALLER)
    assert.deepEqual([last.keepCache, last.directIo], [false, undefined])
    await engine.fs.release(ino, last.fh)
  })

  it('lets an open reader go over to the new content when it begins again, and not before the old pages are gone', async () => {
    await put('f', '1111')
    await settled('f', '1111')
    const { attr: { ino } } = await lookup('f')
    const { fh } = await engine.fs.open(ino, 0, CALLER)
    const read = async (): Promise<string> => (await engine.fs.read(ino, fh, 0, 2, CALLER)).toString()
    assert.equal(await read(), '11')
    await put('f', '2222')
    holding.add(ino)
    await until('told', () => told.includes(`content ${ino}`))
    assert.equal(await read(), '11')
    holding.delete(ino)
    // What was read in between is told to be dropped, too.
    await until('the new content', async () => await read() === '22')
    await engine.fs.release(ino, fh)
  })

  it('a file that is written over a version that others have replaced is a version of its own', async () => {
    await put('f', '1111')
    await settled('f', '1111')
    const { attr: { ino } } = await lookup('f')
    const file = await fs.open(`${dir}/f`, O_RDWR)
    assert.equal((await fs.read(file, 0, 2)).toString(), '11')
    await put('f', '2222')
    await until('told', () => told.includes(`content ${ino}`))
    await fs.write(file, 3, 'x')
    assert.equal((await fs.read(file, 0, 9)).toString(), '111x')
    await fs.close(file)
    await engine.sync()
    await until('both', async () => (await fs.readdir(dir)).length === 2)
    assert.equal((await fs.readFile(`${dir}/f`)).toString(), '2222')
    assert.ok(told.includes(`name ${folderIno} f`))
  })

  it('takes everything back when the stream is lost, and is brief until it is there again', async () => {
    await put('f', 'one')
    await settled('f', 'one')
    const { attr: { ino } } = await lookup('f')
    await assert.rejects(lookup('absent'), /does not exist/)
    demo.onRequest = ({ path }) => path.startsWith('/ws') ? { reset: true } : undefined
    demo.events.drop()
    await until('lost', () => !engine.status().live)
    for (const notice of [`name ${folderIno} f`, `attributes ${ino}`, `name ${ROOT_INO} ${dir}`, `content ${folderIno}`, `content ${ROOT_INO}`, `name ${folderIno} absent`]) {
      assert.ok(told.includes(notice), notice)
    }
    assert.deepEqual(await lookup('f').then((it) => [it.entryTimeoutMs, it.attrTimeoutMs]), [SHORT_MS, SHORT_MS])
    assert.equal(engine.fs.absentTimeoutMs, 0)
    assert.equal((await engine.fs.opendir(folderIno, CALLER)).cacheable, undefined)
    demo.onRequest = undefined
    await until('back', () => engine.status().live)
    await until('long again', async () => (await lookup('f')).entryTimeoutMs === LONG_MS)
  })
})
