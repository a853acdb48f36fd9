/**
 * cec's file commands as processes: rows L, M, K, V, R, S, T3, T4 of cec-reference section 13, against the embedded
 * server or, with CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD, a real one.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import { readTree, writeTree } from '../src/transfer/testing.js'
import { startFilesServer, WS, WS2 } from './helpers/files-server.js'
import type { FilesServer } from './helpers/files-server.js'
import { CEC, collect, freshHome } from './helpers/run-cec.js'
import type { Home, Result } from './helpers/run-cec.js'

const isReal = process.env['CELLS_URL'] !== undefined
let files: FilesServer

before(async () => {
  files = await startFilesServer()
  const alice = files.demo?.users.find('alice')
  if (alice !== undefined) files.demo?.users.put({ ...alice, readOnlyWorkspaces: ['ro-ws'] })
})
after(() => files.close())

interface Bench {
  readonly home: Home
  /** A folder of the test's own on the server. */
  readonly ws: string
  readonly cec: (...words: string[]) => Promise<Result>
  /** Demands exit code 0. */
  readonly ok: (...words: string[]) => Promise<Result>
  /** Demands exit code 1 and a message that matches. */
  readonly fails: (message: RegExp, ...words: string[]) => Promise<Result>
}

async function bench(t: TestContext): Promise<Bench> {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  const cec = (...words: string[]): Promise<Result> => home.cec(words, { env: files.env })
  return {
    home, ws, cec,
    ok: async (...words) => {
      const result = await cec(...words)
      assert.equal(result.code, 0, `${words.join(' ')}\n${result.stderr}`)
      return result
    },
    fails: async (message, ...words) => {
      const result = await cec(...words)
      assert.equal(result.code, 1, `${words.join(' ')}\n${result.stdout}${result.stderr}`)
      assert.match(result.stderr, message)
      return result
    },
  }
}

const lines = (result: Result): string[] => result.stdout.split('\n').filter(line => line !== '')

// -- ls

test('L1 L5 ls at the root, plain and with details', async t => {
  const { ok } = await bench(t)
  const plain = await ok('ls')
  assert.match(plain.stdout, /^Listing \d+ workspaces:\n\+-+\+-+\+\n\| +TYPE +\| +NAME +\|\n/)
  assert.match(plain.stdout, new RegExp(`\\| Workspace \\| ${WS} +\\|`))
  const details = await ok('ls', '-d')
  assert.match(details.stdout, /TYPE .* UUID .* NAME .* LABEL .* DESCRIPTION .* PERMISSIONS/)
  assert.match(details.stdout, /read,write/)
})

test('L2 L3 L4 L6 L8 L11 ls of a folder and of a file', async t => {
  const { ws, ok } = await bench(t)
  await files.seed(ws, { 'a.txt': 'hello', 'B c.txt': '', 'sub/': '', '.hidden': 'x' })
  const plain = await ok('ls', ws)
  assert.match(plain.stdout, new RegExp(`^Found 5 nodes at ${ws}:\n`))
  const rows = lines(plain).filter(line => line.startsWith('|')).map(line => line.split('|').map(cell => cell.trim()).slice(1, 3))
  assert.deepEqual(rows[0], ['TYPE', 'NAME'])
  assert.deepEqual(rows[1], ['Folder', '.'])
  assert.deepEqual(rows.slice(2).sort(), [['File', '.hidden'], ['File', 'B c.txt'], ['File', 'a.txt'], ['Folder', 'sub']])
  assert.match(plain.stdout, /-d/)
  assert.equal((await ok('ls', `/${ws}/`)).stdout, plain.stdout)
  assert.match((await ok('ls', '-d', ws)).stdout, /TYPE .* UUID .* NAME .* SIZE .* MODIFIED .* INTERNAL HASH/)
  assert.deepEqual(lines(await ok('ls', '-r', ws)).sort(), [`${ws}/.hidden`, `${ws}/B c.txt`, `${ws}/a.txt`, `${ws}/sub/`].sort())
  assert.deepEqual(lines(await ok('ls', ws, '--format', '{{.Name}};{{.SizeBytes}};{{.HumanSize}};{{.Type}};{{.Nope}}')).filter(line => /a\.txt/.test(line)), ['a.txt;5;5 B;File;<no value>'])
  const single = await ok('ls', `${ws}/a.txt`)
  assert.match(single.stdout, /^Found 1 nodes at .*\n(?:.*\n){3}\| File \| a\.txt \|\n/)
})

test('L7 L9 L10 ls: exists, two modes, missing path, bad template', async t => {
  const { ws, cec, fails } = await bench(t)
  await files.seed(ws, { 'a.txt': 'hello' })
  const there = await cec('ls', '-f', `${ws}/a.txt`)
  assert.deepEqual([there.stdout, there.code], ['true\n', 0])
  const absent = await cec('ls', '-f', `${ws}/none`)
  assert.deepEqual([absent.stdout, absent.stderr, absent.code], ['false\n', '', 1])
  await fails(/at most one/, 'ls', '-d', '-r', ws)
  await fails(/none does not exist/, 'ls', `${ws}/none`)
  await fails(/template.*not valid/, 'ls', ws, '--format', '{{.Name')
  await fails(/template.*not valid/, 'ls', ws, '--format', '{{if .Name}}x{{end}}')
})

// -- mkdir

test('M1 M2 M3 M4 M5 mkdir', async t => {
  const { ws, ok, fails } = await bench(t)
  const made = await ok('mkdir', `/${ws}/new/`)
  assert.match(made.stdout, new RegExp(`- ${ws}/new\nSUCCESS: `))
  assert.match((await ok('mkdir', `${ws}/new`)).stdout, /already exist/)
  await fails(new RegExp(`${ws}/a does not exist`), 'mkdir', `${ws}/a/b`)
  await ok('mkdir', '-p', `${ws}/x/y/z`)
  await files.seed(ws, { file: 'x' })
  await fails(/is a file/, 'mkdir', '-p', `${ws}/file/z`)
  await fails(/is a file/, 'mkdir', `${ws}/file`)
  await fails(/workspace nope does not exist/, 'mkdir', '-p', 'nope/a')
  await fails(/workspace\/folder/, 'mkdir', 'nope')
  assert.deepEqual(await files.tree(ws), ['file', 'new/', 'x/', 'x/y/', 'x/y/z/'])
})

// -- cp

test('K1 K2 K4 cp: into a folder, under a new name, refused', async t => {
  const { ws, ok, fails } = await bench(t)
  await files.seed(ws, { 'a.txt': 'hello', 'f.txt': 'f', 'dir/': '', 'tree/sub/x': 'x' })
  await ok('cp', `${ws}/a.txt`, `${ws}/dir`)
  await ok('cp', `${ws}/a.txt`, `${ws}/dir/b.txt`)
  await ok('cp', `${ws}/tree`, `${ws}/dir`)
  assert.equal(await files.content(`${ws}/dir/b.txt`), 'hello')
  const before = await files.tree(ws)
  assert.deepEqual(before.filter(path => path.startsWith('dir/')), ['dir/', 'dir/a.txt', 'dir/b.txt', 'dir/tree/', 'dir/tree/sub/', 'dir/tree/sub/x'])
  await fails(/f\.txt already exists/, 'cp', `${ws}/a.txt`, `${ws}/f.txt`)
  await fails(/no\/where does not exist/, 'cp', `${ws}/a.txt`, `${ws}/no/where/b`)
  await fails(/dir\/a\.txt already exists/, 'cp', `${ws}/a.txt`, `${ws}/dir`)
  await fails(/into itself/, 'cp', `${ws}/tree`, `${ws}/tree/sub`)
  await fails(/none does not exist/, 'cp', `${ws}/none`, `${ws}/dir`)
  assert.deepEqual(await files.tree(ws), before)
})

test('K3 cp of all children, beyond 100', async t => {
  const { ws, ok, fails } = await bench(t)
  await files.seed(ws, { 'to/': '', ...Object.fromEntries(Array.from({ length: 110 }, (_, index) => [`from/f${index}`, `${index}`])), 'from/sub/x': 'x', 'from/.dot': 'd' })
  await ok('cp', `${ws}/from/*`, `${ws}/to`)
  const copied = (await files.tree(`${ws}/to`)).filter(path => !path.includes('sub'))
  assert.equal(copied.length, 111)
  assert.deepEqual(await files.tree(`${ws}/to/sub`), ['x'])
  await fails(/missing does not exist/, 'cp', `${ws}/from/*`, `${ws}/missing`)
  await fails(/already exists/, 'cp', `${ws}/from/*`, `${ws}/to`)
})

test('K5 cp without the right to write', async t => {
  const { ws, fails } = await bench(t)
  await files.seed(ws, { 'a.txt': 'hello' })
  await fails(/cec: ./, 'cp', `${ws}/a.txt`, 'ro-ws')
})

test('cp with cells:// on one side uploads and downloads', async t => {
  const { home, ws, ok, fails } = await bench(t)
  await writeTree(home.dir, { 'a.txt': 'hello' })
  await ok('cp', 'a.txt', `cells://${ws}/b.txt`)
  await ok('cp', `cells://${ws}/b.txt`, 'c.txt')
  assert.equal(await readFile(join(home.dir, 'c.txt'), 'utf8'), 'hello')
  await fails(/already exists/, 'cp', 'a.txt', `cells://${ws}/b.txt`)
  await ok('cp', `cells://${ws}/b.txt`, `cells://${ws}/d.txt`)
  assert.deepEqual(await files.tree(ws), ['b.txt', 'd.txt'])
})

// -- mv

test('V1 V2 V4 mv: into a folder, rename, refused', async t => {
  const { ws, ok, fails } = await bench(t)
  await files.seed(ws, { 'a.txt': 'a', 'b.txt': 'b', 'dir/': '', 'tree/sub/x': 'x' })
  await ok('mv', `${ws}/a.txt`, `${ws}/dir/`)
  await ok('mv', `${ws}/dir/a.txt`, `${ws}/c.txt`)
  assert.equal(await files.content(`${ws}/c.txt`), 'a')
  const uuid = (await files.server.stat(`${ws}/c.txt`))?.uuid
  await ok('mv', `${ws}/c.txt`, `${ws}/C.txt`)
  assert.equal((await files.server.stat(`${ws}/C.txt`))?.uuid, uuid)
  const before = await files.tree(ws)
  assert.deepEqual(before, ['C.txt', 'b.txt', 'dir/', 'tree/', 'tree/sub/', 'tree/sub/x'])
  await fails(/none does not exist/, 'mv', `${ws}/none`, `${ws}/x`)
  await fails(/b\.txt already exists/, 'mv', `${ws}/C.txt`, `${ws}/b.txt`)
  await fails(/dir already exists.*dir\//, 'mv', `${ws}/C.txt`, `${ws}/dir`)
  await fails(/into itself/, 'mv', `${ws}/tree`, `${ws}/tree/sub/`)
  await fails(/into itself/, 'mv', `${ws}/tree`, `${ws}/tree/sub/deeper`)
  await fails(/no does not exist/, 'mv', `${ws}/b.txt`, `${ws}/no/b.txt`)
  await fails(/workspace/, 'mv', WS, `${WS2}/`)
  assert.deepEqual(await files.tree(ws), before)
})

test('V3 V5 mv of all children, and across workspaces', async t => {
  const { ws, ok } = await bench(t)
  const ws2 = await files.folder(t, WS2)
  await files.seed(ws, { 'from/a': 'a', 'from/sub/b': 'b', single: 's' })
  await ok('mv', `${ws}/from/*`, `${ws2}/made/`)
  assert.deepEqual(await files.tree(`${ws2}/made`), ['a', 'sub/', 'sub/b'])
  assert.deepEqual(await files.tree(`${ws}/from`), [])
  await ok('mv', `${ws}/single`, `${ws2}/`)
  assert.equal(await files.content(`${ws2}/single`), 's')
})

// -- rm

/** Runs cec on a terminal and answers with `keys` once it asks. */
async function onTerminal(home: Home, words: readonly string[], keys: string): Promise<Result> {
  const quoted = [process.execPath, CEC, ...words].map(word => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', quoted, '/dev/null'], { env: { ...home.env, ...files.env, TERM: 'xterm' }, cwd: home.dir, stdio: 'pipe' })
  let output = ''
  let answered = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    if (answered || !output.includes('Delete')) return
    answered = true
    child.stdin.write(keys)
  })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { code, stdout: output, stderr: '' }
}

const hasScript = ((): boolean => {
  try {
    execFileSync('script', ['-qec', 'true', '/dev/null'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

test('L6 L8 a name that would move the cursor does not on a terminal, and is as it is elsewhere', { skip: hasScript ? isReal && 'needs the embedded server' : 'the script program is not installed' }, async t => {
  const { home, ws, ok } = await bench(t)
  await files.seed(ws, { 'red\u009b31m': 'x' })
  assert.equal((await ok('ls', '-r', ws)).stdout, `${ws}/red\u009b31m\n`)
  for (const words of [['ls', '-r', ws], ['ls', ws], ['find', ws, '--type', 'f'], ['tree', ws], ['ls', '--format', '{{.Name}}\t{{.Path}}', ws]]) {
    const shown = await onTerminal(home, words, '')
    assert.equal(shown.code, 0, shown.stdout)
    assert.match(shown.stdout, /red\?31m/)
    assert.doesNotMatch(shown.stdout, /\u009b/)
  }
})

test('R1 R2 R3 rm asks on a terminal: yes, no, Ctrl-C', { skip: hasScript ? false : 'the script program is not installed' }, async t => {
  const { home, ws } = await bench(t)
  await files.seed(ws, { a: 'a' })
  const stopped = await onTerminal(home, ['rm', `${ws}/a`], '\x03')
  assert.notEqual(stopped.code, 0, stopped.stdout)
  const no = await onTerminal(home, ['rm', `${ws}/a`], '\r')
  assert.equal(no.code, 0, no.stdout)
  assert.match(no.stdout, /[Aa]borted/)
  assert.deepEqual(await files.tree(ws), ['a'])
  const yes = await onTerminal(home, ['rm', `${ws}/a`], '\x1b[B\r')
  assert.equal(yes.code, 0, yes.stdout)
  assert.match(yes.stdout, /moved to the Recycle Bin/)
  assert.deepEqual(await files.tree(ws), [])
})

test('R3 rm without a terminal deletes nothing', async t => {
  const { home, ws } = await bench(t)
  await files.seed(ws, { a: 'a' })
  for (const input of ['', 'y\n', '\x1b[B\r']) {
    const result = await home.cec(['rm', `${ws}/a`], { env: { ...files.env, CEC_FORCE: 'true' }, input })
    assert.equal(result.code, 1)
    assert.match(result.stderr, /nothing was deleted/)
  }
  assert.deepEqual(await files.tree(ws), ['a'])
})

const binned = async (name: string): Promise<boolean> => {
  for await (const page of files.server.list(`${WS}/recycle_bin`)) if (page.some(node => node.path.endsWith(`/${name}`))) return true
  return false
}

test('R4 R5 R6 R7 rm by force', async t => {
  const { ws, ok, cec, fails } = await bench(t)
  const unique = ws.slice(-10)
  await files.seed(ws, { [`bin-${unique}`]: 'a', b: 'b', [`gone-${unique}`]: 'c', 'dir/x': 'x', 'dir/sub/y': 'y', 'dir/recycle_bin': 'kept', d: 'd' })
  assert.match((await ok('rm', '-f', `${ws}/bin-${unique}`, `${ws}/b`)).stderr, /2 items have been moved to the Recycle Bin/)
  assert.equal(await binned(`bin-${unique}`), true)
  assert.match((await ok('rm', '-pf', `${ws}/gone-${unique}`)).stderr, /1 item has been permanently removed/)
  assert.equal(await binned(`gone-${unique}`), false)
  await ok('rm', '-f', `${ws}/dir/%`)
  assert.deepEqual(await files.tree(ws), ['d', 'dir/', 'dir/recycle_bin'])
  const some = await cec('rm', '-f', `${ws}/d`, `${ws}/none`)
  assert.equal(some.code, 1)
  assert.match(some.stderr, /none does not exist/)
  assert.deepEqual(await files.tree(ws), ['dir/', 'dir/recycle_bin'])
  await fails(/workspace/, 'rm', '-f', WS)
  assert.equal((await cec('rm', '--nope', `${ws}/d`)).code, 2)
  assert.equal((await ok('--log', 'error', 'rm', '-f', `${ws}/dir`)).stderr, '')
})

// -- scp

test('S1 S3 S5 S7 S8 S11 scp of a file', async t => {
  const { home, ws, ok, fails } = await bench(t)
  await writeTree(home.dir, { 'a.txt': 'hello', 'down/': '' })
  assert.match((await ok('scp', 'a.txt', `cells://${ws}`)).stderr, /Uploading .*a\.txt to cells:\/\//)
  await fails(/a\.txt already exists/, 'scp', 'a.txt', `cells://${ws}`)
  await ok('scp', 'a.txt', `cells//${ws}/b.txt`)
  await ok('scp', `cells://${ws}/a.txt`, 'down')
  assert.equal(await readFile(join(home.dir, 'down/a.txt'), 'utf8'), 'hello')
  await fails(/down\/a\.txt already exists/, 'scp', `cells://${ws}/a.txt`, 'down')

  await writeFile(join(home.dir, 'a.txt'), 'new')
  const uuid = (await files.server.stat(`${ws}/a.txt`))?.uuid
  await ok('scp', '-f', 'a.txt', `cells://${ws}`)
  assert.equal((await files.server.stat(`${ws}/a.txt`))?.uuid, uuid)
  await ok('scp', '-f', `cells://${ws}/a.txt`, 'down')
  assert.equal(await readFile(join(home.dir, 'down/a.txt'), 'utf8'), 'new')
  assert.deepEqual(await readdir(join(home.dir, 'down')), ['a.txt'])
})

test('S2 S4 S9 S27 S28 scp of a folder, there and back', async t => {
  const { home, ws, ok } = await bench(t)
  const tree = {
    '.hidden': 'h', 'empty/': '', 'zero': '', 'a b': '1', '100%': '2', '#x+y': '3', 'é中': '4', '.dot/in': '5', 'q?*"\'<>|': '6',
    ...Object.fromEntries(Array.from({ length: 105 }, (_, index) => [`many/f${index}`, `${index}`])),
  }
  await writeTree(join(home.dir, 'dir'), tree)
  const sent = await ok('scp', 'dir', `cells://${ws}`)
  assert.match(sent.stderr, /0 items to delete, 4 folders to create, 113 files to transfer/)
  assert.equal((await files.tree(`${ws}/dir`)).length, 116)
  await ok('scp', '-n', `cells://${ws}/dir/`, 'back/')
  assert.deepEqual(await readTree(join(home.dir, 'back/dir')), await readTree(join(home.dir, 'dir')))

  await rm(join(home.dir, 'dir/many'), { recursive: true })
  await writeTree(join(home.dir, 'dir'), { zero: 'no longer', 'fresh/x': 'x' })
  await ok('scp', '-f', 'dir', `cells://${ws}`)
  assert.equal((await files.tree(`${ws}/dir`)).length, 118)
  assert.equal(await files.content(`${ws}/dir/zero`), 'no longer')
})

test('S6 S14 S15 S18 S22 S25 scp refuses', async t => {
  const { home, ws, fails } = await bench(t)
  await writeTree(home.dir, { 'a.txt': 'hello' })
  await fails(/cec cp/, 'scp', 'a.txt', 'b.txt')
  await fails(/cec cp/, 'scp', `cells://${ws}/a`, `cells://${ws}/b`)
  await fails(/x\/y does not exist/, 'scp', 'a.txt', `cells://${ws}/x/y/z`)
  await fails(/no workspace "nope"/, 'scp', 'a.txt', 'cells://nope')
  await fails(/none does not exist/, 'scp', 'none', `cells://${ws}`)
  await fails(/none does not exist/, 'scp', `cells://${ws}/none`, '.')
  await fails(/multiple of 10/, 'scp', '--part-size', '15', 'a.txt', `cells://${ws}`)
  await fails(/not a duration/, 'scp', '--retry-max-backoff', 'abc', 'a.txt', `cells://${ws}`)
  await fails(/unknown debug flag "x"/, 'scp', '--multipart-debug-flags', 'x', 'a.txt', `cells://${ws}`)
  assert.deepEqual(await files.tree(ws), [])
})

test('S10 scp -f replaces what is of another type, both directions', async t => {
  const { home, ws, ok } = await bench(t)
  await files.seed(ws, { 'dir/clash/in': 'old', 'dir/other': 'old', 'dir/kept': 'kept' })
  await writeTree(join(home.dir, 'dir'), { clash: 'file', 'other/x': 'folder', more: 'more' })
  await ok('scp', '-f', 'dir', `cells://${ws}`)
  assert.deepEqual(await files.tree(`${ws}/dir`), ['clash', 'kept', 'more', 'other/', 'other/x'])

  await writeTree(join(home.dir, 'down/dir'), { 'clash/in': 'old', other: 'old', mine: 'mine' })
  await ok('scp', '-f', `cells://${ws}/dir`, 'down')
  assert.deepEqual(await readTree(join(home.dir, 'down/dir')), { clash: 'file', kept: 'kept', more: 'more', 'other/x': 'folder', mine: 'mine' })
})

test('S12 S13 scp to a missing name renames a file, a slash makes a folder', async t => {
  const { home, ws, ok } = await bench(t)
  await writeTree(home.dir, { 'a.txt': 'hello', 'dir/x': 'x' })
  await ok('scp', 'a.txt', `cells://${ws}/new`)
  await ok('scp', 'a.txt', `cells://${ws}/folder/`)
  await ok('scp', 'dir', `cells://${ws}/around`)
  assert.deepEqual(await files.tree(ws), ['around/', 'around/dir/', 'around/dir/x', 'folder/', 'folder/a.txt', 'new'])
  await ok('scp', `cells://${ws}/new`, './b.txt')
  assert.equal(await readFile(join(home.dir, 'b.txt'), 'utf8'), 'hello')
})

test('S16 S17 S20 scp in parts', async t => {
  const { home, ws, ok } = await bench(t)
  const content = Buffer.alloc(21 * 1024 * 1024, 'cells and parts ')
  await writeFile(join(home.dir, 'big'), content)
  const sent = await ok('scp', '-w', '--part-size', '10', '--multipart-threshold', '10', '--parts-concurrency', '2', 'big', `cells://${ws}`)
  assert.match(sent.stderr, /in 3 parts/)
  await ok('scp', `cells://${ws}/big`, 'back')
  assert.ok(content.equals(await readFile(join(home.dir, 'back'))))
  const node = await files.server.stat(`${ws}/big`)
  assert.equal((await stat(join(home.dir, 'back'))).mtimeMs, (node?.mtime ?? 0) * 1000)
})

test('S26 scp reports what cannot be sent and sends the rest', async t => {
  const { home, ws, fails } = await bench(t)
  const dir = join(home.dir, 'dir')
  await writeTree(dir, { good: 'good', 'back\\slash': 'x', 'sub/fine': 'fine' })
  await symlink('/nowhere', join(dir, 'dangling'))
  execFileSync('mkfifo', [join(dir, 'fifo')])
  const result = await fails(/finished with 3 errors:/, 'scp', 'dir', `cells://${ws}`)
  assert.match(result.stderr, /\n {2}1\. .*\n {2}2\. .*\n {2}3\. /)
  assert.deepEqual(await files.tree(`${ws}/dir`), ['good', 'sub/', 'sub/fine'])
})

test('S30 scp takes its flags from the environment', async t => {
  const { home, ws } = await bench(t)
  await writeTree(home.dir, { 'a.txt': 'one' })
  const run = (env: NodeJS.ProcessEnv): Promise<Result> => home.cec(['scp', 'a.txt', `cells://${ws}`], { env: { ...files.env, ...env } })
  assert.equal((await run({ CEC_PART_SIZE: '15' })).code, 1)
  assert.equal((await run({})).code, 0)
  assert.equal((await run({ CEC_FORCE: 'true', CEC_NO_PROGRESS: 'true' })).code, 0)
  assert.equal((await run({ CEC_FORCE: 'perhaps' })).code, 2)
})

test('S23 scp draws bars on a terminal only', { skip: hasScript ? false : 'the script program is not installed' }, async t => {
  const { home, ws, ok } = await bench(t)
  await writeTree(join(home.dir, 'dir'), { a: 'a', b: 'b' })
  const child = spawn('script', ['-qec', [process.execPath, CEC, 'scp', 'dir', `cells://${ws}`].map(word => `'${word}'`).join(' '), '/dev/null'], {
    env: { ...home.env, ...files.env, TERM: 'xterm' }, cwd: home.dir, stdio: 'pipe',
  })
  const shown = await collect(child)
  assert.equal(shown.code, 0, shown.stdout)
  assert.match(shown.stdout, /100% \[=+.*Done in/)
  const plain = await ok('scp', '-f', 'dir', `cells://${ws}`)
  assert.doesNotMatch(plain.stderr, /\[=/)
  assert.equal(plain.stdout, '')
})

test('scp stops at Ctrl-C and leaves no temporary file', { skip: isReal && 'needs the embedded server' }, async t => {
  const { home, ws } = await bench(t)
  await files.seed(ws, { slow: 'x'.repeat(1000) })
  const demo = files.demo
  if (demo === undefined) return
  const child = home.start(['scp', `cells://${ws}/slow`, '.'], { env: files.env })
  demo.onRequest = info => {
    if (info.route !== 'GET s3' || !info.path.endsWith('/slow')) return undefined
    child.kill('SIGINT')
    return { stall: 'forever' }
  }
  const result = await collect(child)
  demo.onRequest = undefined
  assert.equal(result.code, 1)
  assert.match(result.stderr, /aborted by user\. The same command goes on where this one stopped/)
  assert.deepEqual((await readdir(home.dir)).filter(name => /part|slow/.test(name)), [])
})

test('an upload survives lost answers and broken connections', { skip: isReal && 'needs the embedded server' }, async t => {
  const { home, ws, ok } = await bench(t)
  await writeTree(home.dir, { 'a.txt': 'hello', 'big': 'b'.repeat(3_000_000) })
  const demo = files.demo
  if (demo === undefined) return
  let faults = 0
  demo.onRequest = info => {
    if (info.route !== 'PUT s3' || !info.path.includes(ws) || ++faults > 2) return undefined
    return faults === 1 ? { reset: true } : { loseAnswer: true }
  }
  t.after(() => { demo.onRequest = undefined })
  await ok('scp', 'a.txt', `cells://${ws}`)
  faults = 0
  await ok('scp', 'big', `cells://${ws}`)
  assert.equal(await files.content(`${ws}/a.txt`), 'hello')
  assert.equal((await files.content(`${ws}/big`)).length, 3_000_000)
})

test('S21 scp tries as often as it is told, each time from the first byte', { skip: isReal && 'needs the embedded server' }, async t => {
  const { home, ws, ok, fails } = await bench(t)
  await writeTree(home.dir, { 'a.txt': 'hello' })
  const demo = files.demo
  if (demo === undefined) return
  let tries = 0
  let failing = Infinity
  demo.onRequest = info => (info.route === 'PUT s3' && info.path.includes(ws) && tries++ < failing ? { status: 503 } : undefined)
  t.after(() => { demo.onRequest = undefined })
  await fails(/cannot answer now/, 'scp', '--retry-max-attempts', '2', '--retry-max-backoff', '10ms', 'a.txt', `cells://${ws}`)
  assert.equal(tries, 2)
  tries = 0
  failing = 7
  await ok('scp', '--retry-max-attempts', '0', '--retry-max-backoff', '10ms', 'a.txt', `cells://${ws}`)
  assert.equal(tries, 8)
  assert.equal(await files.content(`${ws}/a.txt`), 'hello')
})

// -- version and completion

test('T3 version, by default and with a template, without a server', async t => {
  const home = await freshHome(t)
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8').catch(() => readFile('package.json', 'utf8'))) as { version: string }
  const block = await home.cec(['version'])
  assert.match(block.stdout, new RegExp(`^Cells Client\n Version: \t${version}\n Git commit: \t`))
  const bare = await home.cec(['version', '-f', '{{.Version}}'])
  assert.deepEqual([bare.stdout, bare.code], [version, 0])
  assert.equal((await home.cec(['version', '-f', '{{'])).code, 1)
})

test('T4 completion in bash proposes remote paths', async t => {
  const { home, ws } = await bench(t)
  await files.seed(ws, { 'report one.txt': 'x', 'report$(touch hacked).txt': 'x', 'folder/': '', other: 'x' })
  const bin = await mkdtemp(join(tmpdir(), 'cec-bin-'))
  t.after(() => rm(bin, { recursive: true }))
  await writeFile(join(bin, 'cec'), `#!/bin/sh\nexec '${process.execPath}' '${CEC}' "$@"\n`)
  await chmod(join(bin, 'cec'), 0o755)
  const complete = async (...words: string[]): Promise<string[]> => {
    const script = `source <(cec completion bash); COMP_WORDS=(${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _cec; printf '%s\\n' "\${COMPREPLY[@]}"`
    const child = spawn('bash', ['-c', script], { env: { ...home.env, ...files.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` }, cwd: home.dir, stdio: 'pipe' })
    const result = await collect(child)
    assert.equal(result.stderr, '')
    return lines(result).sort()
  }
  assert.deepEqual(await complete('cec', 'ls', `${ws}/rep`), [`${ws}/report\\ one.txt`, `${ws}/report\\$\\(touch\\ hacked\\).txt`])
  assert.deepEqual(await complete('cec', 'ls', `${ws}/report\\ `), [`${ws}/report\\ one.txt`])
  assert.deepEqual(await complete('cec', 'scp', `cells//${ws}/f`), [`cells//${ws}/folder/`])
  assert.deepEqual(await complete('cec', 'mk'), ['mkdir'])
  assert.deepEqual(await complete('cec', 'rm', '--perm'), ['--permanently'])
  assert.ok((await complete('cec', 'ls', '')).includes(`${WS}/`))
  assert.ok(!(await readdir(home.dir)).includes('hacked'))
  const zsh = await home.cec(['completion', 'zsh'])
  assert.match(zsh.stdout, /#compdef cec/)
  assert.equal((await home.cec(['completion', 'tcsh'])).code, 2)
})

