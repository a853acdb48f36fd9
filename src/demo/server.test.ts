import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { test } from 'node:test'
import { openDemo, signIn, until } from './test-client.js'
import type { TestClient } from './test-client.js'

const md5 = (text: string): string => createHash('md5').update(text).digest('hex')
const HOME = 'personal-files'
const folder = (client: TestClient, path: string): Promise<unknown> => client.rest('POST', '/tree/create', { Nodes: [{ Path: path, Type: 'COLLECTION' }] })
const settled = (client: TestClient, path: string, text: string): Promise<unknown> => until(`${path} indexed`, async () => (await client.stat(path))?.['Etag'] === md5(text) || undefined)

test('traps 1 and 2: the index is behind the storage for a while', async t => {
  // Long enough that the first look is always before the index catches up.
  const alice = await signIn(await openDemo(t, { indexDelayMs: 1000 }))
  const file = `${HOME}/a.txt`
  const put = await alice.s3('PUT', file, { body: 'hello' })
  assert.deepEqual([put.status, put.headers.get('etag')], [200, '""'])
  const fresh = await alice.stat(file)
  assert.deepEqual([fresh?.['Etag'], fresh?.['Size'], fresh?.['Mode']], ['temporary', '5', undefined])
  await settled(alice, file, 'hello')
  await alice.s3('PUT', file, { body: 'hello world' })
  const old = await alice.stat(file)
  assert.deepEqual([old?.['Uuid'], old?.['Etag'], old?.['Size']], [fresh?.['Uuid'], md5('hello'), '5'])
  const truncated = await alice.s3('GET', file)
  assert.deepEqual([truncated.status, truncated.text, truncated.headers.get('etag')], [200, 'hello', `"${md5('hello')}"`])
  assert.equal((await alice.s3('GET', file, { headers: { Range: 'bytes=6-10' } })).status, 416)
  await settled(alice, file, 'hello world')
  assert.equal((await alice.s3('GET', file)).text, 'hello world')
  await alice.s3('PUT', file, { body: 'hi' })
  await assert.rejects(alice.s3('GET', file), 'the connection is cut: the index promises more than there is')
  await settled(alice, file, 'hi')
})

test('traps 3, 6, 7 and 14: conditions ignored, stale after delete and put, copies lost, 500 for missing', async t => {
  const alice = await signIn(await openDemo(t))
  const file = `${HOME}/f.txt`
  await alice.s3('PUT', file, { body: 'one' })
  await settled(alice, file, 'one')
  assert.equal((await alice.s3('PUT', file, { body: 'two', headers: { 'If-None-Match': '*' } })).status, 200)
  await settled(alice, file, 'two')
  assert.equal((await alice.s3('GET', file, { headers: { 'If-Match': '"x"' } })).status, 412)
  assert.equal((await alice.s3('GET', `${HOME}/none`)).status, 500)
  const copy = await alice.s3('PUT', `${HOME}/copy.txt`, { headers: { 'x-amz-copy-source': `/io/${file}` } })
  assert.equal(copy.status, 200)
  await alice.s3('PUT', 'common-files/copy.txt', { headers: { 'x-amz-copy-source': `/io/${file}` } })
  await settled(alice, 'common-files/copy.txt', 'two')
  assert.equal(await alice.stat(`${HOME}/copy.txt`), undefined)
  assert.equal((await alice.s3('DELETE', file)).status, 204)
  assert.equal((await alice.s3('PUT', file, { body: 'three' })).status, 200)
  await alice.s3('PUT', `${HOME}/later`, { body: 'x' })
  await settled(alice, `${HOME}/later`, 'x')
  assert.equal((await alice.stat(file))?.['Etag'], md5('two'), 'stale for good')
})

test('traps 4, 5 and 15: nothing is replaced, a folder moved into itself is lost, the job list is late', async t => {
  // The job list lags behind by a multiple of the delay: long enough to be seen.
  const alice = await signIn(await openDemo(t, { indexDelayMs: 500 }))
  for (const name of ['a.txt', 'b.txt', 'c.txt', 'self/in/deep.txt']) await alice.s3('PUT', `${HOME}/${name}`, { body: name })
  const uuid = (await alice.stat(`${HOME}/a.txt`))?.['Uuid']
  const job = await alice.move(`${HOME}/a.txt`, `${HOME}/B.txt`)
  await until('the move', async () => (await alice.stat(`${HOME}/B-1.txt`))?.['Uuid'] === uuid || undefined)
  const listed = await alice.rest('POST', '/jobs/user', { JobIDs: [job.json?.['JobUuid']], LoadTasks: 'Any' })
  const status = (answer: typeof listed): unknown => (answer.json?.['Jobs'] as { Tasks: { Status: string }[] }[])[0]?.Tasks[0]?.Status
  assert.equal(status(listed), 'Running')
  await until('Finished', async () => status(await alice.rest('POST', '/jobs/user', { JobIDs: [job.json?.['JobUuid']], LoadTasks: 'Any' })) === 'Finished' || undefined)
  await alice.move(`${HOME}/c.txt`, `${HOME}/C.txt`)
  await until('the case change', async () => (await alice.names(HOME)).includes('C-1.txt') || undefined)
  const moved = await alice.rest('PUT', '/jobs/user/move', { JobName: 'move', JsonParameters: JSON.stringify({ nodes: [`${HOME}/self`], target: `${HOME}/self/in`, targetParent: true }) })
  assert.equal(moved.status, 200)
  await until('the loss', async () => !(await alice.names(HOME)).includes('self') || undefined)
  assert.equal((await alice.move(`${HOME}/none`, `${HOME}/x`)).status, 404)
  assert.deepEqual((await alice.rest('PUT', '/jobs/user/move', { JsonParameters: '{}' })).json, {})
})

test('traps 7b, 9, 12: folders appear late, ghosts never, an emoji takes its batch with it', async t => {
  const alice = await signIn(await openDemo(t, { indexDelayMs: 300 }))
  assert.equal(((await folder(alice, `${HOME}/new`)) as { status: number }).status, 200)
  assert.equal(await alice.stat(`${HOME}/new`), undefined)
  await until('the folder', () => alice.stat(`${HOME}/new`))
  await Promise.all([folder(alice, `${HOME}/smile 😀`), folder(alice, `${HOME}/victim`)])
  await alice.s3('PUT', `${HOME}/gone/a.txt`, { body: 'a' })
  await alice.s3('DELETE', `${HOME}/gone`)
  await until('the end of the folder', async () => (await alice.stat(`${HOME}/gone`)) === undefined || undefined)
  await folder(alice, `${HOME}/gone`)
  await folder(alice, `${HOME}/last`)
  await until('a later folder', () => alice.stat(`${HOME}/last`))
  assert.deepEqual(await alice.names(HOME), ['last', 'new'])
  assert.equal((await alice.s3('PUT', `${HOME}/😀`, { body: 'x' })).status, 500)
})

test('traps 10, 11, 13, 18, 19: names, hidden names, unknown fields, web page', async t => {
  const server = await openDemo(t)
  const alice = await signIn(server)
  for (const name of ['.hidden', 'e\u0301.txt', 'z', 'a']) await alice.s3('PUT', `${HOME}/n/${name}`, { body: 'x' })
  await settled(alice, `${HOME}/n/.hidden`, 'x')
  assert.deepEqual(await alice.names(`${HOME}/n`), ['a', 'z', '\u00e9.txt'])
  assert.equal(await alice.stat(`${HOME}/n/e\u0301.txt`), undefined)
  assert.equal((await alice.stat(`${HOME}/n/.pydio`))?.['Size'], '36')
  const page = await alice.rest('POST', '/meta/bulk/get', { NodePaths: [`${HOME}/n/*`], Limit: 4 })
  assert.deepEqual((page.json?.['Nodes'] as { Path: string }[]).map(node => node.Path.split('/').at(-1)), ['a', 'z'])
  const unknown = await alice.rest('POST', '/tree/delete', { Nodes: [{ Path: `${HOME}/n/a` }], RemovePermanently: true })
  assert.deepEqual([unknown.status, unknown.json?.['Title']], [500, 'unknown field "RemovePermanently" in rest.DeleteNodesRequest'])
  const web = await fetch(`${server.url}/no/such/thing`)
  assert.deepEqual([web.status, web.headers.get('content-type')], [200, 'text/html; charset=utf-8'])
  const hung = alice.s3('PUT', `${HOME}/back\\slash`, { body: 'x' }).then(() => 'answered', () => 'cut')
  assert.equal(await Promise.race([hung, new Promise(resolve => setTimeout(resolve, 300, 'silence'))]), 'silence')
})

test('rights: read-only workspace, other people, administrators', async t => {
  const server = await openDemo(t)
  const [alice, bob, admin] = await Promise.all([signIn(server), signIn(server, 'bob'), signIn(server, 'admin')])
  assert.equal((await bob.s3('PUT', 'ro-ws/doc.txt', { body: 'x' })).status, 200)
  await settled(alice, 'ro-ws/doc.txt', 'x')
  assert.equal(((await alice.stat('ro-ws/doc.txt'))?.['MetaStore'] as Record<string, string>)['node_readonly'], '"true"')
  assert.equal((await alice.s3('PUT', 'ro-ws/new.txt', { body: 'x' })).status, 500)
  assert.equal((await alice.s3('DELETE', 'ro-ws/doc.txt')).status, 204)
  assert.equal((await alice.rest('POST', '/tree/delete', { Nodes: [{ Path: 'ro-ws/doc.txt' }] })).status, 403)
  assert.equal((await alice.move('ro-ws/doc.txt', 'ro-ws/other.txt')).status, 403)
  assert.ok(await bob.stat('ro-ws/doc.txt'))
  await alice.s3('PUT', `${HOME}/mine`, { body: 'x' })
  assert.equal(await bob.stat(`${HOME}/mine`), undefined)
  assert.deepEqual([(await alice.rest('GET', '/config/datasource')).status, (await admin.rest('GET', '/config/datasource')).status], [401, 200])
  assert.equal((await alice.rest('GET', '/tree/stat/nowhere/x')).json?.['Detail'], 'Forbidden: Workspace nowhere is not accessible')
})

test('signatures are really checked', async t => {
  const alice = await signIn(await openDemo(t))
  const key = `${HOME}/odd name (1)+&é.txt`
  assert.equal((await alice.signed('PUT', key, 'signed')).status, 200)
  assert.equal((await alice.signed('GET', key, '')).text, 'signed')
  const code = async (change: Parameters<TestClient['signed']>[3]): Promise<string> => {
    const answer = await alice.signed('GET', key, '', change)
    return `${answer.status} ${/<Code>(.*?)</.exec(answer.text)?.[1] ?? ''}`
  }
  assert.equal(await code({ secret: 'wrong' }), '403 SignatureDoesNotMatch')
  assert.equal(await code({ accessKey: 'nobody' }), '403 AccessDenied')
  assert.equal(await code({ ageMs: 20 * 60_000 }), '403 RequestTimeTooSkewed')
  assert.equal(await code({ region: 'eu-west-1' }), '500 InternalError')
  assert.equal((await alice.signed('PUT', key, 'other', { payload: md5('x').repeat(2) })).status, 503)
  assert.equal((await alice.s3('PUT', key, { body: 'x', headers: { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '1' } })).status, 400)
})

test('an upload that is cut off leaves nothing behind and keeps what was there', async t => {
  const server = await openDemo(t)
  const alice = await signIn(server)
  await alice.s3('PUT', `${HOME}/kept`, { body: 'original' })
  for (const name of ['kept', 'fresh']) {
    await new Promise<void>(resolve => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write(`PUT /io/${HOME}/${name} HTTP/1.1\r\nHost: localhost\r\nX-Pydio-Bearer: ${alice.token}\r\nContent-Length: 1000\r\n\r\npart`, () => setTimeout(() => socket.destroy(), 50))
      })
      socket.on('close', () => resolve())
    })
  }
  await settled(alice, `${HOME}/kept`, 'original')
  assert.equal((await alice.s3('GET', `${HOME}/kept`)).text, 'original')
  assert.equal(await alice.stat(`${HOME}/fresh`), undefined)
})

test('faults on demand', async t => {
  const server = await openDemo(t)
  const alice = await signIn(server)
  await alice.s3('PUT', `${HOME}/f`, { body: 'content' })
  await settled(alice, `${HOME}/f`, 'content')
  server.onRequest = ({ route, count }) => (route === 'GET s3' && count === 1 ? { status: 503, body: 'busy' } : undefined)
  assert.equal((await alice.s3('GET', `${HOME}/f`)).status, 503)
  server.onRequest = () => ({ etag: '"other"', shortBody: 3 })
  const short = await alice.s3('GET', `${HOME}/f`)
  assert.deepEqual([short.text, short.headers.get('etag')], ['con', '"other"'])
  server.onRequest = () => ({ cutAfter: 3 })
  await assert.rejects(alice.s3('GET', `${HOME}/f`))
  server.onRequest = () => ({ reset: true })
  await assert.rejects(alice.s3('GET', `${HOME}/f`))
  server.onRequest = ({ method }) => (method === 'PUT' ? { loseAnswer: true } : undefined)
  await assert.rejects(alice.s3('PUT', `${HOME}/g`, { body: 'arrived' }))
  await settled(alice, `${HOME}/g`, 'arrived')
  assert.ok((server.requests.get('GET s3') ?? 0) >= 4)
})
