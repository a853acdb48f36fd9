import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { serveControl, type MountStatus } from '../fs/mount-control.js'
import type { SyncReport } from '../fs/status.js'
import { silentLogger } from '../log.js'
import { pathInMount, settleMounts } from './running-mounts.js'

test('what to ask of a mount', () => {
  for (const [remote, path, expected] of [
    ['', '', ''], ['', 'ws/a', 'ws/a'], ['ws/a', 'ws/a', ''], ['ws/a', 'ws/a/b/c', 'b/c'], ['ws/a', 'ws', ''], ['ws/a', '', ''],
    ['ws/a', 'ws/ab', undefined], ['ws/a', 'ws2', undefined], ['ws/ab', 'ws/a', undefined],
  ] as const) assert.equal(pathInMount(remote, path), expected, `${remote} ${path}`)
})

interface Fake {
  readonly asked: string[]
  sync: () => Promise<SyncReport>
}

const STATUS: MountStatus = {
  version: '1', server: 'http://localhost:1', remote: 'ws/dir', connection: 'online', live: true, pending: { count: 1, bytes: 1, oldest: null }, unconfirmed: 0, failures: [], conflicts: [],
  traffic: { sent: 0, received: 0, up: 0, down: 0 }, cache: { bytes: 0, limit: 0, pinned: 0, hits: 0, misses: 0 }, pins: [], damage: [], metrics: { socket: '/m.prom' }, writeMode: 'back', openHandles: 0, mountpoint: '/m', pid: 1, driver: 'none', since: '',
}

/** A mount's control socket in a runtime folder of its own. */
async function fakeMount(t: TestContext, status: Partial<MountStatus> = {}): Promise<Fake> {
  const folder = await mkdtemp(join(tmpdir(), 'cec-run-'))
  const before = process.env['XDG_RUNTIME_DIR']
  process.env['XDG_RUNTIME_DIR'] = folder
  const fake: Fake = { asked: [], sync: () => Promise.resolve({ failed: [] }) }
  const control = await serveControl('/m', {
    status: () => ({ ...STATUS, ...status }),
    sync: ({ path }) => {
      fake.asked.push(path ?? '')
      return fake.sync()
    },
    unmount: () => Promise.reject(new Error('not here')),
    pin: () => true,
    unpin: () => true,
  })
  t.after(async () => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
    else process.env['XDG_RUNTIME_DIR'] = before
    void control.close()
    await rm(folder, { recursive: true, force: true })
  })
  return fake
}

/** Warnings of one call. */
async function settled(server: string, paths: string[], signal = new AbortController().signal): Promise<string[]> {
  const warnings: string[] = []
  await settleMounts(server, paths, { logger: { ...silentLogger, warn: (message) => { warnings.push(message) } }, signal })
  return warnings
}

test('a mount of the server is asked about what concerns it, once', async (t) => {
  const fake = await fakeMount(t)
  assert.deepEqual(await settled('http://localhost:1', ['ws/dir/a', 'ws/dir/a', 'ws2/b']), [])
  assert.deepEqual(fake.asked, ['a'])
  await settled('http://localhost:1', ['ws', 'ws/dir/a'])
  assert.deepEqual(fake.asked, ['a', ''])
  await settled('http://localhost:1', ['ws2'])
  await settled('http://localhost:2', ['ws'])
  assert.deepEqual(fake.asked, ['a', ''])
})

test('what cannot be sent is a warning', async (t) => {
  const fake = await fakeMount(t)
  fake.sync = () => Promise.resolve({ failed: [{ path: 'a', reason: 'there is no room' }] })
  assert.deepEqual(await settled('http://localhost:1', ['ws/dir']), ['the mount at /m has changes that are not on the server yet: a: there is no room'])
  fake.sync = () => Promise.reject(new Error('broken'))
  assert.match((await settled('http://localhost:1', ['ws/dir']))[0] ?? '', /broken/)
})

test('a mount without its server is not waited for', async (t) => {
  const fake = await fakeMount(t, { connection: 'offline' })
  assert.match((await settled('http://localhost:1', ['ws/dir']))[0] ?? '', /cannot reach the server/)
  assert.deepEqual(fake.asked, [])
})

test('a mount that does not answer is left when the command is stopped', async (t) => {
  const fake = await fakeMount(t)
  const stop = new AbortController()
  fake.sync = () => {
    stop.abort(new Error('aborted by user'))
    return new Promise(() => {})
  }
  await assert.rejects(settled('http://localhost:1', ['ws/dir'], stop.signal), /aborted by user/)
})
