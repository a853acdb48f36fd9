/** Operations on open folders. */
import { DEADLINES } from '../../deadlines.js'
import type { Entry } from '../../driver.js'
import type { Call } from '../call.js'
import { OpenOut, Dirent, EntryOut } from '../layouts.js'
import { FOPEN, MAX_TRANSFER_BYTES } from '../protocol.js'
import { DirentWriter, reply } from '../replies.js'
import type { Args } from '../requests.js'
import type { Context } from './context.js'
import { nothing, type Answer, type Operations } from './operation.js'

const SHORTEST_NAME = 8

async function list(context: Context, args: Args<'readdir'>, call: Call, plus: boolean): Promise<Answer> {
  const { fs } = context
  const { fh, offset } = args
  const size = Math.min(args.size, MAX_TRANSFER_BYTES)
  // As many as could fit; what does not is asked for again from its cookie.
  const most = Math.floor(size / (Dirent.size + SHORTEST_NAME + (plus ? EntryOut.size : 0)))
  const entries = await fs.readdir(call.nodeid, fh, offset, Math.max(1, most), call)
  const writer = new DirentWriter(size)
  const given: number[] = []
  const hold = (name: string): Entry | undefined => {
    // The kernel does not count lookups of these two.
    if (name === '.' || name === '..' || call.answered) return undefined
    const entry = fs.hold?.(call.nodeid, name)
    if (entry !== undefined) {
      context.given(entry)
      given.push(entry.attr.ino)
    }
    return entry
  }
  for (const entry of entries) {
    const fits = plus ? writer.addPlus(entry, () => hold(entry.name)) : writer.add(entry)
    if (!fits) break
  }
  return { parts: writer.finish(), undo: () => { for (const ino of given) context.forget(ino, 1) } }
}

export const folderOperations = {
  opendir: {
    wait: DEADLINES.metadata,
    run: async (_args, call, context) => {
      const { fh, cacheable, keepCache } = await context.fs.opendir(call.nodeid, call)
      context.folders.set(fh, call.nodeid)
      const cached = cacheable === true && context.agreement.cacheFolders
      return {
        parts: reply(OpenOut, { fh, openFlags: cached ? FOPEN.cacheDir | (keepCache === true ? FOPEN.keepCache : 0) : 0 }),
        undo: () => context.releaseFolder(fh),
      }
    },
  },
  readdir: { wait: DEADLINES.listing, run: (args, call, context) => list(context, args, call, false) },
  readdirplus: { wait: DEADLINES.listing, run: (args, call, context) => list(context, args, call, true) },
  releasedir: {
    wait: DEADLINES.metadata,
    run: ({ fh }, _call, context) => {
      context.releaseFolder(fh)
      return nothing(Promise.resolve())
    },
  },
  fsyncdir: { wait: DEADLINES.save, run: ({ fh }, call, { fs }) => nothing(fs.fsyncdir(call.nodeid, fh, call)) },
} satisfies Operations
