/**
 * The engine behind a network and a server that fail (helpers/fault-proxy.ts). Whatever happens: no wrong data, no ENOENT for
 * what exists, no call over its deadline, and everything works again when the fault is over, in the same engine.
 *
 * With CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD set, against that server. Cases run side by side, because some of them wait for
 * deadlines.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { connect } from '../src/cells/client.js'
import type { CellsServer } from '../src/cells/server.js'
import { startDemoServer } from '../src/demo/index.js'
import { DEADLINES } from '../src/fs/drivers/deadlines.js'
import type { FileSystem } from '../src/fs/drivers/driver.js'
import { openEngine } from '../src/fs/engine.js'
import { errnoCode } from '../src/fs/errno.js'
import { PathFs } from '../src/fs/posix.testing.js'
import type { Engine } from '../src/fs/status.js'
import { createLogger, silentLogger } from '../src/log.js'
import { FAULTS, FaultProxy } from './helpers/fault-proxy.js'
import type { Fault, Match, MessageHook } from './helpers/fault-proxy.js'

const logger = process.env['TEST_LOG'] === undefined ? silentLogger : createLogger('debug', (line) => process.stderr.write(line))

/** What the server has when a case begins. */
const CONTENTS: Readonly<Record<string, Buffer>> = {
  'small.txt': Buffer.from('small, but whole\n'),
  'empty': Buffer.alloc(0),
  'folder/inside.txt': Buffer.from('inside a folder'),
  'big.bin': randomBytes(700_000),
}
const LISTINGS: Readonly<Record<string, readonly string[]>> = { '': ['big.bin', 'empty', 'folder', 'small.txt'], 'folder': ['inside.txt'] }

interface World {
  readonly proxy: FaultProxy
  readonly engine: Engine
  readonly fs: PathFs
  /** Beside the proxy. */
  readonly other: CellsServer
  readonly base: string
  /** Calls of the engine that took longer than the kernel waits. */
  readonly late: string[]
  readonly read: (path: string) => Promise<Buffer>
}

async function withWorld(work: (world: World) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cellsfs-faults-'))
  const demo = process.env['CELLS_URL'] === undefined ? await startDemoServer({ indexDelayMs: 200 }) : undefined
  const url = demo?.url ?? process.env['CELLS_URL']!
  const session = await fetch(`${url}/a/frontend/session`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ AuthInfo: { type: 'credentials', login: process.env['CELLS_LOGIN'] ?? 'alice', password: process.env['CELLS_PASSWORD'] ?? 'alice-P4ss' } }),
  })
  const { JWT } = await session.json() as { JWT: string }
  const tokens = { get: () => Promise.resolve(JWT), reject: () => {} }
  const client = (address: string): CellsServer => connect({ url: address, tokens, skipVerify: false, customHeaders: {}, accountId: 'a', authType: 'session' }, { logger })
  const other = client(url)
  const base = `personal-files/faults-${randomBytes(4).toString('hex')}`
  for (const [path, content] of Object.entries(CONTENTS)) await put(other, `${base}/${path}`, content)
  for (const [path, content] of Object.entries(CONTENTS)) await other.waitFor(`${base}/${path}`, (node) => node?.size === content.length && node.etag !== 'temporary')
  const proxy = await FaultProxy.start(url)
  const engine = await openEngine({ server: client(proxy.url), remote: base, stateDir: join(folder, 'state'), cacheDir: join(folder, 'cache'), uid: 1, gid: 1, umask: 0o022, readOnly: false, resendMs: 1_500, logger })
  const late: string[] = []
  try {
    await work({
      proxy, engine, fs: new PathFs(timed(engine.fs, late)), other, base, late,
      read: async (path) => {
        const chunks: Buffer[] = []
        for await (const chunk of (await other.get(`${base}/${path}`)).stream) chunks.push(chunk)
        return Buffer.concat(chunks)
      },
    })
    assert.deepEqual(late, [], 'calls over their deadline')
  } finally {
    proxy.heal()
    await proxy.accept().catch(() => {})
    await engine.close().catch(() => {})
    await proxy.close()
    await other.remove([base], { permanently: true }).catch(() => {})
    await other.close()
    await demo?.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function put(server: CellsServer, path: string, content: Buffer): Promise<void> {
  // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
  await server.put(path, async function* () { yield content }, content.length)
}

/** How long the kernel waits for each call, as the drivers have it. */
const WAITS: Partial<Record<keyof FileSystem, number>> = {
  lookup: DEADLINES.metadata, getattr: DEADLINES.metadata, opendir: DEADLINES.metadata, readdir: DEADLINES.listing, open: DEADLINES.metadata,
  read: DEADLINES.data, write: DEADLINES.data, create: DEADLINES.change, mkdir: DEADLINES.change, unlink: DEADLINES.change, rmdir: DEADLINES.change,
  rename: DEADLINES.change, flush: DEADLINES.save, fsync: DEADLINES.save, setattr: DEADLINES.metadata,
}

function timed(fs: FileSystem, late: string[]): FileSystem {
  return new Proxy(fs, {
    get: (target, name: keyof FileSystem) => {
      const value: unknown = Reflect.get(target, name)
      const wait = WAITS[name]
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        const began = performance.now()
        const result = (value as (...args: unknown[]) => unknown).apply(target, args)
        if (wait === undefined || !(result instanceof Promise)) return result
        return result.finally(() => {
          const took = performance.now() - began
          if (took > wait) late.push(`${name} took ${Math.round(took)} ms of ${wait}`)
        })
      }
    },
  })
}

/** Looks at everything. Data must be right; an error must not say that something does not exist. Returns the errors. */
async function look({ fs }: World, listings = LISTINGS, contents = CONTENTS): Promise<string[]> {
  const errors: string[] = []
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    await work().catch((error: unknown) => {
      if (error instanceof assert.AssertionError) throw error
      const code = errnoCode(error)
      assert.ok(code !== 'ENOENT' && code !== 'ENOTDIR', `${what}: ${String(error)}`)
      errors.push(`${what}: ${code}`)
    })
  }
  await Promise.all([
    ...Object.entries(listings).map(([path, names]) => attempt(`list ${path}`, async () => assert.deepEqual(await fs.readdir(path), [...names].sort(), `listing of ${path}`))),
    ...Object.entries(contents).map(([path, content]) => attempt(`read ${path}`, async () => {
      const { size } = await fs.stat(path)
      assert.equal(size, content.length, `size of ${path}`)
      const data = await fs.readFile(path)
      assert.ok(data.equals(content), `${path}: wrong data, ${data.length} bytes of ${content.length}`)
    })),
  ])
  return errors
}

/** In the same engine, without help. What failed a moment ago may be given a rest before it is asked for again. */
async function recovered(world: World, listings = LISTINGS, contents = CONTENTS): Promise<void> {
  let errors: string[] = []
  for (const end = Date.now() + 45_000; Date.now() < end; ) {
    errors = await look(world, listings, contents)
    if (errors.length === 0) return
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  assert.fail(`no recovery: ${errors.join(', ')}`)
}

const ALL: Match = {}
const OBJECTS: Match = { method: 'GET', path: /^\/io\// }
const LISTING: Match = { path: /^\/a\/meta\/bulk\/get/ }

/** While these last, reading may fail, but not lie. */
const LASTING: readonly (readonly [name: string, match: Match, fault: Fault])[] = [
  ['500 to everything', ALL, { status: 500, body: '{"Title":"internal error"}' }],
  ['502 to everything', ALL, FAULTS.badGateway],
  ['503 to everything', ALL, { status: 503, body: '' }],
  ['404 page not found to everything', ALL, FAULTS.gone],
  ['401 to everything', ALL, FAULTS.unauthorized],
  ['403 to all objects', OBJECTS, { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }],
  ['an empty listing', LISTING, FAULTS.emptyListing],
  ['an empty 200 to everything', ALL, FAULTS.emptyAnswer],
  ['{} to everything', ALL, FAULTS.emptyListing],
  ['a web page in place of every answer', ALL, FAULTS.webPage],
  ['half an answer, said to be whole', LISTING, { shortBody: 40 }],
  ['every answer cut in its body', ALL, { cutAfter: 10 }],
  ['every answer cut after its headers', ALL, { cutAfter: 0 }],
  ['objects cut short, with a length that agrees', OBJECTS, { shortBody: 5 }],
  ['objects without a byte', OBJECTS, { shortBody: 0 }],
  ['objects with another ETag', OBJECTS, { etag: '"0123456789abcdef0123456789abcdef"' }],
  ['connections reset', ALL, { reset: true }],
  ['answers lost', ALL, { loseAnswer: true }],
  ['no answer but to listings', { path: /^(?!\/a\/meta\/bulk)/ }, { stall: 'forever' }],
  ['no objects ever', OBJECTS, { stall: 'forever' }],
  ['a slow drip', OBJECTS, { drip: { bytes: 2000, everyMs: 20 } }],
]

/** These pass, and a program sees nothing of them. */
const PASSING: readonly (readonly [name: string, match: Match, fault: Fault])[] = [
  ['a stall', { ...ALL, times: 4 }, { stall: 400 }],
  ['a 503', { ...ALL, times: 2 }, { status: 503, body: '' }],
  ['a 429 that says when', { ...ALL, times: 2 }, { status: 429, body: '', headers: { 'retry-after': '1' } }],
  ['a reset', { ...ALL, times: 2 }, { reset: true }],
  ['a cut object', { ...OBJECTS, times: 2 }, { cutAfter: 3 }],
  ['a short object', { ...OBJECTS, times: 1 }, { shortBody: 3 }],
  ['one 401', { ...ALL, times: 1 }, FAULTS.unauthorized],
]

describe('reading through faults', { concurrency: 8, timeout: 400_000 }, () => {
  for (const [name, match, fault] of LASTING) {
    it(`${name}: cold`, async () => {
      await withWorld(async (world) => {
        const rule = world.proxy.fault(match, fault)
        await look(world)
        assert.ok(rule.hits > 0, 'the fault was never met')
        world.proxy.heal()
        await recovered(world)
      })
    })
  }

  it('no answer ever: cold', async () => {
    await withWorld(async (world) => {
      world.proxy.fault(ALL, { stall: 'forever' })
      await look(world)
      world.proxy.heal()
      await recovered(world)
    })
  })

  for (const [name, match, fault] of [...LASTING.filter(([, each]) => each === ALL), ['no answer ever', ALL, { stall: 'forever' }] as const]) {
    it(`${name}: with all of it in the cache`, async () => {
      await withWorld(async (world) => {
        assert.deepEqual(await look(world), [])
        world.proxy.cut()
        world.proxy.fault(match, fault)
        await look(world)
        world.proxy.heal()
        await recovered(world)
      })
    })
  }

  it('no answer ever, and no events: what is known not to be there is answered without asking again', async () => {
    await withWorld(async (world) => {
      const { fs, proxy } = world
      assert.deepEqual(await look(world), [])
      await fs.readdir('folder')
      const rule = proxy.fault(ALL, { stall: 'forever' })
      proxy.cut()
      // One who asks finds out that there is no answer. (What is known has to be old for that.)
      while (rule.hits === 0) await fs.readdir('folder')
      await fs.readdir('folder')
      const { hits } = rule
      for (const name of ['folder/.hidden', 'folder/absent']) await assert.rejects(fs.stat(name), { code: 'ENOENT' })
      assert.equal(rule.hits, hits)
      proxy.heal()
      await recovered(world)
    })
  })

  for (const [name, match, fault] of PASSING) {
    it(`${name} goes unseen`, async () => {
      await withWorld(async (world) => {
        const rule = world.proxy.fault(match, fault)
        assert.deepEqual(await look(world), [])
        assert.ok(rule.hits > 0, 'the fault was never met')
      })
    })
  }

  it('a server that is down: what was read stays readable, the rest comes back with it', async () => {
    await withWorld(async (world) => {
      await world.fs.readFile('small.txt')
      await world.fs.readdir('')
      await world.proxy.refuse()
      await look(world)
      assert.equal((await world.fs.readFile('small.txt')).toString(), CONTENTS['small.txt']!.toString())
      await world.proxy.accept()
      await recovered(world)
    })
  })
})

/** On the way of a change. All but the lasting ones pass while the program waits. */
const WRITING: readonly (readonly [name: string, match: Match, fault: Fault])[] = [
  ['500 to two writes', { method: 'PUT', path: /^\/io\//, times: 2 }, { status: 500, body: '<Error><Code>InternalError</Code></Error>' }],
  ['503 to two of all', { ...ALL, times: 2 }, { status: 503, body: '' }],
  ['two writes reset', { method: 'PUT', path: /^\/io\//, times: 2 }, { reset: true }],
  ['the answer of a write lost', { method: 'PUT', path: /^\/io\//, times: 1 }, { loseAnswer: true }],
  ['every third answer lost', { ...ALL, skip: 2, times: 1 }, { loseAnswer: true }],
  ['the answer of a job lost', { method: 'PUT', path: /^\/a\/jobs/, times: 1 }, { loseAnswer: true }],
  ['the answer of a mkdir lost', { path: /^\/a\/tree\/create/, times: 1 }, { loseAnswer: true }],
  ['the answer of a delete lost', { path: /^\/a\/tree\/delete/, times: 1 }, { loseAnswer: true }],
  ['500 to a job', { method: 'PUT', path: /^\/a\/jobs/, times: 1 }, { status: 500, body: '{"Title":"internal error"}' }],
  ['stalls of all', { ...ALL, times: 12 }, { stall: 300 }],
  ['one 401', { ...ALL, times: 1 }, FAULTS.unauthorized],
]

describe('writing through faults', { concurrency: 8, timeout: 400_000 }, () => {
  /** Everything a program does, each step tried again as a person would; at the end both sides must have the same. */
  async function changes(world: World): Promise<void> {
    const { fs } = world
    const uuid = await fs.xattr('small.txt', 'user.cells.uuid')
    await again(() => fs.writeFile('new.txt', 'new content'))
    await again(() => fs.writeFile('small.txt', 'overwritten, a little longer'))
    await again(() => fs.mkdir('made'), 'EEXIST')
    await again(() => fs.writeFile('made/deep.txt', 'deep'))
    await again(() => fs.rename('folder/inside.txt', 'folder/renamed.txt'), 'ENOENT')
    await again(() => fs.unlink('empty'), 'ENOENT')
    const contents = { 'big.bin': CONTENTS['big.bin']!, 'new.txt': Buffer.from('new content'), 'small.txt': Buffer.from('overwritten, a little longer'), 'made/deep.txt': Buffer.from('deep'), 'folder/renamed.txt': CONTENTS['folder/inside.txt']! }
    const listings = { '': ['big.bin', 'folder', 'made', 'new.txt', 'small.txt'], 'folder': ['renamed.txt'], 'made': ['deep.txt'] }
    await look(world, listings, contents)
    assert.deepEqual((await world.engine.sync()).failed, [])
    world.proxy.heal()
    await recovered(world, listings, contents)
    for (const [path, content] of Object.entries(contents)) assert.ok((await world.read(path)).equals(content), `${path} on the server`)
    for (const [path, names] of Object.entries(listings)) {
      const there: string[] = []
      for await (const page of world.other.list(path === '' ? world.base : `${world.base}/${path}`)) there.push(...page.map((node) => node.path.slice(node.path.lastIndexOf('/') + 1)))
      assert.deepEqual(there.sort(), [...names].sort(), `${path} on the server`)
    }
    assert.equal((await world.other.stat(`${world.base}/small.txt`))?.uuid, uuid, 'Uuid of what was overwritten')
  }

  /** `done`: the errno that says that an attempt before, whose answer was lost, did it. */
  async function again(step: () => Promise<void>, done?: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await step()
        return
      } catch (error) {
        const code = errnoCode(error)
        if (attempt > 0 && code === done) return
        assert.ok(code !== 'ENOENT' && code !== 'EEXIST', String(error))
        if (attempt === 8) throw error
      }
    }
  }

  for (const [name, match, fault] of WRITING) {
    it(name, async () => {
      await withWorld(async (world) => {
        await look(world)
        const rule = world.proxy.fault(match, fault)
        await changes(world)
        assert.ok(rule.hits > 0, 'the fault was never met')
      })
    })
  }

  it('a write with an empty 200, of which the server knows nothing, is sent again', async () => {
    await withWorld(async (world) => {
      await look(world)
      world.proxy.fault({ method: 'PUT', path: /^\/io\//, times: 1 }, { status: 200, body: '' })
      await world.fs.writeFile('small.txt', 'not lost')
      assert.equal((await world.fs.readFile('small.txt')).toString(), 'not lost')
      await world.other.waitFor(`${world.base}/small.txt`, (node) => node?.size === 8, { timeoutMs: 20_000 })
    })
  })

  it('a server that goes down in the middle of a save: what was told as saved is there afterwards', async () => {
    await withWorld(async (world) => {
      await look(world)
      await world.proxy.refuse()
      const saved = await world.fs.writeFile('small.txt', 'written while the server was down').then(() => true, () => false)
      const shown = (await world.fs.readFile('small.txt')).toString()
      assert.ok(!saved || shown === 'written while the server was down', 'what was saved is shown')
      await world.proxy.accept()
      assert.deepEqual((await world.engine.sync()).failed, [])
      // Also what was not acknowledged is kept, and sent.
      assert.equal((await world.fs.readFile('small.txt')).toString(), 'written while the server was down')
      await world.other.waitFor(`${world.base}/small.txt`, (node) => node?.size === 33)
      assert.equal((await world.read('small.txt')).toString(), 'written while the server was down')
    })
  })
})

/** What a bad network, or a busy server, does to events. Somebody else changes things meanwhile; the mount must see how it ends. */
const EVENTS: readonly (readonly [name: string, make: () => MessageHook])[] = [
  ['late', () => (message, send) => { setTimeout(() => send(message), 400) }],
  ['twice', () => (message, send) => { send(message); setTimeout(() => send(message), 150) }],
  ['in another order', () => {
    const held: string[] = []
    return (message, send) => {
      held.unshift(message)
      setTimeout(() => { for (const each of held.splice(0)) send(each) }, 250)
    }
  }],
  ['garbled now and then', () => {
    let count = 0
    return (message, send) => {
      send(count++ % 2 === 0 ? message.slice(0, -5) : '{"Type":"UPDATE_PATH","Source":null}')
      send(message)
    }
  }],
]

describe('hearing of changes through faults', { concurrency: 4, timeout: 300_000 }, () => {
  const contents = { 'big.bin': Buffer.from('now small'), 'arrived.txt': Buffer.from('of somebody else'), 'small.txt': Buffer.from('changed twice'), 'folder2/inside.txt': CONTENTS['folder/inside.txt']! }
  const listings = { '': ['arrived.txt', 'big.bin', 'folder2', 'small.txt'], 'folder2': ['inside.txt'] }

  async function elsewhere({ other, base }: World): Promise<void> {
    const shown = (path: string, size: number): Promise<unknown> => other.waitFor(`${base}/${path}`, (node) => node?.size === size && node.etag !== 'temporary')
    await put(other, `${base}/small.txt`, Buffer.from('changed'))
    await shown('small.txt', 7)
    await put(other, `${base}/small.txt`, contents['small.txt'])
    await put(other, `${base}/arrived.txt`, contents['arrived.txt'])
    await put(other, `${base}/big.bin`, contents['big.bin'])
    await Promise.all((['small.txt', 'arrived.txt', 'big.bin'] as const).map((path) => shown(path, contents[path].length)))
    await other.move(`${base}/folder`, `${base}/folder2`)
    await other.remove([`${base}/empty`])
  }

  /** As in `look`, but what was is allowed, too, until what is has been seen. */
  async function seen(world: World): Promise<void> {
    let last: unknown
    for (const end = Date.now() + 30_000; Date.now() < end; ) {
      try {
        if ((await look(world, listings, contents)).length === 0) return
      } catch (error) {
        last = error
      }
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    throw last
  }

  for (const [name, make] of EVENTS) {
    it(`events ${name}`, async () => {
      await withWorld(async (world) => {
        await connected(world)
        assert.deepEqual(await look(world), [])
        world.proxy.messages = make()
        await elsewhere(world)
        await seen(world)
      })
    })
  }

  it('events lost with the connection that should have brought them', async () => {
    await withWorld(async (world) => {
      await connected(world)
      assert.deepEqual(await look(world), [])
      world.proxy.messages = () => {}
      await elsewhere(world)
      world.proxy.messages = undefined
      world.proxy.cutEvents()
      await seen(world)
    })
  })

  it('no event stream at all', async () => {
    await withWorld(async (world) => {
      world.proxy.fault({ method: 'UPGRADE' }, { status: 503 })
      world.proxy.cutEvents()
      assert.deepEqual(await look(world), [])
      await elsewhere(world)
      await seen(world)
      world.proxy.heal()
      await connected(world)
    })
  })

  async function connected({ engine }: World): Promise<void> {
    for (const end = Date.now() + 45_000; !engine.status().live; ) {
      assert.ok(Date.now() < end, 'no event stream')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
})
