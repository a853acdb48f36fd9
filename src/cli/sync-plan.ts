/** The two sides of `sync` and `check`: a local folder (or file) and one on the server, whichever comes first. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parentOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsNode } from '../cells/types.js'
import { COMPARISONS } from '../transfer/compare.js'
import type { Comparison } from '../transfer/compare.js'
import type { DownloadTarget } from '../transfer/download-plan.js'
import type { UploadTarget } from '../transfer/upload-plan.js'
import { CommandError, UsageError } from './errors.js'
import type { CecArgv } from './options.js'
import { cleanPath } from './remote-path.js'
import { isRemote, withoutPrefix } from './transfer.js'

export interface Sides {
  readonly local: string
  readonly remote: string
  readonly toServer: boolean
}

/** @throws CommandError unless just one side is on the server */
export function sidesOf(source: string, target: string): Sides {
  if (isRemote(source) === isRemote(target)) throw new CommandError('one side must be on the server and begin with cells://, the other one here')
  const toServer = isRemote(target)
  const [local, remote] = toServer ? [source, target] : [target, source]
  const path = cleanPath(withoutPrefix(remote))
  if (path === '') throw new CommandError('please name a workspace or a folder: cells://workspace/folder')
  return { local: resolve(local), remote: path, toServer }
}

/** @throws UsageError */
export function comparisonOf(argv: CecArgv): Comparison {
  const word = [argv['compare'] ?? 'hash'].flat().at(-1)
  const found = COMPARISONS.find(each => each === word)
  if (found === undefined) throw new UsageError(`--compare must be one of ${COMPARISONS.join(', ')}`)
  return found
}

const absent = (error: NodeJS.ErrnoException): undefined => {
  if (error.code === 'ENOENT') return undefined
  throw error
}

/** The content of the local folder goes into the remote one. @throws CommandError when a side is no folder */
export async function uploadSides(server: CellsServer, sides: Sides, signal: AbortSignal): Promise<UploadTarget> {
  const stats = await stat(sides.local).catch(absent)
  if (stats?.isDirectory() !== true) throw new CommandError(stats === undefined ? `${sides.local} does not exist` : `${sides.local} is not a folder`)
  const existing = await server.stat(sides.remote, { signal })
  if (existing === undefined) await demandRemoteParent(server, sides.remote, signal)
  else if (existing.kind !== 'folder') throw new CommandError(`${sides.remote} on the server is not a folder`)
  return { source: sides.local, isFolder: true, size: 0, path: sides.remote, existing, newParent: undefined, resumed: false }
}

async function demandRemoteParent(server: CellsServer, path: string, signal: AbortSignal): Promise<void> {
  const parent = parentOf(path)
  if (parent === '') throw new CommandError(`there is no workspace "${path}"`)
  if ((await server.stat(parent, { signal }))?.kind !== 'folder') throw new CommandError(`the folder ${parent} does not exist on the server`)
}

/** The content of the remote folder goes into the local one. @throws CommandError when a side is no folder */
export async function downloadSides(server: CellsServer, sides: Sides, signal: AbortSignal): Promise<DownloadTarget> {
  const node = await server.stat(sides.remote, { signal })
  if (node?.kind !== 'folder') throw new CommandError(node === undefined ? `${sides.remote} does not exist on the server` : `${sides.remote} on the server is not a folder`)
  const existing = await stat(sides.local).catch(absent)
  if (existing !== undefined && !existing.isDirectory()) throw new CommandError(`${sides.local} is not a folder`)
  if (existing === undefined) {
    const around = await stat(resolve(sides.local, '..')).catch(absent)
    if (around?.isDirectory() !== true) throw new CommandError(`the folder ${resolve(sides.local, '..')} does not exist`)
  }
  return { node: { ...node, kind: 'folder' } satisfies CellsNode, path: sides.local, existing, newParent: undefined, resumed: false }
}
