/**
 * How much memory `cec scp` takes for a tree (issue 5: below 200 MB for 100,000 files): the walk is a stream, what is known ahead and
 * what waits to be confirmed is bounded. CEC_MEMORY_FILES=100000 is the size of the issue (some minutes); the ordinary run is small, and
 * only shows that the figure can be taken.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startFilesServer, WS } from './helpers/files-server.js'
import { freshHome } from './helpers/run-cec.js'

const FILES = Number(process.env['CEC_MEMORY_FILES'] ?? 1500)
const PER_FOLDER = 500
const MOST_MB = 200
const LOOK_MS = 100

const skip = process.env['CELLS_URL'] !== undefined ? 'needs the embedded server' : process.platform !== 'linux' && 'reads /proc'

test(`a tree of ${FILES} files: both ways and as a dry run in less than ${MOST_MB} MB`, { skip }, async t => {
  const files = await startFilesServer()
  t.after(() => files.close())
  const home = await freshHome(t)
  for (let start = 0; start < FILES; start += PER_FOLDER) {
    const folder = join(home.dir, 'tree', `folder-${start / PER_FOLDER}`)
    await mkdir(folder, { recursive: true })
    for (let index = start; index < Math.min(FILES, start + PER_FOLDER); index++) await writeFile(join(folder, `a file with a name of ordinary length ${index}`), String(index))
  }
  /** Peak of the resident memory, MB. */
  const peakOf = async (...words: string[]): Promise<number> => {
    const child = home.start(['scp', '-n', ...words], { env: files.env })
    let peak = 0
    const timer = setInterval(() => {
      void readFile(`/proc/${child.pid}/status`, 'utf8').then(text => { peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024) }, () => {})
    }, LOOK_MS)
    let stderr = ''
    child.stdout?.resume()
    child.stderr?.on('data', (data: Buffer) => { stderr = (stderr + data.toString()).slice(-2000) })
    const began = performance.now()
    const [code] = await once(child, 'close') as [number]
    clearInterval(timer)
    assert.equal(code, 0, stderr)
    t.diagnostic(`scp ${words.map(word => word.replace(home.dir, '')).join(' ')}: ${peak.toFixed(0)} MB, ${((performance.now() - began) / 1000).toFixed(0)} s`)
    assert.ok(peak > 0 && peak < MOST_MB, `${peak} MB`)
    return peak
  }
  await peakOf('--dry-run', 'tree', `cells://${WS}`)
  await peakOf('tree', `cells://${WS}`)
  await peakOf('--dry-run', `cells://${WS}/tree`, 'back/')
  await peakOf(`cells://${WS}/tree`, 'back/')
  assert.equal((await readdir(join(home.dir, 'back'), { recursive: true })).length, 1 + FILES + Math.ceil(FILES / PER_FOLDER))
})
