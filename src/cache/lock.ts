/**
 * A folder belongs to one process. The owner is written as pid + start time, so a lock left by `kill -9`
 * or by a pid that has since been given to another program is recognised and taken over.
 */
import { closeSync, linkSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { isAlive, startTime } from '../processes.js'

function owner(file: string): { pid: number; start: string } | undefined {
  try {
    const [pid, start] = readFileSync(file, 'latin1').trim().split(' ')
    const number = Number(pid)
    return Number.isInteger(number) && number > 0 ? { pid: number, start: start ?? '' } : undefined
  } catch {
    return undefined
  }
}

/**
 * Takes the lock file, or says who has it.
 * @returns a function that gives it back, or the pid of the living owner
 */
export function takeLock(file: string): (() => void) | number {
  const own = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`
  const fd = openSync(own, 'wx', 0o600)
  writeSync(fd, `${process.pid} ${startTime(process.pid)}\n`)
  closeSync(fd)
  try {
    for (;;) {
      try {
        // link(2) fails if the name exists: the only step that decides who owns.
        linkSync(own, file)
        return () => {
          if (owner(file)?.pid === process.pid) unlinkSync(file)
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const holder = owner(file)
      if (holder !== undefined && isAlive(holder.pid, holder.start)) return holder.pid
      // Stale: set it aside under our own name, so that of two who see it only one removes this very file.
      const aside = `${own}.stale`
      try {
        renameSync(file, aside)
        const taken = owner(aside)
        if (taken !== undefined && isAlive(taken.pid, taken.start)) {
          renameSync(aside, file)
          return taken.pid
        }
        unlinkSync(aside)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
  } finally {
    unlinkSync(own)
  }
}
