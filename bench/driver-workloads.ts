/**
 * What `npm run bench -- driver` times. The programs are ls(1) and client.c; each is timed by its own clock, without its start,
 * except ls. What is in which cache:
 *
 * - "cold": the mount is new, the engine asks the server. "kernel cold": the kernel has forgotten names, the engine has not.
 * - Reads "from the engine": the engine has all content in its block cache, the kernel has no page of it.
 * - Writing is timed until the last write(2); close(2), which sends the content to the server, is apart.
 * - Between creating and unlinking, all that was made is sent, untimed: unlink(2) of a file that is on its way waits for it.
 */
import { writeFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { timed } from './processes.js'
import type { DriverSide, Place, Usage } from './driver-sides.js'

export interface Sizes {
  readonly listed: number
  readonly bytes: number
  readonly randomReads: number
  readonly made: number
}

export const FULL: Sizes = { listed: 10_000, bytes: 128 * 1_048_576, randomReads: 16_000, made: 2_000 }
export const QUICK: Sizes = { listed: 300, bytes: 8 * 1_048_576, randomReads: 800, made: 50 }

export interface Measure {
  readonly workload: string
  readonly ms: number
  /** Operations or bytes per second, by the workload's unit. */
  readonly ops: number
  readonly bytes: number
  /** CPU seconds of the mount process. */
  readonly cpuSeconds?: number
}

export interface SideResult {
  readonly measures: readonly Measure[]
  /** Of the mount process, from its start to the end of the workloads. */
  readonly usage?: Usage
}

/** Names of the files that are laid out before; `listed/` has `Sizes.listed` small ones. */
export const BIG = 'big'
export const LISTED = 'listed'
const KIB_128 = 131_072
const MIB = 1_048_576
const STAT_ROUNDS = 5
const WARM_ROUNDS = 3
const FORGET_MS = 500

const client = (binary: string, ...args: readonly (string | number)[]) => async (): Promise<{ ms: number; closeMs: number; ops: number; bytes: number }> => {
  const { code, stdout, stderr } = await timed(binary, args.map(String))
  if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return JSON.parse(stdout) as { ms: number; closeMs: number; ops: number; bytes: number }
}

/** The kernel forgets names that nobody uses, and the mount has time to hear of it; only root can make it. */
async function dropNames(): Promise<void> {
  if (process.getuid?.() !== 0) return
  await writeFile('/proc/sys/vm/drop_caches', '2')
  await pause(FORGET_MS)
}

export interface Run {
  readonly sizes: Sizes
  /** client.c, compiled. */
  readonly binary: string
  /** Only workloads whose name it matches. */
  readonly which: RegExp
  readonly say: (measure: Measure) => void
}

export async function runSide(side: DriverSide, run: Run): Promise<SideResult> {
  const { say } = run
  const place = await side.open()
  try {
    const measures: Measure[] = []
    await workloads(place, run, (measure) => {
      measures.push(measure)
      say(measure)
    })
    const usage = await place.usage()
    return { measures, ...(usage !== undefined && { usage }) }
  } finally {
    await place.close()
  }
}

async function workloads(place: Place, { sizes: { listed, bytes, randomReads, made }, binary, which }: Run, note: (measure: Measure) => void): Promise<void> {
  const { path } = place
  const measure = async (workload: string, work: () => Promise<{ ms: number; ops: number; bytes: number }>): Promise<void> => {
    if (!which.test(workload)) return
    const before = await place.usage()
    const { ms, ops, bytes: moved } = await work()
    const after = await place.usage()
    const cpuSeconds = before === undefined || after === undefined ? undefined : Math.round((after.cpuSeconds - before.cpuSeconds) * 100) / 100
    note({ workload, ms, ops, bytes: moved, ...(cpuSeconds !== undefined && { cpuSeconds }) })
  }
  const ls = async (): Promise<{ ms: number; ops: number; bytes: number }> => {
    const { ms, code, stdout, stderr } = await timed('ls', ['-l', `${path}/${LISTED}`], { env: { ...process.env, LC_ALL: 'C' } })
    const lines = stdout.split('\n').length - 2
    if (code !== 0 || lines !== listed) throw new Error(`ls: ${lines} of ${listed} names, ${stderr}`)
    return { ms, ops: listed, bytes: 0 }
  }
  const [big, folder] = [`${path}/${BIG}`, `${path}/${LISTED}`]

  await dropNames()
  await measure('ls -l, cold', ls)
  await dropNames()
  await measure('ls -l, kernel cold', ls)
  await measure('ls -l, warm', ls)
  await measure('stat, warm', client(binary, 'stat', folder, STAT_ROUNDS))

  await measure('read 1 MiB, cold', client(binary, 'read', big, MIB))
  if (!which.test('cold')) await client(binary, 'read', big, MIB)()
  await measure('read 1 MiB, from the engine', client(binary, 'read', big, MIB))
  await measure('read 128 KiB, from the engine', client(binary, 'read', big, KIB_128))
  await measure('read 1 MiB again, warm', client(binary, 'reread', big, MIB, WARM_ROUNDS))
  await measure('random 4 KiB, 1 thread', client(binary, 'random', big, 4096, randomReads / 4, 1))
  await measure('random 4 KiB, 8 threads', client(binary, 'random', big, 4096, randomReads, 8))

  for (const [label, block] of [['1 MiB', MIB], ['128 KiB', KIB_128]] as const) {
    let closeMs = 0
    await measure(`write ${label}`, async () => {
      const result = await client(binary, 'write', `${path}/written-${block}`, block, bytes)()
      ;({ closeMs } = result)
      return result
    })
    if (which.test(`write ${label}`)) note({ workload: `close after write ${label}`, ms: closeMs, ops: 1, bytes })
  }
  // Names of the second kind never leave the mount (src/fs/localnames.ts).
  for (const [kind, suffix] of [['', '.txt'], [', names that stay local', '.swp']] as const) {
    await measure(`create${kind}`, client(binary, 'create', path, made, suffix))
    if (!which.test(`unlink${kind}`)) continue
    if (!which.test(`create${kind}`)) await client(binary, 'create', path, made, suffix)()
    await place.sync()
    await measure(`unlink${kind}`, client(binary, 'unlink', path, made, suffix))
  }
}
