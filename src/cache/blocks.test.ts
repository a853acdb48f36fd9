import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { silentLogger } from '../log.js'
import { BLOCK_SIZE, BlockCache, type VersionKey } from './blocks.js'
import { contentBuffers } from './buffer-pool.js'

describe('BlockCache', () => {
  const folders: string[] = []
  const folder = async (): Promise<string> => {
    const dir = await mkdtemp(join(tmpdir(), 'cellsfs-blocks-'))
    folders.push(dir)
    return dir
  }
  after(async () => { for (const dir of folders) await rm(dir, { recursive: true }) })
  const key: VersionKey = { uuid: 'u', etag: 'e', size: BLOCK_SIZE + 1000 }

  const files = async (dir: string): Promise<string[]> => {
    const all: string[] = []
    for (const version of await readdir(dir)) if (version !== 'tmp') for (const name of await readdir(join(dir, version))) all.push(join(dir, version, name))
    return all.sort()
  }

  it('gives back what was put, also to the next process', async () => {
    const dir = await folder()
    const first = await BlockCache.open(dir, 1 << 26, silentLogger)
    const tail = randomBytes(1000)
    await first.put(key, 1, tail)
    assert.deepEqual(await first.read(key, 1, 10, 20), tail.subarray(10, 20))
    const second = await BlockCache.open(dir, 1 << 26, silentLogger)
    assert.deepEqual(await second.read(key, 1, 0, 1000), tail)
    assert.equal(await second.read(key, 0, 0, 10), undefined)
    assert.equal(await second.read({ ...key, etag: 'other' }, 1, 0, 10), undefined)
  })

  it('keeps pinned versions beside its bound, also in the next process, and lets them go', async () => {
    const dir = await folder()
    const whole: VersionKey = { uuid: 'whole', etag: 'e', size: 2 * BLOCK_SIZE }
    const limit = 2 * BLOCK_SIZE
    const fill = async (cache: BlockCache): Promise<void> => {
      for (let i = 0; i < 4; i++) await cache.put({ uuid: `other ${i} ${Math.random()}`, etag: 'e', size: BLOCK_SIZE }, 0, randomBytes(BLOCK_SIZE))
      await cache.settled()
    }
    const first = await BlockCache.open(dir, limit, silentLogger)
    const [early, late] = [randomBytes(BLOCK_SIZE), randomBytes(BLOCK_SIZE)]
    await first.put(whole, 0, early)
    await first.keep(whole)
    assert.equal(first.missing(whole), BLOCK_SIZE)
    await first.put(whole, 1, late)
    await fill(first)
    assert.deepEqual(await first.read(whole, 0, 0, BLOCK_SIZE), early)
    assert.deepEqual([first.missing(whole), first.usage.bytes <= limit, Math.floor(first.usage.pinned / BLOCK_SIZE)], [0, true, 2])
    first.close()
    const second = await BlockCache.open(dir, limit, silentLogger)
    await fill(second)
    assert.deepEqual(await second.read(whole, 1, 0, BLOCK_SIZE), late)
    assert.deepEqual([second.hits, second.misses], [1, 0])
    await second.keepOnly([])
    await fill(second)
    assert.deepEqual([second.missing(whole), second.usage.pinned], [whole.size, 0])
    assert.equal((await files(dir)).length, second.usage.blocks)
    second.close()
  })

  it('treats a damaged block as a miss', async () => {
    const dir = await folder()
    const first = await BlockCache.open(dir, 1 << 26, silentLogger)
    await first.put(key, 1, randomBytes(1000))
    const [file] = await files(dir)
    const handle = await open(file!, 'r+')
    await handle.write(Buffer.from([1, 2, 3]), 0, 3, 500)
    await handle.close()
    const second = await BlockCache.open(dir, 1 << 26, silentLogger)
    assert.equal(await second.read(key, 1, 0, 1000), undefined)
    assert.equal(second.has(key, 1), false)
    await second.settled()
    assert.deepEqual(await files(dir), [])
  })

  it('treats a cut block as a miss', async () => {
    const dir = await folder()
    const first = await BlockCache.open(dir, 1 << 26, silentLogger)
    await first.put(key, 1, randomBytes(1000))
    await writeFile((await files(dir))[0]!, Buffer.alloc(12))
    const second = await BlockCache.open(dir, 1 << 26, silentLogger)
    assert.equal(await second.read(key, 1, 0, 1000), undefined)
  })

  it('stays within its bound and drops the least recently used', async () => {
    const dir = await folder()
    const cache = await BlockCache.open(dir, 3 * (BLOCK_SIZE + 40), silentLogger)
    const big: VersionKey = { uuid: 'u', etag: 'e', size: 10 * BLOCK_SIZE }
    for (let i = 0; i < 3; i++) await cache.put(big, i, Buffer.alloc(BLOCK_SIZE, i))
    await cache.read(big, 0, 0, 1)
    assert.ok(cache.has(big, 0))
    await cache.put(big, 3, Buffer.alloc(BLOCK_SIZE, 3))
    await cache.settled()
    assert.ok(cache.usage.bytes <= cache.usage.limit)
    assert.equal((await files(dir)).length, 3)
    assert.equal(cache.has(big, 3), true)
  })

  it('adopts a local file as a version', async () => {
    const dir = await folder()
    const cache = await BlockCache.open(dir, 1 << 26, silentLogger)
    const content = randomBytes(key.size)
    const file = join(dir, 'tmp', 'source')
    await writeFile(file, content)
    const handle = await open(file)
    await cache.adopt(key, handle)
    await handle.close()
    assert.deepEqual(await cache.read(key, 0, 0, BLOCK_SIZE), content.subarray(0, BLOCK_SIZE))
    assert.deepEqual(await cache.read(key, 1, 0, 1000), content.subarray(BLOCK_SIZE))
  })

  it('reads parts of more blocks than it keeps in memory and open, all at once', async () => {
    const dir = await folder()
    const first = await BlockCache.open(dir, 1 << 26, silentLogger)
    const content = Array.from({ length: 200 }, (_, index) => ({ key: { uuid: `u${index}`, etag: 'e', size: 5_000 }, data: randomBytes(5_000) }))
    for (const { key: one, data } of content) await first.put(one, 0, data)
    first.close()
    for (const cache of [first, await BlockCache.open(dir, 1 << 26, silentLogger)]) {
      for (let round = 0; round < 2; round++) {
        await Promise.all(content.map(async ({ key: one, data }) => {
          // A file that was closed in favour of another is opened again.
          for (;;) {
            const part = await cache.read(one, 0, 100, 4_900)
            if (part === undefined) {
              assert.equal(cache.has(one, 0), true)
              continue
            }
            assert.equal(part.equals(data.subarray(100, 4_900)), true)
            return
          }
        }))
      }
      cache.close()
    }
  })

  it('gives content that nobody else writes to, also when memory is used again', async () => {
    const dir = await folder()
    const cache = await BlockCache.open(dir, 1 << 26, silentLogger)
    const data = randomBytes(BLOCK_SIZE)
    const big: VersionKey = { uuid: 'u', etag: 'e', size: 60 * BLOCK_SIZE }
    await cache.put(big, 0, data)
    // Out of memory, onto the disk.
    for (let index = 1; index < 40; index++) await cache.put(big, index, Buffer.alloc(BLOCK_SIZE, index))
    const one = await cache.read(big, 0, 0, 4_096)
    const two = await cache.read(big, 0, 4_096, 8_192)
    assert.equal(one!.equals(data.subarray(0, 4_096)), true)
    contentBuffers.give(one!)
    const three = await cache.read(big, 1, 0, 4_096)
    assert.equal(three!.equals(Buffer.alloc(4_096, 1)), true)
    assert.equal(two!.equals(data.subarray(4_096, 8_192)), true)
    // A block in memory is shared, and stays what it is.
    contentBuffers.give((await cache.read(big, 39, 0, 4_096))!)
    await cache.read(big, 2, 0, 4_096)
    assert.equal((await cache.read(big, 39, 0, 4_096))!.equals(Buffer.alloc(4_096, 39)), true)
    cache.close()
  })
})
