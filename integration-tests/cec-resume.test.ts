/**
 * scp that is killed and started again, as processes (issue 5): what arrives is what was sent, and no part is sent
 * twice. Against the embedded server, which counts the parts.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startFilesServer } from './helpers/files-server.js'
import type { FilesServer } from './helpers/files-server.js'
import { freshHome } from './helpers/run-cec.js'
import type { Home } from './helpers/run-cec.js'

const MIB = 1024 * 1024
const FLAGS = ['-n', '--part-size', '10', '--multipart-threshold', '10', '--parts-concurrency', '2', '--retry-max-attempts', '1']

const skip = process.env['CELLS_URL'] !== undefined && 'needs the embedded server'
let files: FilesServer
before(async () => { if (skip === false) files = await startFilesServer() })
after(() => files?.close())

const md5 = (content: Buffer): string => createHash('md5').update(content).digest('hex')

/** Runs cec and kills it with `signal` when `when` says so, told of each request with content. */
async function killedAt(home: Home, words: readonly string[], signal: NodeJS.Signals, when: (part: string) => boolean): Promise<void> {
  const child = home.start(words, { env: files.env })
  child.stdout?.resume()
  child.stderr?.resume()
  const demo = files.demo
  if (demo === undefined) return
  demo.onRequest = info => {
    if (!/ s3$/.test(info.route) || !when(info.query.get('partNumber') ?? String(info.headers['range'] ?? ''))) return undefined
    child.kill(signal)
    return signal === 'SIGKILL' ? { reset: true } : { stall: 1000 }
  }
  await once(child, 'close')
  demo.onRequest = undefined
}

for (const [signal, stops] of [['SIGKILL', [2, 4, 7]], ['SIGINT', [1, 5]]] as const) {
  test(`an upload is stopped by ${signal} again and again and goes on; no part that arrived is sent twice`, { skip }, async t => {
    const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
    const content = randomBytes(78 * MIB)
    await writeFile(join(home.dir, 'big'), content)
    const words = ['scp', ...FLAGS, 'big', `cells://${ws}`]
    const tries = new Map<string, number>()
    const count = (part: string): void => { if (part !== '') tries.set(part, (tries.get(part) ?? 0) + 1) }
    for (const stop of stops) {
      let seen = 0
      await killedAt(home, words, signal, part => {
        if (part === '') return false
        count(part)
        return ++seen === stop - 1 || tries.size >= stop
      })
    }
    const last = new Set<string>()
    const { demo } = files
    if (demo === undefined) return
    demo.onRequest = info => {
      const part = info.query.get('partNumber')
      if (part === null) return undefined
      assert.ok(!last.has(part))
      last.add(part)
      count(part)
      return undefined
    }
    const result = await home.cec(words, { env: files.env })
    demo.onRequest = undefined
    assert.equal(result.code, 0, result.stderr)
    assert.equal((await files.server.stat(`${ws}/big`))?.etag, md5(content))
    // Only those that were on their way when it stopped may have been sent again: two at a time, once per stop.
    assert.equal(tries.size, 8)
    const again = [...tries.values()].reduce((sum, value) => sum + value - 1, 0)
    assert.ok(again <= 2 * stops.length, `${again} sent again: ${JSON.stringify([...tries])}`)
    assert.ok(last.size < 8, 'the last run sent everything')
    assert.deepEqual(await readdir(join(home.dir, 'state/cellsfs/transfers')), [])
    assert.equal((await home.cec(words, { env: files.env })).code, 1, 'it is complete and refused now')
  })

  test(`a download is stopped by ${signal} and goes on; what is there is not fetched again`, { skip }, async t => {
    const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
    const content = randomBytes(70 * MIB)
    await writeFile(join(home.dir, 'source'), content)
    assert.equal((await home.cec(['scp', 'source', `cells://${ws}/big`], { env: files.env })).code, 0)
    const words = ['scp', '-n', `cells://${ws}/big`, 'back']
    for (const stop of [3, 5]) {
      let seen = 0
      await killedAt(home, words, signal, part => part.startsWith('bytes') && ++seen === stop)
    }
    const asked: number[] = []
    const { demo } = files
    if (demo === undefined) return
    demo.onRequest = info => {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(info.headers['range'] ?? '')) ?? []
      if (from !== undefined) asked.push(Number(to) - Number(from) + 1)
      return undefined
    }
    const result = await home.cec(words, { env: files.env })
    demo.onRequest = undefined
    assert.equal(result.code, 0, result.stderr)
    assert.equal(md5(await readFile(join(home.dir, 'back'))), md5(content))
    const bytes = asked.reduce((sum, value) => sum + value, 0)
    assert.ok(bytes < 70 * MIB - 8 * MIB, `${bytes} fetched in the last run`)
    assert.deepEqual((await readdir(home.dir)).filter(name => name.startsWith('.cec-')), [])
  })
}

test('a tree goes on without --force after kill -9, in both directions', { skip }, async t => {
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  const names = Array.from({ length: 60 }, (_, index) => `dir/sub${index % 4}/f${index}`)
  const { writeTree } = await import('../src/transfer/testing.js')
  await writeTree(home.dir, Object.fromEntries(names.map((name, index) => [name, `content ${index}`])))
  let puts = 0
  const demo = files.demo
  if (demo === undefined) return
  // Killed at the 25th request, of which as many are under way as there are connections: those are made again.
  const most = names.length - 25 + 16
  const kill = async (words: readonly string[], route: string): Promise<void> => {
    const child = home.start(words, { env: files.env })
    puts = 0
    demo.onRequest = info => {
      if (info.route !== route || ++puts < 25) return undefined
      child.kill('SIGKILL')
      return { reset: true }
    }
    await once(child, 'close')
    demo.onRequest = info => {
      if (info.route === route && !info.query.has('list-type')) puts++
      return undefined
    }
    puts = 0
  }
  t.after(() => { demo.onRequest = undefined })
  await kill(['scp', 'dir', `cells://${ws}`], 'PUT s3')
  const up = await home.cec(['scp', 'dir', `cells://${ws}`], { env: files.env })
  assert.equal(up.code, 0, up.stderr)
  assert.match(up.stderr, /Going on uploading/)
  assert.ok(puts <= most, `${puts} files sent by the second run`)
  assert.equal((await files.tree(`${ws}/dir`)).length, 64)

  await kill(['scp', `cells://${ws}/dir`, 'back/'], 'GET s3')
  const down = await home.cec(['scp', `cells://${ws}/dir`, 'back/'], { env: files.env })
  assert.equal(down.code, 0, down.stderr)
  assert.ok(puts <= most, `${puts} files fetched by the second run`)
  for (const [index, name] of names.entries()) assert.equal(await readFile(join(home.dir, 'back', name), 'utf8'), `content ${index}`)
})
