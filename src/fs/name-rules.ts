/**
 * Which names can be made, and where. What the server cannot hold is refused before anything of it is done: a program that is told at
 * once can choose another name, a change that fails minutes later cannot.
 */
import { hasFourByte, nameProblem } from '../cells/names.js'
import type { Logger } from '../log.js'
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import { isLocalOnly } from './localnames.js'
import type { Tree } from './tree.js'

export interface NameRulesDeps {
  readonly tree: Tree
  readonly readOnly: boolean
  /** The server keeps 4-byte UTF-8 in names. */
  readonly fourByteNames: () => boolean
  readonly logger: Logger
}

export class NameRules {
  private readonly deps: NameRulesDeps

  constructor(deps: NameRulesDeps) {
    this.deps = deps
  }

  /** @throws FsError when no name in the folder can be made, changed or taken away */
  checkWritable(folder: Inode): void {
    const { root } = this.deps.tree.deps.inodes
    if (this.deps.readOnly) throw new FsError('EROFS')
    if (folder === root && this.deps.tree.deps.remote === '') throw new FsError('EPERM', 'Workspaces are made and removed by an administrator of the server')
    if (folder.readOnly) throw new FsError('EACCES', 'The folder is read-only on the server')
    if (folder.unlinked) throw new FsError('ENOENT', 'The folder has been deleted')
  }

  /** The name as the server will hold it. @throws FsError for what it cannot hold, and as `checkWritable` */
  checkNew(folder: Inode, name: string): string {
    this.checkWritable(folder)
    const clean = cleanName(name)
    if (isLocalOnly(clean, this.deps.tree.places.foldersAbove(folder))) return clean
    // What a driver could not decode arrives as U+FFFD.
    if (clean.includes('\ufffd')) throw this.refuse('EILSEQ', name, 'the name is not valid UTF-8')
    const problem = nameProblem(clean, { fourByte: this.deps.fourByteNames() })
    if (problem !== undefined) throw this.refuse(hasFourByte(clean) ? 'EILSEQ' : 'EINVAL', name, problem)
    return clean
  }

  private refuse(code: 'EINVAL' | 'EILSEQ', name: string, problem: string): FsError {
    this.deps.logger.warn('name refused', { name, problem })
    return new FsError(code, `${JSON.stringify(name)}: ${problem}`)
  }
}

/** The name as the server has it (contract, trap 11). @throws FsError ENAMETOOLONG */
export function cleanName(name: string): string {
  const clean = name.normalize('NFC')
  if (Buffer.byteLength(clean) > 255) throw new FsError('ENAMETOOLONG', 'A name has at most 255 bytes')
  return clean
}
