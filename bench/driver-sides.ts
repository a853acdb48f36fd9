/**
 * What `npm run bench -- driver` compares: the engine behind each driver, a process of its own for each mount, and a folder on the
 * disk. The mounts differ in nothing but the driver.
 */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { daemon, isMounted, timed } from './processes.js'
import type { BenchServer } from './server.js'

const CELLSFS = fileURLToPath(new URL('../bin/cellsfs.js', import.meta.url))
/** The kernel's unit of CPU time in /proc, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

/** What a mount process has used so far. */
export interface Usage {
  readonly cpuSeconds: number
  /** Resident now. */
  readonly megabytes: number
  readonly peakMegabytes: number
}

export interface Place {
  readonly path: string
  /** Undefined where no process serves it. */
  readonly usage: () => Promise<Usage | undefined>
  /** Resolves when everything is on the server. */
  readonly sync: () => Promise<void>
  readonly close: () => Promise<void>
}

export interface DriverSide {
  readonly name: string
  readonly description: string
  readonly open: () => Promise<Place>
}

export interface SideOptions {
  readonly work: string
  readonly server: BenchServer
  /** Folder of the server that is mounted. */
  readonly remote: string
  /** Folder for CPU profiles, or empty. */
  readonly profile: string
  /** Where the mount keeps everything. It stays when the mount is closed, and the next one goes on with it. Default: a new folder each time. */
  readonly home?: string
}

let mounts = 0

export function mountSide(driver: string, version: string, { work, server, remote, profile, home: kept }: SideOptions): DriverSide {
  return {
    name: driver,
    description: version,
    open: async () => {
      const home = kept ?? join(work, `${driver}-${++mounts}`)
      const path = join(home, 'drive')
      await mkdir(path, { recursive: true })
      await mkdir(join(home, 'run'), { mode: 0o700, recursive: true })
      const env = {
        PATH: process.env['PATH'], HOME: home, XDG_CONFIG_HOME: join(home, 'config'), XDG_CACHE_HOME: join(home, 'cache'), XDG_STATE_HOME: join(home, 'state'),
        XDG_RUNTIME_DIR: join(home, 'run'), CEC_URL: server.url, CEC_LOGIN: server.login, CEC_PASSWORD: server.password,
      }
      const options = profile === '' ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]
      const process_ = daemon(process.execPath, [...options, CELLSFS, 'mount', '-f', '--driver', driver, remote, path], env)
      await process_.firstLine
      return {
        path,
        usage: () => usageOf(process_.pid),
        sync: async () => {
          const { code, stderr } = await timed(process.execPath, [CELLSFS, 'sync', path], { env })
          if (code !== 0) throw new Error(`cellsfs sync: ${stderr}`)
        },
        close: async () => {
          await process_.stop()
          if (await isMounted(path)) await timed('fusermount', ['-u', '-z', path])
          if (kept === undefined) await rm(home, { recursive: true, force: true, maxRetries: 5 })
        },
      }
    },
  }
}

/** `files`: what is to lie in it. */
export async function localSide(work: string, seed: (folder: string) => Promise<void>): Promise<DriverSide> {
  const path = join(work, 'local')
  await mkdir(path)
  const { stdout } = await timed('stat', ['-f', '-c', '%T', path])
  // stat(1) does not tell ext4 from its forebears.
  const type = stdout.trim() === 'ext2/ext3' ? 'ext4' : stdout.trim()
  return {
    name: 'local',
    description: `a folder on ${type}`,
    open: async () => {
      await seed(path)
      return { path, usage: () => Promise.resolve(undefined), sync: () => Promise.resolve(), close: () => rm(path, { recursive: true, force: true }) }
    },
  }
}

async function usageOf(pid: number): Promise<Usage | undefined> {
  try {
    const [line, status] = await Promise.all([readFile(`/proc/${pid}/stat`, 'latin1'), readFile(`/proc/${pid}/status`, 'latin1')])
    // proc_pid_stat(5): utime and stime are fields 14 and 15; the name, field 2, may contain anything but ends with the last ')'.
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
    const megabytes = (line: string): number => Math.round(Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024 / 1e6)
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, megabytes: megabytes('VmRSS'), peakMegabytes: megabytes('VmHWM') }
  } catch {
    return undefined
  }
}
