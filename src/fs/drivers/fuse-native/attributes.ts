/** Operations on attributes: stat, chmod, times, truncate, links' targets, extended attributes. */
import { FsError } from '../../errno.js'
import { ROOT_INO, type AttrChange, type Caller } from '../driver.js'
import type { OperationTable } from './operations.js'
import { DEADLINES } from './calls.js'
import { plain, type Context } from './context.js'
import { NO_STAT, NO_STATFS, encodeStat, encodeStatFs, fromHalves } from './stat.js'

/** chown's "leave it". */
const UNCHANGED = 4_294_967_295
/** The last millisecond a Date can hold. */
const MAX_MS = 8_640_000_000_000_000

type Attributes =
  | 'statfs' | 'getattr' | 'fgetattr' | 'truncate' | 'ftruncate' | 'utimens' | 'chown' | 'chmod' | 'readlink'
  | 'setxattr' | 'getxattr' | 'listxattr' | 'removexattr'

export function attributeOperations(context: Context): Pick<OperationTable, Attributes> {
  const { fs } = context
  const inoOf = context.inoOf.bind(context)

  async function change(path: string, fd: number, wanted: AttrChange, caller: Caller): Promise<void> {
    const open = context.files.get(fd)
    await fs.setattr(open?.ino ?? await inoOf(path, caller), wanted, open?.fh, caller)
  }

  return {
    statfs: {
      deadline: DEADLINES.metadata,
      run: async (request) => ({ values: [encodeStatFs(await fs.statfs(ROOT_INO, request))] }),
      failed: () => [NO_STATFS],
    },
    getattr: {
      deadline: DEADLINES.metadata,
      run: async (request, _, path) => ({ values: [await context.stat(path, request)] }),
      failed: () => [NO_STAT],
    },
    fgetattr: {
      deadline: DEADLINES.metadata,
      run: async (request, _, path, fd) => {
        const open = context.files.get(fd)
        return { values: [open === undefined ? await context.stat(path, request) : encodeStat((await fs.getattr(open.ino, open.fh, request)).attr)] }
      },
      failed: () => [NO_STAT],
    },
    truncate: plain(DEADLINES.data, (request, _, path, low, high) => change(path, 0, { size: fromHalves(low, high) }, request)),
    ftruncate: plain(DEADLINES.data, (request, _, path, fd, low, high) => change(path, fd, { size: fromHalves(low, high) }, request)),
    utimens: plain(DEADLINES.metadata, (request, thread, path, low, high) => {
      const atime = fromHalves(low, high)
      const mtime = context.binding.mtimeOf(thread, atime) ?? atime
      return change(path, 0, { atime: nanoseconds(atime), mtime: nanoseconds(mtime) }, request)
    }),
    chown: plain(DEADLINES.metadata, (request, _, path, uid, gid) =>
      change(path, 0, { ...(uid !== UNCHANGED && { uid }), ...(gid !== UNCHANGED && { gid }) }, request)),
    chmod: plain(DEADLINES.metadata, (request, _, path, mode) => change(path, 0, { mode: mode & 0o7777 }, request)),
    readlink: {
      deadline: DEADLINES.metadata,
      run: async (request, _, path) => ({ values: [await fs.readlink(await inoOf(path, request), request)] }),
      failed: () => [''],
    },
    setxattr: {
      deadline: DEADLINES.metadata,
      run: async (request, _, path, name, value, _position, flags) => {
        ownNamespace(name)
        await fs.setxattr(await inoOf(path, request), name, Buffer.from(value), flags, request)
        return { values: [value.buffer] }
      },
      failed: (_path, _name, value) => [value.buffer],
    },
    getxattr: {
      deadline: DEADLINES.metadata,
      run: async (request, _, path, name, buffer) => {
        ownNamespace(name)
        const value = await fs.getxattr(await inoOf(path, request), name, request)
        return { result: fill(buffer, value), values: [buffer.buffer] }
      },
      failed: (_path, _name, buffer) => [buffer.buffer],
    },
    listxattr: {
      deadline: DEADLINES.metadata,
      run: async (request, _, path, buffer) => {
        const names = await fs.listxattr(await inoOf(path, request), request)
        return { result: fill(buffer, Buffer.from(names.map((name) => `${name}\0`).join(''))), values: [buffer.buffer] }
      },
      failed: (_path, buffer) => [buffer.buffer],
    },
    removexattr: plain(DEADLINES.metadata, async (request, _, path, name) => {
      ownNamespace(name)
      await fs.removexattr(await inoOf(path, request), name, request)
    }),
  }
}

/**
 * ls asks for an ACL and a label of every file, and the kernel for a capability at every write. "Not supported" is true, and
 * ls(1) stops asking after it.
 */
function ownNamespace(name: string): void {
  if (!name.startsWith('user.')) throw new FsError('EOPNOTSUPP')
}

/** xattr(7): a size of 0 asks for the length, a buffer too small is ERANGE. */
function fill(buffer: Buffer, value: Buffer): number {
  if (buffer.length === 0) return value.length
  if (value.length > buffer.length) throw new FsError('ERANGE')
  return value.copy(buffer)
}

/** Milliseconds from C's unsigned 64 bits; what no date can be (before 1970 wraps around) becomes 0. */
function nanoseconds(ms: number): bigint {
  return ms >= 0 && ms <= MAX_MS ? BigInt(ms) * 1_000_000n : 0n
}
