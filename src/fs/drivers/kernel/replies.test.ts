import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Attr, Entry } from '../driver.js'
import * as layouts from './layouts.js'
import { OUT_HEADER_BYTES } from './protocol.js'
import { DirentWriter, entryReply, joinTime, splitTime, writeEntry } from './replies.js'

const time = fc.bigInt(-(2n ** 62n), 2n ** 62n)
const u32 = fc.nat(0xffffffff)
const attr: fc.Arbitrary<Attr> = fc.record({
  ino: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), type: fc.constantFrom('file', 'folder', 'symlink', 'fifo', 'socket'), mode: fc.nat(0o7777), nlink: u32, uid: u32, gid: u32,
  size: fc.maxSafeNat(), atime: time, mtime: time, ctime: time,
})
const entry: fc.Arbitrary<Entry> = fc.record({ attr, generation: fc.maxSafeNat(), entryTimeoutMs: fc.nat(10 ** 9), attrTimeoutMs: fc.double({ min: -5, max: 10 ** 9, noNaN: true }) })

describe('replies', () => {
  it('write an entry of a listing as its layout says', () => {
    fc.assert(fc.property(entry, fc.nat(40), (value, at) => {
      const bytes = Buffer.alloc(at + layouts.EntryOut.size + 8, 0xa5)
      writeEntry(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at, value)
      assert.deepEqual(bytes.subarray(at, at + layouts.EntryOut.size), entryReply(value)[0].subarray(OUT_HEADER_BYTES))
      assert.deepEqual(bytes.subarray(at + layouts.EntryOut.size), Buffer.alloc(8, 0xa5))
      assert.deepEqual(bytes.subarray(0, at), Buffer.alloc(at, 0xa5))
    }))
  })

  it('fill a listing with names that can be read back, and stop at its size', () => {
    const item = fc.record({ name: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }), attr, next: fc.maxSafeNat(), held: fc.option(entry, { nil: undefined }) })
    fc.assert(fc.property(fc.array(item, { maxLength: 8 }), fc.nat(1_000), fc.boolean(), (items, size, plus) => {
      const writer = new DirentWriter(size)
      const full = items.findIndex((each) => !(plus ? writer.addPlus(each, () => each.held) : writer.add(each)))
      const written = full < 0 ? items : items.slice(0, full)
      const [bytes] = writer.finish()
      assert.equal(bytes.length <= OUT_HEADER_BYTES + size, true)
      let at = OUT_HEADER_BYTES
      for (const { name, attr: { ino }, next, held } of written) {
        if (plus) {
          assert.equal(layouts.EntryOut.decode(bytes, at).nodeid, held?.attr.ino ?? 0)
          at += layouts.EntryOut.size
        }
        const { namelen, ...dirent } = layouts.Dirent.decode(bytes, at)
        assert.deepEqual([dirent.ino, dirent.off, bytes.toString('utf8', at + layouts.Dirent.size, at + layouts.Dirent.size + namelen)], [ino, next, name])
        at += (layouts.Dirent.size + namelen + 7) & ~7
      }
      assert.equal(at, bytes.length)
    }))
  })

  it('split times, also those before 1970, and join them again', () => {
    fc.assert(fc.property(fc.array(time), (times) => {
      for (const each of times) {
        const { sec, nsec } = splitTime(each)
        assert.equal(nsec >= 0 && nsec < 1_000_000_000, true)
        assert.equal(joinTime(sec, nsec), each)
      }
    }))
  })
})
