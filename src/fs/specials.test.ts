/** FIFOs and sockets in the engine, over the embedded server: names of the mount alone, and there again after a restart. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect } from '../cells/client.js'
import type { CellsServer } from '../cells/server.js'
import { type DemoServer, startDemoServer } from '../demo/index.js'
import { silentLogger as logger } from '../log.js'
import { openEngine } from './engine.js'
import { PathFs } from './posix.testing.js'
import type { Engine } from './status.js'

const code = (expected: string) => (error: unknown): boolean => {
  assert.equal((error as { code?: string }).code, expected, String(error))
  return true
}

describe('fifos and sockets', { timeout: 120_000 }, () => {
  let demo: DemoServer
  let server: CellsServer
  let folder: string
  const base = 'personal-files/specials'
  const engines: Engine[] = []

  const newServer = async (): Promise<CellsServer> => {
    const answer = await fetch(`${demo.url}/a/frontend/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ AuthInfo: { type: 'credentials', login: 'alice', password: 'alice-P4ss' } }),
    })
    const { JWT } = await answer.json() as { JWT: string }
    const tokens = { get: () => Promise.resolve(JWT), reject: () => {} }
    return connect({ url: demo.url, tokens, skipVerify: false, customHeaders: {}, accountId: 'a', authType: 'session' }, { logger })
  }

  const open = async (name: string): Promise<{ engine: Engine; fs: PathFs }> => {
    const engine = await openEngine({
      server: await newServer(), remote: base, stateDir: join(folder, name, 'state'), cacheDir: join(folder, name, 'cache'),
      uid: 1, gid: 1, umask: 0o022, readOnly: false, logger,
    })
    engines.push(engine)
    return { engine, fs: new PathFs(engine.fs) }
  }

  const onServer = async (path: string): Promise<boolean> => await server.stat(`${base}/${path}`) !== undefined

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cellsfs-specials-'))
    demo = await startDemoServer({})
    server = await newServer()
    await server.mkdir([base])
    await server.waitFor(base, (it) => it !== undefined)
  })

  after(async () => {
    for (const engine of engines) await engine.close().catch(() => {})
    await server.close()
    await demo.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('are names like others here, and nothing on the server', async () => {
    const { engine, fs } = await open('a')
    await fs.mkdir('run')
    await fs.mknod('run/pipe', 'fifo', 0o640)
    await fs.mknod('run/control', 'socket', 0o600)
    await assert.rejects(fs.mknod('run/pipe', 'fifo', 0o640), code('EEXIST'))
    assert.deepEqual(await fs.readdir('run'), ['control', 'pipe'])
    const { type, mode, size, nlink } = await fs.stat('run/pipe')
    assert.deepEqual({ type, mode, size, nlink }, { type: 'fifo', mode: 0o640, size: 0, nlink: 1 })
    await fs.chmod('run/pipe', 0o600)
    assert.equal((await fs.stat('run/pipe')).mode, 0o600)
    await assert.rejects(fs.open('run/control'), code('ENXIO'))
    await assert.rejects(fs.truncate('run/pipe', 0), code('EINVAL'))
    await assert.rejects(fs.rmdir('run'), code('ENOTEMPTY'))
    await fs.unlink('run/control')
    assert.deepEqual(await fs.readdir('run'), ['pipe'])
    assert.deepEqual((await engine.sync()).failed, [])
    assert.equal(await onServer('run/pipe'), false)
    await fs.unlink('run/pipe')
    await fs.rmdir('run')
    await engine.close()
  })

  it('are there again after a restart, where they were moved to', async () => {
    const first = await open('b')
    await first.fs.mkdir('old')
    await first.fs.mknod('old/pipe', 'fifo', 0o640)
    await first.fs.mknod('gone', 'socket', 0o600)
    await first.fs.mknod('socket', 'socket', 0o600)
    await first.fs.unlink('gone')
    await first.fs.rename('socket', 'old/control')
    await first.fs.rename('old', 'new')
    const { ino } = await first.fs.stat('new/pipe')
    await first.fs.chmod('new/pipe', 0o604)
    await first.engine.close()
    const { engine, fs } = await open('b')
    assert.deepEqual(await fs.readdir(''), ['new'])
    assert.deepEqual(await fs.readdir('new'), ['control', 'pipe'])
    const pipe = await fs.stat('new/pipe')
    assert.deepEqual([pipe.type, pipe.mode, pipe.ino], ['fifo', 0o604, ino])
    assert.equal((await fs.stat('new/control')).type, 'socket')
    await fs.unlink('new/pipe')
    await fs.unlink('new/control')
    await fs.rmdir('new')
    await engine.close()
  })

  it('take the place of files, and files take theirs', async () => {
    const { engine, fs } = await open('c')
    await fs.writeFile('file', 'content')
    await engine.sync()
    const uuid = await fs.xattr('file', 'user.cells.uuid')
    await fs.mknod('pipe', 'fifo', 0o600)
    await fs.rename('file', 'pipe')
    assert.equal((await fs.readFile('pipe')).toString(), 'content')
    assert.equal(await fs.xattr('pipe', 'user.cells.uuid'), uuid, 'moved on the server, not sent again')
    await fs.mknod('other', 'socket', 0o600)
    await fs.rename('other', 'pipe')
    assert.equal((await fs.stat('pipe')).type, 'socket')
    assert.deepEqual(await fs.readdir(''), ['pipe'])
    await engine.sync()
    assert.equal(await onServer('pipe'), false)
    await fs.mkdir('folder')
    await assert.rejects(fs.rename('folder', 'pipe'), code('ENOTDIR'))
    await assert.rejects(fs.rename('pipe', 'folder'), code('EISDIR'))
    await fs.mknod('folder/pipe', 'fifo', 0o600)
    await fs.mkdir('second')
    await assert.rejects(fs.rename('second', 'folder'), code('ENOTEMPTY'))
    await engine.close()
    const again = await open('c')
    assert.equal((await again.fs.stat('pipe')).type, 'socket')
    assert.deepEqual(await again.fs.readdir('folder'), ['pipe'])
  })

  it('are not brought back over what the server has there by then', async () => {
    const first = await open('d')
    await first.fs.mknod('name', 'fifo', 0o600)
    await first.engine.close()
    await server.mkdir([`${base}/name`])
    await server.waitFor(`${base}/name`, (it) => it !== undefined)
    const { fs } = await open('d')
    assert.equal((await fs.stat('name')).type, 'folder')
  })
})
