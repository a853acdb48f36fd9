/** Downloads a file or a tree: plan, make folders, fetch files (cec-reference 7). */
import { lstat, mkdir, unlink } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { CellsServer } from '../cells/server.js'
import { demandNoLinks, downloadFile } from './download-file.js'
import { partRules } from './parts.js'
import { planDownload } from './download-plan.js'
import type { DownloadPlanOptions, DownloadStep, DownloadTarget } from './download-plan.js'
import { PartialFile } from './partial.js'
import type { Leftovers } from './partial.js'
import { TransferRun } from './run.js'
import { asUnfinished } from './unfinished.js'
import type { TransferOptions, TransferReport } from './types.js'

/**
 * Fetches what `target` describes (see resolveDownload). Failures of single items are in the report.
 * @throws the abort reason of `options.signal`
 */
export async function download(server: CellsServer, target: DownloadTarget, options: TransferOptions = {}): Promise<TransferReport> {
  return asUnfinished(target.node.path, target.path, options, async (run, leftovers) => {
    const around = dirname(target.newParent ?? target.path)
    await leftovers.remove(dirname(target.path))
    const plan = planDownload(server, target, { ...downloadPlanOptions(target, options), onMerge: folder => leftovers.remove(folder) })
    return carryOutDownload(server, plan, options, { run, leftovers, inside: around })
  })
}

/** How `download` plans, for those who only want to see the plan. */
export const downloadPlanOptions = (target: DownloadTarget, options: TransferOptions): DownloadPlanOptions => ({
  signal: options.signal, select: options.select,
  ...(target.resumed ? { compare: 'hash', keepOthers: options.force !== true } as const : {}),
})

export interface DownloadPlace {
  /** Name of this run, for its temporary files. */
  readonly run?: string
  readonly leftovers?: Leftovers
  /** An existing folder; links on the way to it are the user's own, below it nothing is written through one. */
  readonly inside?: string
}

/** Carries out a plan; `same` steps are counted, `extra` steps passed over. */
export async function carryOutDownload(server: CellsServer, plan: AsyncIterable<DownloadStep>, options: TransferOptions = {}, place: DownloadPlace = {}): Promise<TransferReport> {
  const { concurrency } = partRules(options.parts)
  const run = new TransferRun(options, concurrency)
  for await (const step of run.steps(plan, step => (step.kind === 'file' ? step.node.size : 0))) {
    if (step.kind === 'folder') await makeFolder(step, run, place.inside)
    else if (step.kind === 'failure') run.fail(step.path, step.error)
    else if (step.kind === 'same') {
      if (place.leftovers?.possible === true) await PartialFile.forget(step.node, step.path, options.state?.account ?? '')
      run.isSame(step.path)
    } else if (step.kind === 'file') await startFile(server, step, run, options, concurrency, place)
  }
  return run.finish()
}

async function makeFolder(step: DownloadStep & { kind: 'folder' }, run: TransferRun, inside: string | undefined): Promise<void> {
  try {
    await demandNoLinks(dirname(step.path), inside)
    if (step.replace) {
      await unlink(step.path)
      run.did('removal', step.path)
    }
    await makeRealFolder(step.path)
    run.did('folder', step.path)
  } catch (error) {
    run.lose(step.path)
    run.fail(step.path, error)
  }
}

/** mkdir that takes a folder made meanwhile for its own, but never a link to one. */
async function makeRealFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o755 })
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST'
    if (!exists || !(await lstat(path)).isDirectory()) throw error
  }
}

async function startFile(
  server: CellsServer, step: DownloadStep & { kind: 'file' }, run: TransferRun, options: TransferOptions, concurrency: number, { run: name, inside }: DownloadPlace,
): Promise<void> {
  await run.start(step.node.path, step.path, basename(step.path), step.node.size, task => downloadFile(step.node, step.path, step.replace, {
    server,
    requests: run.requests,
    signal: run.signal,
    skipDigest: options.skipDigest ?? false,
    concurrency,
    account: options.state?.account ?? '',
    run: name,
    inside,
    limiter: options.limiter,
    onProgress: bytes => run.listener.onProgress?.(task, bytes),
    onDetail: message => run.listener.onDetail?.(message),
  }))
}
