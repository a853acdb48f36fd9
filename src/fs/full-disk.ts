/** Nothing new is begun on a full disk (cache/room.ts): the writer gets ENOSPC before anything is half done. Deleting, renaming and reading go on. */
import type { FileSystem } from './drivers/driver.js'
import { FsError } from './errno.js'

const NEEDS_ROOM = ['create', 'mkdir', 'mknod', 'symlink', 'link', 'write', 'setxattr', 'fallocate', 'copyFileRange'] as const satisfies readonly (keyof FileSystem)[]

/** From now on `fs` refuses what needs room while `full` says so. */
export function refuseWhenFull(fs: FileSystem, full: () => boolean): void {
  for (const name of NEEDS_ROOM) {
    const operation = fs[name]?.bind(fs) as ((...args: unknown[]) => Promise<unknown>) | undefined
    if (operation === undefined) continue
    Object.assign(fs, { [name]: (...args: unknown[]) => (full() ? Promise.reject(new FsError('ENOSPC', 'the disk of the state folder is full')) : operation(...args)) })
  }
}
