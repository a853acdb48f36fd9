/**
 * The folder that becomes a drive, seen from outside: may it be mounted on, is it, and how it ends.
 *
 * Everything that can be known before libfuse is asked is checked here, because libfuse only
 * prints half a sentence on stderr. A mount whose process died ("Transport endpoint is not connected") is
 * cleaned away; one that is alive is never touched.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readFile, readdir, realpath, stat } from 'node:fs/promises'
import { basename, delimiter, dirname, join, resolve } from 'node:path'
import { orLate } from '../signals.js'
import { FsError } from './errno.js'
import { MountError } from './mount-error.js'

/** Longest wait for a mount of somebody else to answer a stat. */
const PROBE_MS = 5_000
const CAP_SYS_ADMIN = 21n
/** The kernel sends its first request at once; longer means that something is badly wrong. */
const INIT_MS = 15_000

export interface MountEntry {
  readonly mountpoint: string
  readonly fstype: string
  readonly source: string
}

/** The mounts of this process's namespace (proc_pid_mountinfo(5)), innermost last. Empty where there is no /proc. */
export async function mounts(): Promise<MountEntry[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '').map((line) => {
    const fields = line.split(' ')
    const dash = fields.indexOf('-', 6)
    return { mountpoint: unescape(fields[4]), fstype: unescape(fields[dash + 1]), source: unescape(fields[dash + 2]) }
  })
}

/** Spaces and backslashes stand as three octal digits there. */
function unescape(field = ''): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
}

/** Absolute path without symlinks, also of a dead mount. */
export async function realMountpoint(path: string): Promise<string> {
  const absolute = resolve(path)
  try {
    return await realpath(absolute)
  } catch (error) {
    if (!isDead(error)) throw error
    return join(await realpath(dirname(absolute)), basename(absolute))
  }
}

/** Is something mounted at `mountpoint` whose process is gone? */
export async function isDeadMount(mountpoint: string): Promise<boolean> {
  return withTimeout(stat(mountpoint), PROBE_MS).then(() => false, isDead)
}

/** What a mount answers whose process is gone. */
function isDead(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOTCONN' || code === 'ECONNABORTED'
}

/**
 * Proves that `path` can be mounted on and returns it without symlinks. Cleans a dead mount away.
 * @throws MountError
 */
export async function checkMountpoint(path: string): Promise<string> {
  const real = await realMountpoint(path).catch((cause: unknown) => { throw missing(path, cause) })
  const mounted = (await mounts()).some((mount) => mount.mountpoint === real)
  let info: Awaited<ReturnType<typeof stat>>
  try {
    info = await withTimeout(stat(real), PROBE_MS)
  } catch (cause) {
    if (!isDead(cause)) {
      if (mounted) throw new MountError('already-mounted', `${path} is already mounted, and does not answer: unmount it with \`fusermount -u -z ${real}\`.`, { cause })
      throw missing(path, cause)
    }
    await detach(real, { lazy: true })
    return checkMountpoint(path)
  }
  if (mounted) throw new MountError('already-mounted', `${path} is already mounted: unmount it first with \`cellsfs umount ${path}\`.`)
  if (!info.isDirectory()) throw new MountError('mountpoint-not-folder', `The mountpoint ${path} is not a folder.`)
  // fusermount asks for the same right of an ordinary user.
  await access(real, constants.R_OK | constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw new MountError('not-permitted', `You have no right to mount at ${path}: the folder must be writable for you.`, { cause })
  })
  const inside = await readdir(real)
  if (inside.length > 0) throw new MountError('mountpoint-not-empty', `The mountpoint ${path} is not empty: mount on an empty folder, so that nothing is hidden.`)
  return real
}

function missing(path: string, cause: unknown): MountError {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM') return new MountError('not-permitted', `You have no right to enter ${path}.`, { cause })
  if (code === 'ENOTDIR') return new MountError('mountpoint-not-folder', `A part of ${path} is not a folder.`, { cause })
  return new MountError('mountpoint-missing', `The mountpoint ${path} does not exist: make it first with \`mkdir -p ${path}\`.`, { cause })
}

/** Setuid programs that mount for an ordinary user: of libfuse 3 and of libfuse 2. */
export const FUSERMOUNTS = ['fusermount3', 'fusermount'] as const

/**
 * Proves that this machine and this user can make FUSE mounts. `fusermounts`: one of these programs is needed.
 * @throws MountError, with the command that helps
 */
export async function checkFuse(options: { allowOther: boolean; fusermounts?: readonly string[] }, device = '/dev/fuse'): Promise<void> {
  const root = process.getuid?.() === 0
  try {
    await access(device, constants.R_OK | constants.W_OK)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new MountError('no-device', `There is no ${device}: run \`sudo modprobe fuse\` (in a container: start it with \`--device /dev/fuse --cap-add SYS_ADMIN\`).`, { cause })
    }
    throw new MountError('no-device', `You may not use ${device}: run \`sudo chmod 666 ${device}\`.`, { cause })
  }
  if (root) {
    const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
    const caps = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
    if (caps !== undefined && (BigInt(`0x${caps}`) >> CAP_SYS_ADMIN & 1n) === 0n) {
      throw new MountError('not-permitted', 'This container may not mount: start it with `--device /dev/fuse --cap-add SYS_ADMIN`.')
    }
    return
  }
  const { fusermounts = FUSERMOUNTS } = options
  if (await firstInPath(fusermounts) === undefined) {
    throw new MountError('no-fusermount', `The program ${fusermounts[0]} is missing: run \`sudo apt-get install fuse3\`.`)
  }
  if (options.allowOther) {
    const conf = await readFile('/etc/fuse.conf', 'utf8').catch(() => '')
    if (!/^\s*user_allow_other\b/m.test(conf)) {
      throw new MountError('not-permitted', '--allow-other is not allowed here: run `echo user_allow_other | sudo tee -a /etc/fuse.conf`.')
    }
  }
}

/**
 * Takes the mount away from the tree. `lazy`: at once, also while it is in use; open files go on until closed.
 * @throws FsError EBUSY while in use; MountError `not-mounted`, `no-fusermount`, `failed`
 */
export async function detach(mountpoint: string, options: { lazy?: boolean } = {}): Promise<void> {
  const lazy = options.lazy === true
  const fusermount = await firstInPath(FUSERMOUNTS)
  // -i: umount(8) must not call a helper of ours, which would ask us.
  const command = fusermount === undefined && process.getuid?.() === 0
    ? ['umount', '-i', ...(lazy ? ['-l'] : []), '--', mountpoint]
    : [fusermount ?? FUSERMOUNTS[0], '-u', ...(lazy ? ['-z'] : []), '--', mountpoint]
  const { code, stderr } = await run(command).catch((cause: unknown) => {
    throw new MountError('no-fusermount', `The program ${FUSERMOUNTS[0]} is missing: run \`sudo apt-get install fuse3\`.`, { cause })
  })
  if (code === 0) return
  if (/busy/i.test(stderr)) throw new FsError('EBUSY', `${mountpoint} is in use: a program has a file open or works inside it.`)
  if (/not found in|not mounted|Invalid argument/i.test(stderr)) throw new MountError('not-mounted', `${mountpoint} is not mounted.`)
  throw new MountError('failed', `Could not unmount ${mountpoint}: ${stderr.trim() || `exit code ${code}`}.`)
}

/** Where the first of these programs that there is stands. */
export async function firstInPath(programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    const path = await inPath(program)
    if (path !== undefined) return path
  }
  return undefined
}

/** Where a program stands, also where an ordinary user's PATH does not look. */
export async function inPath(program: string): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/bin', '/usr/local/bin']) {
    if (folder === '') continue
    const path = join(folder, program)
    if (await access(path, constants.X_OK).then(() => true, () => false)) return path
  }
  return undefined
}

function run([program, ...args]: string[]): Promise<{ code: number; stderr: string }> {
  return new Promise((resolve, reject) => {
    // LC_ALL: the words are matched.
    const child = spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' } })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, stderr }))
  })
}

function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new FsError('ETIMEDOUT')), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Waits for the kernel's first request at a new mount. @throws MountError when it does not come; what `ready` throws */
export async function kernelAnswers<T>(ready: Promise<T>, mountpoint: string): Promise<T> {
  return orLate(INIT_MS, ready, () => {
    throw new MountError('failed', `The kernel did not answer at ${mountpoint}.`)
  })
}
