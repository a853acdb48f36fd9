/**
 * Which processes keep a mount busy, as far as this user may see: the links of /proc/<pid> (proc(5)) that lead into it. Links
 * are read and never followed, so that a mount that does not answer cannot hold us up.
 */
import { readFile, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'

export interface MountUser {
  readonly pid: number
  /** As `ps` shows it. */
  readonly name: string
}

/** Processes that work inside `mountpoint` (without symlinks), or have a file of it open or mapped; this one left out. */
export async function mountUsers(mountpoint: string, proc = '/proc'): Promise<MountUser[]> {
  const pids = (await readdir(proc).catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => pid !== process.pid).sort((a, b) => a - b)
  const users: MountUser[] = []
  for (const pid of pids) {
    const folder = join(proc, String(pid))
    if (!await uses(folder, mountpoint)) continue
    const name = await readFile(join(folder, 'comm'), 'utf8').catch(() => '?')
    users.push({ pid, name: name.trim() })
  }
  return users
}

async function uses(folder: string, mountpoint: string): Promise<boolean> {
  const inside = (path: string): boolean => path === mountpoint || path.startsWith(`${mountpoint}/`)
  const leadsInside = (link: string): Promise<boolean> => readlink(link).then(inside, () => false)
  if (await leadsInside(join(folder, 'cwd')) || await leadsInside(join(folder, 'root'))) return true
  for (const fd of await readdir(join(folder, 'fd')).catch(() => [])) if (await leadsInside(join(folder, 'fd', fd))) return true
  const maps = await readFile(join(folder, 'maps'), 'utf8').catch(() => '')
  // The path is the sixth field, and the only one with a slash at its beginning.
  return maps.split('\n').some((line) => inside(/^(?:\S+\s+){5}(\/.*)$/.exec(line)?.[1] ?? ''))
}
