/**
 * A mount of the engine through the kernel driver as a process of its own, for mount-notices.test.ts, which counts what the
 * kernel asks: `node engine-mount.js MOUNTPOINT STATE-FOLDER URL TOKEN FOLDER-OF-THE-SERVER`. Prints a line of JSON when
 * ready and when the mount has ended; takes commands on stdin, one reply each: `calls` (operations since the last time), `live`, `unmount`.
 */
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect } from '../src/cells/client.js'
import type { FileSystem } from '../src/fs/drivers/driver.js'
import { createKernelDriver } from '../src/fs/drivers/kernel/driver.js'
import { openEngine } from '../src/fs/engine.js'
import { createLogger } from '../src/log.js'

const say = (value: unknown): void => { process.stdout.write(`${JSON.stringify(value)}\n`) }
const calls: string[] = []

/** The same file system, counted. */
function counted(fs: FileSystem): FileSystem {
  return new Proxy(fs, {
    get: (target, name) => {
      const member = Reflect.get(target, name) as unknown
      if (typeof member !== 'function') return member
      return (...parameters: unknown[]): unknown => {
        if (typeof name === 'string' && name !== 'forget' && name !== 'hold') calls.push(typeof parameters[1] === 'string' ? `${name} ${parameters[1]}` : name)
        return (member as (...parameters: unknown[]) => unknown).apply(target, parameters)
      }
    },
  })
}

const [mountpoint, stateDir, url, token, remote] = process.argv.slice(2) as [string, string, string, string, string]
const logger = createLogger('debug', (line) => process.stderr.write(line))
try {
  const server = connect({
    url, tokens: { get: () => Promise.resolve(token), reject: () => {} }, skipVerify: false, customHeaders: {}, accountId: 'a', authType: 'session',
  }, { logger })
  const engine = await openEngine({
    server, remote, stateDir: join(stateDir, 'state'), cacheDir: join(stateDir, 'cache'), uid: process.getuid!(), gid: process.getgid!(), umask: 0o022, readOnly: false, logger,
  })
  const mounted = await createKernelDriver(logger).mount(counted(engine.fs), { mountpoint, fsname: 'engine', debug: false, allowOther: false, readOnly: false })
  engine.attachNotices(mounted.notices)
  say({ ready: true })
  void mounted.ended.then(async () => {
    await engine.close()
    await server.close()
    say({ ended: true })
    process.exit(0)
  })
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'calls') say(calls.splice(0))
    else if (line === 'live') say(engine.status().live)
    else if (line === 'sync') say(await engine.sync())
    else if (line === 'unmount') await mounted.unmount().catch((error: Error) => say({ error: error.message }))
  }
  await mounted.unmount({ lazy: true })
} catch (error) {
  say({ error: (error as Error).message, code: (error as { code?: string }).code })
  process.exit(1)
}
