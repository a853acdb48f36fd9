/**
 * docs/cec-compatibility.md, made of the checklist (compatibility-rows.ts) and of the tests: a test whose name begins with the numbers of rows
 * (`L2 L3 ls of a folder`) is their proof. `npm run docs` writes the page, compatibility.test.ts fails when it is out of step.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ROWS, type Row } from './compatibility-rows.js'
import { PROJECT } from './project.js'

export interface RowTest {
  readonly id: string
  readonly file: string
  readonly name: string
  /** It runs against a real server too, with CELLS_URL. */
  readonly anyServer: boolean
}

const TEST = /\b(?:test|it)\('((?:[A-Z]\d+ )+)((?:[^'\\]|\\.)*)'([^\n]*)/g
/** Words in the first line of a test that has to have the embedded server. */
const OWN_SERVER = /isReal|onlyEmbedded|realServer|REAL/

export async function rowTests(): Promise<RowTest[]> {
  const folders = ['integration-tests', ...(await readdir(join(PROJECT, 'src'), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name).slice(PROJECT.length + 1))]
  const tests: RowTest[] = []
  for (const folder of folders.sort()) {
    for (const file of (await readdir(join(PROJECT, folder))).filter((name) => name.endsWith('.test.ts')).sort()) {
      const path = `${folder}/${file}`
      const text = await readFile(join(PROJECT, path), 'utf8')
      for (const [, ids = '', name = '', rest = ''] of text.matchAll(TEST)) {
        const anyServer = /CELLS_URL/.test(text) && !OWN_SERVER.test(rest)
        tests.push(...ids.trim().split(' ').map((id) => ({ id, file: path, name: `${ids}${name.replace(/\\(.)/g, '$1')}`, anyServer })))
      }
    }
  }
  return tests
}

const cell = (text: string): string => text.replaceAll('|', '\\|')

function verdictOf([, , , verdict = {}]: Row): string {
  if (verdict.impossible !== undefined) return `**not possible**: ${verdict.impossible}`
  return verdict.differs === undefined ? 'same' : `**wanted difference**: ${verdict.differs}`
}

function line(row: Row, tests: readonly RowTest[]): string {
  const [id, command, feature] = row
  const own = tests.filter((test) => test.id === id)
  const proofs = own.map((test) => `${test.file.replace(/^.*\//, '').replace('.test.ts', '')}${test.anyServer ? ' \\*' : ''}`)
  return `| ${id} | ${cell(command)} | ${cell(feature)} | ${cell(verdictOf(row))} | ${[...new Set(proofs)].join(', ')} |`
}

/** The whole page. */
export function renderCompatibility(tests: readonly RowTest[], rows: readonly Row[] = ROWS): string {
  const count = (test: (row: Row) => boolean): number => rows.filter(test).length
  const differing = count(([, , , verdict]) => verdict?.differs !== undefined)
  const impossible = count(([, , , verdict]) => verdict?.impossible !== undefined)
  return [
    '<!-- Made by `npm run docs` from integration-tests/helpers/compatibility-rows.ts and the names of the tests. -->',
    '# How compatible `cec` is', '',
    'The original `cec` is the command line of Pydio Cells, version 4.3. This is what it does, row by row, and what ours does: '
    + `${rows.length - differing - impossible} rows are the same, ${differing} differ because it is better so, ${impossible} are not possible.`, '',
    'Each row has a test; its name begins with the number of the row: `npm test -- cec auth` runs them all. A star marks tests that run against a real server too,',
    'the one that `CELLS_URL`, `CELLS_LOGIN` and `CELLS_PASSWORD` name; without them they start the embedded one.', '',
    '| Row | Command | What | Ours | Test |', '| --- | --- | --- | --- | --- |',
    ...rows.map((row) => line(row, tests)), '',
  ].join('\n')
}

export const COMPATIBILITY_PAGE = join(PROJECT, 'docs', 'cec-compatibility.md')
