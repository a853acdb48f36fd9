/** Is that process still the one that was written down? A pid alone does not tell: it is given out again. */
import { readFileSync } from 'node:fs'

/** /proc/<pid>/stat from field 3 on (proc(5)); empty where there is no /proc. */
function facts(pid: number): readonly string[] {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command name in field 2 may hold spaces and brackets; what follows the last ')' may not.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}

/** Start time in ticks since boot (field 22), '' where there is no /proc. */
export const startTime = (pid: number): string => facts(pid)[19] ?? ''

/** Does the process live that had this pid and start time? '' counts as any start time. */
export function isAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const [state = '', ...others] = facts(pid)
  // Ended, but its parent has not asked how.
  if (state === 'Z' || state === 'X') return false
  const now = others[18] ?? ''
  return now === '' || start === '' || now === start
}
