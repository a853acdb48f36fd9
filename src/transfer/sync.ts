/**
 * One-way synchronisation: a plan (upload or download) that leaves alone what agrees, and the deletion of what is only at the
 * target. Deleting is the last step, only after everything else went well, and only of just what the plan named: each
 * item is looked at again before it goes.
 */
import { lstat, rmdir, unlink } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import type { DownloadStep } from './download-plan.js'
import { TransferError } from './types.js'
import type { TransferFailure } from './types.js'
import type { UploadStep } from './upload-plan.js'

type RemoteExtra = Extract<UploadStep, { kind: 'extra' }>
type LocalExtra = Extract<DownloadStep, { kind: 'extra' }>

const BATCH = 100

/**
 * The plan of a synchronisation: a folder never gives way to a file, and a file gives way to a folder with
 * `mayDelete` only. What cannot be done is a failure, and what would lie below it is left out.
 */
export async function * cautious<S extends UploadStep | DownloadStep>(plan: AsyncIterable<S>, mayDelete: boolean): AsyncGenerator<S> {
  let held: S | undefined
  let blocked: string | undefined
  const refuse = (path: string, message: string): S => {
    blocked = path
    const failure: UploadStep & DownloadStep = { kind: 'failure', path, error: new TransferError('exists', message) }
    return failure as unknown as S
  }
  for await (const step of plan) {
    if (blocked !== undefined && (step.path === blocked || step.path.startsWith(`${blocked}/`))) continue
    blocked = undefined
    if (step.kind === 'remove') {
      held = step
      continue
    }
    const removal = held
    held = undefined
    const fileGivesWay = (step.kind === 'folder' && removal !== undefined) || (step.kind === 'folder' && 'replace' in step && step.replace)
    const folderGivesWay = (step.kind === 'file' && removal !== undefined) || (step.kind === 'file' && 'replace' in step && step.replace === 'folder')
    if (folderGivesWay) yield refuse(step.path, 'a folder is there, where a file should go; remove it first')
    else if (fileGivesWay && !mayDelete) yield refuse(step.path, 'a file is there, where a folder should go; --delete lets it give way')
    else {
      if (removal !== undefined) yield removal
      yield step
    }
  }
}

/** What a plan said of one side only; to be deleted at the end, or not. */
export class Extras<E extends { readonly path: string; readonly inside: boolean }> {
  readonly items: E[] = []
  /** Anything at the source, besides the folder itself. */
  sourceSteps = 0

  /** The steps of `plan`; extras are kept aside. */
  async * collect<S extends UploadStep | DownloadStep>(plan: AsyncIterable<S>, onExtra: (step: S) => void): AsyncGenerator<S> {
    for await (const step of plan) {
      if (step.kind === 'extra') {
        this.items.push(step as unknown as E)
        onExtra(step)
        continue
      }
      if (step.kind !== 'failure') this.sourceSteps++
      yield step
    }
  }
}

export interface Deletion {
  readonly deleted: string[]
  readonly failures: TransferFailure[]
}

const changed = (path: string): TransferFailure => ({ path, error: new TransferError('changed', 'it has changed since the plan was made and is not deleted') })

/** To the recycle bin. A folder goes as a whole, if it holds just what the plan named. */
export async function deleteRemoteExtras(server: CellsServer, extras: readonly RemoteExtra[], signal: AbortSignal): Promise<Deletion> {
  const deleted: string[] = []
  const failures: TransferFailure[] = []
  const tops = extras.filter(extra => !extra.inside)
  for (let start = 0; start < tops.length; start += BATCH) {
    const batch = tops.slice(start, start + BATCH)
    const now = await server.statMany(batch.map(extra => extra.path), { signal })
    const agreed: string[] = []
    for (const top of batch) {
      const node = now.get(top.path)
      if (node === undefined) continue
      if (isSameNode(node, top.node) && (node.kind === 'file' || await holdsJust(server, node, extras, signal))) agreed.push(top.path)
      else failures.push(changed(top.path))
    }
    try {
      if (agreed.length > 0) await server.remove(agreed, { signal })
      deleted.push(...agreed)
    } catch (error) {
      signal.throwIfAborted()
      failures.push(...agreed.map(path => ({ path, error: error as Error })))
    }
  }
  return { deleted, failures }
}

const isSameNode = (a: CellsNode, b: CellsNode): boolean => a.kind === b.kind && a.uuid === b.uuid && (a.kind === 'folder' || (a.etag === b.etag && a.size === b.size))

async function holdsJust(server: CellsServer, folder: CellsNode, extras: readonly RemoteExtra[], signal: AbortSignal): Promise<boolean> {
  const planned = new Map(extras.filter(extra => extra.path.startsWith(`${folder.path}/`)).map(extra => [extra.path, extra.node]))
  const look = async (path: string): Promise<boolean> => {
    for await (const page of server.list(path, { signal })) {
      for (const node of page) {
        const known = planned.get(node.path)
        if (known === undefined || !isSameNode(node, known)) return false
        if (node.kind === 'folder' && !await look(node.path)) return false
      }
    }
    return true
  }
  return look(folder.path)
}

/** For good. Files one by one, folders when they are empty: what nobody named keeps its folder. */
export async function deleteLocalExtras(extras: readonly LocalExtra[], signal: AbortSignal): Promise<Deletion> {
  const deleted: string[] = []
  const failures: TransferFailure[] = []
  for (const extra of [...extras].reverse()) {
    signal.throwIfAborted()
    try {
      const now = await lstat(extra.path)
      if (extra.stats.isDirectory() && now.isDirectory()) await rmdir(extra.path)
      else if (isSameStats(now, extra.stats)) await unlink(extra.path)
      else {
        failures.push(changed(extra.path))
        continue
      }
      deleted.push(extra.path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') continue
      failures.push(code === 'ENOTEMPTY' ? changed(extra.path) : { path: extra.path, error: error as Error })
    }
  }
  return { deleted, failures }
}

const isSameStats = (a: Stats, b: Stats): boolean => a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeMs === b.mtimeMs && a.mode === b.mode
