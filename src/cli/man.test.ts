import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CELLSFS_COMMANDS } from './cellsfs.js'
import { COMMANDS, type CommandLine } from './commands.js'
import { describeCommand, type CommandInfo } from './describe.js'
import { globalFlags } from './doc.js'
import { escaped, manPages } from './man.js'

/** A page as it is read, more or less. */
const plain = (text: string): string => text.replace(/\\f[BIR]/g, '').replaceAll('\\-', '-').replaceAll('\\&', '').replaceAll('\\(dq', '"').replaceAll('\\e', '\\')

const below = (info: CommandInfo): CommandInfo[] => [info, ...info.commands.flatMap(below)]

async function pages(): Promise<Map<string, string>> {
  return new Map((await manPages()).map(({ file, text }) => [file, plain(text)]))
}

/** What a page lacks of its command and of all below it. */
function missing(program: string, info: CommandInfo, page: string): string[] {
  return below(info).flatMap((each) => [
    ...(each.commands.length > 0 || page.includes(`${program} ${each.name}`) ? [] : [each.name]),
    ...(each.describe === '' || page.includes(each.describe) ? [] : [`${each.name}: its description`]),
    ...each.flags.filter((flag) => !flag.hidden && !page.split('\n').some((line) => line.split(/[ ,]+/).includes(`--${flag.name}`))).map((flag) => `${each.name} --${flag.name}`),
    ...each.positionals.filter((word) => !page.includes(`\n${word.name}\n`)).map((word) => `${each.name} ${word.name}`),
  ])
}

/** The build may lie anywhere below the project. */
function projectFile(name: string): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'tsconfig.json'))) folder = dirname(folder)
  return join(folder, name)
}

const internal = (line: CommandLine): boolean => line.describe === false && line.about === undefined

test('every command, flag and argument is in the manual', async () => {
  const all = await pages()
  for (const line of COMMANDS.filter((each) => !internal(each))) {
    const info = await describeCommand(line)
    const page = all.get(`cec-${info.name}.1`)
    assert.ok(page !== undefined, `there is no page cec-${info.name}.1`)
    assert.deepEqual(missing('cec', info, page), [])
    assert.match(all.get('cec.1') ?? '', new RegExp(`cec-${info.name}\\(1\\)`))
  }
  for (const line of CELLSFS_COMMANDS.filter((each) => !internal(each))) assert.deepEqual(missing('cellsfs', await describeCommand(line), all.get('cellsfs.1') ?? ''), [])
  for (const page of ['cec.1', 'cellsfs.1']) for (const flag of globalFlags()) assert.ok(all.get(page)?.includes(`--${flag.name}`), `${page} lacks --${flag.name}`)
  assert.deepEqual(COMMANDS.filter(internal).map(({ command }) => command), ['complete-paths [folder]'])
})

test('package.json names every page, so that npm installs it', async () => {
  const { man } = JSON.parse(await readFile(projectFile('package.json'), 'utf8')) as { man: string[] }
  assert.deepEqual(man, (await manPages()).map(({ file }) => `dist/man/${file}`).sort())
})

test('what is missing is seen', async () => {
  const info = await describeCommand(COMMANDS.find(({ command }) => command === 'trash')!)
  const page = (await pages()).get('cec-trash.1') ?? ''
  assert.deepEqual(missing('cec', info, page.replaceAll('--raw', '')), ['trash ls --raw'])
})

test('text is no request to the formatter', () => {
  assert.equal(escaped('.so /etc/passwd\n\'x a-b \\n'), '\\&.so /etc/passwd\n\\&\'x a\\-b \\en')
})

const groff = spawnSync('groff', ['--version']).status === 0

test('the pages have no mistakes for groff', { skip: groff ? false : 'groff is not installed' }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cec-man-'))
  t.after(() => rm(folder, { recursive: true }))
  for (const { file, text } of await manPages()) {
    await writeFile(join(folder, file), text)
    const { stderr, status } = spawnSync('groff', ['-man', '-ww', '-z', '-Tutf8', join(folder, file)], { encoding: 'utf8' })
    assert.deepEqual([status, stderr], [0, ''], file)
  }
})
