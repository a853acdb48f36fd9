/**
 * What a download will do, as a stream of steps; the mirror image of upload-plan.ts. Local
 * paths are built here and only here, from names that passed names.ts, below folders that
 * were checked with lstat: a symbolic link inside the target is never walked through.
 */
import type { Stats } from 'node:fs'
import { lstat, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { baseOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import { cleanRemotePath, nameInside, safeName } from './names.js'
import { TransferError } from './types.js'

export type DownloadStep =
  /** A folder to make; `replace`: a file is there and gives way. */
  | { readonly kind: 'folder'; readonly path: string; readonly replace: boolean }
  /** `replace`: what is there gives way once the new content is complete; `''`: nothing is there. */
  | { readonly kind: 'file'; readonly path: string; readonly node: CellsNode; readonly replace: '' | 'file' | 'folder' }
  | { readonly kind: 'failure'; readonly path: string; readonly error: Error }

export interface DownloadTarget {
  readonly node: CellsNode
  /** Absolute local path of the item itself. */
  readonly path: string
  readonly existing: Stats | undefined
  readonly newParent: string | undefined
}

async function absentIsUndefined(look: Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await look
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Decides where `source` goes when a person names the local `target`, by the rules of `resolveUpload`.
 *
 * @throws TransferError `missing`, `exists`, `usage`, `unsupported`; CellsError
 */
export async function resolveDownload(server: CellsServer, source: string, target: string, force: boolean, signal?: AbortSignal): Promise<DownloadTarget> {
  const clean = cleanRemotePath(source)
  if (clean === '') throw new TransferError('usage', 'please name what to download, e.g. cells://personal-files/a.txt')
  const node = await server.stat(clean, { signal })
  if (node === undefined) throw new TransferError('missing', `${clean} does not exist on the server`)
  const name = safeName(baseOf(clean))
  const absolute = resolve(target)
  const there = await absentIsUndefined(stat(absolute))
  const into = there?.isDirectory() ?? (node.kind === 'folder' || target.endsWith('/'))
  if (there === undefined) await demandParent(absolute, target)
  else if (!there.isDirectory()) demandReplaceable(there, node, target)
  const path = into ? join(absolute, name) : absolute
  const existing = into && there === undefined ? undefined : await absentIsUndefined(lstat(path))
  if (existing !== undefined && !force) throw new TransferError('exists', `${path} already exists, use --force to merge or replace it`)
  return { node, path, existing, newParent: into && there === undefined ? absolute : undefined }
}

async function demandParent(absolute: string, target: string): Promise<void> {
  // stat() found nothing, lstat() may: making anything "there" would mean writing through the link.
  if (await absentIsUndefined(lstat(absolute)) !== undefined) throw new TransferError('usage', `${target} is a symbolic link that leads nowhere`)
  const parent = await absentIsUndefined(stat(dirname(absolute)))
  if (parent === undefined) throw new TransferError('missing', `the folder ${dirname(absolute)} does not exist`)
  if (!parent.isDirectory()) throw new TransferError('usage', `${dirname(absolute)} is not a folder`)
}

function demandReplaceable(there: Stats, node: CellsNode, target: string): void {
  if (node.kind === 'folder' || target.endsWith('/')) throw new TransferError('usage', `${target} is not a folder`)
  // A device or a fifo would be replaced by a file, which nobody who names /dev/null wants.
  if (!there.isFile()) throw new TransferError('unsupported', `${target} is neither a file nor a folder`)
}

/** All steps of a download, parents first. Names and items that cannot be written come as `failure` steps. */
export async function * planDownload(server: CellsServer, target: DownloadTarget, signal?: AbortSignal): AsyncGenerator<DownloadStep> {
  if (target.newParent !== undefined) yield { kind: 'folder', path: target.newParent, replace: false }
  yield * planItem(server, target.node, target.path, target.existing, signal)
}

async function * planItem(server: CellsServer, node: CellsNode, path: string, existing: Stats | undefined, signal?: AbortSignal): AsyncGenerator<DownloadStep> {
  const step = await itemStep(node, path, existing)
  if (step !== undefined) yield step
  if (node.kind === 'folder' && step?.kind !== 'failure') yield * planFolder(server, node.path, path, step === undefined, signal)
}

/** undefined when a folder is there already and can be merged into. */
async function itemStep(node: CellsNode, path: string, existing: Stats | undefined): Promise<DownloadStep | undefined> {
  if (existing?.isSymbolicLink() === true) {
    const leadsToFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true
    if (node.kind === 'folder' || leadsToFolder) {
      return { kind: 'failure', path, error: new TransferError('unsupported', 'a symbolic link is in the way and is not followed') }
    }
    return { kind: 'file', path, node, replace: 'file' }
  }
  if (existing !== undefined && !existing.isDirectory() && !existing.isFile()) {
    return { kind: 'failure', path, error: new TransferError('unsupported', 'what is there is neither a file nor a folder') }
  }
  if (node.kind === 'folder') {
    return existing?.isDirectory() === true ? undefined : { kind: 'folder', path, replace: existing !== undefined }
  }
  return { kind: 'file', path, node, replace: existing === undefined ? '' : existing.isDirectory() ? 'folder' : 'file' }
}

async function * planFolder(server: CellsServer, remote: string, local: string, merge: boolean, signal?: AbortSignal): AsyncGenerator<DownloadStep> {
  const folders: { node: CellsNode; path: string; merge: boolean }[] = []
  try {
    for await (const page of server.list(remote, { signal })) {
      for (const node of page) {
        try {
          const path = join(local, nameInside(remote, node.path))
          const step = await itemStep(node, path, merge ? await absentIsUndefined(lstat(path)) : undefined)
          if (step !== undefined) yield step
          if (node.kind === 'folder' && step?.kind !== 'failure') folders.push({ node, path, merge: step === undefined })
        } catch (error) {
          yield { kind: 'failure', path: node.path, error: error as Error }
        }
      }
    }
  } catch (error) {
    yield { kind: 'failure', path: remote, error: error as Error }
  }
  for (const folder of folders) yield * planFolder(server, folder.node.path, folder.path, folder.merge, signal)
}
