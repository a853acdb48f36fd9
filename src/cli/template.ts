/**
 * The part of Go's text/template that `--format` needs: fields, string literals, comments and the
 * trim markers. Pipelines, conditions and functions are refused, not half done.
 */
import { CommandError } from './errors.js'

export type Template = (values: Readonly<Record<string, string>>) => string

type Piece = { text: string } | { field: string }

/** @throws CommandError for what is not a template, or needs more than fields */
export function compileTemplate(source: string): Template {
  const pieces: Piece[] = []
  let rest = source
  let trim = false
  for (;;) {
    const open = rest.indexOf('{{')
    const literal = open < 0 ? rest : rest.slice(0, open)
    const trimEnd = open >= 0 && /^\{\{-\s/.test(rest.slice(open))
    pieces.push({ text: shave(literal, trim, trimEnd) })
    if (open < 0) break
    const action = /^\{\{(?:-\s)?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^}"`]|\}(?!\}))*?)(\s-)?\}\}/s.exec(rest.slice(open))
    if (action === null) throw invalid(source, 'an action is not closed')
    trim = action[2] !== undefined
    const piece = parseAction((action[1] ?? '').trim(), source)
    if (piece !== undefined) pieces.push(piece)
    rest = rest.slice(open + action[0].length)
  }
  return values => pieces.map(piece => ('text' in piece ? piece.text : Object.hasOwn(values, piece.field) ? values[piece.field] ?? '' : '<no value>')).join('')
}

function shave(text: string, start: boolean, end: boolean): string {
  const left = start ? text.trimStart() : text
  return end ? left.trimEnd() : left
}

function parseAction(action: string, source: string): Piece | undefined {
  if (/^\/\*.*\*\/$/s.test(action)) return undefined
  const field = /^\.([A-Za-z_]\w*)$/.exec(action)?.[1]
  if (field !== undefined) return { field }
  if (/^`[^`]*`$/.test(action)) return { text: action.slice(1, -1) }
  if (/^"(?:[^"\\]|\\.)*"$/s.test(action)) {
    try {
      return { text: JSON.parse(action) as string }
    } catch (error) {
      throw invalid(source, `${action} is not a string`, error)
    }
  }
  throw invalid(source, action === '' ? 'an action is empty' : `{{${action}}} is not supported, only fields like {{.Name}} and strings are`)
}

const invalid = (source: string, why: string, cause?: unknown): CommandError =>
  new CommandError(`the template ${JSON.stringify(source)} is not valid: ${why}`, cause === undefined ? undefined : { cause })
