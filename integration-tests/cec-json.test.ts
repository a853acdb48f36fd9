/**
 * docs/json.md is true: every command with `--json` stands on it, and what each really prints is of the type that it says. Against the
 * embedded server.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CELLSFS_COMMANDS } from '../src/cli/cellsfs.js'
import { COMMANDS } from '../src/cli/commands.js'
import { describeCommand, type CommandInfo } from '../src/cli/describe.js'
import type { Fault } from '../src/demo/faults.js'
import { startDemoServer, type DemoServer } from '../src/demo/index.js'
import { writeTree } from '../src/transfer/testing.js'
import { startFilesServer, WS } from './helpers/files-server.js'
import type { FilesServer } from './helpers/files-server.js'
import { mismatches, parseJsonPage, type JsonPage } from './helpers/json-types.js'
import { PROJECT } from './helpers/project.js'
import { freshHome, type Home, type Result } from './helpers/run-cec.js'

const skip = process.env['CELLS_URL'] === undefined ? false : 'needs the embedded server'
let page: JsonPage
let files: FilesServer
/** Deletes jobs, as Enterprise servers do. */
let enterprise: DemoServer

before(async () => {
  page = parseJsonPage(await readFile(join(PROJECT, 'docs', 'json.md'), 'utf8'))
  files = await startFilesServer()
  enterprise = await startDemoServer({ enterprise: true, indexDelayMs: 0 })
})
after(async () => {
  await files.close()
  await enterprise.close()
})

const below = (info: CommandInfo): CommandInfo[] => [info, ...info.commands.flatMap(below)]

test('every command that has --json is on the page, and no other', async () => {
  const namesOf = async (lines: typeof COMMANDS): Promise<string[]> => {
    const infos = (await Promise.all(lines.map((line) => describeCommand(line)))).flatMap(below)
    return infos.filter((info) => info.flags.some((flag) => flag.name === 'json')).map((info) => info.name)
  }
  const withJson = [...await namesOf(COMMANDS), ...(await namesOf(CELLSFS_COMMANDS)).map((name) => `cellsfs ${name}`)]
  assert.deepEqual([...page.commands.keys()].sort(), withJson.sort())
})

test('the page is checked in earnest', () => {
  const own = parseJsonPage('```types\nA = { a: string, b?: "x" | null, c: { [string]: number }[] } // note\ncec x: A...\n```')
  const type = own.commands.get('x')!.type
  assert.equal(own.commands.get('x')?.lines, true)
  assert.deepEqual(mismatches(own, type, { a: 'a', c: [{ n: 1 }] }), [])
  assert.deepEqual(mismatches(own, type, { a: 1, b: 'y', c: [{ n: '1' }], d: 0 }), [
    '$.a: 1 is no string', '$.b: "y" is not "x"', '$.c[0].n: "1" is no number', '$.d is not on the page',
  ])
  assert.deepEqual(mismatches(own, type, { c: [] }), ['$.a is missing'])
})

/** Checks what was printed; returns it. */
function checked(words: string, { stdout, stderr }: Result): unknown {
  const output = page.commands.get(words)
  assert.ok(output !== undefined, `${words} is not on the page`)
  assert.notEqual(stdout, '', `${words} has printed nothing\n${stderr}`)
  const documents = (output.lines ? stdout.split('\n').filter((line) => line !== '') : [stdout]).map((text) => JSON.parse(text) as unknown)
  for (const each of documents) assert.deepEqual(mismatches(page, output.type, each), [], `cec ${words} --json printed ${JSON.stringify(each, null, 1).slice(0, 2000)}`)
  seen.add(words)
  return output.lines ? documents : documents[0]
}
const seen = new Set<string>()

interface Scene {
  readonly home: Home
  readonly ws: string
  /** Runs `cec <command> <more> --json`, demands the exit code and the type. */
  readonly run: (command: string, more?: readonly string[], options?: { code?: number; env?: NodeJS.ProcessEnv; input?: string }) => Promise<unknown>
}

const scene = async (t: Parameters<typeof freshHome>[0]): Promise<Scene> => {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  return {
    home, ws,
    run: async (command, more = [], { code = 0, env = {}, input } = {}) => {
      const result = await home.cec([...command.split(' '), ...more, '--json'], { env: { ...files.env, ...env }, input })
      assert.equal(result.code, code, `${command} ${more.join(' ')}\n${result.stderr}`)
      return checked(command, result)
    },
  }
}

test('JSON of files and folders', { skip }, async (t) => {
  const { home, ws, run } = await scene(t)
  await files.seed(ws, { 'a.txt': 'hello', 'sub/deep/b': 'b', 'empty/': '' })
  await run('ls')
  await run('ls', [ws])
  await run('ls', [`${ws}/a.txt`])
  await run('stat', [`${ws}/a.txt`, `${ws}/sub`, WS])
  await run('stat', [`${ws}/a.txt`, `${ws}/none`], { code: 1 })
  await run('find', [ws, '--name', '*'])
  await run('tree', [ws])
  await run('tree', ['-L', '1'])
  await run('du', ['-a', ws])
  await run('put', [`${ws}/new`], { input: 'content' })
  await run('mkdir', ['-p', `${ws}/x/y`])
  assert.deepEqual(await run('mkdir', [`${ws}/x/y`]), { created: [] })
  await writeTree(home.dir, { 'dir/a.txt': 'other', 'dir/more/c': 'c' })
  await run('check', ['dir', `cells://${ws}`], { code: 1 })
  await run('tools hash', ['-f', 'dir/a.txt'])
})

test('JSON of recycle bins', { skip }, async (t) => {
  const { home, ws, run } = await scene(t)
  await files.seed(ws, { 'a.txt': 'hello', 'sub/b': 'b' })
  const name = ws.split('/').at(-1) ?? ''
  await home.cec(['rm', '-f', `${ws}/a.txt`, `${ws}/sub`], { env: files.env })
  const binned = await run('trash ls', [WS]) as { path: string }[]
  assert.ok(binned.length >= 2)
  await run('trash restore', [binned[0]!.path, `${WS}/recycle_bin/none-${name}`], { code: 1 })
  await run('trash empty', ['-f', WS])

})

test('JSON of versions', { skip }, async (t) => {
  const { ws, run } = await scene(t)
  await files.seed(ws, { c: 'version two' })
  const { demo } = files
  assert.ok(demo !== undefined)
  // The embedded server keeps no versions: what a newer one answers is answered for it.
  const path = `${ws}/c`
  const content = 'version one'
  const etag = createHash('md5').update(content).digest('hex')
  const asked = Buffer.byteLength(JSON.stringify({ NodePaths: [path], Versions: true }))
  const nodes = [{ Path: path, Uuid: 'u', Type: 'LEAF', Size: String(content.length), MTime: '1700000000', Etag: etag, MetaStore: { versionId: '"v1"', versionDescription: '"first"' } }]
  const json = (value: unknown): Fault => ({ status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value) })
  demo.onRequest = ({ path: asks, route, query, headers }) => {
    if (asks === '/a/config/discovery/openapi') return json({ RemovePermanently: {}, '"RemovePermanently"': 0 })
    if (asks === '/a/meta/bulk/get' && Number(headers['content-length']) === asked) return json({ Nodes: nodes })
    if (route === 'GET s3' && query.get('versionId') === 'v1') return { status: 200, headers: { ETag: `"${etag}"` }, body: content }
    return undefined
  }
  try {
    await run('versions ls', [path])
    await run('versions restore', [path, 'v1'])
  } finally {
    demo.onRequest = undefined
  }
  assert.equal(await files.content(path), content)
})

test('JSON of links', { skip }, async (t) => {
  const { ws, run } = await scene(t)
  await files.seed(ws, { 'a.txt': 'hello', 'dir/': '' })
  await run('share', [`${ws}/dir`, '--permissions', 'upload,preview', '--expires', '2d', '--max-downloads', '3'])
  await run('share', [`${ws}/a.txt`])
  assert.equal((await run('share ls') as unknown[]).length, 2)
  await run('share ls', [`${ws}/dir`])
  await run('share rm', [`${ws}/dir`])
  const [left] = await run('share ls') as { id: string }[]
  await run('share rm', [left!.id])
})

test('JSON of transfers', { skip }, async (t) => {
  const { home, ws, run } = await scene(t)
  await writeTree(home.dir, { 'dir/a.txt': 'hello', 'dir/sub/b': 'b', 'dir/back\\slash': 'x' })
  await run('scp', ['--dry-run', 'dir', `cells://${ws}`], { code: 1 })
  await run('scp', ['dir', `cells://${ws}`], { code: 1 })
  await run('cp', [`cells://${ws}/dir`, 'down/'])
  await writeTree(home.dir, { 'down/dir/a.txt': 'changed', 'down/dir/only/here': 'x' })
  await run('sync', ['--dry-run', '--delete', `cells://${ws}/dir`, 'down/dir'])
  const events = await run('sync', ['--delete', `cells://${ws}/dir`, 'down/dir']) as { event: string }[]
  assert.ok(['plan', 'deleted', 'same', 'start', 'sent', 'counts', 'end'].every((event) => events.some((each) => each.event === event)), JSON.stringify(events))
})

test('JSON of watch', { skip }, async (t) => {
  const { home, ws } = await scene(t)
  const child = home.start(['watch', ws, '--json', '--count', '3'], { env: files.env })
  let text = ''
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.stderr?.resume()
  await new Promise<void>((resolve, reject) => {
    child.once('close', () => reject(new Error(`watch has ended: ${text}`)))
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      if (text.includes('connected')) resolve()
    })
  })
  await files.seed(ws, { made: 'x' })
  await files.server.move(`${ws}/made`, `${ws}/moved`)
  await files.server.remove([`${ws}/moved`], { permanently: true })
  // Fewer than three would be waited for for ever.
  const timer = setTimeout(() => child.kill('SIGINT'), 60_000)
  await ended
  clearTimeout(timer)
  checked('watch', { code: 0, stdout: text, stderr: '' })
})

test('JSON of accounts', { skip }, async (t) => {
  const { home, run } = await scene(t)
  await run('info')
  await run('version')
  assert.deepEqual(await run('config ls'), [])
  const added = await home.cec(['config', 'add', 'client-auth'], { env: files.env })
  assert.equal(added.code, 0, added.stderr)
  assert.equal((await run('config ls') as { active: boolean }[])[0]?.active, true)
})

test('JSON of metadata', { skip }, async (t) => {
  const { ws, run } = await scene(t)
  await files.seed(ws, { 'a.txt': 'hello' })
  await run('meta get', ['--all'])
  await run('meta get', ['--path', `${ws}/a.txt`])
})

test('JSON of users, storage and jobs', { skip }, async (t) => {
  const { home, ws, run } = await scene(t)
  const admin = { CEC_LOGIN: 'admin', CEC_PASSWORD: 'admin' }
  for (const command of ['idm list-users', 'idm list-groups', 'idm list-roles', 'idm list-workspaces', 'jobs get']) await run(command, [], { env: admin })
  const [source] = await run('storage list-datasources', [], { env: admin }) as { name: string }[]
  await run('storage resync-ds', [source!.name], { env: admin })
  const root = (await files.server.stat(WS))?.uuid ?? ''
  await run('idm list-acls', ['-n', root], { env: admin })
  await run('idm list-acls', ['-n', root, '--delete'], { env: admin, code: 1 }).catch((error: unknown) => { if (!/printed nothing/.test(String(error))) throw error })
  await home.cec(['cp', `${ws}`, `${ws}-copy`], { env: files.env })
  const own = { CEC_URL: enterprise.url, ...admin }
  const jobs = await run('jobs get', [], { env: own }) as { id: string }[]
  await run('jobs delete', ['--job-id', jobs[0]!.id, '--dry-run'], { env: own })
  await run('jobs delete', ['--job-id', jobs[0]!.id, '--force'], { env: own })
  assert.deepEqual(await run('jobs delete', ['--job-id', 'no-such-job'], { env: own }), [])
})

test('every command of the page has been run', { skip }, () => {
  // Those of cellsfs need a mount: mount-seeing.test.ts.
  assert.deepEqual([...page.commands.keys()].filter((command) => !seen.has(command) && !command.startsWith('cellsfs ')), [])
})
