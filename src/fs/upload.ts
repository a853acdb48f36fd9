/** One content to the server: a single PUT, or parts in parallel when it is large. */
import type { FileHandle } from 'node:fs/promises'
import type { CellsServer } from '../cells/server.js'
import type { MultipartPart } from '../cells/types.js'
import { readRange } from './hashing.js'

const MiB = 1024 * 1024
/** Larger contents go in parts. Below the 100 MB at which some proxies refuse a body. */
const MULTIPART_ABOVE = 64 * MiB
/** A multiple of 10 MiB, because later servers hash by blocks of that size (newer-servers 3.4). */
const PART_STEP = 10 * MiB
const MAX_PARTS = 5_000
const PARALLEL_PARTS = 3

/** Size of the parts of a content of `size` bytes. */
export function partSize(size: number): number {
  const wanted = Math.max(2 * PART_STEP, Math.ceil(size / MAX_PARTS))
  return Math.ceil(wanted / PART_STEP) * PART_STEP
}

/**
 * Sends `[0, size)` of a file whose content does not change meanwhile.
 * @throws CellsError; what was begun is taken back
 */
export async function upload(server: CellsServer, path: string, file: FileHandle, size: number, md5: string, signal?: AbortSignal): Promise<void> {
  if (size <= MULTIPART_ABOVE) {
    await server.put(path, () => readRange(file, 0, size), size, { md5, signal })
    return
  }
  const uploadId = await server.multipartStart(path, { signal })
  try {
    const parts = await sendParts(server, path, uploadId, file, size, signal)
    await server.multipartComplete(path, uploadId, parts, { signal })
  } catch (error) {
    await server.multipartAbort(path, uploadId).catch(() => {})
    throw error
  }
}

async function sendParts(server: CellsServer, path: string, uploadId: string, file: FileHandle, size: number, signal: AbortSignal | undefined): Promise<MultipartPart[]> {
  const step = partSize(size)
  const parts: MultipartPart[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next * step < size) {
      const index = next++
      const [start, end] = [index * step, Math.min(size, (index + 1) * step)]
      parts[index] = await server.multipartPart(path, uploadId, index + 1, () => readRange(file, start, end), end - start, { signal })
    }
  }
  const workers = Array.from({ length: PARALLEL_PARTS }, worker)
  const results = await Promise.allSettled(workers)
  const failed = results.find((it) => it.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return parts
}
