import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startDemoServer } from './index.js'
import { openDemo, signIn, until } from './test-client.js'

const HOME = 'personal-files'
const md5 = (data: string | Buffer): string => createHash('md5').update(data).digest('hex')
const meta = (node: Record<string, unknown> | undefined): Record<string, string> => (node?.['MetaStore'] ?? {}) as Record<string, string>
const mkdir = (path: string): object => ({ Nodes: [{ Path: path, Type: 'COLLECTION' }] })

for (const serverVersion of [4, 5] as const) {
  test(`version ${serverVersion}: the index is written before the answer`, async t => {
    const alice = await signIn(await openDemo(t, { serverVersion }))
    const put = await alice.s3('PUT', `${HOME}/a.txt`, { body: 'hello', headers: { 'Content-Type': 'text/plain' } })
    assert.equal(put.headers.get('etag'), `"${md5('hello')}"`)
    const node = await alice.stat(`${HOME}/a.txt`)
    assert.equal(node?.['Etag'], md5('hello'))
    assert.equal(meta(node)['x-cells-hash'], JSON.stringify(md5(Buffer.from(md5('hello'), 'hex'))))
    assert.equal((await alice.s3('GET', `${HOME}/a.txt`)).headers.get('content-type'), 'text/plain')
    const made = await alice.rest('POST', '/tree/create', mkdir(`${HOME}/d`))
    assert.equal(meta((made.json?.['Children'] as Record<string, unknown>[])[0])['datasource_node_indexed'], 'true')
    assert.ok(await alice.stat(`${HOME}/d`))
    assert.equal((await alice.rest('POST', '/tree/create', mkdir(`${HOME}/d`))).status, serverVersion === 4 ? 200 : 500)
    assert.equal((await alice.s3('GET', `${HOME}/none`)).status, 404)
    assert.equal((await alice.s3('PUT', 'ro-ws/x', { body: 'x' })).status, 403)
    assert.equal((await alice.s3('PUT', `${HOME}/back\\slash 😀`, { body: 'x' })).status, 200)
    assert.equal((await alice.s3('PUT', `${HOME}/d`, { body: 'x' })).status, serverVersion === 4 ? 200 : 500)
    assert.equal((await alice.stat(`${HOME}/d`))?.['Type'], 'COLLECTION')
    await alice.s3('DELETE', `${HOME}/a.txt`)
    assert.equal(await alice.stat(`${HOME}/a.txt`), undefined)
    assert.equal((await alice.s3('PUT', `${HOME}/a.txt`, { body: 'again' })).status, 200)
    assert.equal((await alice.stat(`${HOME}/a.txt`))?.['Etag'], md5('again'))
    await alice.s3('PUT', `${HOME}/c.txt`, { headers: { 'x-amz-copy-source': `/io/${HOME}/a.txt` } })
    assert.equal((await alice.s3('GET', `${HOME}/c.txt`)).text, 'again')
    assert.equal((await alice.rest('POST', '/tree/delete', { Nodes: [{ Path: `${HOME}/c.txt` }], RemovePermanently: true })).status, 200)
    await until('the end of c.txt', async () => (await alice.stat(`${HOME}/c.txt`)) === undefined || undefined)
    assert.equal(await alice.stat(`${HOME}/recycle_bin/c.txt`), undefined)
  })
}

test('version 5: error codes, trailers, presigned with the token', async t => {
  const alice = await signIn(await openDemo(t, { serverVersion: 5 }))
  const missing = await alice.rest('GET', `/tree/stat/${HOME}/none`)
  assert.deepEqual([missing.status, missing.json?.['Title']], [404, 'E_NOT_FOUND'])
  assert.equal((await alice.rest('GET', '/tree/stat/nowhere/x')).status, 403)
  const body = '5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n'
  const put = await alice.s3('PUT', `${HOME}/t`, { body, headers: { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '5', 'Content-Encoding': 'aws-chunked' } })
  assert.equal(put.status, 200)
  assert.equal((await alice.s3('GET', `${HOME}/t`)).text, 'hello')
})

test('trap 8 on a flat source: an upload ends in the folder that was moved meanwhile', async t => {
  const server = await openDemo(t, { serverVersion: 4 })
  const alice = await signIn(server)
  await alice.s3('PUT', `${HOME}/before/first`, { body: 'x' })
  const upload = request({ port: server.port, method: 'PUT', path: `/io/${HOME}/before/late`, headers: { 'X-Pydio-Bearer': alice.token, 'Content-Length': 4 } })
  upload.write('ab')
  await until('the upload to begin', () => server.requests.get('PUT s3') === 2)
  await alice.move(`${HOME}/before`, `${HOME}/after`)
  await until('the move', () => alice.stat(`${HOME}/after`))
  const answered = once(upload, 'response')
  upload.end('cd')
  await answered
  assert.deepEqual(await alice.names(`${HOME}/after`), ['first', 'late'])
  assert.equal(await alice.stat(`${HOME}/before`), undefined)
})

for (const serverVersion of [2, 5] as const) {
  test(`version ${serverVersion}: a multipart upload goes on after a restart`, async t => {
    const dataDir = await mkdtemp(join(tmpdir(), 'demo-multipart-'))
    t.after(() => rm(dataDir, { recursive: true, force: true }))
    const parts = [Buffer.alloc(5 * 1024 * 1024, 'a'), Buffer.from('tail')]
    const key = `${HOME}/big.bin`
    let server = await startDemoServer({ dataDir, serverVersion, indexDelayMs: 60 })
    let alice = await signIn(server)
    const started = await alice.s3('POST', key, { query: '?uploads=' })
    const id = /<UploadId>(.*?)</.exec(started.text)?.[1] ?? ''
    assert.equal((await alice.stat(key))?.['Etag'], 'temporary')
    const send = async (number: number): Promise<string> => (await alice.s3('PUT', key, { query: `?partNumber=${number}&uploadId=${id}`, body: parts[number - 1] ?? '' })).headers.get('etag') ?? ''
    const etags = ['', await send(2)]
    await server.close()
    server = await startDemoServer({ dataDir, serverVersion, indexDelayMs: 60 })
    t.after(() => server.close())
    alice = await signIn(server)
    etags[0] = await send(1)
    const xml = (list: string[]): string => `<CompleteMultipartUpload>${list.map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${etag}</ETag></Part>`).join('')}</CompleteMultipartUpload>`
    assert.equal((await alice.s3('POST', key, { query: `?uploadId=${id}`, body: xml(['"wrong"', etags[1] ?? '']) })).status, 500)
    assert.equal((await alice.s3('POST', key, { query: `?uploadId=${id}`, body: xml(etags) })).status, 200)
    const whole = Buffer.concat(parts)
    const expected = serverVersion === 2 ? md5(whole) : `${md5(Buffer.concat(parts.map(part => Buffer.from(md5(part), 'hex'))))}-2`
    await until('the final etag', async () => (await alice.stat(key))?.['Etag'] === expected || undefined)
    const range = await alice.s3('GET', key, { headers: { Range: `bytes=${5 * 1024 * 1024 - 2}-` } })
    assert.deepEqual([range.status, range.text], [206, 'aatail'])
    assert.equal((await alice.s3('DELETE', key, { query: `?uploadId=${id}` })).status, 500)
  })
}

test('what was answered survives kill -9', async t => {
  const dataDir = await mkdtemp(join(tmpdir(), 'demo-kill-'))
  t.after(() => rm(dataDir, { recursive: true, force: true }))
  const script = `const { startDemoServer } = await import(${JSON.stringify(new URL('./index.js', import.meta.url).href)}); const s = await startDemoServer({ dataDir: ${JSON.stringify(dataDir)} }); console.log(s.url)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => Promise.resolve(child.kill('SIGKILL')))
  const url = await new Promise<string>(resolve => child.stdout.once('data', (data: Buffer) => resolve(data.toString().trim())))
  const before = await signIn({ url })
  await Promise.all(Array.from({ length: 20 }, (_, i) => before.s3('PUT', `${HOME}/k/${i}`, { body: `content ${i}` })))
  const uuid = (await before.stat(`${HOME}/k/7`))?.['Uuid']
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
  const server = await startDemoServer({ dataDir, indexDelayMs: 60 })
  t.after(() => server.close())
  const alice = await signIn(server)
  assert.equal((await alice.names(`${HOME}/k`)).length, 20)
  const node = await alice.stat(`${HOME}/k/7`)
  assert.deepEqual([node?.['Uuid'], node?.['Etag']], [uuid, md5('content 7')])
  assert.equal((await alice.s3('GET', `${HOME}/k/7`)).text, 'content 7')
})
