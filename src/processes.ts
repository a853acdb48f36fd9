/** Is that process still the one that was written down? A pid alone does not tell: it is given out again. */
import { readFileSync } from 'node:fs'

/** Start time in ticks since boot (field 22 of /proc/<pid>/stat), '' where there is no /proc. */
export function startTime(pid: number): string {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command name in field 2 may hold spaces and brackets; what follows the last ')' may not.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

/** Does the process live that had this pid and start time? '' counts as any start time. */
export function isAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = startTime(pid)
  return now === '' || start === '' || now === start
}
