/**
 * The descriptor on /dev/fuse: one request per read, one reply per write, never waiting.
 *
 * How to wait for requests was measured, with an engine that does nothing, all in turn in one run (stat calls a second of 1 and 4
 * clients, median of 5): a poll handle on Node's own event loop, then non-blocking reads until there is none, 88,000 and
 * 73,000; a worker that polls and wakes this thread, 53,000 and 82,000; `fs.read` on a blocking descriptor, 10,000 and 13,000
 * with one outstanding, 17,000 and 24,000 with four, each of which holds one of libuv's four threads for good and so
 * starves all other file access of the process. The poll handle takes no thread at all.
 */
import { constants } from 'node:os'
import { write } from 'node:fs'
import { SystemError } from './errors.js'
import { F_SETFL, O_NONBLOCK, O_RDWR, type Libc } from './libc.js'
import type { Parts } from './replies.js'

const { EAGAIN, EINTR, ENOENT, ENODEV, ECONNABORTED } = constants.errno

/** `length` bytes of a request; or none now; or the connection is over. */
export type Received = { readonly length: number } | 'none' | 'unmounted' | 'aborted'

export interface Device {
  /** The next request, into `buffer`. @throws SystemError */
  read(buffer: Buffer): Received
  /** Sends a sealed reply. False: the kernel does not wait for it any more. @throws SystemError */
  write(parts: Parts): boolean
  /** Sends a notice from another thread, because it may wait for a lock. Resolves to 0 or a positive errno. */
  notify(parts: Parts): Promise<number>
  /** Calls back while requests wait, until stopped. */
  watch(callback: () => void): () => void
  close(): void
}

export function openDevice(libc: Libc, fd: number): Device {
  const flags = libc.fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK)
  if (flags < 0) throw new SystemError('fcntl of /dev/fuse', -flags)
  let open = true
  return {
    read: (buffer) => {
      for (;;) {
        const length = libc.read(fd, buffer)
        if (length > 0) return { length }
        if (length === -EAGAIN) return 'none'
        if (length === 0 || length === -ENODEV) return 'unmounted'
        if (length === -ECONNABORTED) return 'aborted'
        // ENOENT: the request was taken back before it could be copied.
        if (length !== -EINTR && length !== -ENOENT) throw new SystemError('read of /dev/fuse', -length)
      }
    },
    write: (parts) => {
      const written = parts.length === 1 ? libc.write(fd, parts[0]) : libc.writev(fd, parts)
      if (written >= 0) return true
      if (written === -ENOENT || written === -ENODEV || written === -ECONNABORTED) return false
      throw new SystemError('write of /dev/fuse', -written)
    },
    notify: (parts) => new Promise((resolve) => {
      if (!open) return resolve(ENODEV)
      // fs.write with no position is write(2) on a thread of libuv.
      write(fd, Buffer.concat(parts), (error) => resolve(error === null ? 0 : Math.abs(error.errno ?? constants.errno.EIO)))
    }),
    watch: (callback) => {
      const handle = libc.watch(fd, callback)
      return () => handle.close()
    },
    close: () => {
      if (!open) return
      open = false
      libc.close(fd)
    },
  }
}
