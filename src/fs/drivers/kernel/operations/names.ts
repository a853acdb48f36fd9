/** Operations on names: find, make, move, remove. */
import { constants } from 'node:fs'
import { constants as os } from 'node:os'
import { DEADLINES } from '../../deadlines.js'
import type { SpecialType } from '../../driver.js'
import { SystemError } from '../errors.js'
import { RENAME } from '../protocol.js'
import { absentReply, entryReply } from '../replies.js'
import { createFile } from './files.js'
import { entryAnswer, nothing, type Answer, type Operations } from './operation.js'
import type { Context } from './context.js'
import type { Call } from '../call.js'

const { EINVAL, ENOENT, EPERM } = os.errno

const SPECIAL: Readonly<Record<number, SpecialType>> = { [constants.S_IFIFO]: 'fifo', [constants.S_IFSOCK]: 'socket' }

async function rename(
  { fs }: Context, call: Call, { newdir, name, newname, flags }: { newdir: number; name: string; newname: string; flags: number },
): Promise<Answer> {
  if ((flags & ~(RENAME.noReplace | RENAME.exchange)) !== 0) throw new SystemError('renameat2', EINVAL)
  const wanted = { noReplace: (flags & RENAME.noReplace) !== 0, exchange: (flags & RENAME.exchange) !== 0 }
  return nothing(fs.rename(call.nodeid, name, newdir, newname, wanted, call))
}

export const nameOperations = {
  lookup: {
    wait: DEADLINES.metadata,
    run: async ({ name }, call, context) => {
      const { fs } = context
      try {
        return entryAnswer(context, await fs.lookup(call.nodeid, name, call))
      } catch (error) {
        if (fs.absentTimeoutMs === undefined || context.errnoOf(error) !== ENOENT) throw error
        return { parts: absentReply(fs.absentTimeoutMs) }
      }
    },
  },
  mkdir: {
    wait: DEADLINES.change,
    run: async ({ name, mode }, call, context) => entryAnswer(context, await context.fs.mkdir(call.nodeid, name, mode & 0o7777, call)),
  },
  symlink: {
    wait: DEADLINES.change,
    run: async ({ name, target }, call, context) => entryAnswer(context, await context.fs.symlink(call.nodeid, name, target, call)),
  },
  mknod: {
    wait: DEADLINES.save,
    run: async ({ name, mode }, call, context) => {
      const { fs } = context
      const format = mode & constants.S_IFMT
      const special = SPECIAL[format]
      if (special !== undefined) return entryAnswer(context, await fs.mknod(call.nodeid, name, special, mode & 0o7777, call))
      if (format !== constants.S_IFREG && format !== 0) throw new SystemError('mknod: no device nodes', EPERM)
      const { fh, ...entry } = await fs.create(call.nodeid, name, mode & 0o7777, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, call)
      const { ino } = entry.attr
      context.given(entry)
      const undo = (): void => context.forget(ino, 1)
      try {
        await fs.flush(ino, fh, call).finally(() => fs.release(ino, fh))
        const { attr } = await fs.getattr(ino, undefined, call)
        return { parts: entryReply({ ...entry, attr }), undo }
      } catch (error) {
        undo()
        throw error
      }
    },
  },
  link: {
    wait: DEADLINES.change,
    run: async ({ oldnodeid, newname }, call, context) => entryAnswer(context, await context.fs.link(oldnodeid, call.nodeid, newname, call)),
  },
  unlink: { wait: DEADLINES.change, run: ({ name }, call, { fs }) => nothing(fs.unlink(call.nodeid, name, call)) },
  rmdir: { wait: DEADLINES.change, run: ({ name }, call, { fs }) => nothing(fs.rmdir(call.nodeid, name, call)) },
  rename: { wait: DEADLINES.change, run: (args, call, context) => rename(context, call, { ...args, flags: 0 }) },
  rename2: { wait: DEADLINES.change, run: (args, call, context) => rename(context, call, args) },
  create: { wait: DEADLINES.change, run: createFile },
} satisfies Operations
