/** Rows of `cec scp` that look at the wire or at the lines it prints, against the embedded server or, with CELLS_URL, a real one. */
import assert from 'node:assert/strict'
import { truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { writeTree } from '../src/transfer/testing.js'
import { startFilesServer } from './helpers/files-server.js'
import type { FilesServer } from './helpers/files-server.js'
import { freshHome } from './helpers/run-cec.js'
import { noTerminal, onTerminal } from './helpers/terminal.js'

const isReal = process.env['CELLS_URL'] !== undefined
const MIB = 1024 * 1024
let files: FilesServer
before(async () => { files = await startFilesServer() })
after(() => files.close())

test('S24 scp -n, -v and -w: lines instead of bars; -v tells each file, -w each request', { skip: noTerminal }, async t => {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  await writeTree(join(home.dir, 'dir'), { a: 'a', 'sub/b': 'b' })
  for (const [flag, details, requests] of [['-n', false, false], ['-v', true, false], ['-w', true, true]] as const) {
    const shown = await onTerminal(home, files.env, ['scp', flag, '-f', 'dir', `cells://${ws}`], [])
    assert.equal(shown.code, 0, shown.stdout)
    assert.doesNotMatch(shown.stdout, /\[[=>-]+\]|\u001b/, flag)
    assert.match(shown.stdout, /Uploading \/.*\/dir to cells:\/\/[^]*0 items to delete, \d+ folders? to create, 2 files to transfer[^]*Transfer terminated: 2 files/, flag)
    assert.equal(/sent .*\/sub\/b/.test(shown.stdout), details, `${flag}: ${shown.stdout}`)
    assert.equal(/http method=PUT path="?\/io\//.test(shown.stdout), requests, `${flag}: ${shown.stdout}`)
    assert.doesNotMatch(shown.stdout, /P4ss/)
  }
})

test('S24 scp -v tells which requests had to be repeated', { skip: isReal && 'needs the embedded server' }, async t => {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  await writeTree(home.dir, { 'a.txt': 'hello' })
  const { demo } = files
  assert.ok(demo !== undefined)
  let tries = 0
  demo.onRequest = ({ route, path }) => (route === 'PUT s3' && path.includes(ws) && tries++ === 0 ? { status: 503 } : undefined)
  t.after(() => { demo.onRequest = undefined })
  const sent = await home.cec(['scp', '-v', 'a.txt', `cells://${ws}`], { env: files.env })
  assert.equal(sent.code, 0, sent.stderr)
  assert.match(sent.stderr, /^PUT \/io\/.*\/a\.txt.*: 503$/m)
})

test('S16 S17 S29 with default flags: 100 MiB in one request, 101 MiB in three parts, no trailing checksum', { skip: isReal && 'looks at requests' }, async t => {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  await writeFile(join(home.dir, 'edge'), '')
  await truncate(join(home.dir, 'edge'), 100 * MIB)
  await writeFile(join(home.dir, 'above'), '')
  await truncate(join(home.dir, 'above'), 101 * MIB)
  const { demo } = files
  assert.ok(demo !== undefined)
  const puts: { name: string; part: string | null; size: number }[] = []
  const odd: string[] = []
  demo.onRequest = ({ route, path, query, headers }) => {
    if (route !== 'PUT s3') return
    puts.push({ name: path.split('/').at(-1) ?? '', part: query.get('partNumber'), size: Number(headers['content-length']) })
    for (const name of ['content-encoding', 'x-amz-trailer', 'x-amz-decoded-content-length', 'x-amz-sdk-checksum-algorithm']) if (headers[name] !== undefined) odd.push(name)
    if (/STREAMING/.test(String(headers['x-amz-content-sha256']))) odd.push('x-amz-content-sha256')
  }
  t.after(() => { demo.onRequest = undefined })
  for (const name of ['edge', 'above']) {
    const sent = await home.cec(['scp', name, `cells://${ws}`], { env: files.env })
    assert.equal(sent.code, 0, sent.stderr)
  }
  assert.deepEqual(puts.filter(each => each.name === 'edge'), [{ name: 'edge', part: null, size: 100 * MIB }])
  assert.deepEqual(puts.filter(each => each.name === 'above').map(({ part, size }) => [part, size]).sort(), [['1', 50 * MIB], ['2', 50 * MIB], ['3', MIB]])
  assert.deepEqual(odd, [])
})

test('S31 a backslash is a character of a name here, and not a way to write paths: refused by name, nothing is sent', async t => {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  await writeTree(home.dir, { 'dir/sub/x': 'x', 'odd\\name': 'x' })
  const missing = await home.cec(['scp', 'dir\\sub', `cells://${ws}`], { env: files.env })
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /dir\\sub does not exist/)
  const refused = await home.cec(['scp', 'odd\\name', `cells://${ws}`], { env: files.env })
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /odd\\name|backslash/)
  assert.deepEqual(await files.tree(ws), [])
})

test('G14 a transfer goes through the proxy, REST and S3', { skip: isReal && 'gives the server another name' }, async t => {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  await writeTree(home.dir, { 'a.txt': 'hello' })
  const port = Number(new URL(files.url).port)
  const seen: string[] = []
  const proxy = createServer()
  proxy.on('connect', (request, socket) => {
    seen.push(request.url ?? '')
    const target = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      target.pipe(socket)
      socket.pipe(target)
    })
    target.on('error', () => socket.destroy())
    socket.on('error', () => target.destroy())
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    proxy.close()
    proxy.closeAllConnections()
  })
  // Nobody answers to this name: what arrived came through the proxy.
  const env = { ...files.env, CEC_URL: `http://cells.test:${port}`, HTTP_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` }
  const sent = await home.cec(['scp', 'a.txt', `cells://${ws}`], { env })
  assert.equal(sent.code, 0, sent.stderr)
  assert.equal(await files.content(`${ws}/a.txt`), 'hello')
  assert.deepEqual([...new Set(seen)], [`cells.test:${port}`])
})
