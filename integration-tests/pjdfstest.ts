/**
 * Runs pjdfstest (github:pjd/pjdfstest, a POSIX file system test suite; not part of this repository) in a folder of a mount. Every
 * case passes or stands in pjdfstest-exclusions.md; one that fails and does not stand there fails the run, and so does one that
 * stands there and passes.
 *
 *   node dist/integration-tests/pjdfstest.js SUITE FOLDER_IN_A_MOUNT [--only PART] [--reference TMPFS_FOLDER [--write]]
 *
 * Runs as root, on a mount with --allow-other; SUITE is built. With a reference the failures are compared with those on a local file
 * system that refuses the same calls (helpers/pjdfstest.ts) instead of with the list, and `--write` makes the list of them.
 */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { failAlike, type Case, type Ran, type Reason, REASONS, REFUSALS, runFile, standIn } from './helpers/pjdfstest.js'
import { Exclusions } from './helpers/pjdfstest-exclusions.js'
import { PROJECT } from './helpers/project.js'

/** Files at a time: many cases sleep for a second. */
const PARALLEL = 3
const LIST = join(PROJECT, 'integration-tests/pjdfstest-exclusions.md')

const { positionals: [suite, folder], values: { only = '', reference, write = false } } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, reference: { type: 'string' }, write: { type: 'boolean' } },
})
if (suite === undefined || folder === undefined || (write && (reference === undefined || only !== ''))) {
  console.error('usage: pjdfstest.js SUITE FOLDER_IN_A_MOUNT [--only PART] [--reference TMPFS_FOLDER [--write]]')
  process.exit(2)
}

/** Runs a file in a new folder. */
async function runIn(parent: string, file: string, env?: NodeJS.ProcessEnv): Promise<Ran> {
  const cwd = await mkdtemp(join(parent, 'pjd-'))
  try {
    await chmod(cwd, 0o777)
    return await runFile(file, cwd, env)
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
}

/** What fails of a file where the calls of these reasons are refused, by number. */
async function refusedLocally(test: string, reasons: readonly Reason[]): Promise<ReadonlyMap<number, Case>> {
  const stand = await mkdtemp(join(tmpdir(), 'pjdfstest-'))
  try {
    const env = await standIn(suite!, stand, reasons)
    const { cases } = await runIn(reference!, join(stand, 'tests', test), env)
    return new Map(cases.map((it) => [it.number, it]))
  } finally {
    await rm(stand, { recursive: true, force: true })
  }
}

/** Finds for each failed case the refusal that it follows from. */
async function explain(test: string, failed: readonly Case[], into: Exclusions): Promise<void> {
  if (failed.length === 0) return
  const add = (reason: Reason, it: Case): void => into.add(reason, test, it.number, REFUSALS[reason].is(it.command) ? 'refused' : 'follows')
  let left = failed
  for (const reason of REASONS) {
    if (left.length === 0) return
    const local = await refusedLocally(test, [reason])
    for (const it of left) if (failAlike(it, local.get(it.number))) add(reason, it)
    left = left.filter((it) => into.of(test, it.number) === undefined)
  }
  if (left.length === 0) return
  // From several refusals together.
  const local = await refusedLocally(test, REASONS)
  for (const it of left) if (failAlike(it, local.get(it.number))) add(REASONS.find((reason) => REFUSALS[reason].is(it.command)) ?? reasonNear(into, test, it), it)
}

/** The reason of the explained case before this one. */
function reasonNear(exclusions: Exclusions, test: string, { number }: Case): Reason {
  for (let before = number; before > 0; before--) {
    const found = exclusions.of(test, before)
    if (found !== undefined) return found.reason
  }
  return REASONS[0]
}

const tests = (await readdir(join(suite, 'tests'), { recursive: true })).filter((it) => it.endsWith('.t') && it.includes(only)).sort()
const text = await readFile(LIST, 'utf8')
const listed = Exclusions.parse(text)
const exclusions = reference === undefined ? listed : new Exclusions()
const problems: string[] = []
const counts = new Map<string, number>()
let [passed, excluded, total] = [0, 0, 0]

async function judge(test: string): Promise<void> {
  const { cases, planned } = await runIn(folder!, join(suite!, 'tests', test))
  if (reference !== undefined) await explain(test, cases.filter((it) => it.failed), exclusions)
  total += planned
  if (cases.length !== planned) problems.push(`${test}: ${cases.length} of ${planned} cases ran`)
  for (const it of cases) {
    const why = exclusions.of(test, it.number)
    if (!it.failed && why === undefined) passed++
    else if (!it.failed) problems.push(`${test} ${it.number} passes and is excluded: ${it.command.slice(0, 200)}`)
    else if (why === undefined) problems.push(`${test} ${it.number} fails: ${it.command.slice(0, 200)} => ${it.answer.slice(0, 80)}`)
    else {
      excluded++
      const label = `${why.reason}, ${why.how}`
      counts.set(label, (counts.get(label) ?? 0) + 1)
    }
  }
}

const queue = [...tests]
await Promise.all(Array.from({ length: PARALLEL }, async () => {
  for (let test = queue.shift(); test !== undefined; test = queue.shift()) await judge(test)
}))
for (const problem of problems.sort()) console.log(`problem: ${problem}`)
for (const [label, count] of [...counts].sort()) console.log(`excluded: ${count} ${label}`)
console.log(`pjdfstest: ${passed} passed, ${excluded} excluded, ${problems.length} problems, ${total} in all`)
if (write) await writeFile(LIST, exclusions.format(text))
process.exit(problems.length === 0 ? 0 : 1)
