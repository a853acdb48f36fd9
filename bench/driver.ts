/**
 * `npm run bench -- driver`: the kernel driver against fuse-native and against a folder on the disk, in turn in one run, with the
 * whole engine over the embedded server, which adds no latency. Writes bench/results/<date>-driver.json and .md.
 *
 * `--quick` is a small run to see that it works; it keeps nothing.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { driverPage, type DriverResult, type DriverRound } from './driver-report.js'
import { localSide, mountSide, type DriverSide } from './driver-sides.js'
import { BIG, FULL, LISTED, QUICK, runSide } from './driver-workloads.js'
import { timed } from './processes.js'
import { load, machine, ownVersion } from './report.js'
import { embeddedServer, type BenchServer } from './server.js'

export interface DriverBench {
  /** The sources. */
  readonly root: string
  readonly repetitions: number
  readonly quick: boolean
  /** Only sides whose name begins so. */
  readonly only: string
  /** Only workloads whose name this regular expression matches: nothing is kept then. */
  readonly workloads: string
  /** Folder for CPU profiles, or empty. */
  readonly profile: string
  readonly say: (line: string) => void
}

export async function benchDrivers({ root, repetitions, quick, only, workloads, profile, say }: DriverBench): Promise<void> {
  const sizes = quick ? QUICK : FULL
  const work = await mkdtemp(join(tmpdir(), 'cellsfs-bench-'))
  const server = await embeddedServer(0)
  try {
    const binary = await compile(root, work)
    const big = randomBytes(sizes.bytes)
    const which = new RegExp(workloads)
    const names = Array.from({ length: which.test('ls') || which.test('stat') ? sizes.listed : 1 }, (_, index) => `file-${String(index).padStart(5, '0')}.txt`)
    say('laying files out')
    const remote = await layOut(server, big, names)
    const version = await ownVersion(root)
    const all: readonly DriverSide[] = [
      ...['kernel', 'fuse-native'].map((driver) => mountSide(driver, `cellsfs ${version}`, { work, server, remote, profile })),
      await localSide(work, (folder) => layOutLocally(folder, big, names)),
    ]
    const sides = all.filter(({ name }) => name.startsWith(only))
    const rounds: DriverRound[] = []
    const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const side of sides.map((_, index) => sides[(index + repetition - 1) % sides.length]!)) {
        const began = load()
        say(`${side.name}, ${repetition} of ${repetitions} (load ${began})`)
        const result = await runSide(side, { sizes, binary, which, say: ({ workload, ms }) => say(`  ${workload.padEnd(32)} ${ms.toFixed(1).padStart(9)} ms`) })
        rounds.push({ side: side.name, repetition, load: began, ...result })
      }
    }
    const result: DriverResult = {
      name: 'driver', date, machine: machine(), server: server.description, sides: sides.map(({ name, description }) => ({ name, description })),
      repetitions, sizes: { ...sizes }, rounds,
    }
    await keep(result, root, quick || workloads !== '' || only !== '' || profile !== '')
  } finally {
    await server.close()
    await rm(work, { recursive: true, force: true })
  }
}

async function keep(result: DriverResult, root: string, partial: boolean): Promise<void> {
  const name = `${result.date.replace(/[ :]/g, '-')}-driver`
  process.stdout.write(driverPage(result, `${name}.json`))
  if (partial) return
  const folder = join(root, 'bench', 'results')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(result, null, 1)}\n`)
  await writeFile(join(folder, `${name}.md`), driverPage(result, `${name}.json`))
}

/** @throws Error in one sentence when there is no C compiler */
async function compile(root: string, work: string): Promise<string> {
  const binary = join(work, 'client')
  const { code, stderr } = await timed('cc', ['-O2', '-pthread', '-o', binary, join(root, 'bench', 'client.c')]).catch(() => ({ code: 127, stderr: 'there is none' }))
  if (code !== 0) throw new Error(`the programs of this benchmark need a C compiler (cc): ${stderr}`)
  return binary
}

/** Returns the folder of the server that is mounted. */
async function layOut(server: BenchServer, big: Buffer, names: readonly string[]): Promise<string> {
  const remote = await server.fill('driver', [[BIG, big]])
  await server.fill(`driver/${LISTED}`, names.map((name) => [name, Buffer.from(`${name}\n`)] as const))
  return remote
}

async function layOutLocally(folder: string, big: Buffer, names: readonly string[]): Promise<void> {
  await mkdir(join(folder, LISTED), { recursive: true })
  await writeFile(join(folder, BIG), big)
  for (const name of names) await writeFile(join(folder, LISTED, name), `${name}\n`)
  // The disk's own work is not to fall into what is timed.
  await timed('sync', ['-f', folder])
}

