import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EVERYTHING } from './fake-kernel.testing.js'
import { negotiate, refusal } from './features.js'

const WISHES = { readdirplus: true, writeback: false }

test('nothing is used that the kernel does not offer, that is too new for it, or that nobody wants', () => {
  const everything = negotiate(EVERYTHING, WISHES, '6.18.0')
  assert.equal(everything.features.has('writeback'), false)
  assert.equal(everything.features.has('readdirplus'), true)
  // POSIX_LOCKS, FLOCK_LOCKS, DONT_MASK, POSIX_ACL, SETXATTR_EXT
  assert.equal(everything.reply.flags & (1 << 1 | 1 << 10 | 1 << 6 | 1 << 20 | 1 << 29), 0)
  assert.equal(negotiate(EVERYTHING, { readdirplus: false, writeback: true }, '6.18.0').features.has('readdirplus'), false)
  assert.equal(negotiate(EVERYTHING, { readdirplus: false, writeback: true }, '6.18.0').features.has('writeback'), true)

  const old = negotiate({ ...EVERYTHING, minor: 31 }, WISHES, '5.4.0')
  assert.equal(old.features.has('killprivV2') || old.features.has('initExt') || old.features.has('expireOnly') || old.incEpoch, false)
  assert.equal(old.reply.minor, 31)
  assert.equal(old.reply.flags2, 0)

  const poor = negotiate({ ...EVERYTHING, flags: 0, flags2: 0 }, WISHES, '6.18.0')
  assert.deepEqual([poor.features.size, poor.reply.flags, poor.reply.maxWrite, poor.reply.maxPages], [0, 0, 131_072, 0])
})

test('flags above 31 need INIT_EXT', () => {
  assert.equal(negotiate({ ...EVERYTHING, flags: 0 }, WISHES, '6.18.0').reply.flags2, 0)
})

test('a newer kernel is answered with the newest that is known here', () => {
  assert.equal(negotiate({ ...EVERYTHING, minor: 99 }, WISHES, '9.0.0').reply.minor, 45)
})

test('listings are not left to kernels that lose names', () => {
  const caches = (release: string): boolean => negotiate(EVERYTHING, WISHES, release).cacheFolders
  assert.deepEqual(['6.8.0-45-generic', '6.9.1', '6.12.7', '6.13.0', '7.0.0', '5.15.0'].map(caches), [true, false, false, true, true, true])
})

test('kernels before 5.4 are refused with a sentence', () => {
  assert.match(refusal({ major: 7, minor: 30 })!, /7\.30.*Linux 5\.4/)
  assert.match(refusal({ major: 6, minor: 99 })!, /6\.99/)
  assert.equal(refusal({ major: 7, minor: 31 }), undefined)
  assert.equal(refusal({ major: 8, minor: 0 }), undefined)
})
