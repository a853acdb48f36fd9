/** Reading of one version, over a server that the test plays: it sees every request and decides when its bytes come. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, describe, it } from 'node:test'
import { blockMemory } from '../cache/block-memory.js'
import { contentBuffers } from '../cache/buffer-pool.js'
import { BLOCK_SIZE, BlockCache, type VersionKey } from '../cache/blocks.js'
import type { CellsServer } from '../cells/server.js'
import { silentLogger as logger } from '../log.js'
import { Budget } from './budget.js'
import { newReadPattern, VersionReader, WHOLE_FETCH } from './reader.js'

const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

interface Request {
  readonly start: number
  readonly end: number
  /** Lets bytes go, all that are left without a number. */
  readonly send: (bytes?: number) => void
}

class World {
  readonly content: Buffer
  readonly key: VersionKey
  readonly requests: Request[] = []
  readonly budget: Budget
  readonly dir: string
  blocks!: BlockCache
  /** Bytes that were asked for and have not all come. */
  underWay = 0
  mostUnderWay = 0
  #asked = (): void => {}

  private constructor(size: number, budget: number, dir: string) {
    this.content = randomBytes(size)
    this.key = { uuid: 'u', etag: createHash('md5').update(this.content).digest('hex'), size }
    this.budget = new Budget(budget)
    this.dir = dir
  }

  static async make(size: number, budget = 48 * BLOCK_SIZE): Promise<World> {
    const dir = await mkdtemp(join(tmpdir(), 'cellsfs-reader-'))
    folders.push(dir)
    const world = new World(size, budget, dir)
    await world.newProcess()
    return world
  }

  async newProcess(): Promise<void> {
    this.blocks = await BlockCache.open(this.dir, 2 ** 30, logger)
  }

  /** @param held nothing is sent until the test says so. `aside`: bodies are put into the reader's memory by somebody who has only what a thread would have of it */
  reader(held = false, aside = false): VersionReader {
    const get: CellsServer['get'] = (_path, range, options) => {
      const { start, end } = range!
      const part = this.content.subarray(start, end + 1)
      const { into } = options ?? {}
      if (aside && into !== undefined) {
        this.requests.push({ start, end, send: () => {} })
        return Promise.resolve({ stream: received(part, into), length: part.length, totalSize: this.content.length, etag: this.key.etag })
      }
      let sent = 0
      const stream = new Readable({ read: () => {} })
      this.underWay += part.length
      this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay)
      const send = (bytes = part.length): void => {
        const next = part.subarray(sent, sent + bytes)
        sent += next.length
        this.underWay -= next.length
        stream.push(next)
        if (sent === part.length) stream.push(null)
      }
      this.requests.push({ start, end, send })
      if (!held) setImmediate(send)
      this.#asked()
      return Promise.resolve({ stream, length: part.length, totalSize: this.content.length, etag: this.key.etag } as unknown as Awaited<ReturnType<CellsServer['get']>>)
    }
    return new VersionReader({ server: { get } as CellsServer, blocks: this.blocks, budget: this.budget, received: () => {}, logger }, this.key, () => 'path')
  }

  /** Resolves when so many requests have been made. */
  async asked(count: number): Promise<void> {
    while (this.requests.length < count) await new Promise<void>((resolve) => { this.#asked = resolve })
  }

  /** Sends all that is asked for from now on, as it is asked for. */
  release(): void {
    let done = 0
    const send = (): void => { while (done < this.requests.length) this.requests[done++]!.send() }
    this.#asked = send
    send()
  }
}

function received(part: Buffer, into: readonly Buffer[]): Awaited<ReturnType<CellsServer['get']>>['stream'] {
  let at = 0
  for (const there of structuredClone(into) as readonly Uint8Array[]) {
    there.set(part.subarray(at, at + there.length))
    at += there.length
  }
  assert.equal(at, part.length, 'memory as long as the body')
  return {
    destroy: () => {},
    each: (take) => {
      // In odd pieces.
      for (const there of into) for (let from = 0; from < there.length; from += 70_001) take(there.subarray(from, Math.min(from + 70_001, there.length)))
      return Promise.resolve()
    },
    async *[Symbol.asyncIterator]() { await Promise.reject(new Error('iterated')) },
  }
}

describe('bodies that a thread receives', () => {
  for (const size of [2 * BLOCK_SIZE, 3 * BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 800_000, WHOLE_FETCH, 10 * BLOCK_SIZE + 5, 10 * BLOCK_SIZE + 70_000, 70 * BLOCK_SIZE + 900_000]) {
    it(`are read as they are, also again when their memory has been used for others: ${size} bytes`, async () => {
      const world = await World.make(size)
      for (const piece of [131_072, 1_500_000]) {
        await world.newProcess()
        const reader = world.reader(false, true)
        const pattern = newReadPattern()
        for (let at = 0; at < size; at += piece) {
          const data = await reader.read(at, piece, pattern)
          assert.ok(data.equals(world.content.subarray(at, at + piece)), `at ${at}`)
          contentBuffers.give(data)
        }
        await Promise.all([0, 0.9, 0.3, 0.99, 0.5].map(async (part) => {
          const at = Math.floor(part * size)
          assert.ok((await reader.read(at, 5000, pattern)).equals(world.content.subarray(at, at + 5000)))
        }))
        await reader.fetchAll(new AbortController().signal)
        await rm(world.dir, { recursive: true })
      }
    })
  }
})

describe('memory that is used again', () => {
  it('holds a block as long as it is read from there: one of a request is on the disk, and out of the cache\'s memory, before the others', async () => {
    const world = await World.make(8 * BLOCK_SIZE)
    const { blocks } = world
    const put = blocks.put.bind(blocks)
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => { go = resolve })
    blocks.put = async (key, index, data) => {
      if (index === 1) await gate
      await put(key, index, data)
    }
    const reader = world.reader()
    const pattern = newReadPattern()
    await reader.read(0, 4096, pattern)
    assert.deepEqual(world.requests.map(({ end }) => end + 1), [2 * BLOCK_SIZE])
    for (let index = 0; index < 60; index++) {
      const other = blockMemory.take(BLOCK_SIZE).fill(index)
      await put({ uuid: 'other', etag: 'e', size: 60 * BLOCK_SIZE }, index, other)
      blockMemory.give(other)
    }
    assert.ok((await reader.read(8192, 4096, pattern)).equals(world.content.subarray(8192, 12_288)))
    go()
    await reader.fetchAll(new AbortController().signal)
  })
})

describe('reading ahead', () => {
  it('grows with a sequential reader, in parallel requests, up to a window', async () => {
    const world = await World.make(64 * BLOCK_SIZE)
    const reader = world.reader()
    const pattern = newReadPattern()
    const ahead: number[] = []
    for (let at = 0; at < 40 * BLOCK_SIZE; at += 131_072) {
      assert.ok((await reader.read(at, 131_072, pattern)).equals(world.content.subarray(at, at + 131_072)))
      ahead.push(Math.max(...world.requests.map(({ end }) => end)) + 1 - at)
    }
    assert.ok(ahead[0]! <= 2 * BLOCK_SIZE, 'little at first')
    assert.ok(Math.max(...ahead) > 12 * BLOCK_SIZE, 'much later')
    assert.ok(Math.max(...ahead) <= 33 * BLOCK_SIZE, 'and never more')
    assert.ok(world.mostUnderWay > 4 * BLOCK_SIZE, 'several requests at once')
    assert.equal(new Set(world.requests.map(({ start }) => start)).size, world.requests.length, 'nothing twice')
  })

  it('asks for one block where reads jump about', async () => {
    const world = await World.make(64 * BLOCK_SIZE)
    const reader = world.reader()
    const pattern = newReadPattern()
    const places = [40, 7, 55, 21].map((block) => block * BLOCK_SIZE + 4096)
    for (const at of places) assert.ok((await reader.read(at, 4096, pattern)).equals(world.content.subarray(at, at + 4096)))
    assert.deepEqual(world.requests.map(({ start, end }) => [start, end + 1 - start]), places.map((at) => [at - 4096, BLOCK_SIZE]))
  })

  it('brings the rest of a file that goes on being read here and there, each block once, and stops when it is closed', async () => {
    const world = await World.make(64 * BLOCK_SIZE)
    const reader = world.reader()
    const pattern = newReadPattern({ mayBringMore: true })
    const places = [40, 7, 55, 21, 63, 12, 33, 48, 2, 60].map((block) => block * BLOCK_SIZE + 4096)
    for (const at of places) assert.ok((await reader.read(at, 4096, pattern)).equals(world.content.subarray(at, at + 4096)))
    await reader.fetchAll(new AbortController().signal)
    const asked = world.requests.flatMap(({ start, end }) => Array.from({ length: (end + 1 - start) / BLOCK_SIZE }, (_, each) => start / BLOCK_SIZE + each))
    assert.deepEqual(asked.sort((a, b) => a - b), Array.from({ length: 64 }, (_, block) => block))
    assert.ok(world.requests.length < 50, 'larger pieces than blocks')
    for (let at = 0; at < world.content.length; at += BLOCK_SIZE) assert.ok((await reader.read(at, BLOCK_SIZE, newReadPattern())).equals(world.content.subarray(at, at + BLOCK_SIZE)))
    world.blocks.close()

    const other = await World.make(64 * BLOCK_SIZE)
    const closing = other.reader()
    for (const at of places.slice(0, 5)) await closing.read(at, 4096, pattern)
    closing.close()
    await new Promise(setImmediate)
    const before = other.requests.length
    await new Promise(setImmediate)
    assert.equal(other.requests.length, before)
    await closing.fetchAll(new AbortController().signal)
    assert.equal(other.budget.used, 0)
  })

  it('of many readers stays within one budget, and all of them get on', async () => {
    const budget = 8 * BLOCK_SIZE
    const world = await World.make(24 * BLOCK_SIZE, budget)
    const readAll = async (reader: VersionReader): Promise<void> => {
      const pattern = newReadPattern()
      for (let at = 0; at < world.content.length; at += 524_288) assert.ok((await reader.read(at, 524_288, pattern)).equals(world.content.subarray(at, at + 524_288)))
    }
    // Readers of one version would share what comes.
    const readers = Array.from({ length: 6 }, () => world.reader())
    await Promise.all(readers.map(readAll))
    assert.ok(world.mostUnderWay <= budget, `${world.mostUnderWay} bytes at once`)
    // What is being written to the cache still counts.
    await Promise.all(readers.map((reader) => reader.fetchAll(new AbortController().signal)))
    assert.equal(world.budget.used, 0)
  })

  it('gives back all it has taken for small files', async () => {
    const world = await World.make(WHOLE_FETCH, 4 * BLOCK_SIZE)
    const [one, other] = [world.reader(true), world.reader(true)]
    const reads = [one.read(3 * BLOCK_SIZE, 100, newReadPattern()), other.read(0, 100, newReadPattern())]
    await world.asked(1)
    assert.equal(world.budget.used, 4 * BLOCK_SIZE, 'all four blocks of it')
    assert.equal(world.requests.length, 1, 'the other one waits')
    world.release()
    await Promise.all(reads)
    await one.prefetch()
    assert.equal(world.budget.used, 0)
  })
})

describe('a block', () => {
  it('is handed out as its bytes come', async () => {
    const world = await World.make(64 * BLOCK_SIZE)
    const reader = world.reader(true)
    const reading = reader.read(10 * BLOCK_SIZE, 4096, newReadPattern())
    await world.asked(1)
    world.requests[0]!.send(5000)
    assert.ok((await reading).equals(world.content.subarray(10 * BLOCK_SIZE, 10 * BLOCK_SIZE + 4096)))
    assert.ok(world.underWay > 0, 'the rest is still to come')
    world.release()
  })

  for (const [kind, size] of [['a large file', 8 * BLOCK_SIZE], ['a small file', 300_000]] as const) {
    it(`of ${kind} that the disk has damaged is fetched again`, async () => {
      const world = await World.make(size)
      const all = async (): Promise<Buffer> => {
        const [reader, pattern, parts] = [world.reader(), newReadPattern(), [] as Buffer[]]
        for (let at = 0; at < size; at += 65_536) parts.push(Buffer.from(await reader.read(at, 65_536, pattern)))
        await reader.fetchAll(new AbortController().signal)
        return Buffer.concat(parts)
      }
      assert.ok((await all()).equals(world.content))
      const files = (await readdir(world.dir, { recursive: true, withFileTypes: true })).filter((it) => it.isFile())
      const damaged = files.find(({ name }) => name === '0')!
      const handle = await open(join(damaged.parentPath, damaged.name), 'r+')
      const byte = Buffer.alloc(1)
      await handle.read(byte, 0, 1, 70_000)
      byte[0]! ^= 1
      await handle.write(byte, 0, 1, 70_000)
      await handle.close()
      await world.newProcess()
      world.requests.length = 0
      assert.ok((await all()).equals(world.content))
      assert.deepEqual(world.requests.map(({ start }) => start), [0], 'and nothing else is')
      await world.newProcess()
      world.requests.length = 0
      assert.ok((await all()).equals(world.content))
      assert.equal(world.requests.length, 0)
    })
  }
})
