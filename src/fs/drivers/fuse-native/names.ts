/** Operations on names: make, remove, rename, list. */
import { constants } from 'node:fs'
import { FsError } from '../../errno.js'
import type { Caller, SpecialType } from '../driver.js'
import type { OperationTable } from './operations.js'
import { DEADLINES, type Request } from './calls.js'
import { plain, type Context } from './context.js'
import { hides } from './hidden.js'
import { STAT_LENGTH, encodeStat } from './stat.js'

/** Entries asked for at a time while listing. */
const PAGE = 1_000

const SPECIAL: Readonly<Record<number, SpecialType>> = { [constants.S_IFIFO]: 'fifo', [constants.S_IFSOCK]: 'socket' }

async function list(context: Context, path: string, caller: Caller): Promise<[string[], Uint32Array[]]> {
  const { fs, hidden } = context
  const ino = await context.inoOf(path, caller)
  const { fh } = await fs.opendir(ino, caller)
  const names: string[] = []
  const stats: Uint32Array[] = []
  try {
    for (let cookie = 0; ;) {
      const page = await fs.readdir(ino, fh, cookie, PAGE, caller)
      if (page.length === 0) return [names, stats]
      const memory = new Uint32Array(page.length * STAT_LENGTH)
      for (const [index, { name, attr, next }] of page.entries()) {
        cookie = next
        if (hidden.isGone({ parent: ino, name })) continue
        names.push(name)
        stats.push(encodeStat(attr, memory.subarray(index * STAT_LENGTH, (index + 1) * STAT_LENGTH)))
      }
    }
  } finally {
    fs.releasedir(ino, fh)
  }
}

async function create(context: Context, path: string, mode: number, request: Request): Promise<number> {
  const place = await context.freePlace(path, request)
  // The binding hides the flags of open(2). The kernel creates only what its own lookup did not find, so
  // a name that exists now was made by somebody else this moment: EEXIST keeps O_EXCL true (lock files).
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
  const made = await context.fs.create(place.parent, place.name, mode & 0o7777, flags, request)
  context.dentries.add(place, made)
  return context.opened(made.attr.ino, made.fh, request)
}

type Names = 'readdir' | 'fsyncdir' | 'create' | 'mknod' | 'mkdir' | 'symlink' | 'link' | 'unlink' | 'rmdir' | 'rename'

export function nameOperations(context: Context): Pick<OperationTable, Names> {
  const { fs, dentries, hidden } = context
  return {
    readdir: {
      deadline: DEADLINES.listing,
      run: async (request, _, path) => ({ values: await list(context, path, request) }),
      failed: () => [[], []],
    },
    fsyncdir: plain(DEADLINES.save, async (request, _, path) => {
      const ino = await context.inoOf(path, request)
      await hidden.settleFolder(ino)
      const { fh } = await fs.opendir(ino, request)
      await fs.fsyncdir(ino, fh, request).finally(() => fs.releasedir(ino, fh))
    }),
    create: {
      deadline: DEADLINES.change,
      run: async (request, _, path, mode) => ({ values: [await create(context, path, mode, request)] }),
      failed: () => [0],
    },
    mknod: plain(DEADLINES.change, async (request, _, path, mode) => {
      const special = SPECIAL[mode & constants.S_IFMT]
      if (special !== undefined) {
        const place = await context.freePlace(path, request)
        dentries.add(place, await fs.mknod(place.parent, place.name, special, mode & 0o7777, request))
        return
      }
      if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new FsError('EPERM', 'no device nodes')
      const fd = await create(context, path, mode, request)
      const { ino, fh } = context.file(fd)
      await fs.flush(ino, fh, request).finally(() => context.release(fd))
    }),
    mkdir: plain(DEADLINES.change, async (request, _, path, mode) => {
      const place = await context.freePlace(path, request)
      dentries.add(place, await fs.mkdir(place.parent, place.name, mode & 0o7777, request))
    }),
    symlink: plain(DEADLINES.change, async (request, _, target, path) => {
      const place = await context.freePlace(path, request)
      dentries.add(place, await fs.symlink(place.parent, place.name, target, request))
    }),
    link: plain(DEADLINES.change, async (request, _, path, to) => {
      const place = await context.freePlace(to, request)
      dentries.add(place, await fs.link(await context.inoOf(path, request), place.parent, place.name, request))
    }),
    unlink: plain(DEADLINES.change, async (request, _, path) => {
      if (hidden.dropAlias(path)) return
      const place = await dentries.place(path, request)
      await fs.unlink(place.parent, place.name, request)
      dentries.drop(place)
    }),
    rmdir: plain(DEADLINES.change, async (request, _, path) => {
      await hidden.settleFolder(await dentries.resolve(path, request))
      const place = await dentries.place(path, request)
      await fs.rmdir(place.parent, place.name, request)
      dentries.drop(place)
    }),
    rename: plain(DEADLINES.change, async (request, _, from, to) => {
      const source = await dentries.place(from, request)
      if (hides(from, to) && dentries.isPinned((await dentries.lookup(source, request)).attr.ino)) {
        hidden.hide(source, to)
        return
      }
      const target = await dentries.place(to, request)
      await hidden.replaced(target)
      await fs.rename(source.parent, source.name, target.parent, target.name, {}, request)
      // Which inode stands under the target now is the engine's affair.
      dentries.drop(source)
      dentries.drop(target)
    }),
  }
}
