/** What the server knows of a file, and how far it has what is here, as extended attributes: `getfattr -d file` shows them. Read only. */
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'

type Source = (inode: Inode, path: string, state: StateOf) => string | undefined
/** See state.ts. */
export type StateOf = (inode: Inode) => string | undefined

const ATTRIBUTES: ReadonlyMap<string, Source> = new Map<string, Source>([
  ['user.cells.uuid', (inode) => inode.uuid || undefined],
  // Of a draft that the server has just confirmed, the base is what it confirmed.
  ['user.cells.etag', (inode) => inode.dirty ? undefined : (inode.expected?.md5 ?? (inode.draft === undefined ? inode.version : inode.base)?.etag) || undefined],
  ['user.cells.path', (inode, path) => inode.localOnly ? undefined : path],
  ['user.cells.state', (inode, _path, state) => state(inode)],
])

/** @throws FsError ENODATA */
export function getXattr(inode: Inode, path: string, name: string, state: StateOf): Buffer {
  const value = ATTRIBUTES.get(name)?.(inode, path, state)
  if (value === undefined) throw new FsError('ENODATA', `No attribute ${name}`)
  return Buffer.from(value)
}

/** `ls -l` asks for this of every name: nothing that takes time. */
export function listXattrs(inode: Inode, path: string, hasState: boolean): string[] {
  return [...ATTRIBUTES].filter(([, source]) => source(inode, path, () => (hasState ? '' : undefined)) !== undefined).map(([name]) => name)
}
