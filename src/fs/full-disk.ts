/**
 * Nothing new is begun on a full disk (cache/room.ts), and when the mount is at its end: the program gets the error before anything
 * is half done. Deleting, renaming and reading go on.
 */
import type { FileSystem } from './drivers/driver.js'
import { FsError, type ErrnoCode } from './errno.js'

const ADDS = ['create', 'mkdir', 'mknod', 'symlink', 'link', 'write', 'setxattr', 'fallocate', 'copyFileRange'] as const satisfies readonly (keyof FileSystem)[]

/** From now on what adds something to `fs` fails with the errno that `reason` gives, if it gives one. */
export function refuseAdding(fs: FileSystem, reason: () => ErrnoCode | undefined): void {
  for (const name of ADDS) {
    const operation = fs[name]?.bind(fs) as ((...args: unknown[]) => Promise<unknown>) | undefined
    if (operation === undefined) continue
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        const code = reason()
        return code === undefined ? operation(...args) : Promise.reject(new FsError(code))
      },
    })
  }
}
