/** docs/cec-compatibility.md and the tests are in step. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { COMPATIBILITY_PAGE, renderCompatibility, rowTests } from './helpers/compatibility.js'
import { ROWS } from './helpers/compatibility-rows.js'

test('every row of the checklist has a test, and every number in the name of a test is a row', async () => {
  const tests = await rowTests()
  const rows = ROWS.map(([id]) => id)
  assert.equal(new Set(rows).size, rows.length, 'a row stands there twice')
  assert.deepEqual(rows.filter(id => !tests.some(each => each.id === id)), [], 'rows without a test')
  assert.deepEqual(tests.filter(each => !rows.includes(each.id)).map(each => each.name), [], 'tests of rows that there are not')
})

test('a row without a test is seen', () => {
  const page = renderCompatibility([], [['X1', 'ls', 'a | b', { differs: 'more' }]])
  assert.match(page, /\| X1 \| ls \| a \\\| b \| \*\*wanted difference\*\*: more \| {2}\|/)
})

test('docs/cec-compatibility.md is what the tests say', async () => {
  assert.equal(await readFile(COMPATIBILITY_PAGE, 'utf8'), renderCompatibility(await rowTests()), 'run `npm run docs`')
})
