/** Reading local files for sending: by position from one open handle, so that a retry begins where it must. */
import { constants, fstatSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { TransferError } from './types.js'

const CHUNK = 256 * 1024

/**
 * Opens a regular file for reading. Non-blocking, because opening a fifo that has taken the file's place would wait for ever.
 * @throws TransferError `unsupported` for anything but a regular file
 */
export async function openForSending(path: string): Promise<{ readonly handle: FileHandle; readonly stats: Stats }> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  // Of an open file this is at hand; a thread for it would cost more than all else.
  const stats = fstatSync(handle.fd)
  if (stats.isFile()) return { handle, stats }
  await handle.close()
  throw new TransferError('unsupported', 'not a regular file')
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
