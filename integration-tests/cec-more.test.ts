/**
 * The commands that cec has and the original lacks (issue 5): ls --json, cat, put, stat, tree, find, du, sync, check, trash, versions, watch, and
 * scp's further options. Against the embedded server or, with CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD, a real one.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmod, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import { readTree, writeTree } from '../src/transfer/testing.js'
import { startFilesServer, WS } from './helpers/files-server.js'
import type { FilesServer } from './helpers/files-server.js'
import { until } from './helpers/process.js'
import { has } from './helpers/suite.js'
import { CEC, collect, freshHome } from './helpers/run-cec.js'
import type { Home, Result } from './helpers/run-cec.js'

const isReal = process.env['CELLS_URL'] !== undefined
let files: FilesServer
before(async () => { files = await startFilesServer() })
after(() => files.close())

interface Bench {
  readonly home: Home
  readonly ws: string
  readonly cec: (words: readonly string[], input?: string) => Promise<Result>
  readonly ok: (...words: string[]) => Promise<Result>
  readonly fails: (message: RegExp, ...words: string[]) => Promise<Result>
  readonly json: <T>(...words: string[]) => Promise<T>
}

async function bench(t: TestContext): Promise<Bench> {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  const cec = (words: readonly string[], input?: string): Promise<Result> => home.cec(words, { env: files.env, input })
  const ok = async (...words: string[]): Promise<Result> => {
    const result = await cec(words)
    assert.equal(result.code, 0, `${words.join(' ')}\n${result.stdout}${result.stderr}`)
    return result
  }
  return {
    home, ws, cec, ok,
    fails: async (message, ...words) => {
      const result = await cec(words)
      assert.equal(result.code, 1, `${words.join(' ')}\n${result.stdout}${result.stderr}`)
      assert.match(result.stderr, message)
      return result
    },
    json: async <T>(...words: string[]) => JSON.parse((await ok(...words, '--json')).stdout) as T,
  }
}

const lines = (result: Result): string[] => result.stdout.split('\n').filter(line => line !== '')
interface Entry { path: string; name: string; type: string; size: number; etag: string | null; uuid: string; modified: string; children?: Entry[] }
const TREE = { 'a.txt': 'hello', 'B.jpg': 'x'.repeat(3000), 'sub/c.txt': 'see', 'sub/deep/d.jpg': 'dee', 'empty/': '', '.dot': 'd' }

test('ls --json, stat: all facts, stable fields', async t => {
  const { ws, json, ok, cec, fails } = await bench(t)
  await files.seed(ws, { 'a.txt': 'hello', 'sub/': '' })
  const listed = await json<Entry[]>('ls', ws)
  assert.deepEqual(listed.map(entry => [entry.name, entry.type, entry.size > 0]).sort(), [['a.txt', 'file', true], ['sub', 'folder', listed.find(entry => entry.name === 'sub')?.size !== 0]])
  assert.deepEqual(Object.keys(listed[0] ?? {}), ['path', 'name', 'type', 'size', 'modified', 'uuid', 'etag', 'hash', 'readOnly'])
  assert.ok((await json<Entry[]>('ls')).some(entry => entry.path === WS && entry.type === 'workspace'))
  const [fact] = await json<Entry[]>('stat', `${ws}/a.txt`)
  assert.deepEqual([fact?.path, fact?.size, fact?.etag], [`${ws}/a.txt`, 5, createHash('md5').update('hello').digest('hex')])
  assert.match((await ok('stat', `${ws}/a.txt`, `${ws}/sub`)).stdout, /Type: +File\n(?:.*\n)+.*Type: +Folder\n/)
  assert.equal((await json<Entry[]>('stat', WS))[0]?.type, 'workspace')
  const some = await cec(['stat', '--json', `${ws}/a.txt`, `${ws}/none`])
  assert.equal(some.code, 1)
  assert.equal((JSON.parse(some.stdout) as Entry[]).length, 1)
  await fails(/at most one/, 'ls', '--json', '-d', ws)
})

test('cat: content, several files, a folder, nothing', async t => {
  const { ws, ok, fails } = await bench(t)
  await files.seed(ws, { a: 'one\n', b: 'two\n', 'sub/': '' })
  assert.equal((await ok('cat', `${ws}/a`, `cells://${ws}/b`)).stdout, 'one\ntwo\n')
  await fails(/is a folder/, 'cat', `${ws}/sub`)
  await fails(/none does not exist/, 'cat', `${ws}/none`)
})

test('put: standard input of any length becomes a file, cat gives it back', async t => {
  const { home, ws, ok, fails, cec } = await bench(t)
  const put = (words: readonly string[], content: Buffer | string): Promise<Result> => {
    const child = home.start(['put', ...words], { env: files.env })
    child.stdin?.on('error', () => {})
    return collect(child, content as string)
  }
  assert.equal((await put([`${ws}/small`], 'hello')).code, 0)
  assert.equal((await put([`${ws}/empty`], '')).code, 0)
  const big = randomBytes(23 * 1024 * 1024)
  assert.equal((await put([`cells://${ws}/big`], big)).code, 0)
  assert.equal(await files.content(`${ws}/small`), 'hello')
  assert.equal((await files.server.stat(`${ws}/empty`))?.size, 0)
  assert.equal((await files.server.stat(`${ws}/big`))?.etag, createHash('md5').update(big).digest('hex'))
  const child = home.start(['cat', `${ws}/big`], { env: files.env })
  const hash = createHash('md5')
  child.stdout?.on('data', (chunk: Buffer) => hash.update(chunk))
  await new Promise(resolve => child.once('close', resolve))
  assert.equal(hash.digest('hex'), createHash('md5').update(big).digest('hex'))

  assert.match((await put([`${ws}/small`], 'again')).stderr, /already exists.*--force/)
  const uuid = (await files.server.stat(`${ws}/small`))?.uuid
  const replaced = await put(['-f', '--json', `${ws}/small`], 'again')
  assert.equal((JSON.parse(replaced.stdout) as Entry).uuid, uuid)
  assert.equal((await ok('cat', `${ws}/small`)).stdout, 'again')
  await files.seed(ws, { 'sub/': '' })
  await fails(/is a folder/, 'put', `${ws}/sub`)
  await fails(/name a file/, 'put', `${ws}/sub/`)
  await fails(/no does not exist/, 'put', `${ws}/no/file`)
  assert.equal((await cec(['put', `${ws}/back\\slash`], 'x')).code, 1)
})

test('tree, du and find', async t => {
  const { ws, ok, json, fails } = await bench(t)
  await files.seed(ws, TREE)
  const drawn = await ok('tree', ws)
  assert.equal(drawn.stdout, `${ws}/\n├── .dot\n├── B.jpg\n├── a.txt\n├── empty/\n└── sub/\n    ├── c.txt\n    └── deep/\n        └── d.jpg\n\n3 folders, 5 files\n`)
  assert.match((await ok('tree', '-L', '1', '-d', ws)).stdout, /├── empty\/\n└── sub\/\n\n2 folders, 0 files/)
  const nested = await json<Entry>('tree', ws)
  assert.deepEqual(nested.children?.map(child => [child.name, child.children?.length]), [['.dot', undefined], ['B.jpg', undefined], ['a.txt', undefined], ['empty', 0], ['sub', 2]])

  assert.deepEqual(lines(await ok('du', '-b', ws)).map(line => line.replace(ws, '')), ['0\t/empty', '3\t/sub/deep', '6\t/sub', '3012\t'])
  assert.match((await ok('du', '-s', ws)).stdout, /^2\.9 KiB\t/)
  assert.deepEqual(await json('du', '-s', ws), [{ path: ws, size: 3012, files: 5, folders: 3 }])
  assert.equal(lines(await ok('du', '-a', '--max-depth', '1', ws)).length, 6)

  const found = async (...words: string[]): Promise<string[]> => lines(await ok('find', ws, ...words)).map(line => line.slice(ws.length + 1))
  assert.deepEqual(await found('--name', '*.jpg'), ['B.jpg', 'sub/deep/d.jpg'])
  assert.deepEqual(await found('--iname', 'b.*'), ['B.jpg'])
  assert.deepEqual(await found('--name', 'b.*'), [])
  assert.deepEqual(await found('--type', 'd'), ['', 'empty/', 'sub/', 'sub/deep/'])
  assert.deepEqual(await found('--size', '+1K'), ['B.jpg'])
  assert.deepEqual(await found('--size=-4', '--type', 'f'), ['.dot', 'sub/c.txt', 'sub/deep/d.jpg'])
  assert.deepEqual(await found('--type', 'f', '--newer', '1h', '--max-depth', '1'), ['.dot', 'B.jpg', 'a.txt'])
  assert.deepEqual(await found('--type', 'f', '--older', '2020-01-01'), [])
  assert.equal((await ok('find', ws, '--name', 'a.txt', '-0')).stdout, `${ws}/a.txt\0`)
  assert.deepEqual((await json<Entry[]>('find', ws, '--name', 'c*')).map(entry => [entry.name, entry.size]), [['c.txt', 3]])
  await fails(/neither a date/, 'find', ws, '--newer', 'yesterday')
  await fails(/without slashes/, 'find', ws, '--name', 'a/b')
  await fails(/does not exist/, 'find', `${ws}/none`)
})

test('scp --dry-run, --include, --exclude, --bwlimit, --json', async t => {
  const { home, ws, ok } = await bench(t)
  await writeTree(join(home.dir, 'dir'), { ...TREE, 'node_modules/x/y.js': 'y', 'sub/keep.o': 'o' })
  const planned = await ok('scp', '--dry-run', '--exclude', 'node_modules', '--exclude', '*.o', 'dir', `cells://${ws}`)
  assert.match(planned.stdout, new RegExp(`upload: .*/dir/a\\.txt -> ${ws}/dir/a\\.txt \\(5 B\\)`))
  assert.match(planned.stdout, /Dry run: 0 items to delete, 4 folders to create, 5 files to transfer \(2\.9 KiB\), 0 unchanged\. Nothing was done\./)
  assert.doesNotMatch(planned.stdout, /node_modules|keep\.o/)
  assert.deepEqual(await files.tree(ws), [])
  await ok('scp', '--include', '*.jpg', 'dir', `cells://${ws}`)
  assert.deepEqual(await files.tree(ws), ['dir/', 'dir/B.jpg', 'dir/sub/', 'dir/sub/deep/', 'dir/sub/deep/d.jpg'])
  await ok('scp', '--exclude', '/sub', `cells://${ws}/dir`, 'back/')
  assert.deepEqual(Object.keys(await readTree(join(home.dir, 'back'))), ['dir/B.jpg'])
  const events = lines(await ok('scp', '-f', '--json', '--exclude', '*', '--exclude', '!a.txt', '--bwlimit', '1M', 'dir', `cells://${ws}`)).map(line => JSON.parse(line) as { event: string; target?: string })
  assert.deepEqual(events.map(({ event }) => event).sort(), ['counts', 'end', 'sent', 'start'])
  assert.equal(events.find(({ event }) => event === 'start')?.target, `${ws}/dir/a.txt`)
  const plan = lines(await ok('scp', '--dry-run', '--json', `cells://${ws}/dir`, 'other/')).map(line => JSON.parse(line) as { action?: string })
  assert.equal(plan.filter(({ action }) => action === 'download').length, 3)
  await assert.rejects(stat(join(home.dir, 'other')))
})

test('sync to the server: only what differs, deletes only when told, only what it named', async t => {
  const { home, ws, ok, fails } = await bench(t)
  const dir = join(home.dir, 'dir')
  await writeTree(dir, TREE)
  const target = `cells://${ws}/copy`
  await ok('sync', 'dir', target)
  assert.deepEqual(await files.tree(`${ws}/copy`), ['.dot', 'B.jpg', 'a.txt', 'empty/', 'sub/', 'sub/c.txt', 'sub/deep/', 'sub/deep/d.jpg'])
  assert.match((await ok('sync', 'dir', target)).stderr, /0 files, 0 new folders, 5 files unchanged/)
  const uuid = (await files.server.stat(`${ws}/copy/a.txt`))?.uuid
  await writeTree(dir, { 'a.txt': 'HELLO', 'new/x': 'x' })
  await rm(join(dir, 'sub'), { recursive: true })
  assert.match((await ok('sync', 'dir', target)).stderr, /2 files, 1 new folder, 2 files unchanged/)
  assert.equal(await files.content(`${ws}/copy/a.txt`), 'HELLO')
  assert.equal((await files.server.stat(`${ws}/copy/a.txt`))?.uuid, uuid)
  assert.ok((await files.tree(`${ws}/copy`)).includes('sub/deep/d.jpg'), 'nothing is deleted without --delete')

  const plan = await ok('sync', '--delete', '--dry-run', '--exclude', '.dot', 'dir', target)
  assert.deepEqual(lines(plan).filter(line => line.startsWith('delete:')).map(line => line.replace(`${ws}/copy/`, '')), ['delete: sub', 'delete: sub/c.txt (3 B)', 'delete: sub/deep', 'delete: sub/deep/d.jpg (3 B)'])
  assert.ok((await files.tree(`${ws}/copy`)).includes('sub/deep/d.jpg'))
  await rm(join(dir, '.dot'))
  const done = await ok('sync', '--delete', '--exclude', '.dot', 'dir', target)
  assert.match(done.stdout, /delete: .*sub\/deep\/d\.jpg/)
  assert.match(done.stderr, /1 item deleted \(to the recycle bin\)/)
  assert.deepEqual(await files.tree(`${ws}/copy`), ['.dot', 'B.jpg', 'a.txt', 'empty/', 'new/', 'new/x'])

  await symlink('/nowhere', join(dir, 'empty/dangling'))
  await rm(join(dir, 'new'), { recursive: true })
  await fails(/nothing was deleted/, 'sync', '--delete', 'dir', target)
  assert.ok((await files.tree(`${ws}/copy`)).includes('new/x'))
  await writeTree(home.dir, { 'void/': '' })
  await fails(/the source is empty, so nothing was deleted/, 'sync', '--delete', 'void', target)
  await fails(/nope does not exist/, 'sync', 'nope', target)
  await fails(/one side must be/, 'sync', 'dir', 'void')
})

test('sync from the server, and clashes of types', async t => {
  const { home, ws, ok, fails } = await bench(t)
  await files.seed(ws, { 'a.txt': 'hello', 'sub/x': 'x', 'was/in': 'folder' })
  const dir = join(home.dir, 'here')
  await ok('sync', `cells://${ws}`, 'here')
  assert.deepEqual(await readTree(dir), { 'a.txt': 'hello', 'sub/x': 'x', 'was/in': 'folder' })
  await writeTree(dir, { 'mine/deep/y': 'y', 'sub/z': 'z', '.cec-0123456789ab.part': 'p' })
  await writeFile(join(dir, 'a.txt'), 'HELLO')
  // By time nothing differs: the file was given the server's.
  const seconds = (await files.server.stat(`${ws}/a.txt`))?.mtime ?? 0
  await utimes(join(dir, 'a.txt'), seconds, seconds)
  await ok('sync', '--compare', 'mtime', `cells://${ws}`, 'here')
  assert.equal(await readFile(join(dir, 'a.txt'), 'utf8'), 'HELLO')
  await ok('sync', `cells://${ws}`, 'here')
  assert.equal(await readFile(join(dir, 'a.txt'), 'utf8'), 'hello')
  assert.equal(await readFile(join(dir, 'mine/deep/y'), 'utf8'), 'y')
  await ok('sync', '--delete', `cells://${ws}`, 'here')
  assert.deepEqual(await readTree(dir), { 'a.txt': 'hello', 'sub/x': 'x', 'was/in': 'folder', '.cec-0123456789ab.part': 'p' })

  await rm(join(dir, 'sub'), { recursive: true })
  await rm(join(dir, 'a.txt'))
  await writeTree(dir, { sub: 'a file', 'a.txt/precious': 'precious' })
  const clash = await fails(/a folder is there/, 'sync', `cells://${ws}`, 'here')
  assert.match(clash.stderr, /a file is there, where a folder should go; --delete/)
  assert.deepEqual(await readTree(dir), { sub: 'a file', 'a.txt/precious': 'precious', 'was/in': 'folder', '.cec-0123456789ab.part': 'p' })
  await fails(/a folder is there/, 'sync', '--delete', `cells://${ws}`, 'here')
  assert.equal(await readFile(join(dir, 'a.txt/precious'), 'utf8'), 'precious')
  assert.equal(await readFile(join(dir, 'sub/x'), 'utf8'), 'x')
})

test('check: the same, different, on one side only; exit code 1', async t => {
  const { home, ws, ok, fails, cec } = await bench(t)
  await writeTree(join(home.dir, 'dir'), TREE)
  await ok('sync', 'dir', `cells://${ws}/copy`)
  assert.match((await ok('check', 'dir', `cells://${ws}/copy`)).stdout, /5 files the same, 0 differ, 0 only here, 0 only on the server\./)
  await ok('check', `cells://${ws}/copy/a.txt`, 'dir/a.txt')
  await writeTree(join(home.dir, 'dir'), { 'a.txt': 'jello', 'more/y': 'y' })
  await rm(join(home.dir, 'dir/sub'), { recursive: true })
  const result = await cec(['check', 'dir', `cells://${ws}/copy`, '--json'])
  assert.equal(result.code, 1)
  const at = (path: string): string => `${ws}/copy/${path}`
  assert.deepEqual(JSON.parse(result.stdout), {
    same: 2, differ: [at('a.txt')], onlyLocal: [at('more/'), at('more/y')], onlyRemote: [at('sub/'), at('sub/c.txt'), at('sub/deep/'), at('sub/deep/d.jpg')], errors: [],
  })
  assert.equal((await cec(['check', `cells://${ws}/copy/a.txt`, 'dir/a.txt'])).code, 1)
  await ok('check', '--compare', 'size', `cells://${ws}/copy/a.txt`, 'dir/a.txt')
  await ok('check', '--exclude', '/sub', '--exclude', 'more', '--exclude', 'a.txt', 'dir', `cells://${ws}/copy`)
  assert.equal((await cec(['check', '--compare', 'luck', 'dir', `cells://${ws}`])).code, 2)
  await fails(/none: no such file or folder/, 'check', 'none', `cells://${ws}`)
})

test('trash: list, restore, empty only when told', async t => {
  const { ws, ok, fails, json, cec } = await bench(t)
  const name = `trash-${randomBytes(4).toString('hex')}`
  await files.seed(ws, { [`${name}-a`]: 'a', [`${name}-b`]: 'b', [`${name}-d/x`]: 'x' })
  await ok('rm', '-f', `${ws}/${name}-a`, `${ws}/${name}-b`, `${ws}/${name}-d`)
  const ours = async (): Promise<string[]> => (await json<Entry[]>('trash', 'ls', WS)).map(entry => entry.name).filter(each => each.startsWith(name)).sort()
  assert.deepEqual(await ours(), [`${name}-a`, `${name}-b`, `${name}-d`])
  assert.match((await ok('trash', 'ls', '-r')).stdout, new RegExp(`${WS}/recycle_bin/${name}-d/\n`))
  await ok('trash', 'restore', `${WS}/recycle_bin/${name}-a`, `${WS}/recycle_bin/${name}-d`)
  assert.deepEqual(await files.tree(ws), [`${name}-a`, `${name}-d/`, `${name}-d/x`])
  await fails(/not in a recycle bin/, 'trash', 'restore', `${ws}/${name}-a`)
  const partly = await cec(['trash', 'restore', '--json', `${WS}/recycle_bin/${name}-none`])
  assert.deepEqual([partly.code, JSON.parse(partly.stdout)], [1, { restored: [], missing: [`${WS}/recycle_bin/${name}-none`] }])
  await fails(/no terminal.*nothing was deleted/, 'trash', 'empty', WS)
  await fails(/nope does not exist/, 'trash', 'ls', 'nope')
  assert.equal((await cec(['trash'])).code, 2)
  if (isReal) return
  await ok('trash', 'empty', '-f', WS)
  assert.deepEqual(await ours(), [])
  assert.deepEqual(await json('trash', 'empty', '-f', WS), { removed: [] })
})

/** Completes the last word in a bash that has sourced the script. */
async function completeInBash(home: Home, env: NodeJS.ProcessEnv, words: readonly string[]): Promise<string[]> {
  const script = `cec() { "$NODE" "$CEC" "$@"; }; source <(cec completion bash); COMP_WORDS=(${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _cec; printf '%s\\n' "\${COMPREPLY[@]}"`
  const child = spawn('bash', ['-c', script], { env: { ...home.env, ...env, NODE: process.execPath, CEC }, cwd: home.dir, stdio: 'pipe' })
  const result = await collect(child)
  assert.equal(result.stderr, '')
  return lines(result).sort()
}

test('T4 completion in bash: commands, flags, their values, accounts and data sources, from the declarations', async t => {
  const { home, ws } = await bench(t)
  await files.seed(ws, { 'a.txt': 'a', 'sub/': '' })
  const complete = (...words: string[]): Promise<string[]> => completeInBash(home, files.env, words)
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['cec tra', ['trash']], ['cec trash ', ['empty', 'ls', 'restore']], ['cec --log debug trash empty --fo', ['--force']], ['cec sync --de', ['--delete']],
    ['cec completion ', ['bash', 'fish', 'zsh']], ['cec config add ', ['client-auth', 'oauth', 'token']], ['cec help vers', ['version', 'versions']],
    ['cec find x --type ', ['d', 'f']], ['cec find x --type = d', ['d']], ['cec check --compare ', ['hash', 'mtime', 'size']], ['cec --log e', ['error']],
    ['cec meta set -o ', ['delete', 'update']], ['cec jobs delete --format ', ['json', 'table']], ['cec scp --part-size ', []],
    ['cec tools version is', ['isgreater', 'isrelease', 'isvalid']], ['cec share x/y --perm', ['--permissions']], ['cec share l', ['ls']],
    [`cec share ${ws}/s`, [`${ws}/sub/`]], [`cec meta get --path ${ws}/a`, [`${ws}/a.txt`]], [`cec find --type f ${ws}/s`, [`${ws}/sub/`]], [`cec cp cells//${ws}/a`, [`cells//${ws}/a.txt`]],
  ]
  for (const [line, expected] of cases) assert.deepEqual(await complete(...line.split(' ')), expected, line)
  assert.equal((await home.cec(['config', 'add', 'client-auth'], { env: files.env })).code, 0)
  assert.deepEqual(await complete('cec', 'config', 'use', ''), [`${files.env['CEC_LOGIN']}@${new URL(files.url).hostname}`])
  if (!isReal) assert.ok((await completeInBash(home, { ...files.env, CEC_LOGIN: 'admin', CEC_PASSWORD: 'admin' }, ['cec', 'storage', 'resync-ds', ''])).includes('pydiods1'))
})

test('T4 the scripts for zsh and fish', async t => {
  const { home, ws, ok } = await bench(t)
  await files.seed(ws, { 'a.txt': 'a' })
  const scripts = { zsh: (await ok('completion', 'zsh')).stdout, fish: (await ok('completion', 'fish')).stdout }
  assert.match(scripts.zsh, /^#compdef cec\n/)
  assert.match(scripts.zsh, /"trash ls"\) flags="--json --raw" takes="" below="" terms="" args=remote ;;/)
  assert.match(scripts.fish, /complete -c cec -n "__cec_is sync" -l delete -d '/)
  assert.match(scripts.fish, /complete -c cec -n "__cec_at trash" -a restore -d 'Put back where it was'/)
  for (const shell of ['zsh', 'fish'] as const) {
    await writeFile(join(home.dir, `script.${shell}`), scripts[shell])
    if (await has(shell)) assert.equal(spawnSync(shell, ['-n', join(home.dir, `script.${shell}`)]).status, 0, `${shell} cannot read its script`)
  }
  if (!await has('fish')) return
  await writeTree(home.dir, { 'bin/cec': '#!/bin/sh\nexec "$NODE" "$CEC" "$@"\n' })
  await chmod(join(home.dir, 'bin/cec'), 0o755)
  const env = { ...home.env, ...files.env, NODE: process.execPath, CEC, PATH: `${join(home.dir, 'bin')}:${process.env['PATH']}` }
  for (const [line, expected] of [['cec trash ', ['empty', 'ls', 'restore']], ['cec find x --type ', ['d', 'f']], [`cec cat ${ws}/`, [`${ws}/a.txt`]], ['cec share x/y --perm', ['--permissions']]] as const) {
    const result = await collect(spawn('fish', ['-c', `source script.fish; complete -C '${line}'`], { env, cwd: home.dir, stdio: 'pipe' }))
    assert.deepEqual(lines(result).map(each => each.split('\t')[0]), expected, result.stderr)
  }
})

test('completion answers from its cache, and fetches anew what is old', async t => {
  const { home, ws, cec } = await bench(t)
  await files.seed(ws, { 'a.txt': 'a', 'sub/': '' })
  const ask = async (): Promise<string[]> => lines(await cec(['complete-paths', ws])).sort()
  assert.deepEqual(await ask(), [`${ws}/a.txt`, `${ws}/sub/`])
  await files.seed(ws, { 'b.txt': 'b' })
  assert.deepEqual(await ask(), [`${ws}/a.txt`, `${ws}/sub/`], 'from the cache')
  const cache = join(home.dir, 'cache/cellsfs/completion')
  const [name = ''] = await readdir(cache)
  const old = Date.now() / 1000 - 3600
  await utimes(join(cache, name), old, old)
  assert.deepEqual(await ask(), [`${ws}/a.txt`, `${ws}/sub/`], 'at once, whatever its age')
  await until('the listing is fetched anew', async () => (await readFile(join(cache, name), 'utf8')).includes('b.txt'))
  const other = await home.cec(['complete-paths', ws], { env: { ...files.env, CEC_LOGIN: 'nobody' } })
  assert.deepEqual([other.code, other.stdout, other.stderr], [0, '', ''], 'the cache is that of an account')
})

test('versions on a server without them: one sentence, exit code 1', { skip: isReal && 'as the real one is' }, async t => {
  const { ws, fails } = await bench(t)
  await files.seed(ws, { a: 'a', 'sub/': '' })
  for (const words of [['ls', `${ws}/a`], ['get', `${ws}/a`, 'x'], ['restore', `${ws}/a`, 'x']]) await fails(/^cec: this server does not offer versions of files \(Cells 2\.x\)\n$/, 'versions', ...words)
  await fails(/only files have versions/, 'versions', 'ls', `${ws}/sub`)
})

/** The server has told of `folder`, which has just been made: whoever asks from now on hears of later changes only. */
async function announced(folder: string): Promise<void> {
  const witness = `${folder}/witness`
  let stream: { close(): void } | undefined
  await new Promise<void>(resolve => {
    stream = files.server.events({
      onEvent: event => { if (event.type === 'create' && event.node.path === witness) resolve() },
      onState: ({ state }) => {
        if (state === 'connected') void files.server.mkdir([witness])
      },
    })
  })
  stream?.close()
}

test('watch: changes as lines of JSON, ended by their number', async t => {
  const { home, ws } = await bench(t)
  await announced(ws)
  const child = home.start(['watch', ws, '--json', '--count', '2'], { env: files.env })
  const seen: { event: string; path?: string; from?: string | null }[] = []
  const done = collect(child)
  let connected = (): void => {}
  const ready = new Promise<void>(resolve => { connected = resolve })
  createInterface({ input: child.stdout! }).on('line', line => {
    const event = JSON.parse(line) as { event: string }
    if (event.event === 'connected') connected()
    else seen.push(event)
  })
  await ready
  await files.server.mkdir([`${ws}/made`])
  await files.server.waitFor(`${ws}/made`, node => node !== undefined)
  await files.server.move(`${ws}/made`, `${ws}/moved`)
  const result = await done
  assert.equal(result.code, 0, result.stderr)
  assert.equal(seen.length, 2)
  assert.ok(seen.every(event => event.path === `${ws}/made` || event.path === `${ws}/moved`), JSON.stringify(seen))
})

test('watch ends at Ctrl-C with exit code 0, and tells a wrong path at once', async t => {
  const { home, ws, fails } = await bench(t)
  await fails(/none does not exist/, 'watch', `${ws}/none`)
  const child = home.start(['watch', ws], { env: files.env })
  child.stderr?.on('data', (text: Buffer) => { if (/Watching/.test(String(text))) child.kill('SIGINT') })
  assert.equal((await collect(child)).code, 0)
})
