/**
 * What is timed: ordinary programs on a mount. "cold" begins with a new mount and empty caches, "warm" is the same
 * command once more on the same mount. A change is timed twice: until the program ends (`app`), and until the server's own
 * index shows it (`saved`); the look is the same for all sides.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { timed } from './processes.js'
import { ALL_FILES, BIG_BYTES, TREE_FILES, type BenchServer, type Seed } from './server.js'
import type { Mount, Side } from './sides.js'

const SMALL_FILES = 500
const SAVES = 40
const RANDOM_READS = 400
/** For the end of a mount that works. */
const UNMOUNT_MS = 60_000
/** What is cloned. */
const REPOSITORY = { files: 300, commits: 20 } as const
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
  /** What was not over within the limit and has the limit as its time; what comes after it is not known. */
  readonly over?: 'app' | 'saved'
  /** Why the workload failed; the times are worth nothing then. */
  readonly failure?: string
}

/** Local files that the workloads copy onto the mount. */
export interface Material {
  readonly big: string
  readonly archive: string
  readonly repository: string
  /** Files of a clone of the repository, `.git` included. */
  readonly cloneFiles: number
  readonly saver: string
  readonly reader: string
}

export async function makeMaterial(work: string): Promise<Material> {
  const [big, archive, source, repository, saver, reader] = ['big', 'archive.tar', 'archive', 'repository', 'save.mjs', 'random.mjs'].map((name) => join(work, name)) as [string, string, string, string, string, string]
  await writeFile(big, randomBytes(BIG_BYTES))
  await mkdir(source, { recursive: true })
  for (let index = 0; index < SMALL_FILES; index++) await writeFile(join(source, `entry-${String(index).padStart(3, '0')}`), randomBytes(4096))
  await run(`tar -cf '${archive}' -C '${work}' archive`)
  await makeRepository(repository)
  const clone = join(work, 'clone')
  await run(`git clone -q 'file://${repository}' '${clone}'`)
  const cloneFiles = Number((await run(`find '${clone}' -type f | wc -c >/dev/null; find '${clone}' -type f | wc -l`)).trim())
  await writeFile(saver, SAVER)
  await writeFile(reader, READER)
  return { big, archive, repository, cloneFiles, saver, reader }
}

async function run(script: string): Promise<string> {
  const { code, stdout, stderr } = await timed('bash', ['-c', script], { env: { ...process.env, ...GIT } })
  if (code !== 0) throw new Error(`${script}: ${stderr}`)
  return stdout
}

const GIT = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null', GIT_AUTHOR_NAME: 'bench', GIT_AUTHOR_EMAIL: 'bench@localhost', GIT_COMMITTER_NAME: 'bench', GIT_COMMITTER_EMAIL: 'bench@localhost' }

async function makeRepository(path: string): Promise<void> {
  await mkdir(path)
  await run(`cd '${path}' && git init -q -b main`)
  for (let commit = 0; commit < REPOSITORY.commits; commit++) {
    for (let index = commit; index < REPOSITORY.files; index += commit === 0 ? 1 : REPOSITORY.commits) {
      const folder = join(path, `module-${index % 15}`)
      await mkdir(folder, { recursive: true })
      await writeFile(join(folder, `source-${index}.txt`), randomBytes(1024 * (1 + index % 8)).toString('base64'))
    }
    await run(`cd '${path}' && git add -A && git commit -q -m 'change ${commit}'`)
  }
}

/** As editors save: half of them write a new file, sync it and rename it over the old one, half write over the old one. */
const SAVER = `import { closeSync, fsyncSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs'
const [path, count] = process.argv.slice(2)
for (let i = 1; i <= Number(count); i++) {
  const text = ('line of save ' + i + '\\n').repeat(500)
  if (i % 2 === 0) writeFileSync(path, text)
  else {
    const file = openSync(path + '.tmp', 'w')
    writeSync(file, text)
    fsyncSync(file)
    closeSync(file)
    renameSync(path + '.tmp', path)
  }
}
`
const lastSave = (): string => createHash('md5').update(`line of save ${SAVES}\n`.repeat(500)).digest('hex')

/** Reads of 4 KiB at places that are the same each time. Prints the bytes it got. */
const READER = `import { openSync, readSync, fstatSync } from 'node:fs'
const [path, count] = process.argv.slice(2)
const file = openSync(path, 'r')
const blocks = fstatSync(file).size / 4096
const buffer = Buffer.alloc(4096)
let [at, bytes] = [12345, 0]
for (let i = 0; i < Number(count); i++) {
  at = (at * 1103515245 + 12345) % 2147483648
  bytes += readSync(file, buffer, 0, 4096, (at % blocks) * 4096)
}
console.log(bytes)
`

/** The workloads by the mounts that they share: each group begins with a new mount and empty caches. */
const GROUPS = [
  ['ls -lR of 1,000 files, cold', 'ls -lR of 1,000 files, warm'],
  ['grep -r of 1,000 files, cold', 'grep -r of 1,000 files, warm'],
  ['read 256 MiB, cold', 'read 256 MiB, warm'],
  [`${RANDOM_READS} random reads, cold`],
  ['write 256 MiB'],
  ['create 500 files', 'untar 500 files', `${SAVES} editor saves`],
  ['git clone', 'git status'],
  ['rm -r of 1,000 files'],
] as const
export const WORKLOADS: readonly string[] = GROUPS.flat()

export interface Run {
  readonly side: Side
  readonly server: BenchServer
  readonly seed: Seed
  readonly material: Material
  readonly wanted: (workload: string) => boolean
  /** Measures of earlier rounds: what has failed or took too long is not waited for again. */
  readonly before: readonly Measure[]
  /** Milliseconds for one workload, until the program ends and until the server shows it. */
  readonly limitMs: number
  readonly say: (measure: Measure) => void
}

/** All workloads of one side on one seed. Nothing that fails or takes too long ends it. */
export async function runWorkloads({ side, server, seed, material, wanted, before, limitMs, say }: Run): Promise<Measure[]> {
  const measures: Measure[] = []
  const note = (measure: Measure): void => {
    measures.push(measure)
    say(measure)
  }
  /** Resolves to whether the mount is good for more. The output is checked, so that a side that gives up early is no winner. */
  const measure = async (mount: Mount, workload: string, { script, bytes, expect, shown }: Work): Promise<boolean> => {
    const start = performance.now()
    const { ms, code, stdout, stderr, late } = await timed('bash', ['-o', 'pipefail', '-c', script], { cwd: mount.path, env: { ...process.env, ...GIT, LC_ALL: 'C' }, timeoutMs: limitMs })
    if (late) {
      note({ workload, app: limitMs, over: 'app' })
      return false
    }
    let failure = code !== 0 ? stderr.split('\n').at(-1) || `exit code ${code}` : expect !== undefined && stdout.trim() !== expect ? `gave ${stdout.trim()} instead of ${expect}` : undefined
    let [sync, saved]: (number | undefined)[] = []
    if (failure === undefined && shown !== undefined) {
      // Both waits begin now; each is counted from the start of the program.
      const synced = mount.sync?.(limitMs).then(() => { sync = performance.now() - start })
      const seen = server.shows(`${seed.path}/${shown.folder}`, shown.files, shown.content, limitMs - ms).then((yes) => { if (yes) saved = performance.now() - start })
      failure = (await Promise.allSettled([synced, seen])).filter((each) => each.status === 'rejected').map(({ reason }) => (reason as Error).message)[0]
    }
    const unsaved = failure === undefined && shown !== undefined && saved === undefined
    const complaint = mount.complaint()
    note({
      workload, app: ms, ...(saved !== undefined && { saved }), ...(unsaved && { saved: limitMs, over: 'saved' }), ...(sync !== undefined && { sync }),
      ...(bytes !== undefined && { mbPerS: bytes / 1000 / ms }), ...(failure !== undefined && { failure: `${failure}${complaint === '' ? '' : ` (it logged: ${complaint})`}` }),
    })
    return !unsaved
  }
  const works = worksOf(seed, material)
  for (const group of GROUPS) {
    let mount: Mount | undefined
    let good = true
    const unmount = async (): Promise<void> => {
      await mount?.unmount(good ? UNMOUNT_MS : 0).catch(() => {})
      mount = undefined
    }
    for (const workload of group.filter(wanted)) {
      const earlier = before.find((each) => each.workload === workload && (each.failure !== undefined || each.over !== undefined))
      if (earlier !== undefined) {
        note(earlier)
        continue
      }
      try {
        if (!good && /, warm$|^git status$/.test(workload)) throw new Error('left out: the one before took too long')
        mount ??= await side.mount(seed.path)
        good = await measure(mount, workload, works[workload])
        // A mount that is stuck is no start for the next one.
        if (!good) await unmount()
      } catch (error) {
        note({ workload, app: Number.NaN, failure: (error as Error).message })
      }
    }
    await unmount()
  }
  return measures
}

interface Work {
  readonly script: string
  /** How many it moves. */
  readonly bytes?: number
  /** What it prints. */
  readonly expect?: string
  /** What the server shows at the end. */
  readonly shown?: { readonly folder: string; readonly files: number; readonly content?: readonly [name: string, md5: string] }
}

function worksOf(seed: Seed, { big, archive, repository, cloneFiles, saver, reader }: Material): Record<(typeof GROUPS)[number][number], Work> {
  const listing: Work = { script: 'ls -lR . | grep -c "^-"', expect: String(ALL_FILES) }
  const search: Work = { script: `grep -rc needle ${quote(seed.tree)} | grep -c ":1$"`, expect: String(TREE_FILES) }
  const reading: Work = { script: 'cat big | wc -c', bytes: BIG_BYTES, expect: String(BIG_BYTES) }
  const node = quote(process.execPath)
  return {
    'ls -lR of 1,000 files, cold': listing,
    'ls -lR of 1,000 files, warm': listing,
    'grep -r of 1,000 files, cold': search,
    'grep -r of 1,000 files, warm': search,
    'read 256 MiB, cold': reading,
    'read 256 MiB, warm': reading,
    [`${RANDOM_READS} random reads, cold`]: { script: `${node} ${quote(reader)} big ${RANDOM_READS}`, expect: String(RANDOM_READS * 4096) },
    'write 256 MiB': { script: `cp ${quote(big)} written/`, bytes: BIG_BYTES, shown: { folder: 'written', files: 2 } },
    'create 500 files': { script: `for i in {1..${SMALL_FILES}}; do echo "content of $i" > many/$i.txt; done`, shown: { folder: 'many', files: SMALL_FILES + 1 } },
    'untar 500 files': { script: `tar -xf ${quote(archive)}`, shown: { folder: 'archive', files: SMALL_FILES + 1 } },
    [`${SAVES} editor saves`]: { script: `${node} ${quote(saver)} saved/text ${SAVES}`, shown: { folder: 'saved', files: 2, content: ['text', lastSave()] } },
    'git clone': { script: `git clone -q file://${repository} clone/work`, shown: { folder: 'clone', files: cloneFiles + 1 } },
    'git status': { script: 'git -C clone/work status --short | wc -l', expect: '0' },
    'rm -r of 1,000 files': { script: `rm -r ${quote(seed.tree)}`, shown: { folder: seed.tree, files: 0 } },
  }
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

export interface Reference {
  readonly read: number
  readonly write: number
}

/** What the server itself can do, without a mount: curl, many requests at once. Megabytes (10^6) per second. */
export async function reference(server: BenchServer, name: string, { big }: Material): Promise<Reference> {
  const content = await readFile(big)
  const path = await server.fill(name, [['big', content]])
  const token = await server.token()
  const signed = ['--aws-sigv4', 'aws:amz:us-east-1:s3', '--user', `${token}:gatewaysecret`, '-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD', '-s', '-S', '-f', '-o', '/dev/null']
  const url = (path: string): string => `${server.url}/io/${path.split('/').map(encodeURIComponent).join('/')}`
  const parts = 8
  const part = BIG_BYTES / parts
  const rates = { read: 0, write: 0 }
  const take = async (what: 'read' | 'write', each: (index: number, of: number) => string[], counts: readonly number[]): Promise<void> => {
    for (const of of counts) {
      const start = performance.now()
      const ended = await Promise.all(Array.from({ length: of }, (_, index) => timed('curl', [...signed, ...each(index, of)])))
      const bad = ended.find(({ code }) => code !== 0)
      if (bad !== undefined) throw new Error(`curl: exit code ${bad.code} ${bad.stderr}`)
      rates[what] = Math.max(rates[what], BIG_BYTES / 1000 / (performance.now() - start))
    }
  }
  await take('read', (index, of) => ['-r', `${index * (BIG_BYTES / of)}-${(index + 1) * (BIG_BYTES / of) - 1}`, url(`${path}/big`)], [1, 4, 8])
  const files = await Promise.all(Array.from({ length: parts }, async (_, index) => {
    const file = `${big}.${index}`
    await writeFile(file, content.subarray(index * part, (index + 1) * part))
    return file
  }))
  await take('write', (index) => ['-T', files[index]!, url(`${path}/${index}`)], [parts])
  await take('write', () => ['-T', big, url(`${path}/whole`)], [1])
  return rates
}
