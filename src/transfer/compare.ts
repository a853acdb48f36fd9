/** Is the content of a local file the same as that of a node? By hash, by time, or by size only. */
import type { Stats } from 'node:fs'
import { compareWithNode, Digester } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import type { CellsNode } from '../cells/types.js'
import { FileDigest } from './file-digest.js'
import { openForSending, readRange } from './local-file.js'
import { MIB } from './parts.js'
import { TransferError } from './types.js'

export const COMPARISONS = ['hash', 'mtime', 'size'] as const
export type Comparison = typeof COMPARISONS[number]

/** From here on a thread of its own is worth its start. */
const BIG = 32 * MIB

/** @throws TransferError `changed`, `unsupported`; errors of the disk */
export async function digestOfFile(path: string): Promise<ContentDigest> {
  const { handle, stats: { size } } = await openForSending(path)
  try {
    if (size >= BIG) return await FileDigest.of(handle.fd, size)
    const digester = new Digester()
    for await (const chunk of readRange(handle, 0, size)) digester.update(chunk)
    return digester.finish()
  } finally {
    await handle.close()
  }
}

/**
 * @param direction a download gives the local file the server's time; after an upload the server's is the later one
 * @throws as digestOfFile
 */
export async function isSameContent(path: string, stats: Stats, node: CellsNode, comparison: Comparison, direction: 'upload' | 'download'): Promise<boolean> {
  if (node.kind !== 'file' || stats.size !== node.size) return false
  if (comparison === 'size') return true
  if (comparison === 'mtime') return hasItsTime(stats, node, direction)
  const digest = await digestOfFile(path)
  if (digest.size !== stats.size) throw new TransferError('changed', 'the file changed while it was read')
  const verdict = compareWithNode(digest, node)
  // A server without a comparable digest: its time is all there is.
  return verdict === 'same' || (verdict === 'unknown' && hasItsTime(stats, node, direction))
}

function hasItsTime(stats: Stats, node: CellsNode, direction: 'upload' | 'download'): boolean {
  const seconds = Math.floor(stats.mtimeMs / 1000)
  return direction === 'download' ? seconds === node.mtime : seconds <= node.mtime
}
