/** What the mount and the server show, as plain data, and how both are compared with each other and with the model. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Digester, compareWithNode } from '../../cells/digest.js'
import type { CellsNode } from '../../cells/types.js'
import type { PathFs } from '../posix.testing.js'
import type { FailedChange } from '../status.js'
import { type Model, shorten } from './model.testing.js'
import { isBelow, type ModelNode, parentOf } from './world.testing.js'

export interface Shown {
  readonly type: string
  readonly content: Buffer
  readonly mode: number | undefined
  readonly mtime: bigint | undefined
}

export async function showOf(fs: PathFs, path: string): Promise<Shown> {
  const attr = await fs.stat(path)
  if (attr.type === 'folder') return { type: 'folder', content: Buffer.alloc(0), mode: attr.mode, mtime: undefined }
  const content = attr.type === 'symlink' ? Buffer.from(await fs.readlink(path)) : await fs.readFile(path)
  if (content.length !== attr.size) throw new SizeMismatch(`${path}: stat says ${attr.size} bytes, its content is ${shorten(content)}`)
  return { type: attr.type, content, mode: attr.mode, mtime: attr.mtime }
}

/** Not an error in itself: somebody may have written in between. */
export class SizeMismatch extends Error {
  readonly code = 'ESTALE'
}

/** Everything below the root of the mount. */
export async function mountTree(fs: PathFs): Promise<Map<string, Shown>> {
  const found = new Map<string, Shown>()
  const walk = async (folder: string): Promise<void> => {
    for (const name of await fs.readdir(folder)) {
      const path = folder === '' ? name : `${folder}/${name}`
      const shown = await showOf(fs, path)
      found.set(path, shown)
      if (shown.type === 'folder') await walk(path)
    }
  }
  await walk('')
  return found
}

/** Is what is shown what the model has? What the model does not know is not compared. */
export function sameNode(actual: Shown, expected: ModelNode | Shown): boolean {
  return actual.type === expected.type && actual.content.equals(expected.content)
    && (expected.mode === undefined || actual.mode === expected.mode)
    && (expected.mtime === undefined || actual.mtime === expected.mtime)
}

export function showNode(node: ModelNode | Shown | undefined): string {
  if (node === undefined) return 'nothing'
  const mode = node.mode === undefined ? '' : ` ${node.mode.toString(8)}`
  const mtime = node.mtime === undefined ? '' : ` mtime ${node.mtime}`
  return `${node.type}${mode}${mtime}${node.type === 'folder' ? '' : ` ${shorten(node.content)}`}`
}

export function mountAgainstServer(mount: ReadonlyMap<string, Shown>, server: ReadonlyMap<string, CellsNode>): string[] {
  const wrong: string[] = []
  for (const path of new Set([...mount.keys(), ...server.keys()])) {
    const [here, there] = [mount.get(path), server.get(path)]
    if (here === undefined) wrong.push(`${path}: only on the server (${there!.kind}, ${there!.size} bytes, ${there!.etag})`)
    else if (there === undefined) wrong.push(`${path}: only in the mount (${showNode(here)})`)
    else if ((here.type === 'folder') !== (there.kind === 'folder')) wrong.push(`${path}: ${here.type} in the mount, ${there.kind} on the server`)
    else if (here.type !== 'folder') {
      const digester = new Digester()
      digester.update(here.content)
      if (compareWithNode(digester.finish(), there) !== 'same') wrong.push(`${path}: ${showNode(here)} in the mount, ${there.size} bytes with ETag ${there.etag} on the server`)
    }
  }
  return wrong
}

/** Against the newest world, conflicts left out. */
export function mountAgainstModel(mount: ReadonlyMap<string, Shown>, model: Model): string[] {
  const wrong: string[] = []
  const { newest } = model
  for (const path of new Set([...mount.keys(), ...newest.names.keys()])) {
    if (path === '' || model.isLoose(path)) continue
    const [actual, expected] = [mount.get(path), newest.at(path)]
    if (actual === undefined || expected === undefined ? actual !== expected && !besideConflict(model, path, expected) : !sameNode(actual, expected)) {
      wrong.push(`${path}: ${showNode(actual)}, expected ${showNode(expected)}`)
    }
  }
  return wrong
}

/** A copy with a readable name may appear beside a conflict, and a folder with all that is in it. */
export function besideConflict(model: Model, path: string, expected: unknown): boolean {
  if (expected !== undefined) return false
  const names = path.split('/')
  // A rename, of it or of a folder around it, that the server carried out in the moment in which somebody took the name.
  if (names.some((_, index) => model.isLoose(names.slice(0, index + 1).join('/').replace(/-\d+(\.[a-z]+)?$/, '$1')))) return true
  return names.some((name, index) => {
    if (!/ \((conflict|recovered)\b/.test(name)) return false
    const folder = names.slice(0, index).join('/')
    return model.looseNames.some((it) => parentOf(it) === folder || it === folder || isBelow(folder, it))
  })
}

/**
 * A part of a file was changed here whose rest somebody replaced before it had come: what was written lies in `lost+found`, each byte in its place (S59). As a
 * person would, takes it from there; what it is a part of is not lost. Returns the failures of a sync that are no such report.
 */
export async function takeSetAside(failed: readonly FailedChange[], state: string, model: Model): Promise<readonly FailedChange[]> {
  const told = failed.filter(({ path, reason }) => reason.startsWith('somebody replaced it on the server before') && model.isLoose(path))
  if (told.length === 0) return failed
  const folder = join(state, 'state', 'lost+found')
  for (const { path } of told) {
    const base = path.slice(path.lastIndexOf('/') + 1)
    for (const name of (await readdir(folder)).filter((it) => it.slice(0, it.lastIndexOf('.')) === base)) {
      const part = await readFile(join(folder, name))
      for (const [key, { who }] of model.work) if (who === 'we' && isPartOf(part, Buffer.from(key, 'latin1'))) model.work.delete(key)
      await rm(join(folder, name))
    }
  }
  return failed.filter((it) => !told.includes(it))
}

function isPartOf(part: Buffer, whole: Buffer): boolean {
  return part.length <= whole.length && part.some((byte) => byte !== 0) && part.every((byte, index) => byte === 0 || byte === whole[index])
}
