/**
 * `npm run bench -- driver` is in driver.ts, `npm run bench -- transfer` in transfer.ts, `memory` and `start` in known.ts.
 *
 * `npm run bench -- real|demo`: the same workloads through a cellsfs mount and through rclone's mounts, side by side in one
 * run, in turn. Writes bench/results/<date>-<name>.json and prints a table.
 *
 * `real` takes the server from CELLS_URL, CELLS_LOGIN, CELLS_PASSWORD; `demo` starts the embedded one (`--latency MS`,
 * default 25). It speaks of this machine at this moment: only figures of one run may be compared.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { timed } from './processes.js'
import { againstCurl, circumstances, line, load, machine, ownVersion, table, type Result, type Round } from './report.js'
import { embeddedServer, namedServer } from './server.js'
import { cellsfsSide, rcloneDavSide, rcloneS3Side, rcloneVersion, type Side } from './sides.js'
import { makeMaterial, reference, runWorkloads, type Reference } from './workloads.js'

/** The sources: a build may lie anywhere below the project. */
const ROOT = process.env['npm_config_local_prefix'] ?? process.cwd()
const say = (line: string): void => { process.stderr.write(`${line}\n`) }

const { values: flags, positionals: [name = ''] } = parseArgs({
  allowPositionals: true,
  options: {
    driver: { type: 'string', default: 'kernel' },
    latency: { type: 'string' },
    repetitions: { type: 'string' },
    'rclone-write-back': { type: 'string', default: '0s' },
    // real, demo: seconds for one workload; what takes longer is reported as that.
    limit: { type: 'string', default: '30' },
    only: { type: 'string', default: '' },
    // driver: a small run, to see that all of it works; nothing is kept.
    quick: { type: 'boolean', default: false },
    // driver, real, demo: only workloads whose name this regular expression matches.
    workloads: { type: 'string', default: '' },
    // driver: folder for CPU profiles of the mount processes.
    profile: { type: 'string', default: '' },
    // memory, start: files that the mount knows.
    files: { type: 'string' },
    // A shell command before each round: for a server that must be looked after.
    before: { type: 'string', default: '' },
  },
})

async function main(): Promise<void> {
  if (name === 'startup') {
    const { benchStartup } = await import('./startup.js')
    return benchStartup(Number(flags.repetitions ?? 21), (line) => process.stdout.write(`${line}\n`))
  }
  if (name === 'memory' || name === 'start') {
    const { benchMemory, benchStart } = await import('./known.js')
    const print = (line: string): void => { process.stdout.write(`${line}\n`) }
    if (name === 'memory') return benchMemory({ files: Number(flags.files ?? 100_000), repetitions: Number(flags.repetitions ?? 1), say: print })
    return benchStart({ files: Number(flags.files ?? 10_000), repetitions: Number(flags.repetitions ?? 7), say: print })
  }
  if (name === 'driver') {
    const { benchDrivers } = await import('./driver.js')
    return benchDrivers({ root: ROOT, repetitions: Number(flags.repetitions ?? (flags.quick ? 1 : 5)), quick: flags.quick, only: flags.only, workloads: flags.workloads, profile: flags.profile, say })
  }
  if (name === 'transfer') {
    const { benchTransfer } = await import('./transfer.js')
    return benchTransfer({ root: ROOT, repetitions: Number(flags.repetitions ?? (flags.quick ? 1 : 3)), quick: flags.quick, only: flags.only, latencyMs: Number(flags.latency ?? 0), profile: flags.profile, say })
  }
  if (name !== 'real' && name !== 'demo') throw new Error('usage: npm run bench -- driver|transfer [--quick] [--repetitions N] [--only SIDE], or startup [--repetitions N], or memory|start [--files N] [--repetitions N], or real|demo [--driver NAME] [--latency MS] [--repetitions N] [--rclone-write-back 5s] [--only cellsfs] [--limit S] [--before COMMAND]')
  const repetitions = Number(flags.repetitions ?? 3)
  const server = name === 'real' ? await namedServer() : await embeddedServer(Number(flags.latency ?? 25))
  const work = await mkdtemp(join(tmpdir(), 'cellsfs-bench-'))
  try {
    const options = { work, server, driver: flags.driver, rcloneWriteBack: flags['rclone-write-back'] }
    const rclone = await rcloneVersion()
    if (rclone === undefined) say('rclone is not installed: cellsfs alone is timed')
    if (!server.webdav) say('no WebDAV view on this server: without rclone WebDAV')
    const all: Side[] = [
      cellsfsSide(options, await ownVersion(ROOT)),
      ...(rclone === undefined ? [] : [
        rcloneS3Side(options, `rclone ${rclone}`, { modtime: true }), rcloneS3Side(options, `rclone ${rclone}`, { modtime: false }),
        ...(server.webdav ? [rcloneDavSide(options, `rclone ${rclone}`)] : []),
      ]),
    ]
    const sides = all.filter((side) => side.name.startsWith(flags.only))
    const material = await makeMaterial(work)
    const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
    const rounds: Round[] = []
    const references: Reference[] = []
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      const rates = await reference(server, `reference-${repetition}`, material)
      say(`curl: reads ${rates.read.toFixed(0)} MB/s, writes ${rates.write.toFixed(0)} MB/s (load ${load()})`)
      references.push(rates)
      // Another one begins each time.
      const turn = sides.map((_, index) => sides[(index + repetition - 1) % sides.length]!)
      for (const side of turn) {
        if (flags.before !== '') await timed('bash', ['-c', flags.before])
        say(`${side.name}, ${repetition} of ${repetitions} (load ${load()})`)
        const seed = await server.seed(`${side.name.replaceAll(' ', '-').toLowerCase()}-${repetition}`).catch((error: unknown) => {
          // What has been timed so far is kept.
          say(`  left out, the server could not be prepared: ${(error as Error).message}`)
          return undefined
        })
        if (seed === undefined) continue
        const began = load()
        const before = rounds.filter((round) => round.side === side.name).flatMap((round) => round.measures)
        const measures = await runWorkloads({ side, server, seed, material, wanted: (workload) => new RegExp(flags.workloads).test(workload), before, limitMs: Number(flags.limit) * 1000, say: (measure) => say(`  ${line(measure)}`) })
        rounds.push({ side: side.name, repetition, load: began, measures })
      }
    }
    const result: Result = { name, date, machine: machine(), server: server.description, sides: sides.map(({ name: side, version }) => ({ name: side, version })), repetitions, references, rounds }
    const folder = join(ROOT, 'bench', 'results')
    await mkdir(folder, { recursive: true })
    const file = join(folder, `${date.replace(/[ :]/g, '-')}-${name}.json`)
    await writeFile(file, `${JSON.stringify(result, null, 1)}\n`)
    process.stdout.write(`${table(result)}\n\n${againstCurl(result)}\n\n${circumstances(result)}\n${file}\n`)
  } finally {
    await server.close()
    await rm(work, { recursive: true, force: true })
  }
}

// Ends what was started, too (processes.ts).
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

await main().catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
})
// A mount that hangs must not keep the program.
process.exit()
