/**
 * What a download will do, as a stream of steps; the mirror image of upload-plan.ts. Local
 * paths are built here and only here, from names that passed names.ts, below folders that
 * were checked with lstat: a symbolic link inside the target is never walked through.
 */
import type { Stats } from 'node:fs'
import { lstat, readdir, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { baseOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import { isSameContent } from './compare.js'
import type { Comparison } from './compare.js'
import { cleanRemotePath, nameInside, safeName } from './names.js'
import { isPartialName } from './partial.js'
import { onlyNeededFolders } from './select.js'
import type { Selection } from './select.js'
import type { TransferState } from './state.js'
import { TransferError } from './types.js'

export type DownloadStep =
  /** A folder to make; `replace`: a file is there and gives way. */
  | { readonly kind: 'folder'; readonly path: string; readonly replace: boolean }
  /** `replace`: what is there gives way once the new content is complete; `''`: nothing is there. */
  | { readonly kind: 'file'; readonly path: string; readonly node: CellsNode; readonly replace: '' | 'file' | 'folder' }
  /** Nothing to do: that content is there. */
  | { readonly kind: 'same'; readonly path: string; readonly node: CellsNode }
  /** Here only; asked for by `extras`. What is in such a folder follows, each with `inside`. */
  | { readonly kind: 'extra'; readonly path: string; readonly stats: Stats; readonly inside: boolean }
  | { readonly kind: 'failure'; readonly path: string; readonly error: Error }

export interface DownloadTarget {
  readonly node: CellsNode
  /** Absolute local path of the item itself. */
  readonly path: string
  readonly existing: Stats | undefined
  readonly newParent: string | undefined
  /** An earlier transfer of the same was interrupted: what it made is no reason to refuse. */
  readonly resumed: boolean
}

export interface DownloadPlanOptions {
  readonly signal?: AbortSignal
  readonly select?: Selection
  /** Files that exist on both sides are compared, and those that agree left alone; otherwise all are fetched. */
  readonly compare?: Comparison
  /** A file with other content is a failure, not to be replaced. */
  readonly keepOthers?: boolean
  /** Tell what is here only. */
  readonly extras?: boolean
  /** Called with each existing folder before it is merged with. */
  readonly onMerge?: (folder: string) => Promise<void>
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
export async function resolveDownload(server: CellsServer, source: string, target: string, force: boolean, signal?: AbortSignal, state?: TransferState): Promise<DownloadTarget> {
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
  const resumed = await state?.isUnfinished(node.path, path) === true
  if (existing !== undefined && !force && !resumed) throw new TransferError('exists', `${path} already exists, use --force to merge or replace it`)
  return { node, path, existing, newParent: into && there === undefined ? absolute : undefined, resumed }
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
export async function * planDownload(server: CellsServer, target: DownloadTarget, options: DownloadPlanOptions = {}): AsyncGenerator<DownloadStep> {
  const steps = new DownloadWalk(server, target, options).steps()
  yield * options.select?.onlySome === true ? onlyNeededFolders(steps) : steps
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

class DownloadWalk {
  readonly #server: CellsServer
  readonly #target: DownloadTarget
  readonly #options: DownloadPlanOptions

  constructor(server: CellsServer, target: DownloadTarget, options: DownloadPlanOptions) {
    this.#server = server
    this.#target = target
    this.#options = options
  }

  async * steps(): AsyncGenerator<DownloadStep> {
    const { node, path, existing, newParent } = this.#target
    if (newParent !== undefined) yield { kind: 'folder', path: newParent, replace: false }
    const step = await this.#judged(await itemStep(node, path, existing))
    if (step !== undefined) yield step
    if (node.kind === 'folder' && step?.kind !== 'failure') yield * this.#folder(node.path, path, step === undefined)
  }

  #takes(path: string, isFolder: boolean): boolean {
    return this.#options.select?.takes(relative(this.#target.path, path), isFolder) ?? true
  }

  async * #folder(remote: string, local: string, merge: boolean): AsyncGenerator<DownloadStep> {
    const folders: { node: CellsNode; path: string; merge: boolean }[] = []
    const names = this.#options.extras === true && merge ? new Set<string>() : undefined
    let complete = true
    const unusable = new Set<string>()
    const onUnusable = (entry: string): void => {
      unusable.add(entry)
    }
    if (merge) await this.#options.onMerge?.(local)
    try {
      for await (const page of this.#server.list(remote, { signal: this.#options.signal, onUnusable })) {
        for (const node of page) {
          try {
            const name = nameInside(remote, node.path)
            names?.add(name)
            const path = join(local, name)
            if (!this.#takes(path, node.kind === 'folder')) continue
            const step = await this.#judged(await itemStep(node, path, merge ? await absentIsUndefined(lstat(path)) : undefined))
            if (step !== undefined) yield step
            if (node.kind === 'folder' && step?.kind !== 'failure') folders.push({ node, path, merge: step === undefined })
          } catch (error) {
            complete = false
            yield { kind: 'failure', path: node.path, error: error as Error }
          }
        }
      }
    } catch (error) {
      complete = false
      yield { kind: 'failure', path: remote, error: error as Error }
    }
    for (const entry of unusable) {
      complete = false
      yield { kind: 'failure', path: remote, error: new TransferError('unsafe-name', `the server lists ${JSON.stringify(entry)} in it, which cannot be the name of anything there`) }
    }
    if (names !== undefined && complete) yield * this.#extras(local, name => !names.has(name), false)
    for (const folder of folders) yield * this.#folder(folder.node.path, folder.path, folder.merge)
  }

  /** A file that would replace one, in the light of `compare` and `keepOthers`. */
  async #judged(step: DownloadStep | undefined): Promise<DownloadStep | undefined> {
    const { compare, keepOthers } = this.#options
    if (step?.kind !== 'file' || step.replace === '') return step
    const stats = await lstat(step.path)
    if (compare !== undefined && stats.isFile() && await isSameContent(step.path, stats, step.node, compare, 'download')) return { kind: 'same', path: step.path, node: step.node }
    if (keepOthers !== true) return step
    return { kind: 'failure', path: step.path, error: new TransferError('exists', 'other content exists here, use --force to replace it') }
  }

  async * #extras(folder: string, wanted: (name: string) => boolean, inside: boolean): AsyncGenerator<DownloadStep> {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (!wanted(entry.name) || isPartialName(entry.name) || !this.#takes(path, entry.isDirectory())) continue
      yield { kind: 'extra', path, stats: await lstat(path), inside }
      if (entry.isDirectory()) yield * this.#extras(path, () => true, true)
    }
  }
}
