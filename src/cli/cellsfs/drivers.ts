/**
 * Which driver carries a mount. Each is loaded only when it is wanted.
 *
 * The kernel driver needs the FFI package koffi, which has no build for some machines; where it cannot be had and nobody
 * asked for it by name, fuse-native (libfuse 2) does the work, and whoever mounts is told.
 */
import type { Driver } from '../../fs/drivers/driver.js'
import { MountError } from '../../fs/mount-error.js'
import { silentLogger, type Logger } from '../../log.js'
import { DEFAULT_DRIVER, type DriverName } from './options.js'

export interface DriverChoice {
  readonly driver: Driver
  /** For the person who mounts: it is not the usual one, and why. */
  readonly note?: string
}

/** The one asked for by name; else the default one, or the other where that cannot work. @throws MountError when there is none */
export async function chooseDriver(wanted: DriverName | undefined, logger: Logger): Promise<DriverChoice> {
  if (wanted !== undefined) return { driver: await create(wanted, logger) }
  const problem = await driverProblem(DEFAULT_DRIVER)
  if (problem === undefined) return { driver: await create(DEFAULT_DRIVER, logger) }
  // The other one's own troubles (no libfuse 2) are not what a person should mend first.
  if (DEFAULT_DRIVER !== 'kernel' || await driverProblem('fuse-native') !== undefined) throw new MountError('no-binding', problem)
  return { driver: await create('fuse-native', logger), note: `${problem} The driver fuse-native is used instead.` }
}

/** Can this machine load it? Undefined, or one sentence that says why not. */
export async function driverProblem(name: DriverName): Promise<string | undefined> {
  if (name === 'kernel') return (await import('../../fs/drivers/kernel/driver.js')).kernelDriverProblem()
  try {
    await create(name, silentLogger)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

async function create(name: DriverName, logger: Logger): Promise<Driver> {
  if (name === 'kernel') return (await import('../../fs/drivers/kernel/driver.js')).createKernelDriver(logger)
  return (await import('../../fs/drivers/fuse-native.js')).createFuseNativeDriver(logger)
}
