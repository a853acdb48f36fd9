/**
 * A lock between processes that is free again when its holder dies, even by kill -9.
 *
 * A lock is a folder of numbered files `1`, `2`, ...; the highest number decides. A file names its holder (pid, start
 * time, boot, pid namespace); emptied, the lock is free. Whoever finds the highest one free or its holder dead makes the next number
 * with link(2), which succeeds for one process only. So a stale lock is never removed to be taken, and
 * the usual race (two see it stale, the slower one removes the faster one's new lock) cannot happen.
 * Only the owner of a higher number removes lower ones; a latecomer that makes a number below the
 * highest sees that when it looks again, and withdraws.
 *
 * Holders on another machine or in another pid namespace (a shared home folder) cannot be asked whether they
 * live; they count as dead when their file is older than FOREIGN_STALE_MS.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { link, mkdir, readdir, readFile, stat, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hostname } from 'node:os'
import { isAlive, startTime } from '../processes.js'
import { AuthError } from './errors.js'

/** Longer than anybody may hold a lock, shorter than others wait for it. */
const FOREIGN_STALE_MS = 75_000

function tryRead(read: () => string): string {
  try {
    return read().trim()
  } catch {
    return ''
  }
}

/** Where a pid means something: this boot of this machine, this pid namespace. */
const place = (): string =>
  [hostname(), tryRead(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')), tryRead(() => readlinkSync('/proc/self/ns/pid'))].join('|')

async function held(file: string): Promise<boolean> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch {
    // Removed by the owner of a higher number.
    return true
  }
  if (text === '') return false
  const [pid = '', start = '', where = ''] = text.split('\n')
  if (!(Number(pid) > 0) || where === '') return false
  if (where === place()) return isAlive(Number(pid), start)
  const age = await stat(file).then((found) => Date.now() - found.mtimeMs, () => 0)
  return age < FOREIGN_STALE_MS
}

const numbersIn = async (folder: string): Promise<number[]> =>
  (await readdir(folder)).filter((name) => /^\d+$/.test(name)).map(Number)

/** One try. The file that is now ours, or undefined while somebody holds the lock. */
async function attempt(folder: string): Promise<string | undefined> {
  const highest = Math.max(0, ...await numbersIn(folder))
  if (highest > 0 && await held(join(folder, String(highest)))) return undefined
  const own = join(folder, String(highest + 1))
  const draft = join(folder, `.${process.pid}-${randomBytes(6).toString('hex')}`)
  await writeFile(draft, `${process.pid}\n${startTime(process.pid)}\n${place()}`, { mode: 0o600, flag: 'wx' })
  try {
    await link(draft, own)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  } finally {
    await unlink(draft)
  }
  const now = await numbersIn(folder)
  if (now.some((number) => number > highest + 1)) {
    await unlink(own).catch(() => {})
    return undefined
  }
  for (const number of now) if (number <= highest) await unlink(join(folder, String(number))).catch(() => {})
  return own
}

/**
 * Emptied, never unlinked: the highest number must stay, or a latecomer could begin again below it. Needs no
 * space on a full disk.
 */
async function release(own: string): Promise<void> {
  await truncate(own, 0)
}

/** Callers inside this process queue here, so that only one of them polls the folder. */
const queues = new Map<string, Promise<unknown>>()

/**
 * Runs `work` while holding the lock `folder` (made when missing). Not re-entrant.
 *
 * @param options.timeoutMs how long to wait for others
 * @throws AuthError `storage` when others hold it too long or the folder cannot be written; what `work` throws
 */
export async function withLock<T>(folder: string, work: () => Promise<T>, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<T> {
  const before = queues.get(folder) ?? Promise.resolve()
  const run = before.catch(() => {}).then(() => acquireAndRun(folder, work, options))
  const settled = run.catch(() => {})
  queues.set(folder, settled)
  try {
    return await run
  } finally {
    if (queues.get(folder) === settled) queues.delete(folder)
  }
}

async function acquireAndRun<T>(folder: string, work: () => Promise<T>, options: { timeoutMs?: number; signal?: AbortSignal }): Promise<T> {
  const end = Date.now() + (options.timeoutMs ?? 90_000)
  let own: string | undefined
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    while ((own = await attempt(folder)) === undefined) {
      if (options.signal?.aborted === true) throw new AuthError('aborted', 'aborted while waiting for another cec')
      if (Date.now() > end) throw new AuthError('storage', `another process has been holding ${folder} for too long`)
      await sleep(15 + Math.random() * 35)
    }
  } catch (error) {
    if (error instanceof AuthError) throw error
    throw new AuthError('storage', `cannot lock ${folder}: ${(error as Error).message}`, { cause: error })
  }
  try {
    return await work()
  } finally {
    await release(own)
  }
}
