/**
 * A server that lies, and a target folder that somebody has prepared (issue 5): `cec scp` writes nothing outside its target folder,
 * names each entry that it does not take, fetches the rest, and ends with 1.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Fault } from '../src/demo/index.js'
import { signIn } from '../src/demo/test-client.js'
import { readTree, writeTree } from '../src/transfer/testing.js'
import { startFilesServer, WS } from './helpers/files-server.js'
import type { FilesServer } from './helpers/files-server.js'
import { freshHome } from './helpers/run-cec.js'
import type { Home, Result } from './helpers/run-cec.js'

const skip = process.env['CELLS_URL'] !== undefined && 'needs the embedded server'
let files: FilesServer
before(async () => { if (skip === false) files = await startFilesServer() })
after(() => files?.close())

const EVIL = 'evil content'
const ETAG = createHash('md5').update(EVIL).digest('hex')

interface Place {
  readonly home: Home
  /** What must not change but for `target` in it. */
  readonly outer: string
  readonly target: string
}

async function place(t: TestContext): Promise<Place> {
  const outer = await realpath(await mkdtemp(join(tmpdir(), 'cec-hostile-')))
  t.after(() => rm(outer, { recursive: true, force: true }))
  await writeTree(outer, { 'outside/x.txt': 'precious', 'precious.txt': 'precious', 'target/': '' })
  return { home: await freshHome(t), outer, target: join(outer, 'target') }
}

/** Lists `folder` (which holds one good file) with these entries on top; every GET is answered with the evil content. */
async function lie(t: TestContext, folder: string, entries: readonly unknown[]): Promise<void> {
  const { demo } = files
  assert.ok(demo !== undefined)
  const bare = await signIn(demo)
  const answer = await bare.rest('POST', '/meta/bulk/get', { NodePaths: [folder, `${folder}/*`] })
  const nodes = answer.json?.['Nodes'] as Record<string, unknown>[]
  const good = nodes.find(node => String(node['Path']).endsWith('/good'))
  assert.ok(good !== undefined, answer.text)
  const rewritten = JSON.stringify({ ...answer.json, Nodes: [...nodes, ...entries.map(entry => ({ ...good, Etag: ETAG, Size: String(EVIL.length), ...entry as object }))] })
  t.after(() => { demo.onRequest = undefined })
  demo.onRequest = (info): Fault | undefined => {
    if (info.route === 'POST /a/meta/bulk/get') return { status: 200, body: rewritten, headers: { 'Content-Type': 'application/json' } }
    if (info.route === 'GET s3' && info.query.has('list-type')) return { status: 200, body: '<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>', headers: { 'Content-Type': 'application/xml' } }
    if (info.route === 'GET s3' && !info.path.endsWith('/good')) return { status: 200, body: EVIL, headers: { ETag: `"${ETAG}"` } }
    return undefined
  }
}

const run = (home: Home, ...words: string[]): Promise<Result> => home.cec(words, { env: files.env })

test('names that lead elsewhere, or cannot be names, are told one by one; the rest is fetched', { skip }, async t => {
  const { home, outer, target } = await place(t)
  await files.seed(WS, { 'lies/good': 'good' })
  const folder = `${WS}/lies`
  const long = 'n'.repeat(5000)
  const paths = [
    `${folder}/../escape`, `${folder}/..`, `${folder}/.`, `${folder}/a/b`, `${folder}/a/../../../escape`, '/etc/escape', `${outer}/escape`, `${folder}/nul\0nul`, `${folder}/${long}`,
    `${folder}//`, `${WS}/beside`, '', '..', '../escape', `${folder}/\ud800`,
  ]
  // No path at all, and one that is no text.
  await lie(t, folder, [...paths.map(Path => ({ Path })), { Path: undefined }, { Path: ['x'] }, { Path: `${folder}/${'m'.repeat(400)}` }, { Path: `${folder}/\u001b[2J\rbell\u0007` }, { Path: `${folder}/also good` }])
  const result = await run(home, 'scp', `cells://${folder}`, target)
  assert.equal(result.code, 1)
  // An empty name in the folder is the folder itself; ours are all the others.
  for (const name of ['../escape', '/..', '/.', '/a/b', '/etc/escape', `${outer}/escape`, 'nul', 'nnnnn', `${WS}/beside`, 'mmmmm', 'no path']) assert.ok(result.stderr.includes(name), `${name} is not named in ${result.stderr}`)
  // What is shown cannot drive the terminal.
  assert.doesNotMatch(result.stderr, /[\u0000-\u0008\u000b-\u001f\u007f]/)
  const tree = await readTree(outer)
  const inside = Object.keys(tree).filter(path => path.startsWith('target/'))
  assert.equal(tree['target/lies/good'], 'good')
  assert.equal(tree['target/lies/also good'], EVIL)
  // A terminal may hate this name, but it is one, and it lies where it should.
  assert.deepEqual(inside.filter(path => !/good$/.test(path)), ['target/lies/\u001b[2J\rbell\u0007'])
  assert.deepEqual(Object.keys(tree).filter(path => !path.startsWith('target/')).sort(), ['outside/x.txt', 'precious.txt'])
  assert.deepEqual(await readdir(target), ['lies'])
})

test('with --json the entries that are not taken are events, and --dry-run names them too', { skip }, async t => {
  const { home, target } = await place(t)
  await files.seed(WS, { 'lies2/good': 'good' })
  await lie(t, `${WS}/lies2`, [{ Path: `${WS}/lies2/../escape` }])
  const events = await run(home, 'scp', '--json', `cells://${WS}/lies2`, target)
  assert.equal(events.code, 1)
  const lines = events.stdout.trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(lines.filter(line => line['event'] === 'failure').map(line => [line['path'], String(line['message']).includes('../escape')]), [[`${WS}/lies2`, true]])
  await rm(join(target, 'lies2'), { recursive: true })
  const plan = await run(home, 'scp', '--dry-run', `cells://${WS}/lies2`, target)
  assert.equal(plan.code, 1)
  assert.match(plan.stdout, /error: .*lies2: .*\.\.\/escape/)
  assert.deepEqual(await readdir(target), [])
})

test('links in the target, for a file, for a folder and for the folder above, are not followed', { skip }, async t => {
  const { home, outer, target } = await place(t)
  await files.seed(WS, { 'links/file': 'new', 'links/sub/x.txt': 'evil', 'links/deep/sub/x.txt': 'evil', 'links/good': 'good' })
  await mkdir(join(target, 'links/deep'), { recursive: true })
  await symlink('../../precious.txt', join(target, 'links/file'))
  await symlink('../../outside', join(target, 'links/sub'))
  await symlink('../../../outside', join(target, 'links/deep/sub'))
  const result = await run(home, 'scp', '-f', `cells://${WS}/links`, target)
  assert.equal(result.code, 1)
  for (const name of ['links/sub', 'links/deep/sub']) assert.ok(result.stderr.includes(`${name}: a symbolic link is in the way`), result.stderr)
  assert.deepEqual(await readTree(outer), {
    'outside/x.txt': 'precious', 'precious.txt': 'precious',
    'target/links/file': 'new', 'target/links/good': 'good', 'target/links/sub': '(link)', 'target/links/deep/sub': '(link)',
  })
  await rm(join(target, 'links'), { recursive: true })
  await symlink('../outside', join(target, 'links'))
  assert.equal((await run(home, 'scp', '-f', `cells://${WS}/links`, target)).code, 1)
  assert.deepEqual(await readdir(join(outer, 'outside')), ['x.txt'])
})

test('a folder that becomes a link while the transfer runs is not followed', { skip }, async t => {
  const { home, outer, target } = await place(t)
  await files.seed(WS, { 'swap/a': 'a', 'swap/sub/later': 'evil', 'swap/sub/last': 'evil' })
  const { demo } = files
  assert.ok(demo !== undefined)
  t.after(() => { demo.onRequest = undefined })
  const child = home.start(['scp', '-n', `cells://${WS}/swap`, target], { env: files.env })
  let swapped = false
  demo.onRequest = async info => {
    if (swapped || info.route !== 'GET s3' || !info.path.includes('/swap/sub/')) return
    swapped = true
    // While the content is on its way.
    await rename(join(target, 'swap/sub'), join(target, 'swap/was-sub'))
    await symlink('../../outside', join(target, 'swap/sub'))
    // What begins after the look of a tenth of a second is not let in; what began before has its answer late.
    await new Promise(resolve => setTimeout(resolve, 300))
  }
  let stderr = ''
  child.stderr?.on('data', (data: Buffer) => { stderr += data.toString() })
  child.stdout?.resume()
  const [code] = await once(child, 'close') as [number]
  assert.equal(code, 1, stderr)
  assert.match(stderr, /has become a symbolic link/)
  assert.deepEqual(await readdir(join(outer, 'outside')), ['x.txt'])
  assert.equal(await readFile(join(outer, 'outside/x.txt'), 'utf8'), 'precious')
})

test('a partial file planted as a link is not written through', { skip }, async t => {
  const { home, outer, target } = await place(t)
  const content = 'c'.repeat(2_000_000)
  await files.seed(WS, { 'planted/big': content })
  const words = ['scp', `cells://${WS}/planted/big`, target]
  const { demo } = files
  assert.ok(demo !== undefined)
  t.after(() => { demo.onRequest = undefined })
  let gets = 0
  demo.onRequest = info => (info.route !== 'GET s3' ? undefined : gets++ === 0 ? { cutAfter: 1_500_000 } : { reset: true })
  assert.equal((await run(home, ...words, '--retry-max-attempts', '1')).code, 1)
  demo.onRequest = undefined
  const [part] = (await readdir(target)).filter(name => name.endsWith('.part'))
  assert.ok(part !== undefined)
  await rm(join(target, part))
  await symlink('../precious.txt', join(target, part))
  await writeFile(join(outer, 'precious.txt'), 'precious')
  assert.equal((await run(home, ...words)).code, 0)
  assert.equal(await readFile(join(outer, 'precious.txt'), 'utf8'), 'precious')
  assert.equal(await readFile(join(target, 'big'), 'utf8'), content)
})
