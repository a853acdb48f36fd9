import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ProtocolError } from './errors.js'
import { OPCODES, type OpName } from './protocol.js'
import { decodeArgs, decodeHeader, encodeRequest, opName, type Args } from './requests.js'

const u32 = fc.nat(0xffffffff)
const u64 = fc.maxSafeNat()
const id = fc.bigInt(0n, 2n ** 64n - 1n)
const header = fc.record({ unique: id, nodeid: u64, uid: u32, gid: u32, pid: u32 })
const name = fc.string({ unit: 'grapheme', maxLength: 50 }).filter((text) => !text.includes('\0'))
const bytes = fc.uint8Array({ maxLength: 5000 }).map((array) => Buffer.from(array))
const transfer = { fh: u64, offset: u64, lockOwner: id, flags: u32 }

const ARGS: { readonly [N in OpName]: fc.Arbitrary<Args<N>> } = {
  lookup: fc.record({ name }),
  forget: fc.record({ nlookup: u64 }),
  getattr: fc.record({ flags: u32, fh: u64 }),
  setattr: fc.record({
    valid: u32, fh: u64, size: u64, lockOwner: id, atime: fc.maxSafeInteger(), mtime: fc.maxSafeInteger(), ctime: fc.maxSafeInteger(),
    atimeNsec: u32, mtimeNsec: u32, ctimeNsec: u32, mode: u32, uid: u32, gid: u32,
  }),
  readlink: fc.constant({}),
  symlink: fc.record({ name, target: name }),
  mknod: fc.record({ mode: u32, rdev: u32, umask: u32, name }),
  mkdir: fc.record({ mode: u32, umask: u32, name }),
  unlink: fc.record({ name }),
  rmdir: fc.record({ name }),
  rename: fc.record({ newdir: u64, name, newname: name }),
  link: fc.record({ oldnodeid: u64, newname: name }),
  open: fc.record({ flags: u32, openFlags: u32 }),
  read: fc.record({ ...transfer, size: u32, readFlags: u32 }),
  write: fc.record({ ...transfer, writeFlags: u32, data: bytes }).map((args) => ({ ...args, size: args.data.length })),
  statfs: fc.constant({}),
  release: fc.record({ fh: u64, flags: u32, releaseFlags: u32, lockOwner: id }),
  fsync: fc.record({ fh: u64, flags: u32 }),
  setxattr: fc.record({ flags: u32, name, data: bytes }).map((args) => ({ ...args, size: args.data.length })),
  getxattr: fc.record({ size: u32, name }),
  listxattr: fc.record({ size: u32 }),
  removexattr: fc.record({ name }),
  flush: fc.record({ fh: u64, lockOwner: id }),
  init: fc.record({ major: u32, minor: u32, maxReadahead: u32, flags: u32, flags2: u32 }),
  opendir: fc.record({ flags: u32, openFlags: u32 }),
  readdir: fc.record({ ...transfer, size: u32, readFlags: u32 }),
  releasedir: fc.record({ fh: u64, flags: u32, releaseFlags: u32, lockOwner: id }),
  fsyncdir: fc.record({ fh: u64, flags: u32 }),
  access: fc.record({ mask: u32 }),
  create: fc.record({ flags: u32, mode: u32, umask: u32, openFlags: u32, name }),
  interrupt: fc.record({ unique: id }),
  destroy: fc.constant({}),
  batchForget: fc.record({ items: fc.array(fc.record({ nodeid: u64, nlookup: u64 }, { noNullPrototype: true }), { maxLength: 20 }) }),
  fallocate: fc.record({ fh: u64, offset: u64, length: u64, mode: u32 }),
  readdirplus: fc.record({ ...transfer, size: u32, readFlags: u32 }),
  rename2: fc.record({ newdir: u64, flags: u32, name, newname: name }),
  lseek: fc.record({ fh: u64, offset: u64, whence: u32 }),
  copyFileRange: fc.record({ fhIn: u64, offsetIn: u64, nodeidOut: u64, fhOut: u64, offsetOut: u64, length: u64, flags: u64 }),
  statx: fc.record({ flags: u32, fh: u64, sxFlags: u32, sxMask: u32 }),
  copyFileRange64: fc.record({ fhIn: u64, offsetIn: u64, nodeidOut: u64, fhOut: u64, offsetOut: u64, length: u64, flags: u64 }),
}

for (const op of Object.keys(OPCODES) as OpName[]) {
  test(`${op}: round trip; every shorter message is malformed or means something`, () => {
    fc.assert(fc.property(header, ARGS[op] as fc.Arbitrary<Args<OpName>>, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (head, args, cut) => {
      const message = encodeRequest(op, head, args)
      assert.deepEqual({ ...decodeHeader(message) }, { ...head, opcode: OPCODES[op], length: message.length, extensions: 0 })
      assert.equal(opName(OPCODES[op]), op)
      assert.deepEqual({ ...decodeArgs(op, message) }, { ...args })

      const short = Buffer.from(message.subarray(0, Math.floor(message.length * cut)))
      if (short.length >= 4) short.writeUInt32LE(short.length)
      try {
        decodeArgs(op, short)
      } catch (error) {
        assert.equal(error instanceof ProtocolError, true, String(error))
      }
    }), { numRuns: 100 })
  })
}

test('data is a view, not a copy', () => {
  const message = encodeRequest('write', { unique: 1n, nodeid: 2, uid: 0, gid: 0, pid: 0 }, { fh: 1, offset: 0, size: 4, writeFlags: 0, lockOwner: 0n, flags: 0, data: Buffer.from('data') })
  assert.equal(decodeArgs('write', message).data.buffer, message.buffer)
})

test('extensions behind the body are not part of it', () => {
  const plain = encodeRequest('lookup', { unique: 1n, nodeid: 1, uid: 0, gid: 0, pid: 0 }, { name: 'x' })
  const message = Buffer.concat([plain, Buffer.alloc(6 + 16, 'y')])
  message.writeUInt32LE(message.length, 0)
  message.writeUInt16LE(2, 36)
  assert.equal(decodeArgs('lookup', message).name, 'x')
  message.writeUInt16LE(0xffff, 36)
  assert.throws(() => decodeArgs('lookup', message), ProtocolError)
})
