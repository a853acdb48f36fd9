import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ProtocolError } from './errors.js'
import * as layouts from './layouts.js'
import type { Kind, Struct } from './struct.js'

/** sizeof in linux/fuse.h. */
const SIZES: Readonly<Record<keyof typeof layouts, number>> = {
  InHeader: 40, OutHeader: 16, InitIn: 16, InitInExtension: 48, ForgetIn: 8, BatchForgetIn: 8, ForgetOne: 16, GetattrIn: 16, SetattrIn: 88,
  MknodIn: 16, MkdirIn: 8, RenameIn: 8, Rename2In: 16, LinkIn: 8, OpenIn: 8, CreateIn: 16, ReadIn: 40, WriteIn: 40, ReleaseIn: 24, FlushIn: 24,
  FsyncIn: 16, SetxattrIn: 8, GetxattrIn: 8, AccessIn: 8, InterruptIn: 8, FallocateIn: 32, LseekIn: 24, CopyFileRangeIn: 56, StatxIn: 24,
  InitOut: 64, AttrLayout: 88, EntryOut: 128, AttrOut: 104, OpenOut: 16, WriteOut: 8, StatfsOut: 80, GetxattrOut: 8, LseekOut: 8,
  CopyFileRangeOut: 8, Dirent: 24, SxTime: 16, StatxOut: 288, InvalInodeOut: 24, InvalEntryOut: 16, DeleteOut: 24,
}

const KINDS: Readonly<Record<Kind, fc.Arbitrary<number | bigint>>> = {
  u16: fc.nat(0xffff),
  u32: fc.nat(0xffffffff),
  i32: fc.integer(),
  u64: fc.maxSafeNat(),
  i64: fc.maxSafeInteger(),
  id: fc.bigInt(0n, 2n ** 64n - 1n),
}

/** Any value of a layout. */
export function anyOf<T extends object>(layout: Struct<T>): fc.Arbitrary<T> {
  const fields = Object.entries(layout.fields).filter(([, field]) => typeof field !== 'number')
  return fc.record(Object.fromEntries(fields.map(([key, field]) =>
    [key, typeof field === 'string' ? KINDS[field] : anyOf(field as Struct<object>)])), { noNullPrototype: true }) as unknown as fc.Arbitrary<T>
}

for (const [name, layout] of Object.entries(layouts) as [keyof typeof layouts, Struct<object>][]) {
  test(`${name}: size, round trip at any place, bounds`, () => {
    assert.equal(layout.size, SIZES[name])
    fc.assert(fc.property(anyOf(layout), fc.nat(64), fc.nat(64), (value, before, after) => {
      const bytes = Buffer.alloc(before + layout.size + after, 0xa5)
      layout.encode(bytes, before, value)
      assert.deepEqual({ ...layout.decode(bytes, before) }, { ...value })
      // Nothing beside it was touched.
      assert.equal(bytes.subarray(0, before).every((byte) => byte === 0xa5) && bytes.subarray(before + layout.size).every((byte) => byte === 0xa5), true)
      // What is read again is written the same: padding is zero.
      const again = Buffer.alloc(layout.size)
      layout.encode(again, 0, layout.decode(bytes, before))
      assert.deepEqual(again, bytes.subarray(before, before + layout.size))
    }), { numRuns: 50 })
    assert.throws(() => layout.decode(Buffer.alloc(layout.size - 1)), ProtocolError)
    assert.throws(() => layout.decode(Buffer.alloc(layout.size), 1), ProtocolError)
  })
}

test('numbers that JavaScript cannot hold are not sent, and do not pass for others', () => {
  const bytes = Buffer.alloc(8)
  for (const offset of [2 ** 53, -1, 0.5, NaN]) assert.throws(() => layouts.LseekOut.encode(bytes, 0, { offset }), RangeError)
  bytes.writeBigUInt64LE(2n ** 64n - 1n)
  assert.equal(Number.isSafeInteger(layouts.LseekOut.decode(bytes).offset), false)
})
