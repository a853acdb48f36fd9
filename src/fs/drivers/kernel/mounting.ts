/**
 * Making a mount and getting its descriptor on /dev/fuse.
 *
 * Root opens the device and calls mount(2). Everybody else asks fusermount3, which is setuid root: it gets one end of a socket
 * in the environment variable _FUSE_COMMFD, mounts, and sends the descriptor over it (SCM_RIGHTS).
 *
 * `nosuid` and `nodev`: what a server holds must not gain rights here. `noatime`: reading must not write. `default_permissions`:
 * the kernel judges by the mode bits, with no request.
 */
import { spawn } from 'node:child_process'
import { access, readFile, writeFile } from 'node:fs/promises'
import { constants } from 'node:fs'
import { join } from 'node:path'
import type { MountOptions } from '../driver.js'
import { SystemError } from './errors.js'
import { O_CLOEXEC, O_RDWR, type Libc } from './libc.js'
import { MAX_TRANSFER_BYTES } from './protocol.js'

export const DEVICE = '/dev/fuse'
const SUBTYPE = 'cellsfs'

const MS_RDONLY = 1
const MS_NOSUID = 2
const MS_NODEV = 4
const MS_NOEXEC = 8
const MS_NOATIME = 1024
const S_IFDIR = 0o40000

/** What fusermount3 said when it refused. */
export class FusermountError extends Error {
  override readonly name = 'FusermountError'
}

/** mount(2)'s data for FUSE. */
export function mountData(fd: number, { allowOther }: Pick<MountOptions, 'allowOther'>, owner: { uid: number; gid: number }): string {
  return [
    `fd=${fd}`, `rootmode=${S_IFDIR.toString(8)}`, `user_id=${owner.uid}`, `group_id=${owner.gid}`, 'default_permissions',
    ...(allowOther ? ['allow_other'] : []),
  ].join(',')
}

/** Options for fusermount3; commas and backslashes in values are escaped. */
export function fusermountOptions({ fsname, allowOther, readOnly, noExec }: Pick<MountOptions, 'fsname' | 'allowOther' | 'readOnly' | 'noExec'>): string {
  return [
    `fsname=${fsname.replace(/[\\,]/g, '\\$&')}`, `subtype=${SUBTYPE}`, 'nosuid', 'nodev', 'noatime', 'default_permissions',
    ...(allowOther ? ['allow_other'] : []),
    ...(readOnly ? ['ro'] : []),
    ...(noExec === true ? ['noexec'] : []),
  ].join(',')
}

/** @returns the descriptor. @throws SystemError */
export function mountAsRoot(libc: Libc, options: MountOptions): number {
  const fd = libc.open(DEVICE, O_RDWR | O_CLOEXEC)
  if (fd < 0) throw new SystemError(`open of ${DEVICE}`, -fd)
  const flags = MS_NOSUID | MS_NODEV | MS_NOATIME | (options.readOnly ? MS_RDONLY : 0) | (options.noExec === true ? MS_NOEXEC : 0)
  const data = mountData(fd, options, { uid: process.getuid!(), gid: process.getgid!() })
  const result = libc.mount(options.fsname, options.mountpoint, `fuse.${SUBTYPE}`, flags, data)
  if (result < 0) {
    libc.close(fd)
    throw new SystemError('mount', -result)
  }
  return fd
}

/** @returns the descriptor. @throws FusermountError with what it printed, SystemError */
export async function mountAsUser(libc: Libc, fusermount: string, options: MountOptions): Promise<number> {
  const pair = libc.socketpair()
  if (typeof pair === 'number') throw new SystemError('socketpair', -pair)
  const [ours, theirs] = pair
  try {
    const child = spawn(fusermount, ['-o', fusermountOptions(options), '--', options.mountpoint], {
      // LC_ALL: its words are read by people and by tests.
      stdio: ['ignore', 'ignore', 'pipe', theirs], env: { ...process.env, LC_ALL: 'C', _FUSE_COMMFD: '3' },
    })
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => { said += text })
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    })
    if (code !== 0) throw new FusermountError(said.trim() || `exit code ${code}`)
    const fd = libc.receiveDescriptor(ours)
    if (fd < 0) throw new SystemError('recvmsg', -fd)
    return fd
  } finally {
    libc.close(ours)
    libc.close(theirs)
  }
}

/**
 * Lets the kernel read ahead in requests of full size instead of 128 KiB, where this process may (root). Found by the
 * device number in mountinfo, because a process must not touch its own mount.
 */
export async function raiseReadahead(mountpoint: string): Promise<void> {
  const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  const escaped = mountpoint.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
  const device = text.split('\n').map((line) => line.split(' ')).findLast((fields) => fields[4] === escaped)?.[2]
  if (device === undefined) return
  const path = join('/sys/class/bdi', device, 'read_ahead_kb')
  if (!await access(path, constants.W_OK).then(() => true, () => false)) return
  await writeFile(path, String(MAX_TRANSFER_BYTES / 1024)).catch(() => {})
}
