/**
 * `npm test`: set-up (the build is the type check), then every `dist/**` test file with Node's own runner, and lint beside them.
 * `npm test -- word ...` runs only the files whose path contains one of the words, without lint.
 *
 * Mounts are made with the default driver, or the one that CELLSFS_DRIVER names. A whole run ends with a second pass over what
 * programs do in a mount, with the other driver.
 *
 * All temporary folders of the tests are below one of our own, which is unmounted and removed at the end.
 */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { pathToFileURL } from 'node:url'
import { filesBelow } from './lib/build.mjs'
import { ROOT, setUp } from './setup.mjs'

/** A test file that hangs is ended after this. */
const FILE_MS = 8 * 60_000

/** The files of the second pass: what a driver can do differently. Outages, large files and the rest of the engine are the same for both. */
const DRIVER_TESTS = /\/mount-(files|editors|names|programs|sharing|durability)\.test\.js$/
const OTHER_DRIVER = 'fuse-native'

/** Begun first, so that none of these is what everything waits for at the end. They wait more than they work. */
const LONG_TESTS = /\/(contract-replay|faults|engine|crash|fsx|model|cec-killed|mount-files|mount-outage|semantics|conflicts)\.test\.js$/

const words = process.argv.slice(2)
setUp()
process.chdir(ROOT)

// Beside the tests, which wait more than they work.
const lint = words.length > 0 ? undefined : spawn(process.execPath, ['node_modules/eslint/bin/eslint.js', '.'], { stdio: ['ignore', 'pipe', 'pipe'] })
let complaints = ''
for (const stream of [lint?.stdout, lint?.stderr]) stream?.setEncoding('utf8').on('data', (text) => { complaints += text })
const linted = lint === undefined ? Promise.resolve(true) : new Promise((resolve) => lint.once('close', (code) => resolve(code === 0)))
process.on('exit', () => lint?.kill())

const files = filesBelow(ROOT, ['dist'], '.test.js').filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort((a, b) => Number(LONG_TESTS.test(b)) - Number(LONG_TESTS.test(a)))
if (files.length === 0) {
  process.stderr.write(`no test file matches: ${words.join(' ')}\n`)
  process.exit(1)
}

// Short: sockets below it have at most 107 bytes.
const folder = mkdtempSync(join(tmpdir(), 'ct-'))
// Tests that become another user must get through; what is inside has modes of its own.
chmodSync(folder, 0o711)
process.env.TMPDIR = folder
process.on('exit', () => {
  const mountpoints = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${folder}/`))
  for (const path of mountpoints.reverse()) spawnSync('fusermount3', ['-u', '-z', path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))])
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130))

const counts = { passed: 0, failed: 0, skipped: 0 }
const count = (outcome) => ({ details, skip, todo }) => {
  if (details.type === 'suite') return
  if (skip !== undefined || todo !== undefined) counts.skipped++
  else counts[outcome]++
}
async function pass(some) {
  // Mounts, servers and clients of one file already keep more than one core busy.
  const stream = run({ files: some.map((file) => join(ROOT, file)), concurrency: Math.max(3, Math.min(4, availableParallelism())), timeout: FILE_MS })
  stream.on('test:pass', count('passed'))
  stream.on('test:fail', count('failed'))
  stream.compose(new spec()).pipe(process.stdout, { end: false })
  await new Promise((resolve) => stream.once('end', resolve))
  await new Promise((resolve) => setImmediate(resolve))
}

await pass(files)
if (words.length === 0 && process.env.CELLSFS_DRIVER === undefined) {
  const { driverProblem } = await import(pathToFileURL(join(ROOT, 'dist/src/cli/cellsfs/drivers.js')).href)
  const problem = await driverProblem(OTHER_DRIVER)
  if (problem === undefined) {
    process.stdout.write(`\nonce more with the driver ${OTHER_DRIVER}:\n\n`)
    process.env.CELLSFS_DRIVER = OTHER_DRIVER
    await pass(files.filter((file) => DRIVER_TESTS.test(file)))
  } else process.stdout.write(`\nnot once more with the driver ${OTHER_DRIVER}: ${problem}\n`)
}
const clean = await linted
if (!clean) process.stdout.write(`\nlint failed:\n${complaints}`)
process.stdout.write(`\n${counts.passed + counts.failed + counts.skipped} tests in ${files.length} files: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`)
process.exit(clean && counts.failed === 0 && counts.passed > 0 ? 0 : 1)
