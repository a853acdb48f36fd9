/**
 * What is timed: ordinary programs on a mount. "cold" begins with a new mount and empty caches, "warm" is the same
 * command once more on the same mount. A change is timed twice: until the program ends (`app`), and until the server's own
 * index shows it (`saved`); the look is the same for all sides.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { timed } from './processes.js'
import { ALL_FILES, BIG_BYTES, TREE_FILES, type BenchServer, type Seed } from './server.js'
import type { Mount, Side } from './sides.js'

const SMALL_FILES = 100
/** A command that takes longer is a failure. */
const COMMAND_MS = 120_000

export interface Measure {
  readonly workload: string
  /** Milliseconds until the program ended. */
  readonly app: number
  /** Milliseconds until the server showed all of it, from the start of the program. */
  readonly saved?: number
  /** Milliseconds until `cellsfs sync` returned, from the start of the program. */
  readonly sync?: number
  /** Megabytes (10^6) per second of `app`. */
  readonly mbPerS?: number
  /** Why the workload failed; the times are worth nothing then. */
  readonly failure?: string
}

/** Local files that the workloads copy onto the mount. */
export interface Material {
  readonly big: string
  readonly archive: string
}

export async function makeMaterial(work: string): Promise<Material> {
  const [big, archive, source] = [join(work, 'big'), join(work, 'archive.tar'), join(work, 'archive')]
  await writeFile(big, randomBytes(BIG_BYTES))
  await mkdir(source, { recursive: true })
  for (let index = 0; index < SMALL_FILES; index++) await writeFile(join(source, `entry-${String(index).padStart(3, '0')}`), randomBytes(4096))
  const { code, stderr } = await timed('tar', ['-cf', archive, '-C', work, 'archive'])
  if (code !== 0) throw new Error(`tar: ${stderr}`)
  return { big, archive }
}

interface Change {
  /** Folder below the mount's root that the change fills or empties, and how many files are in it then. */
  readonly folder: string
  readonly files: number
}

/** All workloads of one side on one seed, without those in `leaveOut`. Nothing that fails ends it. */
export async function runWorkloads(side: Side, server: BenchServer, seed: Seed, material: Material, leaveOut: ReadonlySet<string>, say: (measure: Measure) => void): Promise<Measure[]> {
  const measures: Measure[] = []
  let mount: Mount | undefined

  const note = (measure: Measure): void => {
    measures.push(measure)
    say(measure)
  }
  const fresh = async (): Promise<void> => {
    await mount?.unmount()
    mount = undefined
    mount = await side.mount(seed.path)
  }
  /** The output is checked, so that a side that gives up early is no winner. */
  const measure = async (workload: string, script: string, more: { bytes?: number; change?: Change; expect?: string } = {}): Promise<void> => {
    if (mount === undefined) throw new Error('no mount')
    if (leaveOut.has(workload)) {
      note({ workload, app: Number.NaN, failure: 'left out: it has failed before' })
      return
    }
    const start = performance.now()
    const { ms, code, stdout, stderr } = await timed('bash', ['-o', 'pipefail', '-c', script], { cwd: mount.path, env: { ...process.env, LC_ALL: 'C' }, timeoutMs: COMMAND_MS })
    const failure = code !== 0 ? stderr.split('\n').at(-1) || `exit code ${code}` : more.expect !== undefined && stdout.trim() !== more.expect ? `gave ${stdout.trim()} instead of ${more.expect}` : undefined
    const { change } = more
    let [sync, saved]: (number | undefined)[] = []
    let late: string | undefined
    if (failure === undefined && change !== undefined) {
      // Both waits begin now; each is counted from the start of the program.
      const synced = mount.sync?.().then(() => { sync = performance.now() - start })
      const shown = server.shows(`${seed.path}/${change.folder}`, change.files).then(() => { saved = performance.now() - start })
      for (const { reason } of (await Promise.allSettled([synced, shown])).filter((each) => each.status === 'rejected')) late = (reason as Error).message
    }
    const complaint = mount.complaint()
    const said = failure === undefined && late === undefined ? undefined : `${failure ?? late}${complaint === '' ? '' : ` (it logged: ${complaint})`}`
    note({
      workload, app: ms, ...(saved !== undefined && { saved }), ...(sync !== undefined && { sync }),
      ...(more.bytes !== undefined && { mbPerS: more.bytes / 1000 / ms }), ...(said !== undefined && { failure: said }),
    })
  }
  const attempt = async (workloads: readonly string[], work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      const done = new Set(measures.map((each) => each.workload))
      for (const workload of workloads.filter((each) => !done.has(each))) note({ workload, app: Number.NaN, failure: (error as Error).message })
    }
  }

  const listing = 'ls -lR . | grep -c "^-"'
  const reading = 'find . -name "file-*" -type f -exec cat {} + | wc -c'
  const treeBytes = String(treeSize())
  await attempt([WORKLOADS[0], WORKLOADS[1]], async () => {
    await fresh()
    await measure(WORKLOADS[0], listing, { expect: String(ALL_FILES) })
    await measure(WORKLOADS[1], listing, { expect: String(ALL_FILES) })
  })
  await attempt([WORKLOADS[2], WORKLOADS[3]], async () => {
    await fresh()
    await measure(WORKLOADS[2], reading, { expect: treeBytes })
    await measure(WORKLOADS[3], reading, { expect: treeBytes })
  })
  await attempt([WORKLOADS[4], WORKLOADS[5]], async () => {
    await fresh()
    await measure(WORKLOADS[4], 'cat big | wc -c', { bytes: BIG_BYTES, expect: String(BIG_BYTES) })
    await measure(WORKLOADS[5], 'cat big | wc -c', { bytes: BIG_BYTES, expect: String(BIG_BYTES) })
  })
  await attempt(WORKLOADS.slice(6), async () => {
    await fresh()
    await measure(WORKLOADS[6], `cp ${quote(material.big)} written/`, { bytes: BIG_BYTES, change: { folder: 'written', files: 2 } })
    await measure(WORKLOADS[7], `for i in {1..${SMALL_FILES}}; do echo "content of $i" > many/$i.txt; done`, { change: { folder: 'many', files: SMALL_FILES + 1 } })
    await measure(WORKLOADS[8], `rm -r ${quote(seed.tree)}`, { change: { folder: seed.tree, files: 0 } })
    await measure(WORKLOADS[9], `tar -xf ${quote(material.archive)}`, { change: { folder: 'archive', files: SMALL_FILES + 1 } })
  })
  await mount?.unmount().catch(() => {})
  return measures
}

export const WORKLOADS = [
  'ls -lR of 420 files, cold', 'ls -lR of 420 files, warm', 'read 420 files, cold', 'read 420 files, warm',
  'read 64 MiB, cold', 'read 64 MiB, warm', 'write 64 MiB', 'create 100 files', 'rm -r of 420 files', 'untar 100 files',
] as const

/** Bytes of the tree's files, as server.ts lays them out. */
function treeSize(): number {
  let bytes = 0
  for (let index = 0; index < TREE_FILES; index++) bytes += 1024 * (1 + index % 16)
  return bytes
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
