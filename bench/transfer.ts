/**
 * `npm run bench -- transfer`: `cec scp` against `rclone copy` over S3, in turn in one run: many small files and one large one, both ways, with
 * the embedded server. Writes bench/results/<date>-transfer.json and .md.
 *
 * An upload is timed twice: until the program ends, and until the server's index shows all of it. cec ends when that is so, rclone
 * when its last request is answered: with a 2.x server, whose index learns of nothing before a second of silence, only the
 * second figure compares like with like. What has arrived is compared with what was sent, outside the time. rclone runs as it
 * comes, and once more with the flags that suit it best here.
 *
 * `--quick` is a small run to see that it works, `--latency` what the server adds to each request; both keep nothing.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { appendFile, mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveConnection } from '../src/auth/connection.js'
import { connect } from '../src/cells/client.js'
import { GLOBAL_OPTIONS, resolveOptions } from '../src/cli/options.js'
import { timed } from './processes.js'
import { load, machine, ownVersion } from './report.js'
import { embeddedServer, type BenchServer } from './server.js'
import { rcloneVersion } from './sides.js'
import { transferPage, type TransferResult, type TransferRound } from './transfer-report.js'

const CEC = fileURLToPath(new URL('../bin/cec.js', import.meta.url))
const FOLDERS = 20
/** For the server's index, after all is sent. */
const SHOWN_MS = 300_000
/** A file that is in each target from the start. */
const FIRST = 'first'
const MIB = 1024 * 1024

export interface TransferBench {
  /** The sources. */
  readonly root: string
  readonly repetitions: number
  readonly quick: boolean
  /** Only sides whose name begins so: nothing is kept then. */
  readonly only: string
  /** Milliseconds that the server adds to each request. */
  readonly latencyMs: number
  /** Folder for CPU profiles of cec, or empty. */
  readonly profile: string
  readonly say: (line: string) => void
}

interface Side {
  readonly name: string
  readonly description: string
  /** Sends `source` into the folder `target`. */
  readonly up: (source: string, target: string) => Promise<number>
  /** Fetches what was sent there, so that it becomes `<target>/<name>`. */
  readonly down: (source: string, name: string, target: string) => Promise<number>
}

interface Material {
  readonly folder: string
  readonly files: number
  readonly smallBytes: number
  readonly bigBytes: number
  readonly bigMd5: string
}

export async function benchTransfer({ root, repetitions, quick, only, latencyMs, profile, say }: TransferBench): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'cellsfs-bench-'))
  const bigBytes = quick ? 64 * MIB : 2048 * MIB
  // The material, one copy on the server, one brought back, and what is being deleted.
  const { bavail, bsize } = await statfs(work)
  if (bavail * bsize < 5 * bigBytes) throw new Error(`${work} needs ${Math.ceil((5 * bigBytes) / 2 ** 30)} GiB of free space`)
  const server = await embeddedServer(latencyMs)
  try {
    say('making files')
    const material = await makeMaterial(work, quick ? 100 : 2000, bigBytes)
    const all = await sidesOf(server, work, await ownVersion(root), profile)
    const sides = all.filter(({ name }) => name.startsWith(only))
    const rounds: TransferRound[] = []
    const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const side of sides.map((_, index) => sides[(index + repetition - 1) % sides.length]!)) {
        say(`${side.name}, ${repetition} of ${repetitions} (load ${load()})`)
        rounds.push(await runSide(side, server, work, material, repetition, say))
      }
    }
    const result: TransferResult = {
      name: 'transfer', date, machine: machine(), server: server.description, sides: sides.map(({ name, description }) => ({ name, description })), repetitions,
      sizes: { files: material.files, smallBytes: material.smallBytes, bigBytes }, rounds,
    }
    await keep(result, root, quick || only !== '' || latencyMs !== 0)
  } finally {
    await server.close()
    await rm(work, { recursive: true, force: true })
  }
}

async function keep(result: TransferResult, root: string, partial: boolean): Promise<void> {
  const name = `${result.date.replace(/[ :]/g, '-')}-transfer`
  process.stdout.write(transferPage(result, `${name}.json`))
  if (partial) return
  const folder = join(root, 'bench', 'results')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(result, null, 1)}\n`)
  await writeFile(join(folder, `${name}.md`), transferPage(result, `${name}.json`))
}

/** `small/folder-NN/file-NNN`, 1 to 16 KiB each, and `big`: content nobody can compress. */
async function makeMaterial(work: string, files: number, bigBytes: number): Promise<Material> {
  const folder = join(work, 'material')
  let smallBytes = 0
  for (let index = 0; index < files; index++) {
    const inside = join(folder, 'small', `folder-${String(index % FOLDERS).padStart(2, '0')}`)
    await mkdir(inside, { recursive: true })
    const content = randomBytes(1024 * (1 + index % 16))
    smallBytes += content.length
    await writeFile(join(inside, `file-${String(index).padStart(4, '0')}`), content)
  }
  const hash = createHash('md5')
  for (let done = 0; done < bigBytes; done += 16 * MIB) {
    const block = randomBytes(16 * MIB)
    hash.update(block)
    await appendFile(join(folder, 'big'), block)
  }
  return { folder, files, smallBytes, bigBytes, bigMd5: hash.digest('hex') }
}

async function sidesOf(server: BenchServer, work: string, version: string, profile: string): Promise<Side[]> {
  const home = join(work, 'home')
  await mkdir(home, { recursive: true })
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AWS_|CEC_|CELLS_|RCLONE_|XDG_|https?_proxy|no_proxy)/i.test(name)))
  // Both are signed in already, with the same token.
  const cecEnv = async (): Promise<NodeJS.ProcessEnv> => ({ ...clean, HOME: home, CEC_URL: server.url, CEC_TOKEN: await server.token(), CEC_SKIP_KEYRING: 'true' })
  const run = async (program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> => {
    const { ms, code, stderr } = await timed(program, args, { env, cwd: work, timeoutMs: 1_200_000 })
    if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${stderr.slice(-1000)}`)
    return ms
  }
  const flags = profile === '' ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]
  const cec = async (...args: string[]): Promise<number> => run(process.execPath, [...flags, CEC, 'scp', '-n', ...args], await cecEnv())
  const all: Side[] = [{
    name: 'cec scp', description: version,
    up: (source, target) => cec(source, `cells://${target}/`),
    down: (source, name, target) => cec(`cells://${source}/${name}`, target),
  }]
  const rclone = await rcloneVersion()
  if (rclone === undefined) return all
  const best = ['--transfers', '8', '--s3-disable-checksum', '--ignore-times', '--s3-chunk-size', '50M', '--s3-upload-concurrency', '4', '--multi-thread-streams', '4']
  // Without these it holds every upload in parts for corrupt: just after it the index of a 2.x server has another ETag and size.
  const needed = ['--s3-use-multipart-etag=false', '--s3-no-head', '--retries', '1']
  for (const [name, own] of [['rclone copy', []], ['rclone copy, tuned', best]] as const) {
    const more = [...needed, ...own]
    const copy = async (...args: string[]): Promise<number> => run('rclone', ['copy', '--config', '/dev/null', ...more, ...args], {
      ...clean, HOME: home,
      RCLONE_S3_PROVIDER: 'Minio', RCLONE_S3_ENDPOINT: server.url, RCLONE_S3_REGION: 'us-east-1',
      RCLONE_S3_ACCESS_KEY_ID: await server.token(), RCLONE_S3_SECRET_ACCESS_KEY: 'gatewaysecret',
    })
    all.push({
      name, description: [`rclone ${rclone}`, ...more].join(' '),
      // With a slash it does not first ask whether the target is a file, which a 2.x server answers with 500 (about the one
      // file it would ask, so it is given its folder); so it does the listing of a folder that is missing or empty, hence the content of the folder goes into the target itself.
      up: (source, target) => copy(...(basename(source) === 'big' ? ['--include', '/big', dirname(source)] : [source]), `:s3:io/${target}/`),
      down: (source, item, target) => copy(...(item === 'big' ? ['--include', '/big'] : ['--exclude', '.pydio', '--exclude', `/${FIRST}`]), `:s3:io/${source}/`, item === 'big' ? target : join(target, item)),
    })
  }
  return all
}

async function runSide(side: Side, server: BenchServer, work: string, { folder, files, bigBytes, bigMd5 }: Material, repetition: number, say: (line: string) => void): Promise<TransferRound> {
  const began = load()
  const measures: TransferRound['measures'][number][] = []
  const note = (workload: string, ms: number, shown?: number): void => {
    measures.push({ workload, ms, ...(shown === undefined ? {} : { shown }) })
    say(`  ${workload.padEnd(22)} ${(ms / 1000).toFixed(2)} s${shown === undefined ? '' : `, shown ${(shown / 1000).toFixed(2)} s`}`)
  }
  for (const [name, count] of [['small', files], ['big', 1]] as const) {
    const target = await server.fill(`${side.name.replaceAll(/\W+/g, '-')}-${name}-${repetition}`, [[FIRST, Buffer.from('text\n')]])
    const back = join(work, `back-${side.name.replaceAll(/\W+/g, '-')}-${name}-${repetition}`)
    await mkdir(back)
    const start = performance.now()
    const sent = await side.up(join(folder, name), target)
    if (!await server.shows(target, count + 1, undefined, SHOWN_MS)) throw new Error(`the server does not show all that ${side.name} has sent`)
    note(`upload ${name}`, sent, Math.max(sent, performance.now() - start))
    note(`download ${name}`, await side.down(target, name, back))
    const { code, stdout } = await timed('diff', ['-r', join(folder, name), join(back, name)])
    if (code !== 0) throw new Error(`${side.name} brought back something else: ${stdout.slice(0, 300)}`)
    if (name === 'small') continue
    await demandMd5(join(back, name), bigBytes, bigMd5)
    // For its space. The small ones stay to the end: ext4 passes over the inodes of files that were deleted in the last minute one by
    // one, and whoever comes after a removal of thousands would pay for it.
    await rm(back, { recursive: true })
    await remove(server, target)
  }
  return { side: side.name, repetition, load: began, measures }
}

/** At once, for the space it takes. */
async function remove(server: BenchServer, path: string): Promise<void> {
  const { url, login, password } = server
  const client = connect(await resolveConnection({ ...resolveOptions(GLOBAL_OPTIONS, {}, {}), url, login, password }))
  await client.remove([path], { permanently: true })
  await client.close()
}

async function demandMd5(path: string, size: number, md5: string): Promise<void> {
  const hash = createHash('md5')
  let read = 0
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Buffer)
    read += (chunk as Buffer).length
  }
  if (read !== size || hash.digest('hex') !== md5) throw new Error('the large file came back as another')
}
