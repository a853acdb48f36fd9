/**
 * What an upload will do, as a stream of steps: where it goes (cec-reference 7.3) and, folder by
 * folder, what is new and what must give way (7.4). Planning only reads. A folder's step comes before
 * the steps of its content, and only the listings of folders that exist on both sides are held.
 */
import { lstatSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { lstat, opendir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { baseOf, parentOf, RECYCLE_BIN, workspaceOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { CellsNode } from '../cells/types.js'
import { isSameContent } from './compare.js'
import type { Comparison } from './compare.js'
import { quickly } from './file-calls.js'
import { cleanRemotePath, nameForServer, remoteJoin } from './names.js'
import { isPartialName } from './partial.js'
import { onlyNeededFolders } from './select.js'
import type { Selection } from './select.js'
import type { TransferState } from './state.js'
import { TransferError } from './types.js'

export type UploadStep =
  /** Remove for good what is in the way of something of another type. */
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string; readonly source: string }
  /** `replaces`: a file is there and gets new content. */
  | { readonly kind: 'file'; readonly path: string; readonly source: string; readonly size: number; readonly replaces: boolean }
  /** Nothing to do: that content is there. */
  | { readonly kind: 'same'; readonly path: string; readonly source: string; readonly size: number }
  /** On the server only; asked for by `extras`. What is in such a folder follows, each with `inside`. */
  | { readonly kind: 'extra'; readonly path: string; readonly node: CellsNode; readonly inside: boolean }
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
  /** An earlier transfer of the same was interrupted: what it made is no reason to refuse. */
  readonly resumed: boolean
}

export interface UploadPlanOptions {
  readonly signal?: AbortSignal
  readonly select?: Selection
  /** Files that exist on both sides are compared, and those that agree left alone; otherwise all are sent. */
  readonly compare?: Comparison
  /** A file with other content is a failure, not to be replaced. */
  readonly keepOthers?: boolean
  /** Tell what is on the server only. */
  readonly extras?: boolean
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
export async function resolveUpload(server: CellsServer, source: string, target: string, force: boolean, signal?: AbortSignal, state?: TransferState): Promise<UploadTarget> {
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
  const resumed = state !== undefined && await isResumed(state, absolute, path, isFolder, existing)
  if (existing !== undefined && !force && !resumed) {
    throw new TransferError('exists', `${existing.path} already exists on the server, use --force to merge or replace it`)
  }
  const readOnly = existing ?? place.folder
  if (readOnly?.readOnly === true) throw new TransferError('usage', `you have no right to write to ${readOnly.path}`)
  return { source: absolute, isFolder, size: stats.size, path, existing, newParent: place.into && place.missing ? clean : undefined, resumed }
}

/** Whether what exists was, or may have been, made by an earlier, interrupted transfer of the same; the plan compares. */
async function isResumed(state: TransferState, source: string, path: string, isFolder: boolean, existing: CellsNode | undefined): Promise<boolean> {
  if (await state.isUnfinished(source, path)) return true
  if (isFolder) return false
  const upload = await state.findUpload(source, path)
  if (upload === undefined || existing?.kind !== 'file') return upload !== undefined
  // An upload in parts shows an empty file at once; once they are joined, our content.
  if (existing.etag === ETAG_TEMPORARY) return true
  return upload.joining && isSameContent(source, await stat(source), existing, 'hash', 'upload')
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
export async function * planUpload(server: CellsServer, target: UploadTarget, options: UploadPlanOptions = {}): AsyncGenerator<UploadStep> {
  const steps = new UploadWalk(server, target, options).steps()
  yield * options.select?.onlySome === true ? onlyNeededFolders(steps) : steps
}

class UploadWalk {
  readonly #server: CellsServer
  readonly #target: UploadTarget
  readonly #options: UploadPlanOptions

  constructor(server: CellsServer, target: UploadTarget, options: UploadPlanOptions) {
    this.#server = server
    this.#target = target
    this.#options = options
  }

  async * steps(): AsyncGenerator<UploadStep> {
    const { path, source, existing, newParent } = this.#target
    if (newParent !== undefined) yield { kind: 'folder', path: newParent, source: '' }
    if (this.#target.isFolder) {
      yield * arrival(path, source, existing)
      yield * this.#folder(source, path, existing?.kind === 'folder')
    } else {
      yield * this.#file(path, source, await stat(source), existing)
    }
  }

  #takes(path: string, isFolder: boolean): boolean {
    return this.#options.select?.takes(path.slice(this.#target.path.length + 1), isFolder) ?? true
  }

  async * #folder(local: string, remote: string, merge: boolean): AsyncGenerator<UploadStep> {
    const theirs = merge ? await listByName(this.#server, remote, this.#options.signal) : new Map<string, CellsNode>()
    const folders: { local: string; remote: string; merge: boolean }[] = []
    let complete = true
    try {
      for await (const entry of await opendir(local)) {
        if (isPartialName(entry.name)) continue
        const source = join(local, entry.name)
        try {
          const name = await nameForServer(local, entry.name)
          const path = remoteJoin(remote, name)
          // Also before what cannot be sent is complained about: that is what excludes are for.
          if (!this.#takes(path, entry.isDirectory())) continue
          const stats = await statEntry(source, entry.name)
          const existing = theirs.get(name)
          theirs.delete(name)
          if (stats.isDirectory()) {
            yield * arrival(path, source, existing)
            folders.push({ local: source, remote: path, merge: existing?.kind === 'folder' })
          } else {
            yield * this.#file(path, source, stats, existing)
          }
        } catch (error) {
          if (!this.#takes(remoteJoin(remote, entry.name), entry.isDirectory())) continue
          complete = false
          yield { kind: 'failure', path: source, error: error as Error }
        }
      }
    } catch (error) {
      complete = false
      yield { kind: 'failure', path: local, error: error as Error }
    }
    // What was not seen here may be here all the same if reading failed.
    if (this.#options.extras === true && complete) for (const node of theirs.values()) yield * this.#extra(node, false)
    theirs.clear()
    // After the folder is closed: a deep tree keeps one folder open, not one per level.
    for (const folder of folders) yield * this.#folder(folder.local, folder.remote, folder.merge)
  }

  async * #file(path: string, source: string, stats: Stats, existing: CellsNode | undefined): AsyncGenerator<UploadStep> {
    const { compare, keepOthers } = this.#options
    const size = stats.size
    if (existing !== undefined && compare !== undefined && await isSameContent(source, stats, existing, compare, 'upload')) {
      yield { kind: 'same', path, source, size }
      return
    }
    if (existing !== undefined && keepOthers === true && existing.etag !== ETAG_TEMPORARY) {
      yield { kind: 'failure', path: source, error: new TransferError('exists', `other content exists at ${path}, use --force to replace it`) }
      return
    }
    if (existing?.kind === 'folder') yield { kind: 'remove', path }
    yield { kind: 'file', path, source, size, replaces: existing?.kind === 'file' }
  }

  async * #extra(node: CellsNode, inside: boolean): AsyncGenerator<UploadStep> {
    const isFolder = node.kind === 'folder'
    // The bin is the server's own.
    if (!this.#takes(node.path, isFolder) || isBin(node.path)) return
    yield { kind: 'extra', path: node.path, node, inside }
    if (!isFolder) return
    for await (const page of this.#server.list(node.path, { signal: this.#options.signal })) {
      for (const child of page) yield * this.#extra(child, true)
    }
  }
}

const isBin = (path: string): boolean => path === `${workspaceOf(path)}/${RECYCLE_BIN}`

/** Steps that make sure a folder is at `path`. */
function * arrival(path: string, source: string, theirs: CellsNode | undefined): Generator<UploadStep> {
  if (theirs?.kind === 'folder') return
  if (theirs !== undefined) yield { kind: 'remove', path }
  yield { kind: 'folder', path, source }
}

/** What a local entry is, links to files followed. Links to folders are not: they may lead in circles. */
async function statEntry(source: string, name: string): Promise<Stats> {
  let stats: Stats
  try {
    stats = await quickly(() => lstatSync(source), () => lstat(source))
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
