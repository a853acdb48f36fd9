/**
 * A delete is told to the server later than it was made, and is of what was there then: a content that somebody has written since, or a file
 * that somebody has added to a folder, is nobody's to delete (design, invariant 2). So it carries the versions it was made over, and
 * right before the server is told, what is there now is compared with them.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { compareWithNode, type ContentDigest } from '../cells/digest.js'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import type { FileType } from './drivers/driver.js'
import type { Inode } from './inodes.js'
import type { Tree } from './tree.js'

/** The versions of one file that its deletion is meant for. */
export interface Deleted {
  readonly etags: ReadonlySet<string>
  /** What was sent to it last. */
  readonly expected: ContentDigest | undefined
}

/** How long somebody's upload may take that is under way at a name to be deleted. */
const UPLOADING_MS = 8_000
/** What of ours has left a folder may be listed for as long as the index lags. */
const LOOKS = 3
const LOOK_AGAIN_MS = 1_200

export function knownOf(inode: Inode): Deleted {
  const { version, base, sent, expected } = inode
  return { etags: new Set([...sent, ...[base, version].flatMap((it) => it?.etag ?? [])]), expected }
}

/**
 * What of a node of the server is to be deleted. `left`: something in or at it is not what was deleted, and is not among `paths`.
 * @throws CellsError
 */
export async function remainder(tree: Tree, node: CellsNode, type: FileType | undefined, deleted: readonly Deleted[], signal: AbortSignal): Promise<{ paths: string[]; left: boolean }> {
  // Its content lives on here as a file of this computer.
  if (type === undefined) return { paths: [node.path], left: false }
  if ((type === 'folder') !== (node.kind === 'folder')) return { paths: [], left: true }
  for (let look = 1; ; look++) {
    const found = await compare(tree, node, deleted, signal)
    if (!found.left || node.kind === 'file' || look === LOOKS) return found
    await pause(tree.pause(LOOK_AGAIN_MS), undefined, { signal })
  }
}

async function compare(tree: Tree, node: CellsNode, deleted: readonly Deleted[], signal: AbortSignal): Promise<{ paths: string[]; left: boolean }> {
  const { server } = tree.deps
  if (node.kind === 'file') {
    const now = node.etag === ETAG_TEMPORARY ? await server.waitFor(node.path, (it) => it?.etag !== ETAG_TEMPORARY, { signal, timeoutMs: UPLOADING_MS }) : node
    const ours = now === undefined || tree.echoes.isSpent(now) || deleted.some((it) => isMeant(it, now))
    return { paths: ours ? [node.path] : [], left: !ours }
  }
  const below: { paths: string[]; left: boolean }[] = []
  for await (const page of server.list(node.path, { signal })) {
    for (const child of page) below.push(await compare(tree, child, deleted, signal))
  }
  return below.some((it) => it.left) ? { paths: below.flatMap((it) => it.paths), left: true } : { paths: [node.path], left: false }
}

function isMeant({ etags, expected }: Deleted, node: CellsNode): boolean {
  return node.etag === '' || etags.has(node.etag) || (expected !== undefined && compareWithNode(expected, node) !== 'other')
}
