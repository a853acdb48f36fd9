import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { silentLogger } from '../../../log.js'
import { toErrno } from '../../errno.js'
import type { FileSystem } from '../driver.js'
import { MemoryFs, type MemoryFsOptions } from '../memory-fs.testing.js'
import { EVERYTHING, FakeKernel } from './fake-kernel.testing.js'
import * as layouts from './layouts.js'
import { FATTR, IN_HEADER_BYTES, NOTICES, OPCODES, OUT_HEADER_BYTES, type OpName } from './protocol.js'
import { Session, type SessionOptions } from './session.js'

const { EEXIST, EFBIG, EINTR, EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, EPROTO } = constants.errno
const O_RDWR = 2
const TRANSFER = { lockOwner: 0n, flags: 0 }

interface World {
  readonly kernel: FakeKernel
  readonly session: Session
  readonly fs: MemoryFs
}

async function withSession(work: (world: World) => Promise<void>, options: Partial<SessionOptions> & { readonly memory?: MemoryFsOptions; readonly wrap?: (fs: MemoryFs) => FileSystem } = {}): Promise<void> {
  const { memory, wrap, ...rest } = options
  const fs = new MemoryFs(memory)
  const kernel = new FakeKernel()
  const session = new Session({ device: kernel, fs: wrap?.(fs) ?? fs, errnoOf: toErrno, log: silentLogger, release: '6.18.0', ...rest })
  session.start()
  try {
    assert.equal((await kernel.ask('init', EVERYTHING)).error, 0)
    await session.ready
    await work({ kernel, session, fs })
  } finally {
    kernel.end()
    await session.ended
  }
  assert.deepEqual(fs.leaks(), [])
  assert.deepEqual(session.held, { lookups: 0, handles: 0 })
  assert.equal(kernel.closed, true)
}

/** Makes a file and returns its inode and handle. */
async function create(kernel: FakeKernel, name: string, flags = O_RDWR): Promise<{ ino: number; fh: number }> {
  const { error, body } = await kernel.ask('create', { name, flags, mode: 0o644, umask: 0, openFlags: 0 })
  assert.equal(error, 0)
  return { ino: layouts.EntryOut.decode(body).nodeid, fh: layouts.OpenOut.decode(body, layouts.EntryOut.size).fh }
}

/** A promise and what resolves it. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open!: () => void
  const opened = new Promise<void>((resolve) => { open = resolve })
  return { open, opened }
}

describe('session', () => {
  it('writes, reads, lists, and gives everything back', () => withSession(async ({ kernel, session, fs }) => {
    const { ino, fh } = await create(kernel, 'f')
    const data = Buffer.alloc(1_048_576, 'content ')
    assert.equal(layouts.WriteOut.decode((await kernel.ask('write', { ...TRANSFER, fh, offset: 5, size: data.length, writeFlags: 0, data }, { nodeid: ino })).body).size, data.length)
    const { body } = await kernel.ask('read', { ...TRANSFER, fh, offset: 0, size: 2_000_000, readFlags: 0 }, { nodeid: ino })
    assert.deepEqual(body, Buffer.concat([Buffer.alloc(5), data]))
    const { fh: folder } = layouts.OpenOut.decode((await kernel.ask('opendir', { flags: 0, openFlags: 0 })).body)
    const listing = await kernel.ask('readdirplus', { ...TRANSFER, fh: folder, offset: 0, size: 4096, readFlags: 0 })
    assert.equal(listing.body.length, 3 * (layouts.EntryOut.size + layouts.Dirent.size + 8))
    // Not for '.' and '..'.
    assert.deepEqual(session.held, { lookups: 2, handles: 2 })
    kernel.post('forget', { nlookup: 1 }, { nodeid: ino })
    kernel.post('batchForget', { items: [{ nodeid: ino, nlookup: 1 }, { nodeid: 99, nlookup: 7 }] }, { nodeid: 0 })
    await kernel.ask('release', { fh, flags: 0, releaseFlags: 0, lockOwner: 0n }, { nodeid: ino })
    await kernel.ask('releasedir', { fh: folder, flags: 0, releaseFlags: 0, lockOwner: 0n })
    assert.deepEqual(session.held, { lookups: 0, handles: 0 })
    assert.deepEqual(fs.leaks(), [])
  }))

  it('goes on where a listing did not fit', () => withSession(async ({ kernel }) => {
    for (let index = 0; index < 50; index++) await create(kernel, `name-${index}`)
    const { fh } = layouts.OpenOut.decode((await kernel.ask('opendir', { flags: 0, openFlags: 0 })).body)
    for (const op of ['readdir', 'readdirplus'] as const) {
      const names: string[] = []
      for (let offset = 0; ;) {
        const { body } = await kernel.ask(op, { ...TRANSFER, fh, offset, size: 600, readFlags: 0 })
        assert.equal(body.length <= 600, true)
        if (body.length === 0) break
        for (let at = 0; at < body.length;) {
          at += op === 'readdirplus' ? layouts.EntryOut.size : 0
          const { namelen, off } = layouts.Dirent.decode(body, at)
          names.push(body.toString('utf8', at + layouts.Dirent.size, at + layouts.Dirent.size + namelen))
          offset = off
          at += (layouts.Dirent.size + namelen + 7) & ~7
        }
      }
      assert.deepEqual(names, ['.', '..', ...Array.from({ length: 50 }, (_, index) => `name-${index}`)])
    }
  }))

  it('answers what it does not know with ENOSYS, and what is wrong with EIO', () => withSession(async ({ kernel }) => {
    assert.equal((await kernel.ask('access', { mask: 4 })).error, ENOSYS)
    const unknown = Buffer.alloc(IN_HEADER_BYTES)
    layouts.InHeader.encode(unknown, 0, { length: 40, opcode: 4999, unique: 2n ** 63n, nodeid: 1, uid: 0, gid: 0, pid: 0, extensions: 0 })
    kernel.send(unknown)
    const short = Buffer.from(unknown)
    layouts.InHeader.encode(short, 0, { length: 40, opcode: OPCODES.read, unique: 77n, nodeid: 1, uid: 0, gid: 0, pid: 0, extensions: 0 })
    kernel.send(short)
    await kernel.ask('statfs', {})
    assert.equal(kernel.replies.get(2n ** 63n)?.error, ENOSYS)
    assert.equal(kernel.replies.get(77n)?.error, EIO)
  }))

  it('gives the errno of the engine, and refuses what it cannot pass on', () => withSession(async ({ kernel }) => {
    const { ino, fh } = await create(kernel, 'f')
    assert.equal((await kernel.ask('lookup', { name: 'none' })).error, ENOENT)
    assert.equal((await kernel.ask('lookup', { name: 'ü'.repeat(127) })).error, ENOENT)
    assert.equal((await kernel.ask('lookup', { name: 'ü'.repeat(128) })).error, ENAMETOOLONG)
    assert.equal((await kernel.ask('rename', { name: 'f', newname: 'n'.repeat(256), newdir: 1 })).error, ENAMETOOLONG)
    assert.equal((await kernel.ask('create', { name: 'f', flags: 0o300, mode: 0, umask: 0, openFlags: 0 })).error, EEXIST)
    assert.equal((await kernel.ask('mknod', { name: 'null', mode: 0o020644, rdev: 0x103, umask: 0 })).error, EPERM)
    assert.equal((await kernel.ask('rename2', { name: 'f', newname: 'g', newdir: 1, flags: 4 })).error, EINVAL)
    assert.equal((await kernel.ask('getxattr', { name: 'system.posix_acl_access', size: 100 }, { nodeid: ino })).error, EOPNOTSUPP)
    const far = { ...TRANSFER, fh, offset: Number.MAX_SAFE_INTEGER, size: 10, readFlags: 0 }
    const message = Buffer.from(await import('./requests.js').then(({ encodeRequest }) => encodeRequest('read', { unique: 5001n, nodeid: ino, uid: 0, gid: 0, pid: 0 }, far)))
    message.writeBigUInt64LE(2n ** 62n, IN_HEADER_BYTES + 8)
    kernel.send(message)
    await kernel.ask('statfs', {})
    assert.equal(kernel.replies.get(5001n)?.error, EFBIG)
  }))

  it('makes fifos and sockets with mknod', () => withSession(async ({ kernel }) => {
    for (const mode of [0o010644, 0o140600]) {
      const { error, body } = await kernel.ask('mknod', { name: `m${mode}`, mode, rdev: 0, umask: 0 })
      assert.deepEqual([error, layouts.EntryOut.decode(body).attr.mode], [0, mode])
    }
  }))

  it('makes a regular file with mknod', () => withSession(async ({ kernel, fs }) => {
    assert.equal((await kernel.ask('mknod', { name: 'f', mode: 0o100600, rdev: 0, umask: 0 })).error, 0)
    assert.deepEqual(fs.paths(), ['/f'])
  }))

  it('remembers that a name is not there, if the engine allows it', () => withSession(async ({ kernel }) => {
    const { error, body } = await kernel.ask('lookup', { name: 'none' })
    const { nodeid, entryValid, entryValidNsec } = layouts.EntryOut.decode(body)
    assert.deepEqual([error, nodeid, entryValid, entryValidNsec], [0, 0, 1, 500_000_000])
  }, { wrap: (fs) => Object.assign(fs, { absentTimeoutMs: 1500 }) }))

  it('changes only what setattr names', () => withSession(async ({ kernel }) => {
    const { ino } = await create(kernel, 'f')
    const zero = { fh: 0, size: 0, lockOwner: 0n, atime: 0, mtime: 0, ctime: 0, atimeNsec: 0, mtimeNsec: 0, ctimeNsec: 0, mode: 0, uid: 0, gid: 0 }
    await kernel.ask('setattr', { ...zero, valid: FATTR.mode | FATTR.mtime, mode: 0o104711, mtime: -2, mtimeNsec: 5 }, { nodeid: ino })
    const { attr } = layouts.AttrOut.decode((await kernel.ask('getattr', { flags: 0, fh: 0 }, { nodeid: ino })).body)
    assert.deepEqual([attr.mode, attr.mtime, attr.mtimeNsec, attr.uid], [0o104711, -2, 5, process.getuid!()])
    const chown = layouts.AttrOut.decode((await kernel.ask('setattr', { ...zero, valid: FATTR.gid, gid: 7 }, { nodeid: ino })).body)
    assert.deepEqual([chown.attr.mode, chown.attr.gid], [0o100711, 7])
  }))

  it('lets a request go on when its caller catches the signal, and ends it when the caller dies', async () => {
    const { open, opened } = gate()
    let dying = false
    let aborted = false
    await withSession(async ({ kernel }) => {
      const { reply, unique } = kernel.post('lookup', { name: 'slow' }, { pid: 4711 })
      await kernel.ask('statfs', {})
      kernel.post('interrupt', { unique })
      await kernel.ask('statfs', {})
      assert.equal(kernel.replies.has(unique), false)
      // Looked at again, without another interrupt.
      dying = true
      assert.equal((await reply).error, EINTR)
      assert.equal(aborted, true)
      open()
    }, {
      isDying: (pid) => dying && pid === 4711,
      memory: {
        before: async (op, caller) => {
          if (op !== 'lookup') return
          caller!.signal!.addEventListener('abort', () => { aborted = true })
          await opened
        },
      },
    })
  })

  it('gives back what a request brings that nobody waits for any more', async () => {
    const { open, opened } = gate()
    await withSession(async ({ kernel, session }) => {
      await create(kernel, 'f')
      const late = [
        kernel.post('create', { name: 'late', flags: O_RDWR, mode: 0o644, umask: 0, openFlags: 0 }),
        kernel.post('mkdir', { name: 'folder', mode: 0o755, umask: 0 }),
        kernel.post('lookup', { name: 'f' }),
        kernel.post('opendir', { flags: 0, openFlags: 0 }),
      ]
      for (const { unique } of late) kernel.gone.add(unique)
      await kernel.ask('statfs', {})
      open()
      while (session.inflight > 0) await new Promise(setImmediate)
      assert.deepEqual(session.held, { lookups: 1, handles: 1 })
    }, { memory: { before: (op, _caller, name) => (op === 'statfs' || (op === 'create' && name === 'f') ? undefined : opened) } })
  })

  it('stops reading at its bound, and goes on below it', async () => {
    const { open, opened } = gate()
    await withSession(async ({ kernel, session }) => {
      const lookups = Array.from({ length: 10 }, () => kernel.post('lookup', { name: 'x' }))
      while (kernel.watched) await new Promise(setImmediate)
      assert.equal(session.inflight, 4)
      open()
      for (const { reply } of lookups) assert.equal((await reply).error, ENOENT)
    }, { limits: { requests: 4, bytes: 1e9 }, memory: { before: (op) => (op === 'lookup' ? opened : undefined) } })
  })

  it('does not reuse the buffer of a write that is under way', async () => {
    const { open, opened } = gate()
    let first = true
    await withSession(async ({ kernel }) => {
      const { ino, fh } = await create(kernel, 'f')
      const write = (offset: number, fill: string): Promise<unknown> =>
        kernel.ask('write', { ...TRANSFER, fh, offset, size: 200_000, writeFlags: 0, data: Buffer.alloc(200_000, fill) }, { nodeid: ino })
      const slow = write(0, 'a')
      await write(200_000, 'b')
      open()
      await slow
      const { body } = await kernel.ask('read', { ...TRANSFER, fh, offset: 0, size: 400_000, readFlags: 0 }, { nodeid: ino })
      assert.equal(body.equals(Buffer.concat([Buffer.alloc(200_000, 'a'), Buffer.alloc(200_000, 'b')])), true)
    }, {
      memory: {
        before: async (op) => {
          if (op !== 'write' || !first) return
          first = false
          await opened
        },
      },
    })
  })

  it('says when the content of a read is not needed any more, once, also when nobody waited for it', async () => {
    const { open, opened } = gate()
    const lent = new Set<Buffer>()
    await withSession(async ({ kernel, session }) => {
      const { ino, fh } = await create(kernel, 'f')
      const data = Buffer.alloc(10_000, 'x')
      await kernel.ask('write', { ...TRANSFER, fh, offset: 0, size: data.length, writeFlags: 0, data }, { nodeid: ino })
      const reads = Array.from({ length: 3 }, () => kernel.post('read', { ...TRANSFER, fh, offset: 0, size: 10_000, readFlags: 0 }, { nodeid: ino }))
      kernel.gone.add(reads[1]!.unique)
      await kernel.ask('statfs', {})
      assert.equal(lent.size, 0)
      open()
      assert.equal((await reads[0]!.reply).body.equals(data), true)
      assert.equal((await reads[2]!.reply).body.equals(data), true)
      while (session.inflight > 0) await new Promise(setImmediate)
      assert.equal(lent.size, 0)
    }, {
      wrap: (fs) => {
        const read = fs.read.bind(fs)
        return Object.assign(fs, {
          read: async (...args: Parameters<FileSystem['read']>) => {
            await opened
            const content = await read(...args)
            lent.add(content)
            return content
          },
          readDone: (content: Buffer) => { assert.equal(lent.delete(content), true) },
        })
      },
    })
  })

  it('refuses kernels that it does not know, and asks newer ones again', async () => {
    const kernel = new FakeKernel()
    const session = new Session({ device: kernel, fs: new MemoryFs(), errnoOf: toErrno, log: silentLogger, release: '5.0.0' })
    session.start()
    assert.equal((await kernel.ask('init', { ...EVERYTHING, minor: 30 })).error, EPROTO)
    await assert.rejects(session.ready, /7\.30/)
    kernel.end()
    await session.ended

    const newer = new FakeKernel()
    const other = new Session({ device: newer, fs: new MemoryFs(), errnoOf: toErrno, log: silentLogger, release: '9.0.0' })
    other.start()
    assert.equal(layouts.InitOut.decode((await newer.ask('init', { ...EVERYTHING, major: 8, minor: 0 })).body).major, 7)
    assert.equal((await newer.ask('statfs', {})).error, EIO)
    assert.equal((await newer.ask('init', EVERYTHING)).error, 0)
    assert.equal((await other.ready).minor, 45)
    newer.end('aborted')
    await other.ended
  })

  it('survives whatever comes in, and answers each message that wants an answer once', async () => {
    const opcode = fc.oneof(fc.constantFrom(...Object.values(OPCODES).filter((code) => code !== OPCODES.init)), fc.nat(60), fc.nat(0xffffffff))
    // Small numbers, so that some inodes and handles exist.
    const small = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.concat([...bytes].map((byte) => Buffer.from([byte % 6, 0, 0, 0, 0, 0, 0, 0]))))
    const text = fc.string({ maxLength: 20 }).map((name) => Buffer.from(`${name}\0`))
    const body = fc.array(fc.oneof(small, text, fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes))), { maxLength: 3 }).map((parts) => Buffer.concat(parts))
    const message = fc.record({ opcode, body, nodeid: fc.oneof(fc.nat(6), fc.maxSafeNat()), extensions: fc.oneof(fc.constant(0), fc.nat(0xffff)), lie: fc.oneof(fc.constant(0), fc.integer({ min: -50, max: 50 })) })
    const silent = new Set<number>([OPCODES.forget, OPCODES.batchForget, OPCODES.interrupt])
    await fc.assert(fc.asyncProperty(fc.array(message, { maxLength: 40 }), async (messages) => {
      await withSession(async ({ kernel, session }) => {
        messages.forEach(({ opcode: code, body: bytes, nodeid, extensions, lie }, index) => {
          const bytesOf = Buffer.alloc(IN_HEADER_BYTES + bytes.length)
          layouts.InHeader.encode(bytesOf, 0, { length: Math.max(0, bytesOf.length + lie), opcode: code, unique: BigInt(1_000_000 + index), nodeid, uid: 0, gid: 0, pid: 0, extensions })
          bytes.copy(bytesOf, IN_HEADER_BYTES)
          kernel.send(bytesOf)
        })
        kernel.send(Buffer.alloc(7))
        assert.equal((await kernel.ask('statfs', {})).error, 0)
        while (session.inflight > 0) await new Promise(setImmediate)
        messages.forEach(({ opcode: code }, index) => assert.equal(kernel.replies.has(BigInt(1_000_000 + index)), !silent.has(code), `opcode ${code}`))
      })
    }), { numRuns: 200 })
  })
})

describe('notices', () => {
  it('tell the kernel what the engine says', () => withSession(async ({ kernel, session }) => {
    const { notices } = session
    notices.invalidateInode(5)
    notices.invalidateAttributes(6)
    notices.invalidateEntry(1, 'näme')
    notices.removed(1, 7, 'x')
    notices.invalidateAll()
    while (notices.size > 0) await new Promise(setImmediate)
    assert.deepEqual(kernel.notices.map(({ code }) => code), [NOTICES.invalInode, NOTICES.invalInode, NOTICES.incEpoch])
    assert.deepEqual({ ...layouts.InvalInodeOut.decode(kernel.notices[0]!.body) }, { ino: 5, offset: 0, length: 0 })
    assert.deepEqual({ ...layouts.InvalInodeOut.decode(kernel.notices[1]!.body) }, { ino: 6, offset: -1, length: 0 })
    kernel.notices.length = 0
    notices.invalidateEntry(1, 'näme')
    notices.removed(1, 7, 'x')
    while (notices.size > 0) await new Promise(setImmediate)
    assert.deepEqual({ ...layouts.InvalEntryOut.decode(kernel.notices[0]!.body) }, { parent: 1, namelen: 5, flags: 1 })
    assert.equal(kernel.notices[0]!.body.toString('utf8', layouts.InvalEntryOut.size), 'näme\0')
    assert.deepEqual({ ...layouts.DeleteOut.decode(kernel.notices[1]!.body) }, { parent: 1, child: 7, namelen: 1 })
  }))

  it('coalesce while one is being sent', () => withSession(async ({ kernel, session }) => {
    const { open, opened } = gate()
    const sent: number[] = []
    kernel.notify = async (parts) => {
      sent.push(Number(parts[0].readBigUInt64LE(OUT_HEADER_BYTES)))
      await opened
      return 0
    }
    for (const ino of [1, 2, 3, 2, 3, 1, 2]) session.notices.invalidateInode(ino)
    open()
    while (session.notices.size > 0) await new Promise(setImmediate)
    assert.deepEqual(sent, [1, 2, 3, 1])
  }))

  it('wait for a request that works on the same inode, and let others pass', async () => {
    const { open, opened } = gate()
    await withSession(async ({ kernel, session }) => {
      const making = kernel.post('mkdir', { name: 'd', mode: 0o755, umask: 0 })
      await kernel.ask('statfs', {}, { nodeid: 99 })
      session.notices.invalidateEntry(1, 'x')
      session.notices.invalidateInode(5)
      while (kernel.notices.length === 0) await new Promise(setImmediate)
      assert.deepEqual(kernel.notices.map(({ code }) => code), [NOTICES.invalInode])
      open()
      await making.reply
      while (session.notices.size > 0) await new Promise(setImmediate)
      assert.deepEqual(kernel.notices.map(({ code }) => code), [NOTICES.invalInode, NOTICES.invalEntry])
    }, { memory: { before: (op) => (op === 'mkdir' ? opened : undefined) } })
  })

  it('are off at the end', () => withSession(async ({ kernel, session }) => {
    kernel.end()
    await session.ended
    session.notices.invalidateInode(1)
    assert.equal(kernel.notices.length, 0)
  }))
})

// A test of the test: the table above covers every operation that has an implementation.
it('serves all operations but access', async () => {
  const { OPERATIONS } = await import('./operations/table.js')
  const own: OpName[] = ['init', 'destroy', 'interrupt', 'forget', 'batchForget', 'access']
  assert.deepEqual([...Object.keys(OPERATIONS), ...own].sort(), Object.keys(OPCODES).sort())
})
