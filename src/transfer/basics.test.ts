import { strict as assert } from 'node:assert'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { CellsNode } from '../cells/types.js'
import { compareWithNode, Digester, etagOfParts, HASH_BLOCK } from '../cells/digest.js'
import { cleanRemotePath, nameInside } from './names.js'
import { cutIntoParts, MIB, partRules, partSizeFor } from './parts.js'
import { readAhead, Semaphore } from './pool.js'
import { explain } from './run.js'

const md5 = (...chunks: Uint8Array[]): Buffer => {
  const hash = createHash('md5')
  for (const chunk of chunks) hash.update(chunk)
  return hash.digest()
}

describe('parts', () => {
  it('S16 101 MiB are three parts of at most 50 MiB', () => {
    assert.deepEqual(cutIntoParts(101 * MIB, partRules()).map(part => part.size / MIB), [50, 50, 1])
  })

  it('S18 a part size must be a multiple of 10 MiB', () => {
    assert.throws(() => partRules({ partSize: 15 * MIB }), /PartSize must be a multiple of 10MB/)
  })

  it('S19 parts grow so that 20 of them hold 1 GiB', () => {
    const rules = partRules({ partSize: 10 * MIB, maxParts: 20 })
    assert.equal(partSizeFor(1024 * MIB, rules), 60 * MIB)
    assert.ok(cutIntoParts(1024 * MIB, rules).length <= 20)
  })

  it('parts cover the file without gaps, are never more than allowed, and are whole hash blocks', () => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 20_000 * MIB }), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5000 }),
      (size, blocks, maxParts) => {
        const parts = cutIntoParts(size, partRules({ partSize: blocks * HASH_BLOCK, maxParts }))
        assert.ok(parts.length <= maxParts)
        let end = 0
        for (const [index, part] of parts.entries()) {
          assert.equal(part.number, index + 1)
          assert.equal(part.start, end)
          if (index < parts.length - 1) assert.equal(part.size % HASH_BLOCK, 0)
          end += part.size
        }
        assert.equal(end, size)
      },
    ))
  })
})

describe('digest', () => {
  const node = (facts: Partial<CellsNode>): CellsNode => ({
    uuid: 'u', path: 'ws/a', kind: 'file', size: 3, mtime: 0, etag: '', hash: '', readOnly: false, meta: {}, ...facts,
  })

  it('T1 gives md5 and internal hash whatever the chunks, at the edges of a block', () => {
    const content = Buffer.alloc(2 * HASH_BLOCK + 5, 'cells')
    for (const size of [0, 1, HASH_BLOCK, HASH_BLOCK + 1, 2 * HASH_BLOCK, 2 * HASH_BLOCK + 5]) {
      const bytes = content.subarray(0, size)
      const blocks: Buffer[] = []
      for (let start = 0; start < size; start += HASH_BLOCK) blocks.push(md5(bytes.subarray(start, start + HASH_BLOCK)))
      const expected = md5(...(blocks.length === 0 ? [md5()] : blocks)).toString('hex')
      for (const step of [size, 3 * MIB, 7_777_777].filter(step => step > 0)) {
        const digester = new Digester()
        for (let start = 0; start < size; start += step) digester.update(bytes.subarray(start, start + step))
        const digest = digester.finish()
        assert.equal(digest.md5, md5(bytes).toString('hex'))
        assert.equal(digest.cellsHash, expected, `${size} bytes in steps of ${step}`)
        assert.equal(digest.size, size)
      }
    }
  })

  it('knows our content by md5, by internal hash and by the ETag of parts', () => {
    const digester = new Digester()
    digester.update(Buffer.from('abc'))
    const digest = digester.finish()
    assert.equal(compareWithNode(digest, node({ etag: digest.md5 })), 'same')
    assert.equal(compareWithNode(digest, node({ etag: 'f'.repeat(32), hash: digest.cellsHash })), 'same')
    const partsEtag = etagOfParts([digest.md5])
    assert.equal(compareWithNode({ ...digest, partsEtag }, node({ etag: partsEtag })), 'same')
    assert.equal(compareWithNode(digest, node({ etag: 'f'.repeat(32) })), 'other')
    assert.equal(compareWithNode(digest, node({ etag: digest.md5, size: 4 })), 'other')
    assert.equal(compareWithNode(digest, node({ etag: 'temporary' })), 'other')
    assert.equal(compareWithNode(digest, node({ etag: partsEtag })), 'unknown')
    assert.equal(compareWithNode(digest, node({ etag: partsEtag, hash: 'f'.repeat(32) })), 'other')
  })
})

describe('names', () => {
  it('takes one harmless segment and nothing else from a listing', () => {
    assert.equal(nameInside('ws/a', 'ws/a/b c'), 'b c')
    for (const path of ['ws/a/../x', 'ws/a/..', 'ws/a/.', 'ws/a/', 'ws/a/b/c', '/etc/passwd', 'ws/ab', 'ws/a/x\0y', 'ws/a']) {
      assert.throws(() => nameInside('ws/a', path), { kind: 'unsafe-name' }, path)
    }
  })

  it('never yields a name that leaves the folder', () => {
    fc.assert(fc.property(fc.string(), path => {
      try {
        const name = nameInside('ws', `ws/${path}`)
        assert.ok(name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0'))
      } catch (error) {
        assert.equal((error as { kind?: string }).kind, 'unsafe-name')
      }
    }))
  })

  it('cleans slashes and composes accents', () => {
    assert.equal(cleanRemotePath('//ws//e\u0301/'), 'ws/\u00e9')
  })
})

describe('pool', () => {
  it('never lets in more than its limit', async () => {
    const semaphore = new Semaphore(3)
    let inside = 0
    let most = 0
    await Promise.all(Array.from({ length: 20 }, () => semaphore.run(async () => {
      most = Math.max(most, ++inside)
      await new Promise(resolve => setImmediate(resolve))
      inside--
    })))
    assert.equal(most, 3)
  })

  it('reads ahead up to the limit and no further', async () => {
    let produced = 0
    async function * source(): AsyncGenerator<number> {
      for (;;) {
        await Promise.resolve()
        yield ++produced
      }
    }
    const seen: number[] = []
    for await (const item of readAhead(source(), 5)) {
      seen.push(item)
      await new Promise(resolve => setImmediate(resolve))
      assert.ok(produced - item <= 6, `${produced} produced at ${item}`)
      if (item === 20) break
    }
    assert.deepEqual(seen, Array.from({ length: 20 }, (_, index) => index + 1))
  })

  it('hands over an error after the items before it', async () => {
    // eslint-disable-next-line @typescript-eslint/require-await
    async function * source(): AsyncGenerator<number> {
      yield 1
      yield 2
      throw new Error('broken')
    }
    const seen: number[] = []
    await assert.rejects(async () => {
      for await (const item of readAhead(source(), 10)) seen.push(item)
    }, /broken/)
    assert.deepEqual(seen, [1, 2])
  })
})

it('explains errors of the file system in words', () => {
  assert.equal(explain(Object.assign(new Error('EACCES: permission denied, open x'), { code: 'EACCES' })), 'permission denied')
})
