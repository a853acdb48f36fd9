/**
 * A mount of the memory filesystem as a process of its own, for driver.test.ts: `node memory-mount.js MOUNTPOINT [FLAG...]`
 * with the flags kernel, ro, allow-other, writeback, auto-unmount and long (the kernel may believe all for an hour).
 * Prints a line of JSON when ready and when the mount has ended; takes commands on stdin, one reply each; `delay <op> <ms>` and `fail <op> <code>` change how operations answer.
 */
import { constants } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT_INO, type KernelNotices } from '../src/fs/drivers/driver.js'
import { createFuseNativeDriver } from '../src/fs/drivers/fuse-native.js'
import { createKernelDriver } from '../src/fs/drivers/kernel/driver.js'
import { MemoryFs } from '../src/fs/drivers/memory-fs.testing.js'
import { FsError, type ErrnoCode } from '../src/fs/errno.js'
import { createLogger } from '../src/log.js'

const say = (value: unknown): void => { process.stdout.write(`${JSON.stringify(value)}\n`) }
const delays = new Map<string, number>()
const failures = new Map<string, ErrnoCode>()
const calls: string[] = []

const flags = new Set(process.argv.slice(3))
const fs = new MemoryFs({
  ...(flags.has('long') && { entryTimeoutMs: 3_600_000, cacheable: true }),
  before: async (op, _caller, name) => {
    calls.push(name === undefined ? op : `${op} ${name}`)
    const delay = delays.get(op)
    if (delay !== undefined) await sleep(delay)
    const code = failures.get(op)
    if (code !== undefined) throw new FsError(code)
  },
})

/**
 * A change in the root folder that no program of this machine makes: `write:<name> <text>`, `remove:<name>`, or `swap:<name> <name>`,
 * of which the kernel hears only that nothing is certain any more.
 */
async function remote(notices: KernelNotices, what: string, text: string): Promise<string> {
  const [verb, name = ''] = what.split(':')
  if (verb === 'swap') {
    await fs.rename(ROOT_INO, name, ROOT_INO, text, { exchange: true }, { uid: 0, gid: 0, pid: 0 })
    notices.invalidateAll?.()
    return what
  }
  const caller = { uid: 0, gid: 0, pid: 0 }
  const found = await fs.lookup(ROOT_INO, name, caller).catch(() => undefined)
  let entry = found
  if (entry === undefined) {
    const made = await fs.create(ROOT_INO, name, 0o644, 0, caller)
    await fs.release(made.attr.ino, made.fh)
    entry = made
  }
  const { ino } = entry.attr
  if (verb === 'remove') {
    await fs.unlink(ROOT_INO, name, caller)
    notices.removed?.(ROOT_INO, ino, name)
  } else {
    const { fh } = await fs.open(ino, constants.O_RDWR | constants.O_TRUNC, caller)
    await fs.write(ino, fh, 0, Buffer.from(text), caller)
    await fs.release(ino, fh)
    if (found === undefined) notices.invalidateEntry?.(ROOT_INO, name)
    else notices.invalidateInode?.(ino)
  }
  if (verb === 'remove' || found === undefined) notices.invalidateInode?.(ROOT_INO)
  fs.forget(ino, 1)
  return what
}

const log = createLogger('debug', (line) => process.stderr.write(line))
const driver = flags.has('kernel') ? createKernelDriver(log) : createFuseNativeDriver(log)
try {
  const mounted = await driver.mount(fs, {
    mountpoint: process.argv[2]!, fsname: 'memory, with a comma', debug: false,
    allowOther: flags.has('allow-other'), readOnly: flags.has('ro'), writeback: flags.has('writeback'), autoUnmount: flags.has('auto-unmount'),
  })
  say({ ready: true })
  void mounted.ended.then(() => {
    say({ ended: true, leaks: fs.leaks() })
    process.exit(0)
  })
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, op = '', argument = ''] = line.split(' ')
    if (command === 'remote') say(await remote(mounted.notices, op, argument))
    else if (command === 'leaks') say(fs.leaks())
    else if (command === 'paths') say(fs.paths())
    else if (command === 'calls') say(calls.splice(0))
    else if (command === 'delay') say(delays.set(op, Number(argument)).size)
    else if (command === 'fail') say(argument === '' ? failures.delete(op) : failures.set(op, argument as ErrnoCode).size)
    else if (command === 'unmount') await mounted.unmount({ lazy: op === 'lazy' }).then(() => op === 'lazy' && say({ unmounted: true }), (error: Error) => say({ error: error.message }))
  }
} catch (error) {
  say({ error: (error as Error).message, code: (error as { code?: string }).code })
  process.exit(1)
}
