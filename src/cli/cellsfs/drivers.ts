/** Which driver carries a mount. Each is loaded only when it is wanted. */
import type { Driver } from '../../fs/drivers/driver.js'
import type { Logger } from '../../log.js'
import { DEFAULT_DRIVER, type DriverName } from './options.js'

/** The one asked for by name; else the default one, or the other where that cannot work. */
export async function chooseDriver(wanted: DriverName | undefined, logger: Logger): Promise<Driver> {
  if ((wanted ?? DEFAULT_DRIVER) === 'kernel') {
    const { createKernelDriver, kernelDriverProblem } = await import('../../fs/drivers/kernel/driver.js')
    const problem = wanted === undefined ? kernelDriverProblem() : undefined
    if (problem === undefined) return createKernelDriver(logger)
    logger.warn('the driver fuse-native is used instead', { problem })
  }
  const { createFuseNativeDriver } = await import('../../fs/drivers/fuse-native.js')
  return createFuseNativeDriver(logger)
}
