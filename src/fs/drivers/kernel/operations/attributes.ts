/** Operations on attributes: stat, chmod, times, truncate, links' targets, extended attributes. */
import { constants as os } from 'node:os'
import { DEADLINES } from '../../deadlines.js'
import type { AttrChange } from '../../driver.js'
import { SystemError } from '../errors.js'
import { GetxattrOut } from '../layouts.js'
import { FATTR, GETATTR_FH } from '../protocol.js'
import { attrReply, dataReply, joinTime, reply, statfsReply, statxReply } from '../replies.js'
import type { Args } from '../requests.js'
import { withoutPrivileges } from './killpriv.js'
import { checked, nothing, type Answer, type Operations } from './operation.js'

const { EOPNOTSUPP, ERANGE } = os.errno

/** What the kernel asks to change. */
export function changeOf({ valid, mode, uid, gid, size, atime, atimeNsec, mtime, mtimeNsec }: Args<'setattr'>): AttrChange {
  const has = (bit: number): boolean => (valid & bit) !== 0
  return {
    ...(has(FATTR.mode) && { mode: mode & 0o7777 }),
    ...(has(FATTR.uid) && { uid }),
    ...(has(FATTR.gid) && { gid }),
    ...(has(FATTR.size) && { size: checked(size) }),
    ...(has(FATTR.atime) && { atime: has(FATTR.atimeNow) ? 'now' as const : joinTime(atime, atimeNsec) }),
    ...(has(FATTR.mtime) && { mtime: has(FATTR.mtimeNow) ? 'now' as const : joinTime(mtime, mtimeNsec) }),
  }
}

/**
 * Engines hold attributes of users only. For all others (ACLs, labels, capabilities) programs and the kernel ask once for each
 * file, unless they hear that there are none at all on this file system.
 */
function userAttribute(name: string): string {
  if (!name.startsWith('user.')) throw new SystemError(name, EOPNOTSUPP)
  return name
}

/** xattr(7): size 0 asks for the length, a buffer too small is ERANGE. */
function xattrAnswer(value: Buffer, size: number): Answer {
  if (size === 0) return { parts: reply(GetxattrOut, { size: value.length }) }
  if (value.length > size) throw new SystemError('getxattr', ERANGE)
  return { parts: dataReply(value) }
}

export const attributeOperations = {
  getattr: {
    wait: DEADLINES.metadata,
    run: async ({ flags, fh }, call, { fs }) => {
      const { attr, timeoutMs } = await fs.getattr(call.nodeid, (flags & GETATTR_FH) !== 0 ? fh : undefined, call)
      return { parts: attrReply(attr, timeoutMs) }
    },
  },
  statx: {
    wait: DEADLINES.metadata,
    run: async ({ flags, fh }, call, { fs }) => {
      const { attr, timeoutMs } = await fs.getattr(call.nodeid, (flags & GETATTR_FH) !== 0 ? fh : undefined, call)
      return { parts: statxReply(attr, timeoutMs) }
    },
  },
  setattr: {
    wait: DEADLINES.data,
    run: async (args, call, { fs }) => {
      const { valid } = args
      const fh = (valid & FATTR.fh) !== 0 ? args.fh : undefined
      let change = changeOf(args)
      // chown(2) ends them for everybody, truncate(2) for whom the kernel says so.
      if (change.mode === undefined && (valid & (FATTR.uid | FATTR.gid | FATTR.killSuidgid)) !== 0) {
        const mode = withoutPrivileges((await fs.getattr(call.nodeid, fh, call)).attr)
        if (mode !== undefined) change = { ...change, mode }
      }
      const { attr, timeoutMs } = await fs.setattr(call.nodeid, change, fh, call)
      return { parts: attrReply(attr, timeoutMs) }
    },
  },
  readlink: {
    wait: DEADLINES.metadata,
    run: async (_args, call, { fs }) => ({ parts: dataReply(Buffer.from(await fs.readlink(call.nodeid, call))) }),
  },
  statfs: {
    wait: DEADLINES.metadata,
    run: async (_args, call, { fs }) => ({ parts: statfsReply(await fs.statfs(call.nodeid, call)) }),
  },
  getxattr: {
    wait: DEADLINES.metadata,
    run: async ({ name, size }, call, { fs }) => xattrAnswer(await fs.getxattr(call.nodeid, userAttribute(name), call), size),
  },
  listxattr: {
    wait: DEADLINES.metadata,
    run: async ({ size }, call, { fs }) => {
      const names = await fs.listxattr(call.nodeid, call)
      return xattrAnswer(Buffer.from(names.map((name) => `${name}\0`).join('')), size)
    },
  },
  setxattr: {
    wait: DEADLINES.metadata,
    run: async ({ name, data, flags }, call, { fs }) => nothing(fs.setxattr(call.nodeid, userAttribute(name), data, flags, call)),
  },
  removexattr: {
    wait: DEADLINES.metadata,
    run: async ({ name }, call, { fs }) => nothing(fs.removexattr(call.nodeid, userAttribute(name), call)),
  },
} satisfies Operations
