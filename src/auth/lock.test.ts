import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isAuthError } from './errors.js'
import { withLock } from './lock.js'

const MODULE = new URL('./lock.js', import.meta.url).href

async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cec-lock-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const child = (code: string): ReturnType<typeof spawn> =>
  spawn(process.execPath, ['--input-type=module', '-e', `import { withLock } from '${MODULE}'\nimport fs from 'node:fs'\n${code}`], { stdio: ['ignore', 'pipe', 'inherit'] })

await test('one at a time, between processes and inside one', async (t) => {
  const folder = await folderFor(t)
  const lock = join(folder, 'lock')
  const counter = join(folder, 'counter')
  await writeFile(counter, '0')
  // Read, yield, write: loses counts as soon as two run at once.
  const children = Array.from({ length: 4 }, () => child(`
    for (let i = 0; i < 10; i++) await withLock('${lock}', async () => {
      const n = Number(fs.readFileSync('${counter}'))
      await new Promise((done) => setImmediate(done))
      fs.writeFileSync('${counter}', String(n + 1))
    })`))
  const ended = Promise.all(children.map((process) => once(process, 'exit')))
  await Promise.all(Array.from({ length: 10 }, () => withLock(lock, async () => {
    const n = Number(await readFile(counter, 'utf8'))
    await writeFile(counter, String(n + 1))
  })))
  for (const [code] of await ended) assert.equal(code, 0)
  assert.equal(await readFile(counter, 'utf8'), '50')
  assert.equal((await readdir(lock)).length, 1)
})

await test('kill -9 of the holder frees it; of several that wait, one at a time gets it', async (t) => {
  const folder = await folderFor(t)
  const lock = join(folder, 'lock')
  const holder = child(`await withLock('${lock}', async () => { console.log('held'); setInterval(() => {}, 1000); await new Promise(() => {}) })`)
  await once(holder.stdout!, 'data')
  let inside = 0
  const waiters = Array.from({ length: 3 }, () => child(`await withLock('${lock}', async () => console.log('got it'))`))
  const got = waiters.map((waiter) => once(waiter.stdout!, 'data').then(() => { inside++ }))
  await assert.rejects(withLock(lock, () => Promise.resolve(), { timeoutMs: 100 }), (error) => isAuthError(error, 'storage'))
  assert.equal(inside, 0)
  holder.kill('SIGKILL')
  await Promise.all(got)
})

await test('a pid given to another program, a file without sense, a failing holder', async (t) => {
  const folder = await folderFor(t)
  for (const text of [`${process.pid}\n1\nnowhere`, 'garbage', '999999999\n1\n']) {
    const lock = join(folder, String(text.length))
    await mkdir(lock)
    await writeFile(join(lock, '7'), text)
    if (!text.endsWith('nowhere')) assert.equal(await withLock(lock, () => Promise.resolve('mine'), { timeoutMs: 80 }), 'mine')
    // From elsewhere: only age decides, and this one is from now.
    else await assert.rejects(withLock(lock, () => Promise.resolve(), { timeoutMs: 80 }), (error) => isAuthError(error, 'storage'))
  }
  const lock = join(folder, 'failing')
  await assert.rejects(withLock(lock, () => Promise.reject(new Error('inside'))), /inside/)
  assert.equal(await withLock(lock, () => Promise.resolve('free again')), 'free again')
})

await test('a folder that cannot be made is a sentence', async (t) => {
  const folder = await folderFor(t)
  await writeFile(join(folder, 'file'), '')
  await assert.rejects(withLock(join(folder, 'file', 'lock'), () => Promise.resolve()), (error) => isAuthError(error, 'storage'))
})
