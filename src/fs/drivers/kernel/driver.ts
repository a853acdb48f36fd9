/**
 * The engine behind the kernel's own FUSE protocol, spoken over /dev/fuse.
 *
 * The pieces: struct.ts, layouts.ts, requests.ts and replies.ts are the protocol as data; device.ts over libc.ts is the
 * descriptor; features.ts is what is agreed on; session.ts with inflight.ts and notices.ts is the traffic;
 * operations/ translates. Only this file knows anything of this project beside the seam (../driver.ts).
 */
import { endianness, release } from 'node:os'
import type { Logger } from '../../../log.js'
import { toErrno } from '../../errno.js'
import { MountError } from '../../mount-error.js'
import { FUSERMOUNTS, checkFuse, checkMountpoint, detach, firstInPath, kernelAnswers } from '../../mountpoint.js'
import type { Driver, FileSystem, MountOptions, Mounted } from '../driver.js'
import { openDevice } from './device.js'
import { SystemError } from './errors.js'
import { guardMount } from './guard.js'
import { loadLibc, type Libc } from './libc.js'
import { FusermountError, mountAsRoot, mountAsUser, raiseReadahead } from './mounting.js'
import { Session } from './session.js'


export function createKernelDriver(log: Logger): Driver {
  return { name: 'kernel', mount: (fs, options) => mount(fs, options, log) }
}

/** Can this machine use it? Undefined, or one sentence that says why not. */
export function kernelDriverProblem(): string | undefined {
  try {
    load()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** @throws MountError */
function load(): Libc {
  if (process.platform !== 'linux') throw new MountError('unsupported', 'The kernel driver works on Linux only.')
  if (endianness() !== 'LE' || process.arch === 'arm' || process.arch === 'ia32') throw new MountError('unsupported', `The kernel driver does not work on ${process.arch}.`)
  try {
    return loadLibc()
  } catch (cause) {
    throw new MountError('no-binding', 'The kernel driver needs the optional package koffi, which is not installed for this machine: run `npm install koffi` in the folder of cellsfs.', { cause })
  }
}

async function mount(fs: FileSystem, options: MountOptions, log: Logger): Promise<Mounted> {
  const libc = load()
  const mountpoint = await checkMountpoint(options.mountpoint)
  await checkFuse({ allowOther: options.allowOther })
  const device = openDevice(libc, await attach(libc, { ...options, mountpoint }))
  const callOff = options.autoUnmount === true ? guardMount(mountpoint) : undefined

  const session = new Session({ device, fs, errnoOf: toErrno, log, release: release(), writeback: options.writeback })
  session.start()
  const ended = session.ended.then(() => callOff?.())
  try {
    const { minor, features } = await kernelAnswers(session.ready, mountpoint)
    log.debug('the kernel agreed', { protocol: `7.${minor}`, features: [...features].join(' ') })
  } catch (error) {
    await detach(mountpoint, { lazy: true }).catch(() => {})
    if (error instanceof MountError) throw error
    throw new MountError('failed', (error as Error).message, { cause: error })
  }
  await raiseReadahead(mountpoint)
  return {
    notices: session.notices,
    unmount: async ({ lazy = false } = {}) => {
      await detach(mountpoint, { lazy })
      if (!lazy) await ended
    },
    ended,
  }
}

/** @throws MountError */
async function attach(libc: Libc, options: MountOptions): Promise<number> {
  try {
    if (process.getuid?.() === 0) return mountAsRoot(libc, options)
    const fusermount = await firstInPath(FUSERMOUNTS)
    if (fusermount === undefined) throw new MountError('no-fusermount', 'The program fusermount3 is missing: run `sudo apt-get install fuse3`.')
    return await mountAsUser(libc, fusermount, options)
  } catch (error) {
    if (error instanceof MountError) throw error
    const why = error instanceof FusermountError || error instanceof SystemError ? error.message : String(error)
    throw new MountError('failed', `Could not mount at ${options.mountpoint}: ${why}.`, { cause: error })
  }
}
