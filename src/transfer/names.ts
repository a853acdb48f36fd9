/**
 * Names that cross from one side to the other. What a server lists is untrusted input (design, invariant 9):
 * a name must be one step down and nothing else before it becomes part of a local path.
 */
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { nameProblem, unsafeServerName } from '../cells/names.js'
import { TransferError } from './types.js'

/**
 * The name of `childPath` within `folderPath`, both as the server wrote them.
 * @throws TransferError `unsafe-name` for anything that is not exactly one harmless segment
 */
export function nameInside(folderPath: string, childPath: string): string {
  const prefix = folderPath === '' ? '' : `${folderPath}/`
  if (!childPath.startsWith(prefix)) throw new TransferError('unsafe-name', `the server listed ${JSON.stringify(childPath)} inside ${JSON.stringify(folderPath)}`)
  return safeName(childPath.slice(prefix.length))
}

/** @throws TransferError `unsafe-name` */
export function safeName(name: string): string {
  const problem = unsafeServerName(name)
  if (problem !== undefined) throw new TransferError('unsafe-name', `${JSON.stringify(name)} cannot be a name on this computer (${problem})`)
  return name
}

/** `ws/a` of `/ws//a/`: NFC, no slash at either end, no empty segments. */
export function cleanRemotePath(path: string): string {
  return path.normalize('NFC').split('/').filter(segment => segment !== '').join('/')
}

export const remoteJoin = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`)

/**
 * The name under which a local entry goes to the server: NFC (trap 11).
 * @throws TransferError `unsupported` when the server cannot hold it, or another entry of the same folder goes under that name
 */
export async function nameForServer(folder: string, name: string): Promise<string> {
  // Whether emoji survive depends on the server; it will say so itself.
  const problem = nameProblem(name, { fourByte: true })
  if (problem !== undefined) throw new TransferError('unsupported', problem)
  const composed = name.normalize('NFC')
  if (composed === name) return name
  const [ours, twin] = await Promise.all([lstat(join(folder, name)), lstat(join(folder, composed)).catch(() => undefined)])
  if (twin !== undefined && (twin.ino !== ours.ino || twin.dev !== ours.dev)) {
    throw new TransferError('unsupported', `another item is called ${composed} once its accents are composed as the server does it`)
  }
  return composed
}
