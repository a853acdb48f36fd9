import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTable } from './table.js'

await test('the grid of cec 4.3', () => {
  assert.equal(formatTable(['Type', 'Name'], [['Folder', '.'], ['Folder', 'Archives'], ['File', 'ReadMe.md']]), [
    '+--------+-----------+',
    '|  TYPE  |   NAME    |',
    '+--------+-----------+',
    '| Folder | .         |',
    '| Folder | Archives  |',
    '| File   | ReadMe.md |',
    '+--------+-----------+',
  ].join('\n'))
})

await test('numbers right, wide letters, wrapping, nothing that moves the cursor', () => {
  assert.match(formatTable(['num_tasks'], [['7']]), /\| NUM TASKS \|\n.*\n\| +7 \|/)
  assert.match(formatTable(['n'], [['中文'], ['é']]), /\| 中文 \|\n\| é {4}\|/)
  const long = 'one two three four five six seven eight nine'
  assert.equal(formatTable(['a'], [[long]]).split('\n').length, 6)
  assert.equal(formatTable(['a'], [[long]], { wrap: false }).split('\n').length, 5)
  assert.match(formatTable(['a'], [['x\u001b[2Jy\nz']]), /x\?\[2Jy\?z/)
})

await test('no rows: the header only', () => {
  assert.equal(formatTable(['A', 'B'], []), ['+---+---+', '| A | B |', '+---+---+'].join('\n'))
})
