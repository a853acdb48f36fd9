/** The list of pjdfstest's cases that cannot pass reads and writes as what it is. (The suite itself runs by hand: it is not ours.) */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { Exclusions } from './helpers/pjdfstest-exclusions.js'
import { PROJECT } from './helpers/project.js'

it('keeps the tables of the exclusions as they are', async () => {
  const text = await readFile(join(PROJECT, 'integration-tests/pjdfstest-exclusions.md'), 'utf8')
  assert.equal(Exclusions.parse(text).format(text), text)
})

it('finds a case in its table, and writes what was added', () => {
  const text = '# Cases\n\nProse.\n\n## Hard links\n\nWhy.\n\n| file | refused | follows |\n|---|---|---|\n| `link/00.t` | 3, 7-9 |  |\n'
  const exclusions = Exclusions.parse(text)
  assert.deepEqual(exclusions.of('link/00.t', 8), { reason: 'Hard links', how: 'refused' })
  assert.equal(exclusions.of('link/00.t', 6), undefined)
  assert.equal(exclusions.of('link/01.t', 8), undefined)
  for (const number of [10, 4]) exclusions.add('Hard links', 'link/00.t', number, number === 4 ? 'follows' : 'refused')
  assert.equal(exclusions.format(text), text.replace('| 3, 7-9 |  |', '| 3, 7-10 | 4 |'))
  assert.throws(() => Exclusions.parse('## Prose\n\n| `link/00.t` | 1 | 2 |\n'), /under no reason/)
})
