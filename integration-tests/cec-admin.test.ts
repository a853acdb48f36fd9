/**
 * cec's commands for links, metadata, identities, storage, jobs and tools as processes: rows H, E, I, D, J, T of cec-reference
 * section 13, against the embedded server or, with CELLS_URL, CELLS_LOGIN and CELLS_PASSWORD, a real one; there the rows of
 * administrators want CELLS_ADMIN_LOGIN and CELLS_ADMIN_PASSWORD too.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import { resolveConnection } from '../src/auth/connection.js'
import { connect, type CellsConnection } from '../src/cells/client.js'
import { resolveGlobals } from '../src/cli/options.js'
import { startDemoServer } from '../src/demo/index.js'
import { silentLogger } from '../src/log.js'
import { startFilesServer, type FilesServer } from './helpers/files-server.js'
import { freshHome, type Home, type Result } from './helpers/run-cec.js'
import { noTerminal, onTerminal } from './helpers/terminal.js'

const isReal = process.env['CELLS_URL'] !== undefined
const noAdmin = isReal && process.env['CELLS_ADMIN_LOGIN'] === undefined ? 'needs CELLS_ADMIN_LOGIN and CELLS_ADMIN_PASSWORD' : false
const onlyEmbedded = isReal ? 'needs the embedded server' : false

let files: FilesServer
let admin: CellsConnection | undefined
const adminEnv: NodeJS.ProcessEnv = {}

before(async () => {
  files = await startFilesServer()
  if (noAdmin !== false) return
  Object.assign(adminEnv, files.env, isReal
    ? { CEC_LOGIN: process.env['CELLS_ADMIN_LOGIN'], CEC_PASSWORD: process.env['CELLS_ADMIN_PASSWORD'] }
    : { CEC_LOGIN: 'admin', CEC_PASSWORD: 'admin' })
  admin = connect(await resolveConnection(resolveGlobals({}, adminEnv), { logger: silentLogger }))
})
after(async () => {
  await admin?.close()
  await files.close()
})

interface Bench {
  readonly home: Home
  readonly cec: (...words: string[]) => Promise<Result>
  /** Demands exit code 0. */
  readonly ok: (...words: string[]) => Promise<Result>
  /** Demands exit code 1 and a message that matches. */
  readonly fails: (message: RegExp, ...words: string[]) => Promise<Result>
  /** What `--json` prints. */
  readonly json: (...words: string[]) => Promise<unknown>
}

async function bench(t: TestContext, env: NodeJS.ProcessEnv = files.env): Promise<Bench> {
  const home = await freshHome(t)
  const cec = (...words: string[]): Promise<Result> => home.cec(words, { env })
  const ok = async (...words: string[]): Promise<Result> => {
    const result = await cec(...words)
    assert.equal(result.code, 0, `${words.join(' ')}\n${result.stderr}`)
    return result
  }
  return {
    home, cec, ok,
    json: async (...words) => JSON.parse((await ok(...words, '--json')).stdout) as unknown,
    fails: async (message, ...words) => {
      const result = await cec(...words)
      assert.equal(result.code, 1, `${words.join(' ')}\n${result.stdout}${result.stderr}`)
      assert.match(result.stderr, message)
      return result
    },
  }
}

/** Cells of a table, its head first; the further lines of a wrapped row are left out. */
const cells = (result: Result): string[][] => result.stdout.split('\n').filter(line => line.startsWith('|'))
  .map(line => line.split('|').slice(1, -1).map(cell => cell.trim())).filter(row => row[0] !== '')
const unique = (): string => randomBytes(5).toString('hex')

async function asAdmin(method: 'PUT' | 'POST' | 'DELETE', path: string, json?: unknown): Promise<unknown> {
  assert.ok(admin !== undefined)
  return await admin.rest.call({ method, path, json, doing: 'prepare a test', timeoutMs: 30_000 })
}

/** Makes namespaces for one test; the real server wants the definition for their removal too. */
async function makeNamespaces(t: TestContext, types: Readonly<Record<string, object>>): Promise<Record<string, string>> {
  const names = Object.fromEntries(Object.keys(types).map(type => [type, `usermeta-test-${type.replace('_', '-')}-${unique()}`]))
  const anybody = ['READ', 'WRITE'].map(Action => ({ Action, Effect: 'allow', Subject: '*' }))
  const rows = Object.entries(types).map(([type, definition]) => ({ Namespace: names[type], Label: `Test ${type}`, JsonDefinition: JSON.stringify({ type, ...definition }), Policies: anybody }))
  t.after(() => asAdmin('PUT', '/a/user-meta/namespace', { Operation: 'DELETE', Namespaces: rows }))
  await asAdmin('PUT', '/a/user-meta/namespace', { Operation: 'PUT', Namespaces: rows })
  return names
}

// -- share

interface Link { id: string; url: string; path: string | null; permissions: string[]; passwordRequired: boolean; expires: string | null; maxDownloads: number | null }

test('H1 share of a file and of a folder', async t => {
  const { ok } = await bench(t)
  const ws = await files.folder(t)
  await files.seed(ws, { 'a.jpg': 'x', 'dir/': '' })
  for (const name of ['a.jpg', 'dir']) {
    const made = await ok('share', `/${ws}/${name}`)
    assert.match(made.stdout, /^Public link created at https?:\/\/[^/]+\/public\/\S+\n$/)
    const url = made.stdout.trim().split(' ').at(-1) ?? ''
    assert.equal((await fetch(url)).status, 200)
    await ok('share', 'rm', url)
  }
})

test('H2 share of what is missing', async t => {
  const { fails, cec } = await bench(t)
  const ws = await files.folder(t)
  await fails(/none does not exist/, 'share', `${ws}/none`)
  assert.equal((await cec('share')).code, 2)
})

test('share with permissions, end, limit and password; ls and rm', async t => {
  const { home, ok, fails, json } = await bench(t)
  const ws = await files.folder(t)
  await files.seed(ws, { 'a.txt': 'x', 'dir/': '' })
  const link = await json('share', `${ws}/dir`, '--permissions', 'preview,upload', '--expires', '2d', '--max-downloads', '3', '--label', 'Mine') as Link & { label: string }
  const end = Date.parse(link.expires ?? '') - Date.now()
  assert.ok(end > 47 * 3600_000 && end < 49 * 3600_000)
  assert.deepEqual([link.path, link.label, link.permissions.sort(), link.passwordRequired, link.maxDownloads], [`${ws}/dir`, 'Mine', ['preview', 'upload'], false, 3])

  const secret = `Secret-${unique()}`
  const guarded = await home.cec(['share', `${ws}/dir`, '--password-stdin', '--json'], { env: files.env, input: `${secret}\n` })
  assert.equal(guarded.code, 0, guarded.stderr)
  const second = JSON.parse(guarded.stdout) as Link
  assert.equal(second.passwordRequired, true)

  const listed = await json('share', 'ls', `${ws}/dir`) as Link[]
  assert.deepEqual(listed.map(each => each.id).sort(), [link.id, second.id].sort())
  const mine = (await json('share', 'ls') as Link[]).filter(each => each.path === `${ws}/dir`)
  assert.deepEqual(mine.map(each => each.id).sort(), [link.id, second.id].sort())
  const rows = cells(await ok('share', 'ls', `${ws}/dir`))
  assert.deepEqual(rows[0], ['ID', 'PATH', 'URL', 'PERMISSIONS', 'PASSWORD', 'EXPIRES', 'DOWNLOADS'])
  assert.deepEqual(rows.find(row => row[0] === second.id)?.slice(3), ['download, preview', 'yes', 'never', '0'])

  await fails(/2 public links/, 'share', 'rm', `${ws}/dir`)
  await ok('share', 'rm', link.id)
  await fails(/no link/, 'share', 'rm', link.id)
  await ok('share', 'rm', `${ws}/dir`)
  assert.deepEqual(await json('share', 'ls', `${ws}/dir`), [])
  await fails(/no public link on/, 'share', 'rm', `${ws}/a.txt`)

  await fails(/only folders take uploads/, 'share', `${ws}/a.txt`, '--permissions', 'upload')
  await fails(/no permission/, 'share', `${ws}/a.txt`, '--permissions', 'read')
  await fails(/no expiry/, 'share', `${ws}/a.txt`, '--expires', 'soon')
  await fails(/whole number/, 'share', `${ws}/a.txt`, '--max-downloads', '0')
  await fails(/no password/, 'share', `${ws}/a.txt`, '--password-stdin')
  await fails(/no terminal/, 'share', `${ws}/a.txt`, '--ask-password')
  assert.deepEqual(await json('share', 'ls', `${ws}/a.txt`), [])
})

test('share asks for a password on a terminal', { skip: noTerminal }, async t => {
  const { home, json } = await bench(t)
  const ws = await files.folder(t)
  const twice = (second: string): Promise<Result> => onTerminal(home, files.env, ['share', ws, '--ask-password'], [{ prompt: 'Password of the link', keys: 'Secret-123\r' }, { prompt: 'Once more', keys: `${second}\r` }])
  const differing = await twice('Secret-124')
  assert.equal(differing.code, 1, differing.stdout)
  assert.deepEqual(await json('share', 'ls', ws), [])
  const shown = await twice('Secret-123')
  assert.equal(shown.code, 0, shown.stdout)
  assert.doesNotMatch(shown.stdout, /Secret/)
  const [link] = await json('share', 'ls', ws) as Link[]
  assert.equal(link?.passwordRequired, true)
  await json('share', 'rm', link?.id ?? '')
})

// -- meta

test('E1 meta get --all', async t => {
  const { ok, json } = await bench(t)
  const rows = cells(await ok('meta', 'get', '-a'))
  assert.deepEqual(rows[0], ['NAMESPACE', 'LABEL', 'JSONDEFINITION'])
  assert.deepEqual(rows.find(row => row[0] === 'usermeta-tags')?.slice(2), ['{"type":"tags"}'])
  const all = await json('meta', 'get', '-a') as { namespace: string; type: string }[]
  assert.equal(all.find(each => each.namespace === 'usermeta-tags')?.type, 'tags')
})

test('E2 E3 E4 meta get: table, one namespace, json', async t => {
  const { ok, fails, json } = await bench(t)
  const ws = await files.folder(t)
  await files.seed(ws, { 'a.txt': 'x' })
  const path = `${ws}/a.txt`
  await ok('meta', 'set', '-p', path, '-n', 'usermeta-tags', '-o', 'update', '-s', 'say "hi"')
  const rows = cells(await ok('meta', 'get', '-p', path))
  assert.deepEqual(rows[0], ['META NAME', 'VALUE'])
  assert.ok(rows.some(([name, value]) => name === 'name' && value === '"a.txt"'))
  assert.deepEqual(cells(await ok('meta', 'get', '-p', path, '-n', 'usermeta-tags')).slice(1), [['usermeta-tags', '"say \\"hi\\""']])
  assert.deepEqual(JSON.parse((await ok('meta', 'get', '-p', path, '-n', 'usermeta-tags', '-f', 'json')).stdout), { 'usermeta-tags': '"say \\"hi\\""' })
  const store = JSON.parse((await ok('meta', 'get', '-p', path, '-f', 'json')).stdout) as Record<string, string>
  assert.equal(store['name'], '"a.txt"')
  const parsed = await json('meta', 'get', '-p', path) as { path: string; uuid: string; metadata: Record<string, unknown> }
  assert.deepEqual([parsed.path, parsed.uuid, parsed.metadata['name'], parsed.metadata['usermeta-tags']], [path, (await files.server.stat(path))?.uuid, 'a.txt', 'say "hi"'])
  await fails(/no value for usermeta-none/, 'meta', 'get', '-p', path, '-n', 'usermeta-none')
  await fails(/none does not exist/, 'meta', 'get', '-p', `${ws}/none`)
  await fails(/--path/, 'meta', 'get')
  await fails(/unknown format/, 'meta', 'get', '-p', path, '-f', 'xml')
})

test('E5 E6 E8 E9 meta set by type, delete, refused values', { skip: noAdmin }, async t => {
  const { ok, fails, json } = await bench(t)
  const ws = await files.folder(t)
  await files.seed(ws, { 'a.txt': 'x' })
  const path = `${ws}/a.txt`
  const names = await makeNamespaces(t, { string: {}, textarea: {}, choice: { data: { items: [{ key: 'red', value: 'Red' }, { key: 'blue', value: 'Blue' }] } }, integer: {}, stars_rate: {}, date: {}, json: {}, boolean: {} })
  const value = async (type: string): Promise<unknown> => (await json('meta', 'get', '-p', path) as { metadata: Record<string, unknown> }).metadata[names[type] ?? '']
  const set = (type: string, ...words: string[]): string[] => ['meta', 'set', '-p', path, '-n', names[type] ?? '', '-o', 'update', ...words]
  for (const [type, words, stored] of [
    ['string', ['-s', 'a "quoted" \\ é'], 'a "quoted" \\ é'], ['textarea', ['-s', 'one\ntwo'], 'one\ntwo'], ['choice', ['-s', 'blue'], 'blue'], ['integer', ['-r', '42'], '42'], ['stars_rate', ['-r', '5'], '5'],
    ['date', ['-s', '2024-02-29 12:30:00'], '1709209800'], ['json', ['-j', '{"a":[1,"b"]}'], { a: [1, 'b'] }], ['boolean', ['-b=true'], 'true'], ['boolean', ['-b=false'], 'false'], ['integer', ['-r', '0'], '0'],
  ] as const) {
    assert.equal((await ok(...set(type, ...words))).stdout, '')
    assert.deepEqual(await value(type), stored, type)
  }
  const before = (await ok('meta', 'get', '-p', path)).stdout
  await fails(/no choice.*red, blue/, ...set('choice', '-s', 'green'))
  await fails(/0 to 5/, ...set('stars_rate', '-r', '6'))
  await fails(/no date/, ...set('date', '-s', '2024-02-30 12:30:00'))
  await fails(/valid JSON/, ...set('json', '-j', '{'))
  await fails(/--string-value/, ...set('string'))
  await fails(/--boolean-value/, ...set('boolean', '-s', 'true'))
  await fails(/whole number/, ...set('integer', '-r', '1.5'))
  await fails(/no namespace usermeta-none/, 'meta', 'set', '-p', path, '-n', 'usermeta-none', '-o', 'update', '-s', 'x')
  await fails(/--operation/, 'meta', 'set', '-p', path, '-n', 'usermeta-tags', '-o', 'nope', '-s', 'x')
  await fails(/none does not exist/, 'meta', 'set', '-p', `${ws}/none`, '-n', 'usermeta-tags', '-o', 'update', '-s', 'x')
  assert.equal((await ok('meta', 'get', '-p', path)).stdout, before)
  for (const type of ['string', 'choice', 'date', 'integer', 'boolean', 'json']) {
    await ok('meta', 'set', '-p', path, '-n', names[type] ?? '', '-o', 'delete')
    assert.ok(['', undefined].includes(await value(type) as string | undefined), type)
  }
})

test('E7 meta set of tags: no duplicate, one taken away', async t => {
  const { ok, fails, json } = await bench(t)
  const ws = await files.folder(t)
  const tags = async (): Promise<unknown> => (await json('meta', 'get', '-p', ws) as { metadata: Record<string, unknown> }).metadata['usermeta-tags']
  const set = (operation: string, tag: string): Promise<Result> => ok('meta', 'set', '-p', ws, '-n', 'usermeta-tags', '-o', operation, '-s', tag)
  await set('update', 'one')
  await set('update', 'two')
  await set('update', 'one')
  assert.equal(await tags(), 'one,two')
  await set('delete', 'one')
  assert.equal(await tags(), 'two')
  await set('delete', 'none')
  assert.equal(await tags(), 'two')
  await fails(/--string-value/, 'meta', 'set', '-p', ws, '-n', 'usermeta-tags', '-o', 'delete')
})

// -- idm

test('I1 idm lists users, groups, roles and workspaces', { skip: noAdmin }, async t => {
  const { ok, json, cec } = await bench(t, adminEnv)
  const users = await ok('idm', 'list-users')
  const [head, ...lines] = users.stdout.trimEnd().split('\n')
  assert.equal(head, `Found ${lines.length} users:`)
  assert.ok(lines.includes('  - alice') && lines.includes('  - admin'))
  const [alice] = (await json('idm', 'list-users') as { login: string; uuid: string; attributes: Record<string, string> }[]).filter(user => user.login === 'alice')
  assert.match(alice?.uuid ?? '', /^[0-9a-f-]{36}$/)

  const group = `test-group-${unique()}`
  const before = (await json('idm', 'list-groups') as unknown[]).length
  if (before === 0) assert.equal((await ok('idm', 'list-groups')).stdout, 'No group found.\n')
  await asAdmin('PUT', `/a/user/${group}`, { IsGroup: true, GroupLabel: group, GroupPath: '/' })
  try {
    const listed = (await ok('idm', 'list-groups')).stdout.trimEnd().split('\n')
    assert.match(listed[0] ?? '', before === 0 ? /^Found 1 group:$/ : /^Found \d+ groups:$/)
    assert.ok(listed.includes(`  - ${group}`))
    const roles = await ok('idm', 'list-roles')
    assert.match(roles.stdout, /^Found \d+ roles\n/)
    assert.match(roles.stdout, /^ -- Root Group __ GROUP ROLE $/m)
    assert.match(roles.stdout, /^ -- Administrators$/m)
    assert.match(roles.stdout, /^ -- \S.* __ USER ROLE $/m)
  } finally {
    await asAdmin('DELETE', `/a/user/${group}/`)
  }
  const kinds = new Set((await json('idm', 'list-roles') as { kind: string }[]).map(role => role.kind))
  assert.deepEqual([...kinds].sort(), ['group', 'role', 'user'])
  assert.match((await ok('idm', 'list-workspaces')).stdout, /^Found \d+ workspaces:\n(\t- .+\n)*\t- Common Files\n/)
  assert.ok((await json('idm', 'list-workspaces') as { slug: string }[]).some(workspace => workspace.slug === 'common-files'))
  assert.equal((await cec('idm')).code, 2)
})

/** Two ACLs on a folder that the test made. */
async function aclsOn(t: TestContext): Promise<{ uuid: string; names: string[] }> {
  const ws = await files.folder(t)
  const uuid = (await files.server.stat(ws))?.uuid ?? ''
  assert.notEqual(uuid, '')
  const names = [`test-a-${unique()}`, `test-b-${unique()}`]
  for (const Name of names) await asAdmin('PUT', '/a/acl', { NodeID: uuid, Action: { Name, Value: '1' } })
  t.after(async () => {
    for (const Name of names) await asAdmin('POST', '/a/acl/bulk/delete', { NodeID: uuid, Action: { Name } })
  })
  return { uuid, names }
}

test('I2 I3 idm list-acls', { skip: noAdmin }, async t => {
  const { ok, fails, json } = await bench(t, adminEnv)
  const [first, second] = [await aclsOn(t), await aclsOn(t)]
  for (const words of [['-n', first.uuid, '-n', second.uuid], ['--uuid', `${first.uuid},${second.uuid}`]]) {
    const shown = await ok('idm', 'list-acls', ...words)
    assert.match(shown.stdout, /^Found 4 ACLs:\n/)
    assert.ok(shown.stdout.includes(`  - ${first.uuid} |  | ${first.names[0]} | \n`))
    const rows = cells(shown)
    assert.deepEqual(rows[0], ['UUID', 'ROLE ID', 'ACTION NAME', 'WS ID'])
    assert.deepEqual(rows.slice(1).map(row => row[2]).sort(), [...first.names, ...second.names].sort())
  }
  const [acl] = (await json('idm', 'list-acls', '-n', first.uuid) as { action: string; nodeId: string; value: string }[]).filter(each => each.action === first.names[0])
  assert.deepEqual([acl?.nodeId, acl?.value], [first.uuid, '1'])
  assert.equal((await ok('idm', 'list-acls', '-n', '00000000-0000-0000-0000-000000000000')).stdout, '')
  await fails(/--uuid/, 'idm', 'list-acls')
  await fails(/--uuid/, 'idm', 'list-acls', '-n', ' , ')
})

test('I4 idm list-acls --delete asks, and deletes what was listed', { skip: noAdmin || noTerminal }, async t => {
  const { home, json, ok, fails } = await bench(t, adminEnv)
  const { uuid, names } = await aclsOn(t)
  const left = async (): Promise<string[]> => (await json('idm', 'list-acls', '-n', uuid) as { action: string }[]).map(acl => acl.action).sort()
  const answer = (keys: string): Promise<Result> => onTerminal(home, adminEnv, ['idm', 'list-acls', '-n', uuid, '--delete'], [{ prompt: 'Delete 2 ACLs?', keys }])
  const no = await answer('n\r')
  assert.equal(no.code, 0, no.stdout)
  await fails(/no terminal/, 'idm', 'list-acls', '-n', uuid, '--delete')
  assert.deepEqual(await left(), [...names].sort())
  const yes = await answer('y\r')
  assert.equal(yes.code, 0, yes.stdout)
  assert.equal(yes.stdout.match(/Deleted /g)?.length, 2, yes.stdout)
  assert.deepEqual(await left(), [])
  assert.equal((await ok('idm', 'list-acls', '-n', uuid, '--delete')).stdout, '')
  const again = await aclsOn(t)
  const deleted = await json('idm', 'list-acls', '-n', again.uuid, '--delete', '--force') as { deleted: boolean }[]
  assert.deepEqual(deleted.map(acl => acl.deleted), [true, true])
})

test('idm list-acls is for administrators', async t => {
  const { fails } = await bench(t)
  await fails(/no right/, 'idm', 'list-acls', '-n', 'x')
})

// -- storage

test('D1 storage list-datasources', { skip: noAdmin }, async t => {
  const { ok, json } = await bench(t, adminEnv)
  const raw = (await ok('storage', 'list-datasources', '--raw')).stdout.trimEnd().split('\n')
  assert.ok(raw.includes('pydiods1'))
  assert.equal((await ok('storage', 'list-datasources')).stdout, `* ${raw.length} datasources\n${raw.map(name => `  - ${name}\n`).join('')}`)
  assert.deepEqual((await json('storage', 'list-datasources') as { name: string }[]).map(source => source.name), raw)
})

test('D2 storage list-datasources is for administrators', async t => {
  const { fails } = await bench(t)
  await fails(/forbidden/, 'storage', 'list-datasources')
})

test('D3 storage resync-ds starts the job', { skip: noAdmin }, async t => {
  const { ok, fails, json, cec } = await bench(t, adminEnv)
  // On a real server the smallest one, which the other tests do not use.
  const name = isReal ? 'cellsdata' : 'pydiods1'
  assert.equal((await ok('storage', 'resync-ds', name)).stdout, `Starting resync on ${name}\n`)
  const started = await json('storage', 'resync-ds', name) as { datasource: string; job: string }
  assert.equal(started.datasource, name)
  assert.ok((await json('jobs', 'get') as { id: string }[]).some(job => job.id === started.job), started.job)
  await fails(/no data source nosuch/, 'storage', 'resync-ds', 'nosuch')
  assert.equal((await cec('storage', 'resync-ds')).code, 2)
})

// -- jobs

interface JobRow { id: string; owner: string; taskCount: number; lastTask: { status: string; started: string | null } | null }

test('J1 J2 J3 jobs get: table, json, filter, refused', async t => {
  const { ok, fails, json } = await bench(t)
  const ws = await files.folder(t)
  await files.seed(ws, { 'a.txt': 'x' })
  const job = await files.server.startJob('copy', [`${ws}/a.txt`], `${ws}/b.txt`, false)
  await files.server.waitForJob(job)
  const own = async (): Promise<JobRow | undefined> => (await json('jobs', 'get') as JobRow[]).find(each => each.id === job.id)
  const row = await own()
  assert.equal(row?.owner, 'alice')
  assert.ok(row !== undefined && row.taskCount >= 0)
  const table = cells(await ok('jobs', 'get'))
  assert.deepEqual(table[0], ['ID', 'LABEL', 'OWNER', 'NUM TASKS', 'LAST TASK STATUS'])
  assert.ok(table.some(cell => cell[0] === job.id && cell[2] === 'alice'))
  const raw = JSON.parse((await ok('jobs', 'get', '--format', 'json')).stdout) as Record<string, unknown>[]
  assert.ok(raw.some(each => each['ID'] === job.id && Array.isArray(each['Actions'])))

  assert.ok((await json('jobs', 'get', '--filter', '{"owner":{"op":"eq","value":"alice"}}') as JobRow[]).some(each => each.id === job.id))
  assert.deepEqual(await json('jobs', 'get', '--filter', '{"owner":{"op":"eq","value":"nobody"}}'), [])
  const failed = await json('jobs', 'get', '--filter', '{"task_status":{"op":"eq","value":"Error"}}') as JobRow[]
  assert.ok(failed.every(each => each.lastTask?.status === 'Error'))
  await fails(/filter is not valid JSON/, 'jobs', 'get', '--filter', '{')
  await fails(/unknown format/, 'jobs', 'get', '--format', 'yaml')
})

test('J1 jobs get as an administrator shows the jobs of all', { skip: noAdmin }, async t => {
  const { json } = await bench(t, adminEnv)
  const owners = new Set((await json('jobs', 'get') as JobRow[]).map(job => job.owner))
  assert.ok(owners.has('pydio.system.user'))
})

async function enterprise(t: TestContext): Promise<{ env: NodeJS.ProcessEnv; own: () => Promise<string> }> {
  const demo = await startDemoServer({ indexDelayMs: 50, enterprise: true })
  const env = { CEC_URL: demo.url, CEC_SKIP_KEYRING: 'true', CEC_LOGIN: 'admin', CEC_PASSWORD: 'admin' }
  const server = connect(await resolveConnection(resolveGlobals({}, env), { logger: silentLogger }))
  t.after(async () => {
    await server.close()
    await demo.close()
  })
  await server.mkdir(['common-files/from'])
  await server.waitFor('common-files/from', node => node !== undefined)
  // A job in the list that has ended.
  const own = async (): Promise<string> => {
    const job = await server.startJob('copy', ['common-files/from'], `common-files/to-${unique()}`, false)
    await server.waitForJob(job)
    return job.id
  }
  return { env, own }
}

test('J4 J5 jobs delete by id, and as a dry run', { skip: onlyEmbedded }, async t => {
  const { env, own } = await enterprise(t)
  const { ok, fails, json } = await bench(t, env)
  const [first, second] = [await own(), await own()]
  const there = async (): Promise<string[]> => (await json('jobs', 'get') as JobRow[]).map(job => job.id)
  const mine = '{"owner":{"op":"eq","value":"admin"}}'
  const dry = await ok('jobs', 'delete', '--filter', mine, '--dry-run')
  assert.match(dry.stderr, /dry run/)
  assert.deepEqual(cells(dry).slice(1).map(row => row.at(-1)), ['done (dry-run)', 'done (dry-run)'])
  const gone = cells(await ok('jobs', 'delete', '--job-id', first))
  assert.deepEqual(gone[0], ['ID', 'LABEL', 'RESULT'])
  assert.deepEqual(gone.slice(1).map(row => [row[0], row[2]]), [[first, 'done']])
  assert.ok((await there()).includes(second) && !(await there()).includes(first))
  const raw = JSON.parse((await ok('jobs', 'delete', '--filter', mine, '--format', 'json')).stdout) as Record<string, string>[]
  assert.deepEqual(raw.map(row => [row['JobID'], row['Result']]), [[second, 'done']])
  assert.match((await ok('jobs', 'delete', '--job-id', first)).stderr, /No job matches/)
  await fails(/--job-id or --filter/, 'jobs', 'delete')
  await fails(/unknown format/, 'jobs', 'delete', '--job-id', 'x', '--format', 'xml')
})

test('J6 jobs delete of system jobs: one asks, many are skipped, force deletes', { skip: onlyEmbedded || noTerminal }, async t => {
  const { env } = await enterprise(t)
  const { home, fails, json } = await bench(t, env)
  const there = async (): Promise<string[]> => (await json('jobs', 'get') as JobRow[]).map(job => job.id)
  const all = await there()
  const system = '{"owner":{"op":"eq","value":"pydio.system.user"}}'
  const many = await json('jobs', 'delete', '--filter', system, '--force') as { status: string }[]
  assert.ok(many.length >= 2 && many.every(each => each.status === 'skipped'))
  const id = 'clean-thumbs-job'
  await fails(/no terminal/, 'jobs', 'delete', '--job-id', id)
  const answer = (word: string): Promise<Result> => onTerminal(home, env, ['jobs', 'delete', '--job-id', id], [{ prompt: 'type yes', keys: `${word}\r` }])
  const no = await answer('y')
  assert.equal(no.code, 0, no.stdout)
  assert.match(no.stdout, /Aborted/)
  assert.deepEqual(await there(), all)
  const yes = await answer('Yes')
  assert.equal(yes.code, 0, yes.stdout)
  assert.deepEqual(await there(), all.filter(each => each !== id))
  const last = await json('jobs', 'delete', '--filter', system) as { status: string; message: string }[]
  assert.deepEqual(last.map(each => each.status), ['skipped'])
  assert.match(last[0]?.message ?? '', /--force/)
  const forced = await json('jobs', 'delete', '--job-id', 'clean-user-data', '--force') as { status: string }[]
  assert.deepEqual(forced.map(each => each.status), ['done'])
})

test('J7 jobs delete on a Home edition says so', async t => {
  const { fails } = await bench(t)
  const ws = await files.folder(t)
  await files.seed(ws, { 'a.txt': 'x' })
  const job = await files.server.startJob('copy', [`${ws}/a.txt`], `${ws}/b.txt`, false)
  await files.server.waitForJob(job)
  const result = await fails(/^$/, 'jobs', 'delete', '--job-id', job.id)
  assert.match(result.stdout, /cannot delete: /)
  const json = await fails(/^$/, 'jobs', 'delete', '--job-id', job.id, '--json')
  assert.deepEqual((JSON.parse(json.stdout) as { id: string; status: string }[]).map(each => [each.id, each.status]), [[job.id, 'failed']])
})

// -- tools

const MIB = 1024 * 1024

/** The internal hash computed the simple way. */
function internalHash(content: Buffer): string {
  const md5 = (bytes: Buffer): Buffer => createHash('md5').update(bytes).digest()
  const blocks: Buffer[] = []
  for (let at = 0; at === 0 || at < content.length; at += 10 * MIB) blocks.push(md5(content.subarray(at, at + 10 * MIB)))
  return md5(Buffer.concat(blocks)).toString('hex')
}

test('T1 tools hash agrees with the server', async t => {
  const demo = isReal ? undefined : await startDemoServer({ serverVersion: 4 })
  t.after(() => demo?.close())
  const { home, ok, fails, json } = await bench(t, { CEC_URL: demo?.url ?? '', CEC_LOGIN: 'alice', CEC_PASSWORD: 'alice-P4ss', CEC_SKIP_KEYRING: 'true' })
  const sizes = [0, 1, 10 * MIB, 10 * MIB + 1, 25 * MIB]
  for (const size of sizes) {
    const content = Buffer.alloc(size, 'some content ')
    await writeFile(join(home.dir, `${size}`), content)
    assert.equal((await ok('tools', 'hash', '-r', '-f', `${size}`)).stdout, `${internalHash(content)}\n`)
  }
  const shown = await ok('tools', 'hash', '--file', '1')
  assert.match(shown.stdout, /\n[0-9a-f]{32}\n.*1 B/)
  assert.deepEqual(Object.keys(await json('tools', 'hash', '-f', '1') as object), ['path', 'size', 'hash', 'md5'])
  await fails(/could not read none: ENOENT/, 'tools', 'hash', '-f', 'none')
  await fails(/--file/, 'tools', 'hash')
  if (demo === undefined) return
  for (const size of sizes) await ok('scp', '-n', `${size}`, 'cells://common-files')
  const listed = (await ok('ls', 'common-files', '--format', '{{.Name}} {{.Hash}}')).stdout.split('\n')
  for (const size of sizes) assert.ok(listed.includes(`${size} ${internalHash(Buffer.alloc(size, 'some content '))}`), `${size} in ${listed.join(', ')}`)
})

test('T2 tools version, and the old place of its commands', async t => {
  const { cec, ok, fails } = await bench(t, {})
  for (const [words, holds] of [
    [['isvalid', 'v4.2.1-rc.1+b5'], true], [['isvalid', 'latest'], false], [['isrelease', '4.2'], true], [['isrelease', '4.2-dev'], false], [['isrelease', 'x'], false],
    [['isgreater', '4.10', '4.9.9'], true], [['isgreater', '4.2', '4.2.0'], false], [['isgreater', '4.2', '4.2-rc1'], true], [['isgreater', '4.2-rc1', '4.2'], false], [['isgreater', 'x', '1'], false],
  ] as const) {
    assert.equal((await ok('tools', 'version', ...words, '-q')).stdout, holds ? '1\n' : '0\n', words.join(' '))
    const result = await cec('tools', 'version', ...words)
    assert.deepEqual([result.code, result.stdout, result.stderr === ''], [holds ? 0 : 1, '', holds], words.join(' '))
  }
  assert.equal((await cec('tools', 'version', 'isgreater', '1')).code, 2)
  const old = await ok('version', 'isgreater', '2', '1')
  assert.deepEqual([old.stdout, /deprecated.*tools version/.test(old.stderr)], ['', true])
  await fails(/not a release/, 'version', 'isrelease', '2-rc1')
  for (const help of ['--help', 'version --help']) assert.doesNotMatch((await ok(...help.split(' '))).stdout, /isvalid|tools/)
})

test('T5 doc writes a page and a menu entry for each command', async t => {
  const { home, ok, cec, fails } = await bench(t, {})
  assert.match((await ok('doc', '-p', 'out/docs', '-m', 'my-menu')).stdout, /^Wrote \d+ pages/)
  const written = await readdir(join(home.dir, 'out/docs'))
  for (const name of ['cec', 'cec_ls', 'cec_scp', 'cec_meta_set', 'cec_idm_list-acls', 'cec_config_add', 'cec_share_rm']) assert.ok(written.includes(`${name}.md`) && written.includes(`${name}.yaml`), name)
  assert.ok(!written.some(name => /_doc|_tools|configure/.test(name)))
  const page = await readFile(join(home.dir, 'out/docs/cec_ls.md'), 'utf8')
  assert.match(page, /^# cec ls\n/)
  assert.match(page, /\| `-d`, `--details` \| boolean \|/)
  assert.match(page, /Generated by Cells Client v\d.* on \d{4}-\d\d-\d\d\n$/)
  assert.match(await readFile(join(home.dir, 'out/docs/cec.md'), 'utf8'), /\[cec ls\]\(cec_ls\.md\)/)
  assert.match(await readFile(join(home.dir, 'out/docs/cec_idm_list-acls.yaml'), 'utf8'), /^title: "cec idm list-acls"\n[^]*menu_name: "my-menu"\n/)
  assert.equal((await cec('doc')).code, 2)
  await writeFile(join(home.dir, 'file'), '')
  await fails(/could not write/, 'doc', '-p', 'file')
})

test('T6 update has no channel and says so', async t => {
  const { ok, fails } = await bench(t, {})
  const { stdout: running } = await ok('version', '-f', '{{.Version}}')
  for (const words of [[], ['--dry-run'], ['--dev', '-d'], ['--dry_run'], ['--version', running]]) assert.match((await ok('update', ...words)).stdout, /no update channel/)
  await fails(/999\.0\.0 cannot be installed/, 'update', '--version', '999.0.0')
})

test('T7 configure warns and is the wizard', { skip: noTerminal }, async t => {
  const { home, cec } = await bench(t, {})
  assert.match((await cec('configure')).stderr, /deprecated, use "cec config add"/)
  const stopped = await onTerminal(home, {}, ['configure'], [{ prompt: '?', keys: '\x03' }])
  assert.equal(stopped.code, 1, stopped.stdout)
  assert.match(stopped.stdout, /deprecated[^]*aborted by user/)
})
