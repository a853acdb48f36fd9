/**
 * `npm test`: set-up (the build is the type check), lint, then every `dist/**` test file with Node's own runner.
 * `npm test -- word ...` runs only the files whose path contains one of the words, without lint.
 *
 * All temporary folders of the tests are below one of our own, which is unmounted and removed at the end.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { filesBelow } from './lib/build.mjs'
import { ROOT, setUp } from './setup.mjs'

/** A test file that hangs is ended after this. */
const FILE_MS = 8 * 60_000

const words = process.argv.slice(2)
setUp()
process.chdir(ROOT)

if (words.length === 0) {
  process.stderr.write('lint ...\n')
  const lint = spawnSync(process.execPath, ['node_modules/eslint/bin/eslint.js', '.'], { stdio: 'inherit' })
  if (lint.status !== 0) {
    process.stderr.write('\nlint failed\n')
    process.exit(1)
  }
}

const files = filesBelow(ROOT, ['dist'], '.test.js').filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
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
  for (const path of mountpoints.reverse()) spawnSync('fusermount', ['-u', '-z', path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))])
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130))

const counts = { passed: 0, failed: 0, skipped: 0 }
const count = (outcome) => ({ details, skip, todo }) => {
  if (details.type === 'suite') return
  if (skip !== undefined || todo !== undefined) counts.skipped++
  else counts[outcome]++
}
// Mounts, servers and clients of one file already keep more than one core busy.
const stream = run({ files: files.map((file) => join(ROOT, file)), concurrency: Math.max(1, Math.min(4, availableParallelism())), timeout: FILE_MS })
stream.on('test:pass', count('passed'))
stream.on('test:fail', count('failed'))
stream.compose(new spec()).pipe(process.stdout)
await new Promise((resolve) => stream.once('end', resolve))
await new Promise((resolve) => setImmediate(resolve))
process.stdout.write(`\n${counts.passed + counts.failed + counts.skipped} tests in ${files.length} files: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`)
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1)
