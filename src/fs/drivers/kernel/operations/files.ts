/**
 * Operations on open files.
 *
 * Pages. What programs write through mmap(2), and everything with the writeback cache, comes as WRITE with
 * `WRITE.cache`, through any handle of the inode that may write. Its offset is right as it stands, also when that
 * handle appends; the engine ignores the offset of such handles, so pages go through a second one.
 *
 * Writeback cache, where it is on: the kernel reads what surrounds a partial page, so nothing is opened write-only; it
 * knows the end of the file itself, so nothing is opened to append; and it sends times of its own with SETATTR.
 */
import { constants } from 'node:fs'
import { constants as os } from 'node:os'
import { DEADLINES, saving } from '../../deadlines.js'
import type { OpenResult } from '../../driver.js'
import type { Call } from '../call.js'
import { SystemError } from '../errors.js'
import { CopyFileRangeOut, LseekOut, WriteOut } from '../layouts.js'
import { FOPEN, FSYNC_DATA_ONLY, OPEN_KILL_SUIDGID, WRITE } from '../protocol.js'
import { createReply, dataReply, emptyReply, openFlags, openReply, reply } from '../replies.js'
import type { Args } from '../requests.js'
import type { Context } from './context.js'
import { withoutPrivileges } from './killpriv.js'
import { checked, nothing, type Answer, type Operations } from './operation.js'

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_TRUNC } = constants
const O_ACCMODE = 3
const { EINVAL, ENOSYS } = os.errno
const SEEK_DATA = 3
const SEEK_HOLE = 4
/** The most that a single copy may report back. */
const MAX_COPY = 0x7ffff000

const accessOf = (flags: number): number => flags & O_ACCMODE

function engineFlags({ agreement }: Context, flags: number): number {
  if (!agreement.features.has('writeback')) return flags
  const access = accessOf(flags) === O_WRONLY ? O_RDWR : accessOf(flags)
  return (flags & ~(O_ACCMODE | O_APPEND)) | access
}

function registered(context: Context, ino: number, result: OpenResult, flags: number): { replyFlags: number; undo: () => void } {
  context.files.set(result.fh, { ino, flags, unsaved: 0 })
  // What was opened to read has nothing to save at close(2).
  const noflush = accessOf(flags) === O_RDONLY ? FOPEN.noflush : 0
  return { replyFlags: openFlags(result) | noflush, undo: () => void context.release(result.fh) }
}

async function endPrivileges({ fs, attributesChanged }: Context, ino: number, fh: number, call: Call): Promise<void> {
  const mode = withoutPrivileges((await fs.getattr(ino, fh, call)).attr)
  if (mode === undefined) return
  await fs.setattr(ino, { mode }, fh, call)
  // The kernel knows of the write, but not of this.
  attributesChanged(ino)
}

export async function createFile({ name, mode, flags }: Args<'create'>, call: Call, context: Context): Promise<Answer> {
  const wanted = engineFlags(context, flags)
  const made = await context.fs.create(call.nodeid, name, mode & 0o7777, wanted, call)
  const { ino } = made.attr
  context.given(made)
  const { replyFlags, undo } = registered(context, ino, made, wanted)
  return {
    parts: createReply(made, made.fh, replyFlags),
    undo: () => {
      undo()
      context.forget(ino, 1)
    },
  }
}

/** The handle that a page goes through. */
function pageHandle(context: Context, fh: number, call: Call): number | Promise<number> {
  const file = context.files.get(fh)
  if (file === undefined || (file.flags & O_APPEND) === 0) return fh
  return file.pages ??= context.fs.open(file.ino, (file.flags & ~(O_APPEND | O_TRUNC | O_ACCMODE)) | O_RDWR, call).then((opened) => opened.fh)
}

async function write({ fh, offset, writeFlags, data }: Args<'write'>, call: Call, context: Context): Promise<Answer> {
  const file = context.files.get(fh)
  if (file !== undefined) file.unsaved += data.length
  if ((writeFlags & WRITE.killSuidgid) !== 0) await endPrivileges(context, call.nodeid, fh, call)
  const through = (writeFlags & WRITE.cache) !== 0 ? await pageHandle(context, fh, call) : fh
  const size = await context.fs.write(call.nodeid, through, checked(offset), data, call)
  return { parts: reply(WriteOut, { size }) }
}

async function save(context: Context, fh: number, work: Promise<void>): Promise<Answer> {
  const file = context.files.get(fh)
  const bytes = file?.unsaved ?? 0
  await work
  if (file !== undefined) file.unsaved -= bytes
  return { parts: emptyReply() }
}

async function copy(context: Context, args: Args<'copyFileRange'>, call: Call): Promise<number> {
  const { fs } = context
  if (args.flags !== 0) throw new SystemError('copy_file_range', EINVAL)
  if (fs.copyFileRange === undefined) throw new SystemError('copy_file_range', ENOSYS)
  const copied = await fs.copyFileRange(
    { ino: call.nodeid, fh: args.fhIn, offset: checked(args.offsetIn) },
    { ino: args.nodeidOut, fh: args.fhOut, offset: checked(args.offsetOut) },
    Math.min(args.length, MAX_COPY), call,
  )
  const file = context.files.get(args.fhOut)
  if (file !== undefined) file.unsaved += copied
  return copied
}

const waitToSave = ({ fh }: { fh: number }, context: Context): number => saving(context.files.get(fh)?.unsaved ?? 0)

export const fileOperations = {
  open: {
    wait: DEADLINES.metadata,
    run: async ({ flags, openFlags: extra }, call, context) => {
      const wanted = engineFlags(context, flags)
      const opened = await context.fs.open(call.nodeid, wanted, call)
      const { replyFlags, undo } = registered(context, call.nodeid, opened, wanted)
      if ((extra & OPEN_KILL_SUIDGID) !== 0) {
        await endPrivileges(context, call.nodeid, opened.fh, call).catch((error: unknown) => {
          undo()
          throw error
        })
      }
      return { parts: openReply(opened.fh, replyFlags), undo }
    },
  },
  read: {
    wait: DEADLINES.data,
    run: async ({ fh, offset, size }, call, { fs }) => {
      const data = await fs.read(call.nodeid, fh, checked(offset), size, call)
      return { parts: dataReply(data), done: () => fs.readDone?.(data) }
    },
  },
  write: { wait: DEADLINES.data, run: write },
  flush: { wait: waitToSave, run: ({ fh }, call, context) => save(context, fh, context.fs.flush(call.nodeid, fh, call)) },
  fsync: {
    wait: waitToSave,
    run: ({ fh, flags }, call, context) => save(context, fh, context.fs.fsync(call.nodeid, fh, (flags & FSYNC_DATA_ONLY) !== 0, call)),
  },
  release: { wait: waitToSave, run: ({ fh }, _call, context) => nothing(context.release(fh)) },
  fallocate: {
    wait: DEADLINES.data,
    run: ({ fh, mode, offset, length }, call, { fs }) => nothing(fs.fallocate(call.nodeid, fh, mode, checked(offset), checked(length), call)),
  },
  lseek: {
    wait: DEADLINES.data,
    run: async ({ fh, offset, whence }, call, { fs }) => {
      if (fs.lseek === undefined) throw new SystemError('lseek', ENOSYS)
      if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new SystemError('lseek', EINVAL)
      return { parts: reply(LseekOut, { offset: await fs.lseek(call.nodeid, fh, checked(offset), whence === SEEK_DATA ? 'data' : 'hole', call) }) }
    },
  },
  copyFileRange: {
    wait: DEADLINES.change,
    run: async (args, call, context) => ({ parts: reply(WriteOut, { size: await copy(context, args, call) }) }),
  },
  copyFileRange64: {
    wait: DEADLINES.change,
    run: async (args, call, context) => ({ parts: reply(CopyFileRangeOut, { bytesCopied: await copy(context, args, call) }) }),
  },
} satisfies Operations
