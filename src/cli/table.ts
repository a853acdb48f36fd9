/**
 * cec 4.3's ASCII grid (cec-reference 1.6): header upper-cased with `_` and `.` as spaces and centred,
 * text left, numbers right, cells wrapped at 30 columns on spaces unless told otherwise, no lines
 * between rows.
 */
import Table from 'cli-table3'
import { printable } from './printable.js'

const WRAP_COLUMNS = 30

const CHARS = {
  top: '-', 'top-mid': '+', 'top-left': '+', 'top-right': '+',
  bottom: '-', 'bottom-mid': '+', 'bottom-left': '+', 'bottom-right': '+',
  left: '|', 'left-mid': '', mid: '', 'mid-mid': '', right: '|', 'right-mid': '', middle: '|',
}

export { printable }

/** Lines of at most 30 columns, broken at spaces; a longer word stays whole. */
function wrap(cell: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of cell.split(/ +/)) {
    if (line !== '' && [...line].length + 1 + [...word].length > WRAP_COLUMNS) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].join('\n')
}

const isNumeric = (cell: string): boolean => /^[+-]?\d+(\.\d+)?%?$/.test(cell)

/**
 * The whole table as text, no newline at its end.
 *
 * @param columns names as declared (`MetaName`, `created_at`)
 * @param options.wrap false leaves long cells on one line (`config ls`, `idm list-acls`)
 */
export function formatTable(columns: readonly string[], rows: readonly (readonly string[])[], options: { wrap?: boolean } = {}): string {
  const shape = (cell: string): string => (options.wrap === false ? printable(cell) : wrap(printable(cell)))
  const table = new Table({ chars: CHARS, style: { head: [], border: [] } })
  table.push(columns.map((name) => ({ content: name.toUpperCase().replace(/[_.]/g, ' '), hAlign: 'center' as const })))
  table.push(...rows.map((row) => row.map((cell) => ({ content: shape(cell), hAlign: isNumeric(cell) ? ('right' as const) : ('left' as const) }))))
  // The library draws a line after every row or after none; ours stands after the header only, so the
  // table is laid out without lines and its top edge is repeated below the header.
  const lines = table.toString().split('\n')
  const edge = lines[0] ?? ''
  return [edge, lines[1] ?? '', edge, ...(rows.length === 0 ? [] : lines.slice(2))].join('\n')
}
