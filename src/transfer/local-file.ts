/** Reading local files for sending: by position from one open handle, so that a retry begins where it must. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { quickly } from './file-calls.js'
import { TransferError } from './types.js'

const CHUNK = 256 * 1024
/** Non-blocking, because opening a fifo that has taken the file's place would wait for ever. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/**
 * Opens a regular file for reading.
 * @throws TransferError `unsupported` for anything but a regular file
 */
export async function openForSending(path: string): Promise<{ readonly handle: FileHandle; readonly stats: Stats }> {
  const handle = await open(path, OPEN_FLAGS)
  // Of an open file this is at hand; a thread for it would cost more than all else.
  const stats = fstatSync(handle.fd)
  if (stats.isFile()) return { handle, stats }
  await handle.close()
  throw notRegular()
}

/**
 * All of a regular file that has at most `most` bytes, as it was at one moment; undefined for a larger one.
 * @throws TransferError `unsupported` for anything but a regular file; `changed` when it changes while it is read
 */
export function readSmall(path: string, most: number): Promise<Buffer | undefined> {
  return quickly(() => readAtOnce(path, most), async () => {
    const { handle, stats } = await openForSending(path)
    try {
      if (stats.size > most) return undefined
      const content = Buffer.allocUnsafe(stats.size)
      let done = 0
      for (let read = -1; done < content.length && read !== 0; done += read) read = (await handle.read(content, done, content.length - done, done)).bytesRead
      demandUnchanged(stats, fstatSync(handle.fd), done)
      return content
    } finally {
      await handle.close()
    }
  })
}

function readAtOnce(path: string, most: number): Buffer | undefined {
  const fd = openSync(path, OPEN_FLAGS)
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw notRegular()
    if (stats.size > most) return undefined
    const content = Buffer.allocUnsafe(stats.size)
    let done = 0
    for (let read = -1; done < content.length && read !== 0; done += read) read = readSync(fd, content, done, content.length - done, done)
    demandUnchanged(stats, fstatSync(fd), done)
    return content
  } finally {
    closeSync(fd)
  }
}

const notRegular = (): TransferError => new TransferError('unsupported', 'not a regular file')

/** @throws TransferError `changed` */
export function demandUnchanged(before: Stats, after: Stats, read = before.size): void {
  if (read !== before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs) throw new TransferError('changed', 'the file changed while it was sent')
}

/**
 * Exactly `size` bytes from `start`, in fresh buffers (the socket may hold on to one after the next was asked for).
 * @throws TransferError `changed` when the file ends before
 */
export async function * readRange(handle: FileHandle, start: number, size: number, onChunk?: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array> {
  let done = 0
  while (done < size) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size - done))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start + done)
    if (bytesRead === 0) throw new TransferError('changed', 'the file became shorter while it was read')
    const chunk = buffer.subarray(0, bytesRead)
    onChunk?.(chunk)
    done += bytesRead
    yield chunk
  }
}
