import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Attr } from '../driver.js'
import { encodeStat, encodeStatFs, fromHalves } from './stat.js'

const attr: Attr = { ino: 7, type: 'file', mode: 0o640, nlink: 1, uid: 1, gid: 2, size: 0, atime: 0n, mtime: 0n, ctime: 0n }

describe('encodeStat', () => {
  it('keeps sizes and times of all magnitudes', () => {
    fc.assert(fc.property(fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 10n ** 21n }), (size, mtime) => {
      const out = encodeStat({ ...attr, size, mtime })
      assert.equal(fromHalves(out[3]!, out[4]!), size)
      assert.equal(fromHalves(out[14]!, out[15]!), Number(mtime / 1_000_000n))
    }))
  })

  it('tells the type, and never the inode number 0', () => {
    assert.equal(encodeStat(attr)[0], 0o100640)
    assert.equal(encodeStat({ ...attr, type: 'folder' })[0], 0o040640)
    assert.equal(encodeStat({ ...attr, type: 'symlink' })[0], 0o120640)
    assert.equal(encodeStat({ ...attr, type: 'fifo' })[0], 0o010640)
    assert.equal(encodeStat({ ...attr, ino: 2 ** 32 })[7], 1)
  })

  it('shows times before 1970 as 1970, since the binding cannot', () => {
    const out = encodeStat({ ...attr, mtime: -5_000_000_000n })
    assert.equal(fromHalves(out[14]!, out[15]!), 0)
  })
})

describe('encodeStatFs', () => {
  it('tells a large filesystem in larger blocks', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 48 }), (blocks) => {
      const [size, , total] = encodeStatFs({ blockSize: 4096, blocks, blocksFree: blocks, files: 1, filesFree: 1, nameMax: 255 })
      assert.ok(Math.abs(size! * total! - 4096 * blocks) < size!)
    }))
  })
})
