/**
 * `cec scp` that dies at random moments (issue 5): a big file and a folder, both ways, several moments each. Then the same command
 * again: what arrives is what was sent, and nothing that was answered and written down is sent or fetched a second time.
 *
 * CEC_KILL_MOMENTS=10 takes more of them, CEC_KILL_SEED chooses others (the seed is printed), CEC_KILL_MIB another size of the big file.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { TestContext } from 'node:test'
import type { DemoServer, Fault, RequestInfo } from '../src/demo/index.js'
import { startFilesServer, WS } from './helpers/files-server.js'
import type { FilesServer } from './helpers/files-server.js'
import { freshHome } from './helpers/run-cec.js'
import type { Home } from './helpers/run-cec.js'

const MIB = 1024 * 1024
const BIG = Number(process.env['CEC_KILL_MIB'] ?? 47) * MIB
const SEED = Number(process.env['CEC_KILL_SEED'] ?? 20_261_122)
const MOMENTS = Number(process.env['CEC_KILL_MOMENTS'] ?? 4)
const CONCURRENCY = 2
const FLAGS = ['-n', '--part-size', '10', '--multipart-threshold', '10', '--parts-concurrency', String(CONCURRENCY), '--retry-max-attempts', '1']
/** For a program that has lost its server: then a person presses Ctrl-C. */
const PATIENCE_MS = 3000

const skip = process.env['CELLS_URL'] !== undefined && 'needs the embedded server'

interface Bench {
  readonly files: FilesServer
  readonly demo: DemoServer
  readonly home: Home
  readonly ws: string
}

/** A server of its own for each test: each watches, and troubles, all requests. */
async function bench(t: TestContext): Promise<Bench> {
  const files = await startFilesServer()
  const { demo } = files
  assert.ok(demo !== undefined)
  t.after(() => files.close())
  const ws = `${WS}/killed`
  await files.seed(WS, { 'killed/': '' })
  return { files, demo, home: await freshHome(t), ws }
}

const md5 = (content: Buffer | string): string => createHash('md5').update(content).digest('hex')

/** Small, and good enough to choose moments; the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

type How = 'SIGKILL' | 'SIGINT' | 'network'

interface Moment {
  readonly how: How
  /** Requests with content that come first. */
  readonly after: number
  /** And then this long; 0 dies before the server has looked at the request. */
  readonly ms: number
}

function moments(seed: number, requests: number): Moment[] {
  const random = randomFrom(seed)
  return Array.from({ length: MOMENTS }, (_, index) => ({
    how: (['SIGKILL', 'SIGINT', 'SIGKILL', 'network'] as const)[index % 4] ?? 'SIGKILL',
    after: Math.floor(random() * requests), ms: random() < 0.3 ? 0 : Math.floor(random() * 40),
  }))
}

const carriesContent = ({ route, query }: RequestInfo): boolean => (route === 'PUT s3' || route === 'GET s3') && !query.has('list-type') && (route === 'PUT s3' || !query.has('uploadId'))

/** Runs cec until the moment comes; false when it was over before. */
async function runUntil(moment: Moment, { demo, files, home }: Bench, words: readonly string[], watch: (info: RequestInfo) => void): Promise<boolean> {
  const child = home.start(words, { env: files.env })
  child.stdout?.resume()
  child.stderr?.resume()
  let seen = 0
  let reached = false
  let patience: NodeJS.Timeout | undefined
  const die = (): void => {
    if (moment.how !== 'network') child.kill(moment.how)
    else patience = setTimeout(() => child.kill('SIGINT'), PATIENCE_MS)
  }
  demo.onRequest = (info): Fault | undefined => {
    if (reached && (moment.how === 'network' || moment.ms === 0)) return { reset: true }
    watch(info)
    if (reached || !carriesContent(info) || seen++ < moment.after) return undefined
    reached = true
    if (moment.ms > 0) setTimeout(die, moment.ms)
    else die()
    return moment.ms === 0 || moment.how === 'network' ? { reset: true } : undefined
  }
  await once(child, 'close')
  clearTimeout(patience)
  demo.onRequest = undefined
  return reached
}

/** The same command to its end, with everything it asks for. */
async function finish({ demo, files, home }: Bench, words: readonly string[], watch: (info: RequestInfo) => void): Promise<void> {
  demo.onRequest = info => watch(info)
  const result = await home.cec(words, { env: files.env })
  demo.onRequest = undefined
  assert.equal(result.code, 0, result.stderr)
  assert.deepEqual(await readdir(join(home.dir, 'state/cellsfs/transfers')), [])
}

interface Record {
  readonly facts: { readonly parts?: readonly { readonly number: number }[]; readonly ranges?: readonly (readonly [number, number])[] } | null
}

async function recordsIn(folder: string, name: RegExp): Promise<Record[]> {
  const names = (await readdir(folder).catch(() => [])).filter(each => name.test(each))
  return Promise.all(names.map(async each => JSON.parse(await readFile(join(folder, each), 'utf8')) as Record))
}

/** Numbers of the parts that the dead run has written down. */
const recordedParts = async (home: Home): Promise<string[]> =>
  (await recordsIn(join(home.dir, 'state/cellsfs/transfers'), /\.upload\.json$/)).flatMap(({ facts }) => facts?.parts ?? []).map(part => String(part.number))

const story = (t: TestContext, moment: Moment, text: string): void => t.diagnostic(`${moment.how} after ${moment.after} requests and ${moment.ms} ms: ${text}`)


const SMALL = Array.from({ length: 36 }, (_, index) => `${index % 5 === 0 ? '' : `sub${index % 3}/deep/`}file ${index}`)
async function makeFolder(home: Home): Promise<Map<string, Buffer>> {
  const content = new Map<string, Buffer>(SMALL.map((name, index) => [name, randomBytes(index * 997)]))
  content.set('sub1/large', randomBytes(22 * MIB))
  await mkdir(join(home.dir, 'dir/empty'), { recursive: true })
  for (const [name, bytes] of content) {
    await mkdir(join(home.dir, 'dir', name, '..'), { recursive: true })
    await writeFile(join(home.dir, 'dir', name), bytes)
  }
  return content
}
/** Names of the files that the server shows with just this content. */
async function whole(files: FilesServer, folder: string, content: ReadonlyMap<string, Buffer>): Promise<Set<string>> {
  const nodes = await files.server.statMany([...content.keys()].map(name => `${folder}/${name}`))
  return new Set([...content].filter(([name, bytes]) => nodes.get(`${folder}/${name}`)?.etag === md5(bytes)).map(([name]) => name))
}
/** The same when the index has caught up with the storage: only a file that came in parts may still be open. */
async function arrived({ files, demo }: Bench, folder: string, content: ReadonlyMap<string, Buffer>): Promise<Set<string>> {
  const settled = async (): Promise<boolean> => {
    const nodes = await files.server.statMany([...content.keys()].map(name => `${folder}/${name}`))
    return [...nodes.values()].every(node => node.etag !== 'temporary' || node.path.endsWith('/large'))
  }
  // A file that nobody has seen may still come from a PUT that was whole when its sender died.
  do await new Promise(resolve => setTimeout(resolve, demo.indexDelayMs))
  while (!await settled())
  return whole(files, folder, content)
}

describe('scp dies and goes on', { skip, concurrency: true }, () => {
  it('upload of a big file: dies at ten moments, goes on, no part that was recorded is sent twice', async t => {
    t.diagnostic(`seed ${SEED}`)
    const b = await bench(t)
    const { files, home, ws } = b
    const content = randomBytes(BIG)
    await writeFile(join(home.dir, 'big'), content)
    const parts = Math.ceil(BIG / (10 * MIB))
    for (const [index, moment] of moments(SEED, parts).entries()) {
      await files.seed(ws, { [`${index}/`]: '' })
      const words = ['scp', ...FLAGS, 'big', `cells://${ws}/${index}`]
      const sent: string[] = []
      let open = 0
      const watch = ({ route, query }: RequestInfo): void => {
        const part = query.get('partNumber')
        if (part !== null) sent.push(part)
        if (route === 'POST s3' && query.has('uploads')) open++
        else if (query.has('uploadId') && (route === 'POST s3' || route === 'DELETE s3')) open--
      }
      assert.ok(await runUntil(moment, b, words, watch))
      const recorded = await recordedParts(home)
      const before = sent.length
      await finish(b, words, watch)
      const again = sent.slice(before)
      story(t, moment, `${recorded.length} of ${parts} parts recorded, ${again.length} sent by the second run`)
      assert.deepEqual(again.filter(part => recorded.includes(part)), [])
      assert.equal(again.length, new Set(again).size)
      assert.equal(new Set([...again, ...recorded]).size, parts)
      // Those under way when it died, and no more.
      assert.ok(sent.length <= parts + CONCURRENCY, `${sent.length} parts sent`)
      assert.equal(open, 0, 'an upload was left open')
      assert.equal((await files.server.stat(`${ws}/${index}/big`))?.etag, md5(content))
    }
  })

  it('download of a big file: dies at ten moments, goes on, no range that was recorded is fetched twice', async t => {
    const b = await bench(t)
    const { files, home, ws } = b
    const content = randomBytes(BIG)
    await writeFile(join(home.dir, 'big'), content)
    assert.equal((await home.cec(['scp', ...FLAGS, 'big', `cells://${ws}`], { env: files.env })).code, 0)
    for (const [index, moment] of moments(SEED + 1, Math.ceil(BIG / (8 * MIB))).entries()) {
      const folder = join(home.dir, String(index))
      await mkdir(folder)
      const words = ['scp', ...FLAGS, `cells://${ws}/big`, String(index)]
      assert.ok(await runUntil(moment, b, words, () => {}))
      const recorded = (await recordsIn(folder, /^\.cec-.*\.json$/)).flatMap(({ facts }) => facts?.ranges ?? [])
      const asked: [number, number][] = []
      await finish(b, words, ({ route, headers }) => {
        const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(headers['range'] ?? '')) ?? []
        if (route === 'GET s3') asked.push([Number(from ?? 0), from === undefined ? BIG : Number(to) + 1])
      })
      const sum = (ranges: readonly (readonly [number, number])[]): number => ranges.reduce((bytes, [start, end]) => bytes + end - start, 0)
      story(t, moment, `${sum(recorded)} of ${BIG} bytes recorded, ${sum(asked)} fetched by the second run`)
      assert.equal(sum(recorded) + sum(asked), BIG, 'what was recorded and what was fetched then are just the whole')
      assert.equal(md5(await readFile(join(folder, 'big'))), md5(content))
      assert.deepEqual(await readdir(folder), ['big'])
    }
  })

  it('upload of a folder: dies at ten moments, goes on, nothing that has arrived is sent twice', async t => {
    const b = await bench(t)
    const { files, home, ws } = b
    const content = await makeFolder(home)
    for (const [index, moment] of moments(SEED + 2, content.size + 2).entries()) {
      const target = `${ws}/${index}`
      await files.seed(ws, { [`${index}/`]: '' })
      const words = ['scp', ...FLAGS, 'dir', `cells://${target}`]
      assert.ok(await runUntil(moment, b, words, () => {}))
      const recorded = new Set(await recordedParts(home))
      const there = await arrived(b, `${target}/dir`, content)
      const sent: string[] = []
      await finish(b, words, info => {
        if (info.route !== 'PUT s3') return
        const path = info.path.slice(`/io/${target}/dir/`.length)
        const part = info.query.get('partNumber')
        if (part !== null) assert.ok(!recorded.has(part), `part ${part} again`)
        sent.push(part === null ? path : `${path}#${part}`)
      })
      story(t, moment, `${there.size} of ${content.size} files had arrived, ${sent.length} requests with content by the second run`)
      assert.deepEqual(sent.filter(path => there.has(path)), [])
      assert.equal(sent.length, new Set(sent).size)
      assert.deepEqual([...await whole(files, `${target}/dir`, content)].sort(), [...content.keys()].sort())
      assert.ok((await files.tree(target)).includes('dir/empty/'))
    }
  })

  it('download of a folder: dies at ten moments, goes on, no file that is there is fetched twice', async t => {
    const b = await bench(t)
    const { files, home, ws } = b
    const content = await makeFolder(home)
    const uploaded = await home.cec(['scp', ...FLAGS, 'dir', `cells://${ws}`], { env: files.env })
    assert.equal(uploaded.code, 0, uploaded.stderr)
    for (const [index, moment] of moments(SEED + 3, content.size - 1).entries()) {
      const folder = join(home.dir, String(index))
      await mkdir(folder)
      const words = ['scp', ...FLAGS, `cells://${ws}/dir`, String(index)]
      assert.ok(await runUntil(moment, b, words, () => {}))
      const there = new Set((await readdir(join(folder, 'dir'), { recursive: true }).catch(() => [])).filter(name => content.has(name)))
      const asked = new Set<string>()
      await finish(b, words, ({ route, path, query }) => {
        if (route === 'GET s3' && !query.has('list-type')) asked.add(path.slice(`/io/${ws}/dir/`.length))
      })
      story(t, moment, `${there.size} of ${content.size} files were there, ${asked.size} fetched by the second run`)
      assert.deepEqual([...asked].filter(name => there.has(name)), [])
      for (const [name, bytes] of content) assert.equal(md5(await readFile(join(folder, 'dir', name))), md5(bytes), name)
      const names = await readdir(folder, { recursive: true })
      assert.deepEqual(names.filter(name => name.includes('.cec-')), [])
      assert.ok(names.includes('dir/empty'))
    }
  })
})
