/**
 * Runs pjdfstest (a POSIX file system test suite, not part of this repository) in a folder of a mount and says of every
 * failed case why it cannot pass, by the rules of pjdfstest-exclusions.md. A failure that no rule explains fails the run.
 *
 *   node dist/integration-tests/pjdfstest.js SUITE_FOLDER FOLDER_IN_A_MOUNT [part of a test's path]
 *
 * Runs as root, on a mount with --allow-other. Each case is a shell command traced with `sh -x`, so that a follow-up ("stat the fifo
 * that could not be made") is told from a failure of its own.
 */
import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

interface Case {
  readonly file: string
  readonly number: number
  readonly command: string
  readonly outcome: string
}

/** What the server cannot hold; the headings of pjdfstest-exclusions.md. */
type Reason = 'hard links' | 'special files' | 'path length'

const NAME_LIMIT = 'Names and paths of the server end at about 1000 bytes of path'

/** The reason why making something is refused, and the name that is then missing. */
function refused(words: readonly string[]): { reason: Reason; name: string } | undefined {
  const call = words.findIndex((word) => ['link', 'mkfifo', 'mknod', 'bind'].includes(word))
  if (call === -1) return undefined
  if (words[call] === 'link') return { reason: 'hard links', name: words[call + 2] ?? '' }
  return { reason: 'special files', name: words[call + 1] ?? '' }
}

/** Gives each failure its reason, in the order of the file. */
class Explainer {
  private readonly missing = new Map<string, Reason>()
  private lastExplained: { number: number; reason: Reason } | undefined

  explain(it: Case, failed: boolean): Reason | undefined {
    const words = it.command.split(/\s+/)
    const made = refused(words)
    if (!failed) {
      // Made anew as something that exists.
      if (/^expect 0 (?:-\S+ \S+ )*(?:create|mkdir|symlink|open|rename)\b/.test(it.command)) for (const word of words) this.missing.delete(word)
      return undefined
    }
    const reason = this.reasonOf(it, words, made)
    if (reason !== undefined) this.lastExplained = { number: it.number, reason }
    return reason
  }

  private reasonOf(it: Case, words: readonly string[], made: { reason: Reason; name: string } | undefined): Reason | undefined {
    if (words.some((word) => Buffer.byteLength(word) > 900)) return 'path length'
    if (made !== undefined) {
      this.missing.set(made.name, made.reason)
      return made.reason
    }
    for (const [name, reason] of this.missing) if (name !== '' && words.some((word) => word === name || word.startsWith(`${name}/`) || word.endsWith(`/${name}`))) return reason
    // A comparison of what an explained command printed names no file.
    if (it.command.startsWith('test_check') && this.lastExplained !== undefined && it.number - this.lastExplained.number <= 4) return this.lastExplained.reason
    return undefined
  }
}

async function runFile(file: string, cwd: string): Promise<{ cases: Array<Case & { failed: boolean }>; planned: number }> {
  // Trace and results in one pipe, so that their order is that of writing.
  const child = spawn('sh', ['-c', 'exec sh -x "$0" 2>&1', file], { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  const chunks: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => chunks.push(data))
  await new Promise((resolve) => child.once('close', resolve))
  const cases: Array<Case & { failed: boolean }> = []
  let command = ''
  let planned = 0
  for (const line of Buffer.concat(chunks).toString('latin1').split('\n')) {
    const traced = /^\++ ((?:expect|jexpect|test_check|create_file)\b.*)$/.exec(line)
    if (traced !== null) command = traced[1]!
    const plan = /^1\.\.(\d+)/.exec(line)
    if (plan !== null) planned = Number(plan[1])
    const result = /^(not ok|ok) (\d+)(.*)$/.exec(line)
    if (result !== null) cases.push({ file, number: Number(result[2]), command, outcome: line, failed: result[1] === 'not ok' && !line.includes('# TODO') })
  }
  return { cases, planned }
}

const [suite, folder, part = ''] = process.argv.slice(2)
if (suite === undefined || folder === undefined) {
  console.error('usage: pjdfstest.js SUITE_FOLDER FOLDER_IN_A_MOUNT [part]')
  process.exit(2)
}
const tests = (await readdir(join(suite, 'tests'), { recursive: true })).filter((it) => it.endsWith('.t') && it.includes(part)).sort()
const excluded = new Map<string, number>()
const unexplained: string[] = []
let passed = 0
let total = 0
for (const test of tests) {
  const { cases, planned } = await runFile(join(suite, 'tests', test), folder)
  const explainer = new Explainer()
  total += planned
  for (const it of cases) {
    const reason = explainer.explain(it, it.failed)
    if (!it.failed) passed++
    else if (reason !== undefined) excluded.set(reason, (excluded.get(reason) ?? 0) + 1)
    else unexplained.push(`${test} ${it.number}: ${it.command.slice(0, 200)} => ${it.outcome.slice(-60)}`)
  }
  if (cases.length < planned) unexplained.push(`${test}: only ${cases.length} of ${planned} cases ran`)
}
for (const line of unexplained) console.log(`unexplained: ${line}`)
for (const [reason, count] of excluded) console.log(`excluded: ${count} ${reason === 'path length' ? NAME_LIMIT : reason}`)
console.log(`pjdfstest: ${passed} passed, ${[...excluded.values()].reduce((a, b) => a + b, 0)} excluded, ${unexplained.length} unexplained, ${total} in all`)
process.exit(unexplained.length === 0 ? 0 : 1)
