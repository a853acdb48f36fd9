/**
 * What an upload will do, as a stream of steps: where it goes (cec-reference 7.3) and, folder by
 * folder, what is new and what must give way (7.4). Planning only reads. A folder's step comes before
 * the steps of its content, and only the listings of folders that exist on both sides are held.
 */
import { lstat, opendir, stat } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { baseOf, parentOf, workspaceOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import { cleanRemotePath, nameForServer, remoteJoin } from './names.js'
import { TransferError } from './types.js'

export type UploadStep =
  /** Remove for good what is in the way of something of another type. */
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string; readonly source: string }
  | { readonly kind: 'file'; readonly path: string; readonly source: string; readonly size: number }
  | { readonly kind: 'failure'; readonly path: string; readonly error: Error }

export interface UploadTarget {
  /** Absolute local path. */
  readonly source: string
  readonly isFolder: boolean
  readonly size: number
  /** Where the item itself goes. */
  readonly path: string
  readonly existing: CellsNode | undefined
  /** A folder to be made first, because the target that was named is to become one. */
  readonly newParent: string | undefined
}

/**
 * Decides where `source` goes when a person names `target`:
 * - an existing folder: into it, under the source's name;
 * - a missing name in an existing folder: a file takes that name (as cec did up to 4.1), unless
 *   it ends with a slash; for a folder, and with a slash, the name becomes a folder around it;
 * - an existing file: replaced by a file, with `force` only.
 *
 * @throws TransferError `missing`, `exists`, `usage`, `unsupported`; CellsError
 */
export async function resolveUpload(server: CellsServer, source: string, target: string, force: boolean, signal?: AbortSignal): Promise<UploadTarget> {
  const absolute = resolve(source)
  const stats = await statSource(source)
  const isFolder = stats.isDirectory()
  if (!isFolder && !stats.isFile()) throw new TransferError('unsupported', `${source} is neither a file nor a folder`)
  if (!isFolder && source.endsWith('/')) throw new TransferError('usage', `${source} is not a folder`)
  const rawName = basename(absolute)
  if (rawName === '') throw new TransferError('usage', `${source} has no name to upload it under`)
  const clean = cleanRemotePath(target)
  if (clean === '') throw new TransferError('usage', 'please name a workspace as the target, e.g. cells://personal-files')

  const place = await findPlace(server, clean, target.endsWith('/'), isFolder, signal)
  const path = place.into ? remoteJoin(clean, await nameForServer(join(absolute, '..'), rawName)) : clean
  const existing = place.into && !place.missing ? await server.stat(path, { signal }) : place.node
  if (existing !== undefined && !force) {
    throw new TransferError('exists', `${existing.path} already exists on the server, use --force to merge or replace it`)
  }
  const readOnly = existing ?? place.folder
  if (readOnly?.readOnly === true) throw new TransferError('usage', `you have no right to write to ${readOnly.path}`)
  return { source: absolute, isFolder, size: stats.size, path, existing, newParent: place.into && place.missing ? clean : undefined }
}

async function statSource(source: string): Promise<Stats> {
  try {
    return await stat(source)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new TransferError('missing', `${source} does not exist`, error)
    throw error
  }
}

interface Place {
  /** The target is the folder around the item, not the item. */
  readonly into: boolean
  readonly missing: boolean
  readonly node: CellsNode | undefined
  /** The existing folder that will get something new. */
  readonly folder: CellsNode | undefined
}

async function findPlace(server: CellsServer, target: string, slash: boolean, isFolder: boolean, signal?: AbortSignal): Promise<Place> {
  const node = await server.stat(target, { signal })
  if (node?.kind === 'folder') return { into: true, missing: false, node, folder: node }
  if (node !== undefined) {
    if (isFolder || slash) throw new TransferError('usage', `${target} on the server is not a folder`)
    return { into: false, missing: false, node, folder: undefined }
  }
  const parentPath = parentOf(target)
  if (parentPath === '') throw new TransferError('missing', `there is no workspace "${target}", please name an existing one as the target`)
  const parent = await server.stat(parentPath, { signal })
  if (parent === undefined) {
    const workspace = workspaceOf(target)
    const known = parentPath === workspace ? undefined : await server.stat(workspace, { signal })
    throw new TransferError('missing', known === undefined ? `there is no workspace "${workspace}"` : `the folder ${parentPath} does not exist on the server`)
  }
  if (parent.kind !== 'folder') throw new TransferError('usage', `${parentPath} on the server is not a folder`)
  return { into: isFolder || slash, missing: true, node: undefined, folder: parent }
}

/** All steps of an upload, parents first. Items that cannot be sent come as `failure` steps. */
export async function * planUpload(server: CellsServer, target: UploadTarget, signal?: AbortSignal): AsyncGenerator<UploadStep> {
  const { path, source, existing } = target
  if (target.newParent !== undefined) yield { kind: 'folder', path: target.newParent, source: '' }
  if (target.isFolder) {
    yield * arrival(path, source, existing)
    yield * planFolder(server, source, path, existing?.kind === 'folder', signal)
  } else {
    if (existing?.kind === 'folder') yield { kind: 'remove', path }
    yield { kind: 'file', path, source, size: target.size }
  }
}

/** Steps that make sure a folder is at `path`. */
function * arrival(path: string, source: string, theirs: CellsNode | undefined): Generator<UploadStep> {
  if (theirs?.kind === 'folder') return
  if (theirs !== undefined) yield { kind: 'remove', path }
  yield { kind: 'folder', path, source }
}

async function * planFolder(server: CellsServer, local: string, remote: string, merge: boolean, signal?: AbortSignal): AsyncGenerator<UploadStep> {
  const theirs = merge ? await listByName(server, remote, signal) : new Map<string, CellsNode>()
  const folders: { local: string; remote: string; merge: boolean }[] = []
  try {
    for await (const entry of await opendir(local)) {
      const source = join(local, entry.name)
      try {
        const name = await nameForServer(local, entry.name)
        const path = remoteJoin(remote, name)
        const stats = await statEntry(source, entry.name)
        const existing = theirs.get(name)
        if (stats.isDirectory()) {
          yield * arrival(path, source, existing)
          folders.push({ local: source, remote: path, merge: existing?.kind === 'folder' })
        } else {
          if (existing?.kind === 'folder') yield { kind: 'remove', path }
          yield { kind: 'file', path, source, size: stats.size }
        }
      } catch (error) {
        yield { kind: 'failure', path: source, error: error as Error }
      }
    }
  } catch (error) {
    yield { kind: 'failure', path: local, error: error as Error }
  }
  theirs.clear()
  // After the folder is closed: a deep tree keeps one folder open, not one per level.
  for (const folder of folders) yield * planFolder(server, folder.local, folder.remote, folder.merge, signal)
}

/** What a local entry is, links to files followed. Links to folders are not: they may lead in circles. */
async function statEntry(source: string, name: string): Promise<Stats> {
  let stats: Stats
  try {
    stats = await lstat(source)
  } catch (error) {
    if (name.includes('\ufffd')) throw new TransferError('unsupported', 'its name is not valid UTF-8', error)
    throw error
  }
  if (stats.isSymbolicLink()) {
    const there = await stat(source).catch((error: unknown) => {
      throw new TransferError('unsupported', 'a symbolic link that leads nowhere', error)
    })
    if (there.isDirectory()) throw new TransferError('unsupported', 'a symbolic link to a folder is not followed')
    stats = there
  }
  if (!stats.isFile() && !stats.isDirectory()) throw new TransferError('unsupported', 'neither a file nor a folder')
  return stats
}

async function listByName(server: CellsServer, path: string, signal?: AbortSignal): Promise<Map<string, CellsNode>> {
  const nodes = new Map<string, CellsNode>()
  for await (const page of server.list(path, { signal })) for (const node of page) nodes.set(baseOf(node.path), node)
  return nodes
}
