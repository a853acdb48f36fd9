/** Operations on open files. */
import { FsError, errnoCode } from '../../errno.js'
import type { OperationTable } from './operations.js'
import { DEADLINES, saving } from './calls.js'
import { plain, type Context } from './context.js'
import { fromHalves } from './stat.js'

type Contents = 'open' | 'read' | 'write' | 'flush' | 'fsync' | 'release'

export function contentOperations(context: Context): Pick<OperationTable, Contents> {
  const { fs } = context
  const save = (fd: number): number => saving(context.files.get(fd)?.unsaved ?? 0)
  return {
    open: {
      deadline: DEADLINES.metadata,
      run: async (request, _, path, flags) => {
        const ino = await context.inoOf(path, request).catch((error: unknown) => {
          // The kernel opens a name only if it believes in it, for up to a second. Told ESTALE it asks again, and creates the file if that is wanted.
          throw errnoCode(error) === 'ENOENT' ? new FsError('ESTALE', 'the name is gone', { cause: error }) : error
        })
        const { fh } = await fs.open(ino, flags, request)
        return { values: [await context.opened(ino, fh, request)] }
      },
      failed: () => [0],
    },
    read: {
      deadline: DEADLINES.data,
      run: async (request, _, _path, fd, buffer, length, low, high) => {
        const { ino, fh } = context.file(fd)
        const data = await fs.read(ino, fh, fromHalves(low, high), length, request)
        // After an ETIMEDOUT `buffer` is detached, and this copies nothing.
        return { result: data.copy(buffer), values: [0, buffer.buffer] }
      },
      failed: (_path, _fd, buffer) => [0, buffer.buffer],
    },
    write: {
      deadline: DEADLINES.data,
      run: async (request, _, _path, fd, buffer, length, low, high) => {
        const open = context.file(fd)
        // A copy: after an ETIMEDOUT libfuse reuses its buffer while the engine may still be writing ours.
        const data = Buffer.allocUnsafeSlow(length)
        buffer.copy(data)
        open.unsaved += length
        return { result: await fs.write(open.ino, open.fh, fromHalves(low, high), data, request), values: [0, buffer.buffer] }
      },
      failed: (_path, _fd, buffer) => [0, buffer.buffer],
    },
    flush: plain((_path, fd) => save(fd), async (request, _, _path, fd) => {
      const open = context.file(fd)
      await fs.flush(open.ino, open.fh, request)
      open.unsaved = 0
    }),
    fsync: plain((_path, _dataOnly, fd) => save(fd), async (request, _, _path, dataOnly, fd) => {
      const open = context.file(fd)
      await fs.fsync(open.ino, open.fh, dataOnly !== 0, request)
      open.unsaved = 0
    }),
    release: plain((_path, fd) => save(fd), (_request, _, _path, fd) => context.release(fd)),
  }
}
