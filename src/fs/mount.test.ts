import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { silentLogger } from '../log.js'
import type { Driver, Mounted } from './drivers/driver.js'
import { FsError } from './errno.js'
import { ask, controlFolder, controlSocket, liveSockets } from './mount-control.js'
import { MountError } from './mount-error.js'
import { mountFolders, runMount, type MountSession } from './mount.js'
import type { Engine, EngineStatus, SyncReport } from './status.js'

let folder = ''
const runtime = process.env['XDG_RUNTIME_DIR']
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mt-'))
  process.env['XDG_RUNTIME_DIR'] = folder
})
afterEach(async () => {
  if (runtime === undefined) delete process.env['XDG_RUNTIME_DIR']
  else process.env['XDG_RUNTIME_DIR'] = runtime
  await rm(folder, { recursive: true })
})

interface Fakes {
  readonly calls: string[]
  readonly end: () => void
  /** What the driver got. */
  readonly fs: Engine['fs']
  busy: boolean
  deadline: AbortSignal | undefined
  report: SyncReport
}

/** A session over an engine and a driver that only say what was asked of them. */
async function session(change: { mountFails?: boolean } = {}): Promise<{ fakes: Fakes; mount: MountSession; mountpoint: string }> {
  const calls: string[] = []
  let end = (): void => {}
  const ended = new Promise<void>((resolve) => { end = resolve })
  const fs = { write: () => Promise.resolve(1) } as unknown as Engine['fs']
  const fakes: Fakes = { calls, fs, end: () => end(), busy: false, deadline: undefined, report: { failed: [] } }
  const engine: Engine = {
    fs,
    attachNotices: () => { calls.push('notices') },
    sync: (path) => {
      calls.push(path === undefined ? 'sync' : `sync ${path}`)
      return Promise.resolve(fakes.report)
    },
    status: () => ({ server: 'http://server' }) as EngineStatus,
    wake: () => {},
    metrics: () => 'up 1\n',
    pin: () => Promise.resolve(),
    unpin: () => Promise.resolve(),
    close: (deadline) => {
      calls.push('close')
      fakes.deadline = deadline
      return Promise.resolve(fakes.report)
    },
  }
  const mounted: Mounted = {
    notices: {}, ended,
    unmount: ({ lazy = false } = {}) => {
      calls.push(lazy ? 'unmount lazily' : 'unmount')
      if (fakes.busy && !lazy) return Promise.reject(new FsError('EBUSY', 'in use'))
      end()
      return ended
    },
  }
  const driver: Driver = {
    name: 'fuse-native',
    mount: () => (change.mountFails === true ? Promise.reject(new MountError('failed', 'no')) : Promise.resolve(mounted)),
  }
  const mountpoint = await mkdtemp(join(folder, 'm-'))
  const mount = await runMount({
    openEngine: () => Promise.resolve(engine), driver, mountpoint, fsname: 'x', allowOther: false, readOnly: false, logger: silentLogger,
  }).catch((error: unknown) => { throw Object.assign(error as Error, { calls }) })
  return { fakes, mount, mountpoint }
}

describe('a mount session', () => {
  it('saves, unmounts, saves what the last closes left, and ends', async () => {
    const { fakes, mount } = await session()
    assert.deepEqual(await mount.stop(), { failed: [] })
    assert.deepEqual(await mount.finished, { failed: [] })
    assert.deepEqual(fakes.calls, ['notices', 'sync', 'unmount', 'close'])
    assert.deepEqual(await readdir(controlFolder()), [])
    assert.deepEqual(await mount.stop(), { failed: [] }, 'stopping twice is the same')
  })

  it('sends no longer at its end than it is given', async () => {
    const { fakes, mount } = await session()
    await mount.stop({ timeoutMs: 1 })
    assert.ok(fakes.deadline !== undefined, 'nothing bounds the last save')
    const other = await session()
    other.fakes.end()
    await other.mount.finished
    assert.equal(other.fakes.deadline, undefined, 'nobody waits')
  })

  it('goes on when it is in use, and ends if it must', async () => {
    const { fakes, mount } = await session()
    fakes.busy = true
    await assert.rejects(mount.stop(), { code: 'EBUSY' })
    assert.equal(fakes.calls.includes('close'), false)
    const write = (): Promise<number> => fakes.fs.write(2, 1, 0, Buffer.alloc(1), { uid: 0, gid: 0, pid: 0 })
    assert.equal(await write(), 1)
    await mount.stop({ lazy: true })
    await assert.rejects(write(), { code: 'EIO' }, 'or a program that writes on would make the last save endless')
    assert.deepEqual(fakes.calls.slice(-2), ['unmount lazily', 'close'])
  })

  it('saves when somebody else unmounts', async () => {
    const { fakes, mount } = await session()
    fakes.report = { failed: [{ path: 'a', reason: 'gone' }] }
    fakes.end()
    assert.deepEqual(await mount.finished, fakes.report)
    assert.deepEqual(fakes.calls, ['notices', 'close'])
  })

  it('closes the engine when the driver cannot mount', async () => {
    await assert.rejects(session({ mountFails: true }), (error: MountError & { calls: string[] }) => {
      assert.deepEqual([error.code, error.calls], ['failed', ['close']])
      return true
    })
    assert.deepEqual(await liveSockets(), [])
  })

  it('answers on its control socket, which only its owner can reach', async () => {
    const { fakes, mount, mountpoint } = await session()
    const socket = controlSocket(mountpoint)
    assert.equal((await stat(socket)).mode & 0o777, 0o600)
    assert.deepEqual(await liveSockets(), [socket])
    const status = await ask(socket, { op: 'status' })
    assert.deepEqual([status?.mountpoint, status?.server, status?.pid], [mountpoint, 'http://server', process.pid])
    assert.deepEqual(await ask(socket, { op: 'sync', path: 'a/b' }), { failed: [] })
    await assert.rejects(ask(socket, { op: 'nonsense' } as never), /unknown request/)
    fakes.busy = true
    await assert.rejects(ask(socket, { op: 'unmount' }), { code: 'in-use' })
    fakes.busy = false
    assert.deepEqual(await ask(socket, { op: 'unmount' }), { failed: [] })
    await mount.finished
    assert.equal(await ask(socket, { op: 'status' }), undefined)
  })

  it('ends although somebody holds a connection to its control socket and says nothing', async () => {
    const { mount, mountpoint } = await session()
    const held = createConnection(controlSocket(mountpoint))
    await once(held, 'connect')
    // One that it has taken: connections are taken in their order.
    assert.ok(await ask(controlSocket(mountpoint), { op: 'status' }))
    const hungUp = once(held, 'close')
    assert.deepEqual(await ask(controlSocket(mountpoint), { op: 'unmount' }), { failed: [] })
    await mount.finished
    await hungUp
  })

  it('keeps its folders by account, remote folder and mountpoint', () => {
    const key = (...parts: [string, string, string]): string => mountFolders(...parts).key
    assert.equal(key('a@h', 'ws', '/m'), key('a@h', 'ws', '/m'))
    assert.equal(new Set([key('a@h', 'ws', '/m'), key('b@h', 'ws', '/m'), key('a@h', '', '/m'), key('a@h', 'ws', '/n'), key('a@h', 'w', 's/m')]).size, 5)
  })
})
