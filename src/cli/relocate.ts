/**
 * What `cp` and `mv` have in common on the server. A Cells server never replaces an existing name, it
 * silently makes `x-1` of the newcomer (contract, trap 4), and it destroys a folder that is moved into
 * itself (trap 5). So the targets are proven free before anything starts, and proven there after.
 */
import { baseOf, isWithin, parentOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import { isCellsError } from '../cells/errors.js'
import { Confirmer } from '../transfer/confirm.js'
import { remoteJoin } from '../transfer/names.js'
import type { Logger } from '../log.js'
import { CommandError } from './errors.js'
import { childrenOf, demandNode, isWildcard } from './remote-path.js'

/** Until all targets show after the server's job has ended. */
const SHOW_MS = 30_000

export interface Sources {
  readonly paths: readonly string[]
  /** Made from `folder/*`: the target must be a folder. */
  readonly wildcard: boolean
}

/** @throws CommandError when there is nothing at the path, or nothing in the folder */
export async function resolveSources(server: CellsServer, source: string, logger: Logger, signal: AbortSignal): Promise<Sources> {
  if (source === '') throw new CommandError('please name what to take: workspace/path')
  if (isWildcard(source, '*')) {
    const children = await childrenOf(server, source, signal)
    if (children.length === 0) throw new CommandError(`there is nothing in ${parentOf(source)}`)
    return { paths: children.map(child => child.path), wildcard: true }
  }
  if (/[^/]\*$/.test(source)) logger.warn(`the wildcard * only works as a whole name (folder/*): ${source} is taken literally`)
  await demandNode(server, source, signal)
  return { paths: [source], wildcard: false }
}

/**
 * @param into the target is the folder that will hold the sources
 * @returns each source's full new path
 * @throws CommandError when a target is taken or lies inside its source
 */
export async function demandFreeTargets(server: CellsServer, sources: readonly string[], target: string, into: boolean, signal: AbortSignal): Promise<string[]> {
  const targets = sources.map(source => (into ? remoteJoin(target, baseOf(source)) : target))
  for (const [index, source] of sources.entries()) {
    const path = targets[index] ?? ''
    if (path === source) throw new CommandError(`${source} is where it is to go`)
    if (isWithin(path, source)) throw new CommandError(`${source} cannot go into itself (${path})`)
  }
  const taken = [...(await server.statMany(targets, { signal })).keys()]
  if (taken.length > 0) throw new CommandError(`${taken.slice(0, 5).join(', ')}${taken.length > 5 ? ` and ${taken.length - 5} more` : ''} already exists, delete it first`)
  return targets
}

/** Runs the job for many sources into a folder. */
export async function relocateMany(server: CellsServer, name: 'copy' | 'move', sources: readonly string[], target: string, signal: AbortSignal): Promise<void> {
  await server.waitForJob(await server.startJob(name, sources, target, true, { signal }), { signal })
}

/**
 * Waits until all targets show.
 * @throws CommandError when the server gave one another name (it takes names that differ in case only for one)
 */
export async function demandArrival(server: CellsServer, targets: readonly string[], signal: AbortSignal): Promise<void> {
  const confirmer = new Confirmer(server, signal)
  const results = await Promise.allSettled(targets.map(path => confirmer.confirm(path, node => node !== undefined, SHOW_MS)))
  const late: string[] = []
  for (const [index, result] of results.entries()) {
    if (result.status === 'fulfilled') continue
    if (!isCellsError(result.reason, 'timeout')) throw result.reason
    late.push(targets[index] ?? '')
  }
  if (late.length > 0) throw new CommandError(`the server has finished but ${late.slice(0, 5).join(', ')} does not show; it may have got another name, as names that differ in case only count as one`)
}
