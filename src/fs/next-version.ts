/**
 * Waits for a version that is to come: of a file that somebody is just uploading, and after one that is not to be had any more.
 */
import type { VersionKey } from '../cache/blocks.js'
import { isCellsError } from '../cells/errors.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

/** How long an open waits for an upload of somebody else to end. */
const UPLOADING_MS = 8_000
/** How long a reader waits for the version after its own. */
const NEWER_MS = 5_000

/**
 * A file that somebody is just uploading has no content to read yet: waits for it.
 * @throws FsError EBUSY when it takes too long
 */
export async function finished(tree: Tree, inode: Inode, signal?: AbortSignal): Promise<void> {
  if (inode.draft !== undefined || inode.version?.etag !== ETAG_TEMPORARY) return
  try {
    const at = tree.deps.metadata.now()
    const node = await tree.deps.server.waitFor(tree.places.pathOf(inode), (it) => it?.etag !== ETAG_TEMPORARY, { signal, timeoutMs: UPLOADING_MS })
    if (inode.parent !== undefined && !inode.unlinked) tree.questions.learn(inode.parent, inode.name, node, at)
  } catch (error) {
    if (!isCellsError(error, 'timeout')) throw error
    throw new FsError('EBUSY', 'The file is being uploaded by somebody', { cause: error })
  }
}

/** Asks for a version after the one that could not be read. */
export async function hasNewer(tree: Tree, inode: Inode, old: VersionKey | undefined, signal?: AbortSignal): Promise<boolean> {
  const at = tree.deps.metadata.now()
  try {
    const node = await tree.deps.server.waitFor(tree.places.pathOf(inode), (it) => it === undefined || (it.etag !== old?.etag && it.etag !== ETAG_TEMPORARY), { signal, timeoutMs: NEWER_MS })
    if (node === undefined || node.kind !== 'file') return false
    if (inode.parent !== undefined) tree.questions.learn(inode.parent, inode.name, node, at)
  } catch (error) {
    if (isCellsError(error, 'timeout')) return false
    throw error
  }
  return inode.version !== old
}
